"""What Hypothesis draws a ledger's lines from."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

from protocol.labels import OwnerEvent
from tests.support.labels import make_exclusion, make_reinstatement


def owner_events(
    labelers: Sequence[str], *, last_number: int, last_seq: int
) -> st.SearchStrategy[OwnerEvent]:
    """Draw exclusions and reinstatements; their event ids are numbered up to `last_number`."""
    labeler, number = st.sampled_from(labelers), st.integers(0, last_number)
    from_seq = st.none() | st.integers(0, last_seq)
    return st.one_of(
        st.builds(
            lambda labeler, number, from_seq: make_exclusion(
                labeler, number=number, from_seq=from_seq
            ),
            labeler,
            number,
            from_seq,
        ),
        st.builds(
            lambda labeler, number: make_reinstatement(labeler, number=number), labeler, number
        ),
    )
