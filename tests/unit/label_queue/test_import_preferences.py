"""TRL's preferences as the records of a new ledger."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from label_queue.exchange.export import export_run
from label_queue.exchange.imports import Imported, import_file
from label_queue.ledger.sql import SqlLedger
from label_queue.quality.speed import is_fast
from protocol.errors import InputError, UserError
from protocol.labels import ComparisonQuery
from protocol.messages import ChatMessage
from tests.support.labels import (
    answers,
)
from tests.unit.label_queue.exchanged import (
    RUN,
)


class Words:
    """A tokenizer of words by length; the special token 0 goes before."""

    chat_template: str | None = None
    all_special_ids: ClassVar[list[int]] = [0]
    added_tokens_decoder: ClassVar[Mapping[int, Any]] = {}
    bos_token_id: int | None = 0
    eos_token_id: int | None = None
    unk_token_id: int | None = None

    def __len__(self) -> int:
        return 20

    def convert_ids_to_tokens(self, ids: list[int]) -> list[str]:
        return [f"<{token_id}>" for token_id in ids]

    def decode(
        self,
        token_ids: list[int],
        *,
        skip_special_tokens: bool,
        clean_up_tokenization_spaces: bool,
    ) -> str:
        return " ".join("x" * token_id for token_id in token_ids)

    def __call__(self, text: str, *, add_special_tokens: bool = True) -> dict[str, Any]:
        special = [0] if add_special_tokens else []
        return {"input_ids": special + [len(word) for word in text.split()]}

    def apply_chat_template(
        self,
        conversation: list[dict[str, str]],
        *,
        tokenize: bool,
        add_generation_prompt: bool,
        continue_final_message: bool,
    ) -> str:
        assert not tokenize
        assert add_generation_prompt
        return " ".join(f"<{turn['role']}> {turn['content']}" for turn in conversation) + " >"


def trl_file(tmp_path: Path, *lines: object) -> Path:
    path = tmp_path / "trl.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


PLAIN = {"prompt": "the soup was", "chosen": " warm .", "rejected": " chilly ."}


def test_preferences_become_labels_of_the_labeler_import(tmp_path: Path) -> None:
    path, copy = trl_file(tmp_path, PLAIN, {**PLAIN, "margin": 1 / 3}), tmp_path / "copy.sqlite"

    imported = import_file(path, copy, run_id=RUN, tokenizer=Words(), at_time=7.0)

    assert imported == Imported(run_id=RUN, num_queries=2, num_events=2)
    ledger = SqlLedger.open_to_read(copy)
    query = ledger.queries()[0]
    assert query.prompt_token_ids == (0, 3, 4, 3)
    assert [candidate.token_ids for candidate in query.candidates] == [(4, 1), (6, 1)]
    events = answers(ledger.events())
    assert [(e.labeler_id, e.outcome, e.strength) for e in events] == [
        ("import", "choice", None),
        ("import", "choice", 2),
    ]
    ledger.close()
    again = tmp_path / "again.jsonl"
    export_run(copy, again, "trl", style="standard")
    assert [json.loads(line) for line in again.read_text().splitlines()] == [
        {**PLAIN, "margin": 0.0},
        {**PLAIN, "margin": 1 / 3},
    ]


def test_what_is_imported_makes_nobody_look_like_a_cheat(tmp_path: Path) -> None:
    lines = [{**PLAIN, "prompt": f"the soup number {number} was"} for number in range(100)]
    copy = tmp_path / "copy.sqlite"
    import_file(trl_file(tmp_path, *lines), copy, run_id=RUN, tokenizer=Words(), at_time=7.0)
    ledger = SqlLedger.open_to_read(copy)
    queries = {query.query_id: query for query in ledger.queries()}
    assignments = {each.assignment_id: each for each in ledger.assignments()}
    labels = answers(ledger.events())
    ledger.close()
    firsts = [assignments[each.assignment_id].shown_order[0] == each.choice for each in labels]
    assert 30 <= sum(firsts) <= 70  # within four standard errors of half
    for label in labels:
        assert label.choice == f"{label.query_id}-chosen"
        assignment = assignments[label.assignment_id]
        assert is_fast(queries[label.query_id], assignment, label, tokens_per_s=0.01) is None


def chat(*contents: str, role: str = "user") -> list[dict[str, str]]:
    return [{"role": role, "content": content} for content in contents]


def test_chat_prompts_are_rendered_as_the_tokenizer_says(tmp_path: Path) -> None:
    one = {
        "prompt": chat("the soup was"),
        "chosen": chat("warm", role="assistant"),
        "rejected": chat("chilly", role="assistant"),
    }
    path = trl_file(tmp_path, one)
    tokenizer = Words()
    prompts: list[ComparisonQuery] = []
    for template in (None, "{{ messages }}"):
        tokenizer.chat_template = template
        copy = tmp_path / f"{template is None}.sqlite"
        import_file(path, copy, run_id=RUN, tokenizer=tokenizer, at_time=7.0)
        ledger = SqlLedger.open_to_read(copy)
        prompts += ledger.queries()
        ledger.close()
    assert [query.prompt_text for query in prompts] == ["the soup was", ""]
    said = (ChatMessage(role="user", content="the soup was"),)
    assert [query.prompt_messages for query in prompts] == [(), said]
    assert prompts[0].prompt_token_ids == (0, 3, 4, 3)
    assert prompts[1].prompt_token_ids == (6, 3, 4, 3, 1)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ({"chosen": "a", "rejected": "b"}, "line 1: prompt: missing"),
        ({**PLAIN, "chosen": None}, "line 1: chosen: missing"),
        ({**PLAIN, "chosen": 3}, "line 1: chosen: want a text"),
        ({**PLAIN, "chosen": []}, "line 1: chosen: want a text"),
        ({**PLAIN, "chosen": [{"role": "assistant"}]}, "line 1: chosen.0: want role and content"),
        (
            {**PLAIN, "chosen": [{"role": "assistant", "content": 3}]},
            "line 1: chosen.0.content: want a text",
        ),
        ({**PLAIN, "chosen": chat("a", "b")}, "line 1: chosen: want one message"),
        ({**PLAIN, "prompt": chat("a", "b")}, "line 1: prompt: 2 messages need a tokenizer with"),
        ({**PLAIN, "prompt": chat("a", role="boss")}, "line 1: prompt: message 0: each is"),
        (
            {**PLAIN, "prompt": [{**chat("a")[0], "tool_calls": [{}]}]},
            "line 1: prompt: message 0: tool_calls: unknown",
        ),
        ({**PLAIN, "chosen": chat("a")}, "line 1: chosen.0: want role and content, of the assi"),
        ({**PLAIN, "rejected": " warm ."}, "line 1: rejected: is the same as chosen"),
        ({**PLAIN, "rejected": "warm .\n"}, "line 1: rejected: is the same as chosen"),
        ({**PLAIN, "rejected": " cold ."}, "line 1: rejected: is the same as chosen"),
        ({**PLAIN, "chosen": " "}, "line 1: chosen: is empty"),
        ({**PLAIN, "margin": "big"}, "line 1: margin: want a number"),
        ({**PLAIN, "margin": 10**400}, "line 1: margin: want a number"),
        ({**PLAIN, "chosen": "a \ud800"}, "line 1: chosen: character 2 is '\\ud800', half of"),
        ({**PLAIN, "prompt": "\ud800"}, "line 1: prompt: character 0 is '\\ud800', half of"),
        ({**PLAIN, "colour": "red"}, "line 1: colour: unknown"),
    ],
)
def test_a_bad_preference_is_named_by_line_and_column(
    tmp_path: Path, line: dict[str, Any], problem: str
) -> None:
    with pytest.raises(InputError) as refused:
        import_file(
            trl_file(tmp_path, line),
            tmp_path / "copy.sqlite",
            run_id=RUN,
            tokenizer=Words(),
            at_time=7.0,
        )
    assert problem in str(refused.value)
    assert not list(tmp_path.glob("*copy*"))


def test_preferences_need_a_tokenizer_and_a_run(tmp_path: Path) -> None:
    path, copy = trl_file(tmp_path, PLAIN), tmp_path / "copy.sqlite"
    with pytest.raises(UserError, match="need the policy's tokenizer"):
        import_file(path, copy, run_id=RUN, at_time=7.0)
    with pytest.raises(UserError, match="name no run"):
        import_file(path, copy, tokenizer=Words(), at_time=7.0)
    path.write_text("\n")
    with pytest.raises(InputError, match="is empty"):
        import_file(path, copy, run_id=RUN, tokenizer=Words(), at_time=7.0)


def test_another_margin_is_no_strength(tmp_path: Path) -> None:
    path, copy = trl_file(tmp_path, {**PLAIN, "margin": 0.5}), tmp_path / "copy.sqlite"
    import_file(path, copy, run_id=RUN, tokenizer=Words(), at_time=7.0)
    ledger = SqlLedger.open_to_read(copy)
    assert [event.strength for event in answers(ledger.events())] == [None]
    ledger.close()
