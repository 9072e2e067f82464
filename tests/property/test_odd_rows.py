"""Whatever stands between good rows from outside, each good one becomes a label once."""

from __future__ import annotations

import asyncio
import json
import random
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from label_queue.connector_config import (
    ArgillaConfig,
    ConnectorConfig,
    JsonlConfig,
    LabelStudioConfig,
)
from label_queue.connectors.outposts import Outposts
from label_queue.ledger.records import DeadLetter
from label_queue.ledger.sql import SqlLedger
from tests.support.labels import ManualClock, make_query
from tests.support.outside import OutsideRun
from tests.support.recorded_argilla import DATASET
from tests.support.recorded_label_studio import pick

ODD_TIMES = (
    "0001-01-01T00:00:00+01:00",
    "9999-12-31T23:59:59-01:00",
    "2026-02-30T00:00:00Z",
    "2026-01-01T00:00:00+99:00",
    "1969-12-31T23:59:59Z",
    "yesterday",
    "\ud800",
    "",
)
# Lone surrogates, line separators and NUL among them.
TEXTS = st.text(st.characters(codec=None, exclude_categories=()), max_size=8)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**400), 10**400)
    | st.floats()
    | TEXTS
    | st.sampled_from([*ODD_TIMES, "deleted", "a", "choice", "tie", "x" * 5_000])
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3)
)


def some_of(names: Sequence[str]) -> st.SearchStrategy[dict[str, Any]]:
    """A row with fields that are known, and some that are not, holding anything."""
    return st.dictionaries(st.sampled_from(names) | TEXTS, VALUES, max_size=6)


def sweep_all(config: ConnectorConfig, open_http: Any, prepare: Callable[[int], None]) -> Any:
    """Let a connector read until it has all; return its health, ledger rows and last offset."""

    async def turns(ledger: SqlLedger) -> tuple[str, str | None]:
        run = OutsideRun(ledger, [config], ManualClock())
        await run.ask(make_query(0))
        outposts = Outposts(
            [config],
            run.labels,
            run_id="run-1",
            clock=run.clock,
            jitter=random.Random(0),
            open_http=open_http,
        )
        state = ""
        for number in range(3):
            prepare(number)
            while await outposts.runner(config.name).turn() == 0.0:
                pass
            [health] = outposts.health()
            state = state or health.state.removeprefix("ok")
        await outposts.close()
        await run.commits.close()
        return state, run.labels.offset(config.name)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.sqlite"
        ledger = SqlLedger.open(path, "run-1")
        state, offset = asyncio.run(turns(ledger))
        # Closed with the commits; what is on disk counts.
        ledger = SqlLedger.open_to_read(path)
        events, letters = ledger.events(), ledger.read(DeadLetter)
        ledger.close()
    assert state == ""
    assert all(len(letter.payload) <= 4_096 for letter in letters)
    assert all(len(letter.message) <= 1_000 and len(letter.field) <= 200 for letter in letters)
    return events, offset


def labelled_once(events: Any, labelers: Sequence[str]) -> None:
    given = [event.labeler_id for event in events if event.labeler_id in set(labelers)]
    assert sorted(given) == sorted(labelers)


# --- a file --------------------------------------------------------------------------------------

LINE_FIELDS = (
    *("id", "updated_at", "labeler", "query_id", "outcome", "choice", "ranking", "strength"),
    *("spans", "comment", "submitted_at", "active_ms", "deleted"),
)


def answer_line(labeler: str) -> dict[str, str]:
    return {"labeler": labeler, "query_id": "q0", "outcome": "choice", "choice": "a"}


ODD_LINES = (
    st.binary(max_size=40).map(lambda raw: raw.replace(b"\n", b""))
    | some_of(LINE_FIELDS).map(lambda row: json.dumps(row).encode())
    | st.sampled_from(LINE_FIELDS).flatmap(
        lambda name: VALUES.map(
            lambda value: json.dumps({**answer_line("odd"), name: value}).encode()
        )
    )
    | st.sampled_from(
        [
            b"[" * 10_000,
            b"\xef\xbb\xbf",
            b"\x00" * 10,
            b'{"id": "1", "id": "2", "deleted": true}',
            b"x" * 3_000,
            *(json.dumps({**answer_line("odd"), "updated_at": each}).encode() for each in ODD_TIMES)
        ]
    )
)  # fmt: skip


@settings(max_examples=80, deadline=None)
@given(odd=st.lists(ODD_LINES, min_size=3, max_size=9))
@example(odd=[b"x" * 3_000, b"y" * 700, b"z" * 2_000])
def test_every_good_line_of_a_file_lands_once(odd: list[bytes]) -> None:
    good = [f"u{number}" for number in range(len(odd))]
    lines = [
        raw + b"\n" + json.dumps(answer_line(name)).encode() + b"\r\n"
        for raw, name in zip(odd, good, strict=True)
    ]
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr("label_queue.connectors.jsonl_tail.MAX_READ_BYTES", 600)
        path = Path(folder) / "answers.jsonl"
        config = JsonlConfig(kind="jsonl", path=path)

        def append(number: int) -> None:
            with path.open("ab") as file:
                file.write(b"".join(lines[number::3]))

        events, offset = sweep_all(config, None, append)
        labelled_once(events, [f"jsonl:{name}" for name in good])
        assert json.loads(offset)["position"] == path.stat().st_size


