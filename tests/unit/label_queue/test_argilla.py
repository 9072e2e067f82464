"""Argilla over HTTP: records out, responses back, and webhooks that prove themselves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any

import pytest

from label_queue.connector_config import ArgillaConfig
from label_queue.connectors.argilla_values import read_values
from label_queue.connectors.ingest import IngestCounts
from label_queue.connectors.outposts import Outposts
from label_queue.connectors.port import Answer
from label_queue.ledger.records import DeadLetter
from protocol.errors import InvalidLabel, Unauthenticated
from tests.support.labels import ManualClock, make_query
from tests.support.memory_ledger import MemoryLedger
from tests.support.outside import OutsideRun, choices
from tests.support.outside import shown as shown_by
from tests.support.outside import turn as turn_of
from tests.support.recorded_argilla import (
    ANN,
    BOB,
    DATASET,
    HOOK_SECRET,
    TOKEN,
    RecordedArgilla,
)

NAME = "argilla"
turn, shown = partial(turn_of, NAME), partial(shown_by, NAME)


@pytest.fixture
def tool() -> Iterator[RecordedArgilla]:
    with RecordedArgilla() as tool:
        yield tool


@pytest.fixture
def config(tool: RecordedArgilla, monkeypatch: pytest.MonkeyPatch) -> ArgillaConfig:
    monkeypatch.setenv("ARGILLA_KEY", TOKEN)
    monkeypatch.setenv("ARGILLA_HOOK", HOOK_SECRET)
    return ArgillaConfig(
        kind="argilla",
        url=tool.url,
        token_env="ARGILLA_KEY",
        hook_secret_env="ARGILLA_HOOK",
        dataset_id=DATASET,
        page_size=2,
        labelers={BOB: "bob"},
    )


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def run(config: ArgillaConfig, clock: ManualClock) -> OutsideRun:
    run = OutsideRun(MemoryLedger(), [config], clock)
    await run.ask(*(make_query(i) for i in range(4)))
    return run


@pytest.fixture
async def outposts(
    run: OutsideRun, config: ArgillaConfig, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Outposts]:
    monkeypatch.setattr("label_queue.connectors.tool_client.FIRST_WAIT_S", 0.0)
    outposts = run.outposts([config])
    yield outposts
    await outposts.close()


async def test_open_queries_become_records_once_and_blind(
    run: OutsideRun, outposts: Outposts, tool: RecordedArgilla
) -> None:
    await turn(outposts)
    await turn(outposts)
    assert [record["external_id"] for record in tool.records.values()] == [
        f"run-1/q{i}" for i in range(4)
    ]
    fields = tool.record_of("q0")["fields"]
    assert sorted(fields) == ["a", "b", "c", "d", "prompt"]
    assert fields["b"] == f"text of {shown('b', 0)}"


async def test_responses_come_back_by_user_and_once(
    run: OutsideRun, outposts: Outposts, tool: RecordedArgilla
) -> None:
    await turn(outposts)
    tool.respond("q0", {"preference": "c"})
    tool.respond("q0", {"preference": "a"}, user=BOB)
    tool.respond("q1", {"preference": "a"}, status="draft")
    tool.respond("q2", None, status="discarded")
    tool.faults.append((503, {"Retry-After": "0"}))
    await turn(outposts)
    await turn(outposts)

    assert choices(run) == {
        (f"{NAME}:{ANN}", "q0"): shown("c", 0),
        ("bob", "q0"): shown("a", 0),
        (f"{NAME}:{ANN}", "q2"): None,
    }
    assert run.total(NAME) == IngestCounts(new=3)


async def test_changes_deletions_and_a_deleted_user(
    run: OutsideRun, outposts: Outposts, tool: RecordedArgilla
) -> None:
    await turn(outposts)
    kept = tool.respond("q0", {"preference": "a"}, user=BOB)
    changed = tool.respond("q1", {"preference": "a"})
    gone = tool.respond("q2", {"preference": "a"})
    await turn(outposts)
    kept["user_id"] = None
    changed.update(values={"preference": {"value": "b"}}, updated_at="2026-01-01T00:00:01")
    tool.delete(gone)
    await turn(outposts)
    assert choices(run) == {
        ("bob", "q0"): shown("a", 0),
        (f"{NAME}:{ANN}", "q1"): shown("b", 1),
    }
    [letter] = run.ledger.read(DeadLetter)
    assert (letter.field, letter.message) == ("user_id", "its user was deleted in the tool")


async def test_a_response_that_went_back_to_draft_is_no_label(
    run: OutsideRun, outposts: Outposts, tool: RecordedArgilla
) -> None:
    await turn(outposts)
    response = tool.respond("q0", {"preference": "a"})
    await turn(outposts)
    response["status"] = "draft"
    await turn(outposts)
    assert choices(run) == {}
    response.update(status="submitted", updated_at="2026-01-01T00:01:00")
    await turn(outposts)
    assert choices(run) == {(f"{NAME}:{ANN}", "q0"): shown("a", 0)}


async def test_records_nobody_wants_any_more_are_withdrawn(
    run: OutsideRun, outposts: Outposts, tool: RecordedArgilla
) -> None:
    await turn(outposts)
    tool.respond("q1", {"preference": "a"}, status="draft")
    run.state.board.expire(1e9, 0)
    await turn(outposts)
    assert [record["external_id"] for record in tool.records.values()] == ["run-1/q1"]


async def test_a_dataset_that_changes_while_it_is_read_takes_no_label_back(
    run: OutsideRun, outposts: Outposts, tool: RecordedArgilla
) -> None:
    await turn(outposts)
    tool.respond("q2", {"preference": "a"})
    await turn(outposts)
    tool.respond("q3", {"preference": "a"})
    answer = tool.answer

    def answer_and_shrink(request: Any) -> tuple[int, Any]:
        status, body = answer(request)
        if request.query.get("offset") == "0":
            del tool.records[min(tool.records)]
        return status, body

    tool.answer = answer_and_shrink  # type: ignore[method-assign]
    await turn(outposts, fails=True)
    assert len(choices(run)) == 1


def num_reads(tool: RecordedArgilla) -> int:
    """Return how often records were read since the last time."""
    found = [each for each in tool.received if each.method == "GET"]
    tool.received.clear()
    return sum(each.path.endswith("/records") for each in found)


async def test_a_dataset_where_nobody_was_active_is_not_read_again(
    run: OutsideRun,
    outposts: Outposts,
    tool: RecordedArgilla,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("label_queue.connectors.argilla.WHOLE_EVERY", 4)
    await turn(outposts)
    assert num_reads(tool) > 0
    read = []
    for _ in range(3):
        await turn(outposts)
        read.append(num_reads(tool))
    assert read == [0, 0, 0]
    # Now and then it is: a record that is gone takes its labels with it.
    await turn(outposts)
    assert num_reads(tool) > 0
    tool.respond("q0", {"preference": "a"})
    await turn(outposts)
    assert num_reads(tool) > 0
    assert len(choices(run)) == 1
    await turn(outposts)
    assert num_reads(tool) == 0
    await run.ask(make_query(7))
    for _ in range(2):
        await turn(outposts)
    assert num_reads(tool) == 0, "what was pushed is known without it"


async def test_what_was_read_but_not_written_down_is_read_again(
    run: OutsideRun, outposts: Outposts, tool: RecordedArgilla
) -> None:
    await turn(outposts)
    tool.respond("q0", {"preference": "a"})
    assert isinstance(run.ledger, MemoryLedger)
    run.ledger.is_full = True
    await turn(outposts, fails=True)
    run.ledger.is_full = False
    await turn(outposts)
    assert len(choices(run)) == 1


async def test_while_somebody_is_active_nothing_is_deleted(
    run: OutsideRun, outposts: Outposts, tool: RecordedArgilla
) -> None:
    await turn(outposts)
    connector = outposts.runner(NAME).connector
    sweep = await connector.sweep(run.labels.offset(NAME))
    assert sweep.tasks is not None
    unwanted = [sweep.tasks[f"q{number}"] for number in range(3)]
    tool.respond("q0", {"preference": "a"})
    await connector.withdraw(unwanted)
    assert len(tool.records) == 4
    await turn(outposts)
    assert (f"{NAME}:{ANN}", "q0") in choices(run)
    await connector.withdraw(unwanted[1:])
    left = {record["external_id"] for record in tool.records.values()}
    assert left == {"run-1/q0", "run-1/q3"}


async def test_another_kind_of_server_is_named(
    run: OutsideRun, outposts: Outposts, tool: RecordedArgilla
) -> None:
    tool.answer = lambda request: (200, {"tasks": []})  # type: ignore[method-assign]
    await turn(outposts, fails=True)
    [health] = outposts.health()
    assert "items: Field required; is http://127.0.0.1" in health.state


async def test_a_signed_webhook_rings_once_and_its_retry_has_no_effect(
    outposts: Outposts, tool: RecordedArgilla, run: OutsideRun, clock: ManualClock
) -> None:
    await turn(outposts)
    response = tool.respond("q0", {"preference": "a"})
    headers, body = tool.hook("response.created", response, at=clock.now)
    assert await outposts.ring(NAME, headers, body)
    await turn(outposts)
    retry, same_body = tool.hook("response.created", response, at=clock.now + 5)
    assert not await outposts.ring(NAME, retry, same_body)
    with pytest.raises(Unauthenticated, match="replay"):
        await outposts.ring(NAME, headers, body)

    tool.delete(response)
    headers, body = tool.hook("response.deleted", {"id": response["id"]}, at=clock.now)
    assert await outposts.ring(NAME, headers, body)
    await turn(outposts)
    assert choices(run) == {}
    assert run.total(NAME) == IngestCounts(new=1, retracted=1)


RANKS = [{"value": "a", "rank": 2}, {"value": "b", "rank": 1}]


@pytest.mark.parametrize(
    ("values", "answer"),
    [
        ({"preference": "b"}, Answer(outcome="choice", choice="b")),
        ({"preference": "tie"}, Answer(outcome="tie")),
        ({"preference": "flag", "strength": 2}, Answer(outcome="flag")),
        ({"preference": RANKS}, Answer(outcome="ranking", ranking=("b", "a"))),
        ({"preference": [{**each, "rank": 1} for each in RANKS]}, Answer(outcome="tie")),
        (
            {"preference": [{"value": "a", "rank": "10"}, {"value": "b", "rank": "9"}]},
            Answer(outcome="ranking", ranking=("b", "a")),
        ),
        (
            {
                "comment": "so",
                "strength": 4,
                "preference": "a",
                "marks_b": [{"label": "good", "start": 0, "end": 3}],
            },
            Answer(
                outcome="choice",
                choice="a",
                strength=4,
                comment="so",
                spans=(("b", 0, 3, "good"),),
                span_unit="utf-16",
            ),
        ),
    ],
)
def test_values_are_read_by_their_questions(values: dict[str, Any], answer: Answer) -> None:
    wrapped = {name: {"value": value} for name, value in values.items()}
    assert read_values(wrapped, is_discarded=False) == answer


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({}, "values"),
        ({"preference": {"value": 3}}, "values.preference"),
        ({"preference": {}}, "values.preference"),
        ({"preference": {"value": [*RANKS, {"value": "c", "rank": 1}]}}, "values.preference"),
        ({"preference": {"value": [{"value": "a"}]}}, "values.preference"),
        ({"preference": {"value": [{"value": "a", "rank": None}]}}, "values.preference"),
        (
            {"preference": {"value": [{"value": "a", "rank": 1.5}, {"value": "b", "rank": 1.2}]}},
            "values.preference",
        ),
        ({"preference": {"value": "a"}, "strength": {"value": 2.5}}, "values.strength"),
        ({"preference": {"value": "a"}, "strength": {"value": "much"}}, "values.strength"),
        ({"preference": {"value": "a"}, "marks_a": {"value": [{}]}}, "values.marks_a"),
        ({"preference": {"value": "a"}, "comment": {"value": 1}}, "values.comment"),
    ],
)
def test_values_that_say_nothing_name_the_question(
    values: dict[str, dict[str, Any]], field: str
) -> None:
    with pytest.raises(InvalidLabel) as refused:
        read_values(values, is_discarded=False)
    assert refused.value.field == field
