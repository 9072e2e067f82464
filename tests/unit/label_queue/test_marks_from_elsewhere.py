"""Marks of files and of other tools lie on the words that people saw."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from label_queue.config import IntakeConfig
from label_queue.connector_config import JsonlConfig
from label_queue.connectors.ingest import IngestCounts
from label_queue.connectors.port import Annotation, Answer, Sweep
from label_queue.connectors.translation import characters_of, outside_task
from label_queue.exchange.imports import import_file
from label_queue.exchange.record_lines import record_lines
from label_queue.folds.shown import is_shown_by
from protocol.errors import InputError
from protocol.labels import ComparisonQuery, Submitted
from protocol.tokenizing import PolicyTokenizer
from tests.support import tokenizers_of_all_kinds as kinds
from tests.support.labels import ManualClock, make_assignment, make_event, make_query
from tests.support.memory_ledger import MemoryLedger
from tests.support.outside import OutsideRun
from tests.support.present import present

# --- files of our own form -------------------------------------------------------------------

TEXTS = ("the soup", "good")


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return kinds.chatml()


def query_of(tokenizer: Any) -> ComparisonQuery:
    """A pair as a run makes it: an end token, which nobody sees, ends both responses."""
    reader = PolicyTokenizer(tokenizer)
    query = make_query(versions=(1, 1), kind="pair")
    candidates = tuple(
        replace(
            candidate,
            text=text,
            token_ids=(*reader.response_ids(text, where="the test"), present(reader.eos_token_id)),
        )
        for candidate, text in zip(query.candidates, TEXTS, strict=True)
    )
    return replace(query, candidates=candidates)


def exported(tmp_path: Path, query: ComparisonQuery, *spans: tuple[str, int, int, str]) -> Path:
    ledger = MemoryLedger()
    ledger.write([query, make_assignment(query), make_event(query, spans=spans)])
    path = tmp_path / "exported.jsonl"
    path.write_bytes(b"".join(line + b"\n" for line in record_lines(ledger)))
    return path


def said_otherwise(query: ComparisonQuery) -> ComparisonQuery:
    """The same tokens, of which people saw something else."""
    first, second = query.candidates
    return replace(query, candidates=(replace(first, text="The soup"), second))


def test_marks_on_what_the_policy_shows_are_taken(tmp_path: Path, tokenizer: Any) -> None:
    query = query_of(tokenizer)
    assert all(is_shown_by(each, PolicyTokenizer(tokenizer)) for each in query.candidates)
    path = exported(tmp_path, query, ("q0-a", 4, 8, "good"))
    written = import_file(path, tmp_path / "copy.sqlite", tokenizer=tokenizer, at_time=0.0)
    assert written.num_events == 1


def test_marks_on_what_people_saw_of_other_tokens_are_refused_by_line_and_field(
    tmp_path: Path, tokenizer: Any
) -> None:
    query = said_otherwise(query_of(tokenizer))
    path = exported(tmp_path, query, ("q0-b", 0, 4, "bad"), ("q0-a", 4, 8, "good"))
    with pytest.raises(InputError) as refused:
        import_file(path, tmp_path / "copy.sqlite", tokenizer=tokenizer, at_time=0.0)
    assert "exported.jsonl, line 4: spans.1: labelers saw 'The soup' of 'q0-a'" in str(
        refused.value
    )
    assert "name the policy that wrote it, or leave the marks out" in str(refused.value)
    assert not list(tmp_path.glob("*copy*"))


@pytest.mark.parametrize("why", ["no tokenizer", "no mark there", "gold"])
def test_what_no_fit_reads_the_marks_of_is_taken_as_it_is(
    tmp_path: Path, tokenizer: Any, why: str
) -> None:
    query = said_otherwise(query_of(tokenizer))
    if why == "gold":
        query = replace(query, purpose="gold", gold_answer="q0-a")
    marked = "q0-b" if why == "no mark there" else "q0-a"
    path = exported(tmp_path, query, (marked, 0, 3, "good"))
    given = None if why == "no tokenizer" else tokenizer
    written = import_file(path, tmp_path / "copy.sqlite", tokenizer=given, at_time=0.0)
    assert written.num_events == 1


# --- other tools -----------------------------------------------------------------------------

FOX = "𠮷 🦊 fox"
"""Of nine UTF-16 units and seven characters."""


@pytest.mark.parametrize(
    ("units", "characters"),
    [(0, 0), (1, 1), (2, 1), (3, 2), (4, 3), (5, 3), (6, 4), (9, 7), (12, 10), (-1, -1)],
)
def test_units_of_a_browser_s_strings_are_characters(units: int, characters: int) -> None:
    """Within a character is after it; what lies beyond the text stays beyond."""
    assert len(FOX.encode("utf-16-le")) // 2 == 9
    assert characters_of(FOX, units) == characters


@pytest.fixture
async def run() -> OutsideRun:
    config = JsonlConfig.model_validate({"kind": "jsonl", "path": "unused.jsonl"})
    made = OutsideRun(MemoryLedger(), [config], ManualClock(), IntakeConfig())
    query = make_query(0)
    candidates = tuple(replace(each, text=FOX) for each in query.candidates)
    await made.ask(replace(query, candidates=candidates))
    return made


def marked(start: int, end: int, **changes: Any) -> Annotation:
    answer = Answer(outcome="choice", choice="a", spans=(("b", start, end, "good"),))
    return Annotation(
        external_id="1",
        updated_at="2026-01-01T00:00:00.000000Z",
        payload_sha256="x",
        user="7",
        query_id="q0",
        answer=replace(answer, **changes),
    )


@pytest.mark.parametrize(
    ("start", "end", "changes"),
    [(6, 9, {"span_unit": "utf-16"}), (4, 7, {})],
    ids=["a browser's units", "characters"],
)
async def test_a_mark_of_a_tool_lies_on_the_characters_it_was_made_on(
    run: OutsideRun, start: int, end: int, changes: dict[str, Any]
) -> None:
    said = marked(start, end, **changes)
    assert await run.labels.ingest("jsonl", Sweep(answers=(said,))) == IngestCounts(new=1)
    [event] = run.ledger.events()
    assert isinstance(event, Submitted)
    name = outside_task("jsonl", make_query(0)).order[1]
    assert event.spans == ((name, 4, 7, "good"),)
    assert FOX[4:7] == "fox"


async def test_a_mark_beyond_what_was_shown_is_refused_in_either_unit(run: OutsideRun) -> None:
    for number, changes in enumerate(({"span_unit": "utf-16"}, {})):
        said = replace(marked(6, 10, **changes), external_id=str(number))
        assert await run.labels.ingest("jsonl", Sweep(answers=(said,))) == IngestCounts(refused=1)
    assert run.ledger.assignments() == []