# --- tools over HTTP -----------------------------------------------------------------------------


def answering(body: Callable[[httpx.Request], object]) -> Any:
    """A tool that says this to every request that reads."""

    def respond(request: httpx.Request) -> httpx.Response:
        if request.method != "GET":
            return httpx.Response(200, json={})
        return httpx.Response(200, content=json.dumps(body(request)).encode())

    def open_http(config: Any, headers: dict[str, str]) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=config.url, transport=httpx.MockTransport(respond))

    return open_http


def mixed(good: Sequence[object], odd: Sequence[object]) -> list[object]:
    """Good rows with the odd ones between them."""
    return [row for pair in zip(odd, good, strict=True) for row in pair]


ANNOTATION_FIELDS = ("id", "result", "was_cancelled", "updated_at", "lead_time", "completed_by")
ITEMS = st.lists(
    st.fixed_dictionaries(
        {
            "type": st.sampled_from(
                ["pairwise", "choices", "ranker", "rating", "textarea", "labels"]
            ),
            "value": VALUES
            | st.dictionaries(
                st.sampled_from(["choices", "ranker", "rating", "text", "labels", "start", "end"]),
                VALUES,
                max_size=4,
            ),
            "to_name": VALUES,
        }
    ),
    max_size=3,
)


def annotation(number: int, **changes: object) -> dict[str, object]:
    return {
        "id": number,
        "result": pick("a"),
        "updated_at": "2026-01-01T00:00:00Z",
        "completed_by": number,
        **changes,
    }


ODD_ANNOTATIONS = (
    VALUES
    | some_of(ANNOTATION_FIELDS)
    | ITEMS.map(lambda items: annotation(77, result=items))
    | st.sampled_from(ANNOTATION_FIELDS).flatmap(
        lambda name: VALUES.map(lambda value: annotation(77, **{name: value}))
    )
    | st.sampled_from(ODD_TIMES).map(lambda time: annotation(77, updated_at=time))
    | st.just(annotation(77, result=[{"type": "rating", "value": {"rating": 1e999}}]))
)


@settings(max_examples=80, deadline=None)
@given(
    odd=st.lists(ODD_ANNOTATIONS, min_size=2, max_size=4),
    odd_tasks=st.lists(VALUES | some_of(("id", "data", "annotations")), max_size=2),
)
def test_every_good_annotation_lands_once(odd: list[object], odd_tasks: list[object]) -> None:
    good = [annotation(1_000 + number) for number in range(len(odd))]
    task = {
        "id": 5,
        "data": {"run_id": "run-1", "query_id": "q0"},
        "annotations": mixed(good, odd),
    }
    tasks = [*odd_tasks, task]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LS_TOKEN", "x")
        config = LabelStudioConfig(
            kind="label_studio", url="http://127.0.0.1:9", token_env="LS_TOKEN", project_id=1
        )
        tool = answering(lambda _: {"tasks": tasks, "total": len(tasks)})
        events, _ = sweep_all(config, tool, lambda _: None)
    labelled_once(events, [f"label_studio:{1_000 + number}" for number in range(len(odd))])


RESPONSE_FIELDS = ("id", "values", "status", "user_id", "updated_at")


def response(number: int, **changes: object) -> dict[str, object]:
    return {
        "id": f"r{number}",
        "values": {"preference": {"value": "a"}},
        "status": "submitted",
        "user_id": f"user-{number}",
        "updated_at": "2026-01-01T00:00:00",
        **changes,
    }


RANKS = st.lists(st.fixed_dictionaries({"value": VALUES, "rank": VALUES}), max_size=3)
ODD_RESPONSES = (
    VALUES
    | some_of(RESPONSE_FIELDS)
    | (RANKS | VALUES).map(lambda said: response(77, values={"preference": {"value": said}}))
    | st.sampled_from(["strength", "comment", "marks_a"]).flatmap(
        lambda name: VALUES.map(
            lambda said: response(77, values={"preference": {"value": "a"}, name: {"value": said}})
        )
    )
    | st.sampled_from(RESPONSE_FIELDS).flatmap(
        lambda name: VALUES.map(lambda value: response(77, **{name: value}))
    )
    | st.sampled_from(ODD_TIMES).map(lambda time: response(77, updated_at=time))
)


@settings(max_examples=80, deadline=None)
@given(
    odd=st.lists(ODD_RESPONSES, min_size=2, max_size=4),
    odd_records=st.lists(VALUES | some_of(("id", "external_id", "responses")), max_size=2),
)
def test_every_good_response_lands_once(odd: list[object], odd_records: list[object]) -> None:
    good = [response(1_000 + number) for number in range(len(odd))]
    record = {"id": "rec", "external_id": "run-1/q0", "responses": mixed(good, odd)}
    records = [*odd_records, record]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ARGILLA_KEY", "x")
        config = ArgillaConfig(
            kind="argilla",
            url="http://127.0.0.1:9",
            token_env="ARGILLA_KEY",
            dataset_id=DATASET,
        )
        tool = answering(lambda _: {"items": records, "total": len(records)})
        events, _ = sweep_all(config, tool, lambda _: None)
    labelled_once(events, [f"argilla:user-{1_000 + number}" for number in range(len(odd))])
