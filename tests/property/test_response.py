"""What follows the end of a response never changes where it ends."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from actors.config import ResponseConfig, ResponseMode
from actors.response import find_ending

TOKENS = st.lists(st.integers(0, 4), min_size=1, max_size=24)


@given(TOKENS, TOKENS, st.sampled_from(["fixed", "end_token"]), st.integers(0, 23))
def test_tokens_after_the_end_change_nothing(
    token_ids: list[int], others: list[int], mode: ResponseMode, cut_after: int
) -> None:
    response = ResponseConfig(mode=mode, max_tokens=24, cut_after=cut_after)
    ending = find_ending(token_ids, response, 2)
    if not ending.is_complete:
        assert ending.num_kept == len(token_ids)
        return
    kept = token_ids[: ending.num_kept]
    assert kept[-1] == 2
    assert find_ending(kept + others, response, 2) == ending
