from __future__ import annotations

import pytest
from pydantic import ValidationError

from actors.config import ResponseConfig
from actors.response import Ending, find_ending, finish_reason

CUT, END = 9, 1
FIXED = ResponseConfig(max_tokens=6, cut_after=2)
TO_THE_END = ResponseConfig(mode="end_token", max_tokens=6)


def test_cuts_at_the_first_cut_token_at_or_after_the_index() -> None:
    ending = find_ending((9, 9, 5, 9, 9, 5), FIXED, CUT)
    assert ending == Ending(num_kept=4, is_complete=True, finish_reason="cut")


def test_the_index_itself_counts() -> None:
    assert find_ending((5, 5, 9, 5, 5, 5), FIXED, CUT).num_kept == 3


def test_a_cut_token_before_the_index_does_not_count() -> None:
    ending = find_ending((9, 9, 5, 5, 5, 5), FIXED, CUT)
    assert ending == Ending(num_kept=6, is_complete=False, finish_reason="length")


def test_without_a_cut_token_everything_is_kept_and_complete() -> None:
    ending = find_ending((9, 9, 9), FIXED, None)
    assert ending == Ending(num_kept=3, is_complete=True, finish_reason="length")


def test_the_end_token_ends_a_response_wherever_it_comes() -> None:
    assert find_ending((1,), TO_THE_END, END) == Ending(
        num_kept=1, is_complete=True, finish_reason="end"
    )


def test_no_end_token_is_not_complete() -> None:
    assert not find_ending((5,) * 6, TO_THE_END, END).is_complete


def test_finish_reasons() -> None:
    assert finish_reason("fixed", is_complete=True) == "cut"
    assert finish_reason("end_token", is_complete=True) == "end"
    assert finish_reason("end_token", is_complete=False) == "length"


def test_a_cut_that_can_never_come_is_refused() -> None:
    with pytest.raises(ValidationError, match="cut_after"):
        ResponseConfig(max_tokens=16, cut_after=16)


def test_unknown_keys_are_refused() -> None:
    with pytest.raises(ValidationError, match="max_token"):
        ResponseConfig.model_validate({"max_token": 3})
