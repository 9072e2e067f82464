"""`kill -9` of who reads a stream, at named and at random moments, while messages go on coming."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from label_queue.ledger.opening import open_when_free
from label_queue.ledger.records import DeadLetter
from label_queue.ledger.sql import SqlLedger
from label_queue.ledger_place import LedgerPlace
from protocol.fault_points import VARIABLE, Fault, FaultPlan
from protocol.labels import LabelChange, Submitted
from tests.support.kafka_cluster import kafka_cluster
from tests.support.labels import make_query
from tests.support.ledger_stores import LedgerStore
from tests.support.stream_contract import answer
from tests.support.streams import NUM_QUERIES, KafkaTopic, RedisStream, Stream, StreamReader

REPOSITORY = Path(__file__).parents[2]
NUM_MESSAGES = 600
BAD_EVERY = 10
PACE_S = 0.03
"""Between two messages, so that they still come while readers are killed."""
BATCH_SIZE = 7
POINTS = ("ledger.before_commit", "ledger.after_commit", "ledger.acknowledge")
LONGEST_LIFE_S = 0.5
SEED = 20


@pytest.fixture
def stream(request: pytest.FixtureRequest, kind: str) -> Iterator[Stream]:
    if kind == "redis":
        yield RedisStream(request.getfixturevalue("redis"))
        return
    with kafka_cluster() as cluster:
        yield KafkaTopic(cluster.address, cluster)


def messages() -> Iterator[object]:
    """Each from another labeler, so that each is a label of its own; some cannot be read."""
    for number in range(NUM_MESSAGES):
        if number % BAD_EVERY:
            yield answer(number % NUM_QUERIES, labeler=f"l{number}")
        else:
            yield b'{"labeler": "l%d", "query_' % number


def send_slowly(stream: Stream, is_over: threading.Event) -> None:
    for number, message in enumerate(messages()):
        stream.send(message, key=str(number))
        is_over.wait(PACE_S)


def killed_reader(place: LedgerPlace, config: str, point: str | None, rng: random.Random) -> None:
    """Let a reader live until it is killed: at a point of the ledger's, or after a while."""
    faults = () if point is None else (Fault(point=point, action="kill", at=rng.randint(1, 6)),)
    reader = subprocess.Popen(
        [sys.executable, "-m", "tests.faults.stream_reader", str(place), config],
        cwd=REPOSITORY,
        env={**os.environ, VARIABLE: FaultPlan(faults=faults).to_json()},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert reader.stdout is not None
    with reader, reader.stdout:
        assert reader.stdout.readline() == b"reading\n"
        if point is None:
            threading.Event().wait(rng.uniform(0.0, LONGEST_LIFE_S))
            reader.send_signal(signal.SIGKILL)
        assert reader.wait() == -signal.SIGKILL


@pytest.mark.parametrize(
    ("kind", "ledger_store"),
    [
        ("redis", "sqlite"),
        pytest.param("redis", "postgres", marks=pytest.mark.long),
        ("kafka", "sqlite"),
    ],
    indirect=["ledger_store"],
)
async def test_each_message_is_in_the_ledger_once_whenever_its_reader_is_killed(
    stream: Stream, ledger_store: LedgerStore
) -> None:
    rng = random.Random(SEED)
    place = ledger_store.place
    ledger = SqlLedger.open(place, "run-1")
    ledger.write([make_query(number) for number in range(NUM_QUERIES)])
    ledger.close()
    changes = {"batch_size": BATCH_SIZE, "sweep_s": 0.01, "ring_s": 0.0}
    config = stream.config(**changes).model_dump_json(exclude_none=True)

    is_over = threading.Event()
    sender = threading.Thread(target=send_slowly, args=(stream, is_over))
    sender.start()
    try:
        for point in (*POINTS, None, None):
            killed_reader(place, config, point, rng)
        num_when_killed = len(stored(place)[0])
    finally:
        is_over.set()
        sender.join()
    num_bad = len(range(0, NUM_MESSAGES, BAD_EVERY))
    num_good = NUM_MESSAGES - num_bad
    assert num_when_killed > 0

    reader = StreamReader(stream, open_when_free(place, "run-1"), **changes)
    while len(reader.run.state.history.events) < num_good:
        await reader.turn()
    for _ in range(10):
        await reader.turn()
    assert reader.total()["duplicate"] == 0, "reading went on from the ledger's offset"
    await reader.close()
    reader.ledger.close()
    events, letters = stored(place)
    assert {type(event) for event in events} == {Submitted}
    times = Counter(event.labeler_id for event in events)
    good = [number for number in range(NUM_MESSAGES) if number % BAD_EVERY]
    assert times == {f"{stream.name}:l{number}": 1 for number in good}
    kept = Counter(letter.payload for letter in letters)
    bad = [f'{{"labeler": "l{number}", "query_' for number in range(0, NUM_MESSAGES, BAD_EVERY)]
    assert kept == dict.fromkeys(bad, 1)


def stored(place: LedgerPlace) -> tuple[list[LabelChange], list[DeadLetter]]:
    ledger = open_when_free(place, "run-1")  # a server notices in its own time who was killed
    try:
        events = [event for event in ledger.events() if isinstance(event, LabelChange)]
        return events, list(ledger.read(DeadLetter))
    finally:
        ledger.close()
