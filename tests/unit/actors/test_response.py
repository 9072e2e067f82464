from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from actors.config import ResponseConfig
from actors.end_tokens import model_end_ids
from actors.response import end_rule
from protocol.ending import Ending, EndRule
from protocol.errors import ConfigError, InputError
from protocol.tokenizing import PolicyTokenizer
from tests.support import tokenizers_of_all_kinds as kinds

CUT, OTHER_CUT, END, END_OF_TURN = 9, 8, 1, 3
FIXED = EndRule(mode="fixed", cut_after=2, marker_ids=frozenset({CUT, OTHER_CUT}))
TO_THE_END = EndRule(mode="end_token", marker_ids=frozenset({END, END_OF_TURN}))


def test_cuts_at_the_first_cut_token_at_or_after_the_index() -> None:
    ending = FIXED.find((9, 9, 5, 9, 9, 5))
    assert ending == Ending(num_kept=4, is_complete=True, finish_reason="cut")


def test_any_cut_token_cuts() -> None:
    assert FIXED.find((9, 9, 5, 8, 9, 5)).num_kept == 4


def test_the_index_itself_counts() -> None:
    assert FIXED.find((5, 5, 9, 5, 5, 5)).num_kept == 3


def test_a_cut_token_before_the_index_does_not_count() -> None:
    ending = FIXED.find((9, 9, 5, 5, 5, 5))
    assert ending == Ending(num_kept=6, is_complete=False, finish_reason="length")


def test_without_a_cut_token_everything_is_kept_and_complete() -> None:
    ending = EndRule(mode="fixed", marker_ids=frozenset()).find((9, 9, 9))
    assert ending == Ending(num_kept=3, is_complete=True, finish_reason="length")


@pytest.mark.parametrize("end", [END, END_OF_TURN])
def test_any_end_token_ends_a_response_wherever_it_comes(end: int) -> None:
    assert TO_THE_END.find((5, end)[1:]) == Ending(
        num_kept=1, is_complete=True, finish_reason="end"
    )
    assert TO_THE_END.find((5, end, 5, 1)).num_kept == 2


def test_no_end_token_is_not_complete() -> None:
    assert TO_THE_END.find((5,) * 6) == Ending(
        num_kept=6, is_complete=False, finish_reason="length"
    )


def test_people_see_no_end_token_but_a_cut_token() -> None:
    assert TO_THE_END.shown((5, 6, END)) == (5, 6)
    assert TO_THE_END.shown((5, 6, 7)) == (5, 6, 7)
    assert FIXED.shown((5, 6, CUT)) == (5, 6, CUT)
    assert FIXED.shown(()) == TO_THE_END.shown(()) == ()


def test_a_written_response_is_closed_as_a_sampled_one_is() -> None:
    assert TO_THE_END.closed((5, 6), END) == (5, 6, END)
    assert TO_THE_END.closed((5, END_OF_TURN), END) == (5, END_OF_TURN)
    assert TO_THE_END.closed((5, 6), None) == (5, 6)
    assert FIXED.closed((5, 6), END) == (5, 6)


# --- which tokens they are -----------------------------------------------------------------------


def rule_of(kind: str, response: ResponseConfig, model_end_ids: frozenset[int]) -> EndRule:
    tokenizer = PolicyTokenizer(kinds.ALL_KINDS[kind]())
    return end_rule(response, model_end_ids=model_end_ids, ids_reading=tokenizer.ids_reading)


def test_all_tokens_that_read_the_cut_token_cut() -> None:
    rule = rule_of("unigram", ResponseConfig(), frozenset({2}))
    inner = kinds.unigram()
    assert rule.marker_ids == set(inner.convert_tokens_to_ids([".", "▁.", "<0x2E>"]))
    ids = PolicyTokenizer(inner).response_ids("the soup" * 9 + ".", where="")
    assert rule.find(ids).num_kept == len(ids)


@pytest.mark.parametrize("kind", sorted(kinds.ALL_KINDS))
def test_a_run_without_a_cut_token_keeps_every_response_whole(kind: str) -> None:
    """Also where some token reads as nothing, as two of "unigram" do."""
    uncut = ResponseConfig(max_tokens=8, cut_token="", cut_after=16)
    rule = rule_of(kind, uncut, frozenset({1}))
    assert rule.marker_ids == frozenset()
    ids = PolicyTokenizer(kinds.ALL_KINDS[kind]()).response_ids("so. it. was. good.", where="")
    assert rule.find(ids) == Ending(num_kept=len(ids), is_complete=True, finish_reason="length")


def test_end_tokens_that_are_named_stand_for_the_models() -> None:
    inner = kinds.gemma()
    named = ResponseConfig(mode="end_token", end_tokens=("<end_of_turn>", "\n"))
    rule = rule_of("gemma", named, frozenset({1}))
    assert rule.marker_ids == set(inner.convert_tokens_to_ids(["<end_of_turn>", "<0x0A>"]))
    unnamed = rule_of("gemma", ResponseConfig(mode="end_token"), frozenset({1, 7}))
    assert unnamed.marker_ids == {1, 7}


@pytest.mark.parametrize(
    ("response", "says"),
    [
        (
            ResponseConfig(cut_token="none"),
            r"'none' is not one .* another response\.cut_token, or \"\" to cut nothing",
        ),
        (
            ResponseConfig(mode="end_token", end_tokens=("<stop>",)),
            r"'<stop>' is not one token .* response\.end_tokens",
        ),
        (ResponseConfig(mode="end_token"), r"names an end token: name one in response\.end_tokens"),
    ],
)
def test_tokens_that_are_none_are_refused(response: ResponseConfig, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        rule_of("gemma", response, frozenset())


def test_the_models_files_name_its_end_tokens(tmp_path: Path) -> None:
    assert model_end_ids(tmp_path, 1, 300) == {1}
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": [1, 107, 900]}))
    (tmp_path / "config.json").write_text(
        json.dumps({"eos_token_id": 5, "text_config": {"eos_token_id": [6]}})
    )
    assert model_end_ids(tmp_path, None, 300) == {1, 107, 5, 6}
    (tmp_path / "config.json").write_text(json.dumps({"eos_token_id": None}))
    assert model_end_ids(tmp_path, 2, 300) == {1, 107, 2}


@pytest.mark.parametrize(
    "content", ['{"eos_token_id": "</s>"}', "[1]", "{", '{"eos_token_id": true}']
)
def test_end_tokens_that_are_no_ids_are_refused_by_file(tmp_path: Path, content: str) -> None:
    (tmp_path / "generation_config.json").write_text(content)
    with pytest.raises(InputError, match=r"generation_config\.json"):
        model_end_ids(tmp_path, 1, 300)


def test_a_cut_that_can_never_come_is_refused() -> None:
    with pytest.raises(ValidationError, match=r'cut_after \(16\) must .* with cut_token = ""'):
        ResponseConfig(max_tokens=16, cut_after=16)


def test_unknown_keys_are_refused() -> None:
    with pytest.raises(ValidationError, match="max_token"):
        ResponseConfig.model_validate({"max_token": 3})
