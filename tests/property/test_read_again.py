"""However often a file or a stream is put there again, it says what one reading of it says."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from label_queue.connector_config import JsonlConfig
from label_queue.connectors.jsonl_lines import read_line
from label_queue.connectors.outposts import Outposts
from label_queue.connectors.port import Sweep
from protocol.labels import LabelChange
from tests.support.labels import ManualClock, make_query
from tests.support.memory_ledger import MemoryLedger
from tests.support.outside import OutsideRun

NAME = "jsonl"
NUM_QUERIES = 2

Said = list[dict[str, object]]
Event = tuple[str, str, str, int, str | None]

TIMES = st.sampled_from([None, *(f"2026-01-0{day}T00:00:00Z" for day in range(1, 4))])
ANSWERS = st.builds(
    lambda name, labeler, query, letter, at: {
        **({} if name is None else {"id": name}),
        **({} if at is None else {"updated_at": at}),
        "labeler": labeler,
        "query_id": f"q{query}",
        "outcome": "choice",
        "choice": letter,
    },
    st.sampled_from([None, "1", "2"]),
    st.sampled_from(["ann", "ben"]),
    st.integers(0, NUM_QUERIES),  # the last is of no query
    st.sampled_from("abz"),  # the last is of no response
    TIMES,
)
DELETIONS = st.builds(lambda name: {"id": name, "deleted": True}, st.sampled_from(["1", "2"]))
LINES: st.SearchStrategy[Said] = st.lists(ANSWERS | DELETIONS, max_size=10)
READINGS = st.lists(
    st.tuples(st.integers(0, 10), st.sampled_from(["as it is", "put there again", "restart"])),
    max_size=5,
)
"""How many lines were there, and how they came to be there."""
FLIPPED: Said = [
    {"id": "1", "labeler": "ann", "query_id": "q0", "outcome": "choice", "choice": "a"},
    {"id": "1", "deleted": True},
    {"id": "1", "labeler": "ann", "query_id": "q0", "outcome": "choice", "choice": "b"},
]


def events_of(run: OutsideRun) -> list[Event]:
    """What happened to whose labels, whatever their ids."""
    return [
        (type(each).__name__, each.labeler_id, each.query_id, each.revision, choice_of(each))
        for each in run.ledger.events()
        if isinstance(each, LabelChange)
    ]


def choice_of(event: LabelChange) -> str | None:
    return getattr(event, "choice", None)


class File:
    """A file that a run reads, and that is written anew now and then."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "answers.jsonl"
        self._ledger = MemoryLedger()
        self._config = JsonlConfig(kind="jsonl", path=self.path)
        self.restart()

    def restart(self) -> None:
        self.run = OutsideRun(self._ledger, [self._config], ManualClock())
        self._outposts = Outposts(
            [self._config],
            self.run.labels,
            run_id="run-1",
            clock=self.run.clock,
            jitter=random.Random(0),
        )

    async def read(self, lines: Said, how: str) -> None:
        text = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        if how == "restart":
            self.restart()
        there = self.path.read_bytes() if self.path.exists() else b""
        if how == "as it is" and text.startswith(there):
            with self.path.open("ab") as file:
                file.write(text[len(there) :])
        else:
            other = self.path.with_name("new")
            other.write_bytes(text)
            other.replace(self.path)
        while await self._outposts.runner(NAME).turn() == 0.0:
            pass
        [health] = self._outposts.health()
        assert health.state == "ok"


async def played(
    lines: Said, readings: list[tuple[int, str]], how: str = "as it is"
) -> list[Event]:
    with tempfile.TemporaryDirectory() as folder:
        file = File(Path(folder))
        await file.run.ask(*(make_query(number) for number in range(NUM_QUERIES)))
        for count, how_it_came in readings:
            await file.read(lines[:count], how_it_came)
        await file.read(lines, how)
        return events_of(file.run)


@settings(max_examples=100, deadline=None)
@given(lines=LINES, readings=READINGS, how=st.sampled_from(["as it is", "put there again"]))
@example(lines=FLIPPED, readings=[(3, "as it is")], how="put there again")
@example(lines=FLIPPED, readings=[(3, "as it is"), (2, "put there again")], how="as it is")
def test_a_file_that_is_put_there_again_says_what_one_reading_says(
    lines: Said, readings: list[tuple[int, str]], how: str
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("label_queue.connectors.jsonl_tail.MAX_READ_BYTES", 400)
        assert asyncio.run(played(lines, readings, how)) == asyncio.run(played(lines, []))


class Topic:
    """Two partitions, each of which may be begun again by itself."""

    def __init__(self, lines: Said) -> None:
        self._ledger = MemoryLedger()
        self._parts = {"0": lines[::2], "1": lines[1::2]}
        self._next = dict.fromkeys(self._parts, 0)
        self.restart()

    def restart(self) -> None:
        config = JsonlConfig(kind="jsonl", path=Path("unused.jsonl"))
        self.run = OutsideRun(self._ledger, [config], ManualClock())

    async def read(self, part: str, end: int, how: str) -> None:
        if how == "restart":
            self.restart()
        begun = how == "put there again"
        start = 0 if begun else self._next[part]
        end = max(start, min(end, len(self._parts[part])))
        lines = [json.dumps(line).encode() for line in self._parts[part][start:end]]
        self._next[part] = end
        offset = hashlib.sha256(repr(self._next).encode()).hexdigest()
        await self.run.labels.ingest(
            NAME,
            Sweep(
                answers=tuple(read_line(line, part) for line in lines),
                begun=frozenset({part} if begun else ()),
                offset=offset,
            ),
        )


@settings(max_examples=100, deadline=None)
@given(
    lines=st.lists(ANSWERS | DELETIONS, max_size=12),
    readings=st.lists(
        st.tuples(
            st.sampled_from("01"),
            st.integers(0, 6),
            st.sampled_from(["as it is", "put there again", "restart"]),
        ),
        max_size=8,
    ),
)
def test_a_partition_that_is_begun_again_says_what_it_said_once(
    lines: Said, readings: list[tuple[str, int, str]]
) -> None:
    """Of two partitions nobody knows the order, so the same steps without the repetitions count."""

    async def play(*, again: bool) -> list[Event]:
        topic = Topic(lines)
        await topic.run.ask(*(make_query(number) for number in range(NUM_QUERIES)))
        furthest = dict.fromkeys("01", 0)
        for part, end, how in readings:
            if again:
                await topic.read(part, end, how)
            elif end > furthest[part]:
                await topic.read(part, end, "as it is")
            furthest[part] = max(furthest[part], end)
        for part in "01":
            await topic.read(part, len(lines), "as it is")
        return events_of(topic.run)

    assert asyncio.run(play(again=True)) == asyncio.run(play(again=False))
