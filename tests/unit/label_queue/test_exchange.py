"""Out of a ledger and into another: TRL's preferences, and our own form."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from label_queue.config import QualityConfig
from label_queue.exchange.export import export_run
from label_queue.exchange.imports import Imported, import_file
from label_queue.exchange.line_file import write_lines
from label_queue.exchange.preferences import Style, preference_lines
from label_queue.exchange.record_lines import read_records, record_lines
from label_queue.folds.dataset import build_dataset, dataset_bytes
from label_queue.ledger.records import (
    ConnectorOffset,
    DeadLetter,
    LabelerToken,
    Record,
    TokenRevocation,
)
from label_queue.ledger.sql import SqlLedger
from protocol.errors import InputError, MissingError, ResourceError, SchemaMismatch, UserError
from protocol.labels import (
    ComparisonQuery,
    DatasetRules,
    LabelChange,
    LabelEvent,
    PolicyProvenance,
    Pulled,
)
from protocol.messages import ChatMessage
from tests.support.labels import (
    answers,
    make_assignment,
    make_event,
    make_exclusion,
    make_query,
    make_retraction,
    make_reward,
)
from tests.support.memory_ledger import MemoryLedger

RUN = "run-1"
PAIR, FOUR = make_query(0, versions=(1, 1), kind="pair"), make_query(1)
RANKED = make_query(2, versions=(1, 1, 1), kind="ranking")
SECRET = "0123456789abcdef" * 4


def labelled(*events: LabelEvent) -> list[Record]:
    """Queries and the assignments of their events, then the events."""
    queries = (PAIR, FOUR, RANKED)
    by_id = {query.query_id: query for query in queries}
    pairs = {
        (event.query_id, event.labeler_id) for event in events if isinstance(event, LabelChange)
    }
    assignments = [make_assignment(by_id[query_id], name) for query_id, name in sorted(pairs)]
    return [*queries, *assignments, *events]


def everything() -> list[Record]:
    """One of every kind of record, and of every kind of label."""
    return [
        *labelled(
            make_event(PAIR, "ann", strength=2, comment="ünïcode \u2028 text"),
            make_event(PAIR, "ann", revision=1, choice=1, strength=4),
            make_event(FOUR, "ann", choice=2, spans=(("q1-a", 0, 4, "bad"),)),
            make_event(FOUR, "bob", outcome="tie"),
            make_event(RANKED, "bob", outcome="ranking", ranking=("q2-c", "q2-a", "q2-b")),
            make_event(PAIR, "bob"),
            make_retraction(PAIR, "bob", revision=1),
            make_exclusion("bob", from_seq=5),
        ),
        LabelerToken(token_sha256=SECRET, labeler_id="ann", created_at=1.0, expires_at=None),
        TokenRevocation(token_sha256=SECRET, at=2.0, reason="used"),
        Pulled(event_id="c1", actor="ann", reason="odd", at=3.0),
        make_reward(1, ledger_seq=5),
        PolicyProvenance(
            version=1,
            episodes=4,
            reward_version=1,
            learned_through=5,
            restored_from=None,
            created_at=4.0,
        ),
        ConnectorOffset(connector="jsonl", offset='{"position": 3}', at=5.0),
        DeadLetter(
            received_at=6.0, labeler_id="ann", field="", message="", payload=f"Bearer {SECRET}"
        ),
    ]


@pytest.fixture
def make_ledger(tmp_path: Path) -> Callable[[Sequence[Record]], Path]:
    def make(records: Sequence[Record]) -> Path:
        path = tmp_path / "ledger.sqlite"
        ledger = SqlLedger.open(path, RUN)
        ledger.write(records)
        ledger.close()
        return path

    return make


MakeLedger = Callable[[Sequence[Record]], Path]


def memory(records: Sequence[Record]) -> MemoryLedger:
    ledger = MemoryLedger()
    ledger.write(records)
    return ledger


def trl(
    records: Sequence[Record], *, style: Style | None = None, keep_all: bool = False
) -> list[dict[str, Any]]:
    lines = preference_lines(memory(records), QualityConfig(), style=style, keep_all=keep_all)
    return [json.loads(line) for line in lines]


def ours(records: Sequence[Record]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in record_lines(memory(records))]


def pairs_of(lines: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Candidate names of the chosen and the rejected responses."""

    def name(response: str | list[dict[str, str]]) -> str:
        text = response if isinstance(response, str) else response[0]["content"]
        return text.removeprefix("text of ")

    return [(name(line["chosen"]), name(line["rejected"])) for line in lines]


# --- TRL's preferences ---------------------------------------------------------------------------


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


# --- our own form --------------------------------------------------------------------------------


def test_our_own_form_round_trips_byte_for_byte(make_ledger: MakeLedger, tmp_path: Path) -> None:
    ledger = make_ledger(everything())
    first, second = tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    export_run(ledger, first, "andon")
    copy = tmp_path / "copy.sqlite"

    imported = import_file(first, copy, at_time=99.0)
    export_run(copy, second, "andon")

    assert imported == Imported(run_id=RUN, num_queries=3, num_events=8)
    assert first.read_bytes() == second.read_bytes()
    for seq in range(9):
        assert training_set(copy, seq) == training_set(ledger, seq)
    reopened = SqlLedger.open(copy, RUN)  # it is a ledger a run can go on with
    reopened.close()


