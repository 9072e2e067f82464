"""What is said of how ρ ends its responses, before anyone labels."""

from __future__ import annotations

from dataclasses import replace

import pytest

from actors.config import ResponseConfig
from cluster.loops.reference_ends import ENOUGH_DRAWS, ends_in_words, refuse_endless
from protocol.ending import EndRule
from protocol.errors import InputError
from protocol.messages import Rollout
from protocol.tokenizing import PolicyTokenizer
from tests.support import tokenizers_of_all_kinds as kinds
from tests.support.messages import make_rollout

TOKENIZER = PolicyTokenizer(kinds.chatml())
FIXED = ResponseConfig(max_tokens=24, cut_after=4)
END = kinds.chatml().eos_token_id


def drawn(text: str, rule: EndRule, *, is_ended: bool = False) -> Rollout:
    ids = TOKENIZER.response_ids(text, where="") + ((END,) if is_ended else ())
    ending = rule.find(ids)
    return replace(
        make_rollout(is_complete=ending.is_complete),
        token_ids=ids,
        num_kept=ending.num_kept,
        text=TOKENIZER.shown_text(rule.shown(ids[: ending.num_kept])),
    )


def test_the_text_around_cuts_is_shown() -> None:
    rule = EndRule(mode="fixed", cut_after=4, marker_ids=TOKENIZER.ids_reading("."))
    draws = [drawn("the soup was good. it\nwas", rule)] * 3 + [drawn("the soup was good", rule)]
    assert ends_in_words(draws, FIXED, TOKENIZER) == [
        "ρ ended 3 of 4 responses, by the cut token '.' from token 5 to 24",
        *["  …the soup was good.▌ it⏎was"] * 3,
        "  …the soup was good  (no end)",
    ]


def test_responses_without_a_cut_end_by_their_length() -> None:
    uncut = ResponseConfig(max_tokens=24, cut_token="")
    draws = [drawn("the soup was good. it", EndRule(mode="fixed", marker_ids=frozenset()))]
    first, *_ = ends_in_words(draws, uncut, TOKENIZER)
    assert first == "ρ ended 1 of 1 responses, by their length of 24 tokens"


def test_few_ends_are_warned_of_with_their_price_and_the_mend() -> None:
    rule = EndRule(mode="end_token", marker_ids=frozenset({END}))
    response = ResponseConfig(mode="end_token", max_tokens=24)
    draws = [drawn("good", rule, is_ended=True)] + [drawn("bad\x1b[31m", rule)] * 4
    first, ended, *endless, warning = ends_in_words(draws, response, TOKENIZER)
    assert first == (
        "ρ ended 1 of 5 responses, by an end token (those of the model) within 24 tokens"
    )
    assert ended == "  …good⟨<|im_end|>⟩▌"
    assert endless == ["  …bad\\x1b[31m  (no end)"] * 3
    assert warning.startswith("warning: few end; each that does not scores -1 and is shown to no")
    assert "response.end_tokens" in warning


def test_half_is_not_few() -> None:
    rule = EndRule(mode="fixed", cut_after=4, marker_ids=TOKENIZER.ids_reading("."))
    draws = [drawn("the soup was good.", rule), drawn("the soup", rule)]
    assert not any("warning" in line for line in ends_in_words(draws, FIXED, TOKENIZER))


def test_a_policy_that_ends_nothing_is_refused_once_that_is_sure() -> None:
    endless = [make_rollout(is_complete=False)] * ENOUGH_DRAWS
    refuse_endless(endless[1:])
    refuse_endless([*endless, make_rollout()])
    with pytest.raises(InputError, match=r"ended none of 64 responses; .*“…very good \.”: name"):
        refuse_endless(endless)
