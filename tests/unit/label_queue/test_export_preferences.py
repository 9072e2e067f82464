"""Out of a ledger as TRL's preferences."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from label_queue.exchange.export import export_run
from label_queue.exchange.preferences import Style, preference_lines
from label_queue.ledger.records import (
    Record,
)
from label_queue.quality_config import QualityConfig
from protocol.errors import InputError
from protocol.messages import ChatMessage
from tests.support.labels import (
    make_appointment,
    make_assignment,
    make_event,
    make_exclusion,
    make_query,
    make_retraction,
)
from tests.unit.label_queue.conftest import MakeLedger
from tests.unit.label_queue.exchanged import (
    FOUR,
    PAIR,
    RANKED,
    labelled,
    memory,
)


def trl(
    records: Sequence[Record], *, style: Style | None = None, keep_all: bool = False
) -> list[dict[str, Any]]:
    lines = preference_lines(memory(records), QualityConfig(), style=style, keep_all=keep_all)
    return [json.loads(line) for line in lines]


def pairs_of(lines: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Candidate names of the chosen and the rejected responses."""

    def name(response: str | list[dict[str, str]]) -> str:
        text = response if isinstance(response, str) else response[0]["content"]
        return text.removeprefix("text of ")

    return [(name(line["chosen"]), name(line["rejected"])) for line in lines]


def test_a_choice_gives_one_pair_against_each_other_candidate() -> None:
    lines = trl(labelled(make_event(FOUR, choice=2)))
    assert pairs_of(lines) == [("q1-c", "q1-a"), ("q1-c", "q1-b"), ("q1-c", "q1-d")]
    assert lines[0] == {
        "prompt": "the soup was",
        "chosen": "text of q1-c",
        "rejected": "text of q1-a",
    }


TURNS = (
    ChatMessage(role="system", content="Be brief."),
    ChatMessage(role="user", content="How was\n\nassistant: the soup?"),
    ChatMessage(role="assistant", content="Which one?"),
    ChatMessage(role="tool", content='{"soup": "ünï"}'),
    ChatMessage(role="user", content="the soup of the day"),
)
CHAT = replace(make_query(4, versions=(1, 1)), prompt_text="", prompt_messages=TURNS)


def of_a_chat() -> list[Record]:
    return [CHAT, make_assignment(CHAT), make_event(CHAT)]


def test_a_chat_is_written_as_its_messages() -> None:
    assert trl(of_a_chat()) == [
        {
            "prompt": [{"role": turn.role, "content": turn.content} for turn in TURNS],
            "chosen": [{"role": "assistant", "content": "text of q4-a"}],
            "rejected": [{"role": "assistant", "content": "text of q4-b"}],
        }
    ]


def test_a_file_is_all_of_one_style_and_no_prompt_is_written_in_another() -> None:
    both = [*labelled(make_event(PAIR)), *of_a_chat()]
    with pytest.raises(InputError, match="1 pairs are of chats and 1 of plain prompts") as refused:
        trl(both)
    assert "--style conversational" in str(refused.value)
    assert pairs_of(trl(both, style="conversational")) == [("q4-a", "q4-b")]
    assert pairs_of(trl(both, style="standard")) == [("q0-a", "q0-b")]
    with pytest.raises(InputError, match="no prompt here is standard: all are conversational"):
        trl(of_a_chat(), style="standard")


def test_the_margin_is_that_of_the_style_that_is_written() -> None:
    both = [*labelled(make_event(PAIR, strength=2)), *of_a_chat()]
    assert ["margin" in line for line in trl(both, style="conversational")] == [False]
    assert ["margin" in line for line in trl(both, style="standard")] == [True]


def test_responses_that_are_alike_give_no_pair() -> None:
    a, b, c, d = FOUR.candidates
    older = replace(FOUR, candidates=(a, replace(b, text=f" {a.text}\n"), c, d))
    records: list[Record] = [older, make_assignment(older), make_event(older, choice=0)]
    assert pairs_of(trl(records)) == [("q1-a", "q1-c"), ("q1-a", "q1-d")]
    older = replace(FOUR, candidates=(a, replace(b, token_ids=a.token_ids), c, d))
    records = [older, make_assignment(older), make_event(older, choice=1)]
    assert pairs_of(trl(records)) == [("q1-b", "q1-c"), ("q1-b", "q1-d")]


def test_a_ranking_gives_all_pairs() -> None:
    event = make_event(RANKED, outcome="ranking", ranking=("q2-c", "q2-a", "q2-b"))
    lines = trl(labelled(event))
    assert pairs_of(lines) == [("q2-c", "q2-a"), ("q2-c", "q2-b"), ("q2-a", "q2-b")]


def test_ties_and_skips_give_nothing() -> None:
    ledger = labelled(
        make_event(PAIR, "ann"),
        make_event(PAIR, "bob", outcome="tie"),
        make_event(FOUR, "ann", outcome="skip"),
        make_event(FOUR, "bob", outcome="both_bad"),
    )
    assert pairs_of(trl(ledger)) == [("q0-a", "q0-b")]


def test_gold_is_left_out_and_so_are_labels_held_until_it_clears() -> None:
    gold = make_query(3, purpose="gold", gold_answer="q3-a")
    answer = make_event(gold, "ann")
    records = [*labelled(make_event(PAIR, "ann")), gold, make_assignment(gold, "ann"), answer]
    with pytest.raises(InputError, match="see --all"):
        trl(records)
    assert pairs_of(trl(records, keep_all=True)) == [("q0-a", "q0-b")]


def test_a_label_counts_as_it_stands() -> None:
    ledger = labelled(
        make_event(PAIR, "ann"),
        make_event(PAIR, "ann", revision=1, choice=1),
        make_event(PAIR, "bob"),
        make_retraction(PAIR, "bob", revision=1),
    )
    assert pairs_of(trl(ledger)) == [("q0-b", "q0-a")]


def test_excluded_labelers_are_left_out_unless_all_are_wanted() -> None:
    ledger = labelled(
        make_event(PAIR, "ann"), make_event(PAIR, "bob", choice=1), make_exclusion("bob")
    )
    assert pairs_of(trl(ledger)) == [("q0-a", "q0-b")]
    assert pairs_of(trl(ledger, keep_all=True)) == [("q0-a", "q0-b"), ("q0-b", "q0-a")]


def test_what_judges_say_is_in_no_file_that_others_train_on() -> None:
    judged = [make_appointment("bob"), make_event(PAIR, "ann"), make_event(PAIR, "bob", choice=1)]
    for keep_all in (False, True):
        assert pairs_of(trl(labelled(*judged), keep_all=keep_all)) == [("q0-a", "q0-b")]


def test_a_margin_is_given_in_all_lines_or_in_none() -> None:
    ledger = labelled(make_event(PAIR, "ann", strength=4), make_event(PAIR, "bob"))
    assert [line["margin"] for line in trl(ledger)] == [1.0, 0.0]


def test_nothing_to_export_says_so_and_leaves_no_file(
    make_ledger: MakeLedger, tmp_path: Path
) -> None:
    ledger = make_ledger(labelled(make_event(PAIR, outcome="tie")))
    with pytest.raises(InputError, match="no label here states a preference"):
        export_run(ledger, tmp_path / "out.jsonl", "trl")
    assert sorted(path.name for path in tmp_path.glob("*out*")) == []