def training_set(path: Path, seq: int) -> bytes:
    ledger = SqlLedger.open_to_read(path)
    queries = {query.query_id: query for query in ledger.queries()}
    events = ledger.events()
    ledger.close()
    return dataset_bytes(build_dataset(queries, events, seq, DatasetRules()))


def test_a_record_from_before_there_were_messages_is_read(tmp_path: Path) -> None:
    lines = ours(everything())
    assert first(lines, "query").pop("prompt_messages") == []
    path = tmp_path / "older.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    import_file(path, tmp_path / "copy.sqlite", at_time=0.0)
    ledger = SqlLedger.open_to_read(tmp_path / "copy.sqlite")
    assert ledger.queries()[0] == PAIR
    ledger.close()


def test_our_own_form_holds_no_secret() -> None:
    lines = ours(everything())
    assert lines[0] == {"type": "header", "format": "andon", "schema_version": 1, "run_id": RUN}
    assert [line["type"] for line in lines[1:]] == [
        *["query"] * 3,
        *["assignment"] * 5,
        *["label_event"] * 8,
        "cord_event",
        "reward_version",
        "policy_version",
        "connector_offset",
    ]
    assert SECRET not in json.dumps(lines)


def test_an_export_does_not_overwrite_unless_forced(
    make_ledger: MakeLedger, tmp_path: Path
) -> None:
    ledger, out = make_ledger(everything()), tmp_path / "out.jsonl"
    out.write_text("mine")
    with pytest.raises(InputError, match="--force"):
        export_run(ledger, out, "andon")
    assert out.read_text() == "mine"
    export_run(ledger, out, "andon", force=True)
    assert out.read_text() != "mine"


def test_an_export_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    out.write_text("mine")

    def lines() -> Any:
        yield b"one"
        raise InputError("no more")

    with pytest.raises(InputError, match="no more"):
        write_lines(out, lines(), force=True)
    assert out.read_text() == "mine"
    with pytest.raises(ResourceError, match="cannot be written"):
        write_lines(tmp_path / "nowhere" / "out.jsonl", [b"one"])
    assert [path.name for path in tmp_path.iterdir()] == ["out.jsonl"]


