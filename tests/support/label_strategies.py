"""What Hypothesis draws a ledger's lines from."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

from protocol.labels import LabelEvent
from tests.support.labels import make_exclusion


def owner_events(
    labelers: Sequence[str], *, last_number: int, last_seq: int
) -> st.SearchStrategy[LabelEvent]:
    """Draw exclusions and reinstatements; their event ids are numbered up to `last_number`."""
    return st.builds(
        lambda labeler, number, from_seq, reinstate: make_exclusion(
            labeler, number=number, from_seq=from_seq, reinstate=reinstate
        ),
        st.sampled_from(labelers),
        st.integers(0, last_number),
        st.none() | st.integers(0, last_seq),
        st.booleans(),
    )
