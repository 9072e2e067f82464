"""What follows the end of a response never changes where it ends."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from protocol.ending import EndRule, ResponseMode

TOKENS = st.lists(st.integers(0, 4), min_size=1, max_size=24)
MARKERS = st.frozensets(st.integers(0, 4), min_size=1, max_size=3)


@given(TOKENS, TOKENS, st.sampled_from(["fixed", "end_token"]), st.integers(0, 23), MARKERS)
def test_tokens_after_the_end_change_nothing(
    token_ids: list[int],
    others: list[int],
    mode: ResponseMode,
    cut_after: int,
    markers: frozenset[int],
) -> None:
    rule = EndRule(mode=mode, cut_after=cut_after, marker_ids=markers)
    ending = rule.find(token_ids)
    if not ending.is_complete:
        assert ending.num_kept == len(token_ids)
        return
    kept = token_ids[: ending.num_kept]
    assert kept[-1] in markers
    assert rule.find(kept + others) == ending