def test_an_empty_ledger_has_nothing_to_export(make_ledger: MakeLedger, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no queries"):
        export_run(make_ledger([]), tmp_path / "out.jsonl", "andon")
    with pytest.raises(MissingError):
        export_run(tmp_path / "none.sqlite", tmp_path / "out.jsonl", "andon")


Edit = Callable[[list[dict[str, Any]]], object]


def first(lines: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    record: dict[str, Any] = next(line for line in lines if line["type"] == kind)["record"]
    return record


@pytest.mark.parametrize(
    ("edit", "problem"),
    [
        (lambda lines: lines.clear(), "is not of our own form"),
        (lambda lines: lines[0].update(format="csv"), "line 1: format: want"),
        (lambda lines: lines[0].update(schema_version=9), "line 1: schema_version: is 9, this is"),
        (lambda lines: lines[0].pop("schema_version"), "line 1: schema_version: want 1, got None"),
        (lambda lines: lines[0].update(schema_version="1"), "line 1: schema_version: want 1, got"),
        (lambda lines: lines[0].update(run_id=""), "line 1: run_id: want"),
        (lambda lines: lines[1].update(type="token"), "line 2: type: 'token' is none of"),
        (lambda lines: lines[1].update(more=1), "line 2: more: unknown"),
        (lambda lines: lines[1].pop("record"), "line 2: record: "),
        (lambda lines: first(lines, "query").update(colour=1), "line 2: colour: no such field"),
        (
            lambda lines: first(lines, "reward_version").update(learned=[[1, 2], [2, 9]]),
            "learned: want rising ranges of sequence numbers from 1 to 8, got [2, 9]",
        ),
        (
            lambda lines: first(lines, "query")["candidates"][1].update(colour=1),
            "line 2: candidates.1.colour: no such field",
        ),
        (
            lambda lines: first(lines, "query")["candidates"][0].update(token_ids=["4"]),
            "line 2: candidates.0.token_ids.0: Input should be a valid integer",
        ),
        (lambda lines: first(lines, "query").pop("kind"), "line 2: kind: "),
        (
            lambda lines: first(lines, "query")["candidates"][1].update(token_ids=[4, 5, 6]),
            "line 2: candidates: 0 and 1 are alike",
        ),
        (
            lambda lines: first(lines, "query")["candidates"][1].update(text="text of q0-a "),
            "line 2: candidates: 0 and 1 are alike",
        ),
        (
            lambda lines: first(lines, "query").update(
                prompt_messages=[{"role": "boss", "content": "hi"}]
            ),
            "line 2: prompt_messages.0.role: Input should be",
        ),
        (
            lambda lines: first(lines, "query").update(
                prompt_messages=[{"role": "user", "content": "hi", "name": "x"}]
            ),
            "line 2: prompt_messages.0.name: no such field",
        ),
        (lambda lines: first(lines, "query").update(run_id="run-2"), "line 2: run_id: is 'run-2'"),
        (lambda lines: lines.insert(2, lines[1]), "line 3: query_id: 'q0' comes twice"),
        (
            lambda lines: first(lines, "assignment").update(query_id="q9"),
            "line 5: query_id: no query 'q9'",
        ),
        (
            lambda lines: first(lines, "assignment").update(shown_order=["q0-a"]),
            "line 5: shown_order: want each candidate",
        ),
        (
            lambda lines: lines.insert(5, lines[4]),
            "line 6: assignment_id: 'q0/ann' comes twice",
        ),
        (lambda lines: first(lines, "label_event").update(seq=2), "line 10: seq: want 1, got 2"),
        (
            lambda lines: first(lines, "label_event").update(schema_version=2),
            "line 10: schema_version: is 2, this is 1; use the version of Andon that wrote it",
        ),
        (
            lambda lines: first(lines, "label_event").update(from_seq=2),
            "line 10: from_seq: want null: an event of type submit has none",
        ),
        (
            lambda lines: first(lines, "cord_event").update(action="roll_back"),
            "to_version: an action of roll_back names one",
        ),
        (
            lambda lines: first(lines, "label_event").update(assignment_id="none"),
            "line 10: assignment_id: no assignment 'none'",
        ),
        (
            lambda lines: first(lines, "label_event").update(query_id="q1"),
            "line 10: query_id: not that of assignment",
        ),
        (
            lambda lines: first(lines, "label_event").update(choice="q1-a"),
            "line 10: choice: 'q1-a' is no candidate",
        ),
        (
            lambda lines: first(lines, "label_event").update(ranking=["q0-a"]),
            "line 10: ranking: want each candidate",
        ),
        (
            lambda lines: first(lines, "label_event").update(choice=None),
            "line 10: outcome: 'choice' lacks",
        ),
        (
            lambda lines: lines[10]["record"].update(event_id="q0/ann:0"),
            "line 11: event_id: 'q0/ann:0' comes twice",
        ),
        (
            lambda lines: first(lines, "reward_version").update(metrics={"a": "b"}),
            "metrics.a: Input should be a valid number",
        ),
        (lambda lines: lines.__delitem__(slice(1, None)), "holds no queries"),
    ],
)
def test_a_bad_file_is_named_by_line_and_field_and_nothing_is_written(
    tmp_path: Path, edit: Edit, problem: str
) -> None:
    lines = ours(everything())
    edit(lines)
    path = tmp_path / "bad.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(InputError) as refused:
        import_file(path, tmp_path / "copy.sqlite", at_time=0.0)
    assert problem in str(refused.value)
    assert not list(tmp_path.glob("*copy*"))


def test_an_export_of_a_newer_version_is_told_from_a_broken_one(tmp_path: Path) -> None:
    lines = ours(everything())
    lines[0].update(schema_version=2)
    path = tmp_path / "newer.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    problem = r"newer\.jsonl, line 1: schema_version: is 2, this is 1; use the version of Andon"
    with pytest.raises(SchemaMismatch, match=problem):
        read_records(path)


def test_fields_that_queries_no_longer_have_are_passed_over(tmp_path: Path) -> None:
    lines = ours(everything())
    first(lines, "query").update(learned_through=3, learned_labels=2)
    path = tmp_path / "earlier.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    import_file(path, tmp_path / "copy.sqlite", at_time=0.0)
    copy = SqlLedger.open_to_read(tmp_path / "copy.sqlite")
    assert copy.queries() == [each for each in everything() if isinstance(each, ComparisonQuery)]
    copy.close()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"{", "line 1: not JSON"),
        (b"[1]\n", "line 1: want one JSON object a line, got list"),
        (b'{"a": NaN}\n', "line 1: not JSON (NaN"),
        (b"\xff\xfe", "line 1: not UTF-8"),
        (b"[" * 100_000, "line 1: not JSON"),
    ],
)
def test_what_is_not_json_is_named(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_bytes(content)
    with pytest.raises(InputError) as refused:
        import_file(path, tmp_path / "copy.sqlite", at_time=0.0)
    assert problem in str(refused.value)


def test_an_import_makes_a_new_ledger_only(make_ledger: MakeLedger, tmp_path: Path) -> None:
    ledger, out = make_ledger(everything()), tmp_path / "out.jsonl"
    export_run(ledger, out, "andon")
    with pytest.raises(InputError, match="is there already"):
        import_file(out, ledger, at_time=0.0)
    with pytest.raises(InputError, match="is of run 'run-1', not 'run-2'"):
        import_file(out, tmp_path / "copy.sqlite", run_id="run-2", at_time=0.0)
    with pytest.raises(MissingError):
        import_file(tmp_path / "none.jsonl", tmp_path / "copy.sqlite", at_time=0.0)
    with pytest.raises(ResourceError):
        import_file(out, tmp_path / "nowhere" / "copy.sqlite", at_time=0.0)


# --- TRL's preferences as records ----------------------------------------------------------------


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
