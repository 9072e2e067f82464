"""`kill -9` at every boundary of commit and acknowledgement; a disk that fills up."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from label_queue.ledger.opening import open_when_free
from label_queue.ledger.sql import SqlLedger
from label_queue.ledger_place import LedgerPlace
from protocol.fault_points import VARIABLE, Fault, FaultPlan
from protocol.labels import LabelEvent
from tests.support.labels import changes, make_event, make_query
from tests.support.ledger_stores import LedgerStore
from tests.support.patience import PATIENCE_S

REPOSITORY = Path(__file__).parents[2]
POINTS = ("ledger.before_commit", "ledger.after_commit", "ledger.acknowledge", "written")


def run_writer(
    place: LedgerPlace, point: str, count: int, file_bytes: int | None = None
) -> tuple[int, str]:
    """Run the writer to its end, which the plan or the disk decides; return code and output."""
    plan = FaultPlan(faults=(Fault(point=point, action="kill", at=count),))

    def limit_files() -> None:
        if file_bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))

    writer = subprocess.run(
        [sys.executable, "-m", "tests.faults.ledger_writer", str(place)],
        cwd=REPOSITORY,
        env={**os.environ, VARIABLE: plan.to_json()},
        capture_output=True,
        timeout=PATIENCE_S,
        preexec_fn=limit_files,
        check=False,
    )
    return writer.returncode, writer.stdout.decode() + writer.stderr.decode()


def acknowledged(output: str) -> dict[str, int]:
    lines = [line.split() for line in output.splitlines() if line.startswith("q")]
    return {event_id: int(seq) for event_id, seq in lines}


def stored(place: LedgerPlace) -> list[LabelEvent]:
    ledger = open_when_free(place, "run-1")  # a server notices in its own time who was killed
    events = ledger.events()
    ledger.close()
    return events


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("count", [3, 40])
def test_every_acknowledged_label_is_there_exactly_once_after_a_kill(
    ledger_store: LedgerStore, point: str, count: int
) -> None:
    code, output = run_writer(ledger_store.place, point, count)
    assert code == -signal.SIGKILL, output
    promised = acknowledged(output)
    events = stored(ledger_store.place)
    by_id = {event.event_id: event.seq for event in events}
    assert len(by_id) == len(events)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert promised.items() <= by_id.items()
    assert promised or count == 3


def test_a_client_that_heard_nothing_may_send_again(ledger_store: LedgerStore) -> None:
    code, output = run_writer(ledger_store.place, "ledger.after_commit", 10)
    assert code == -signal.SIGKILL, output
    before = stored(ledger_store.place)
    unheard = [event for event in before if event.event_id not in acknowledged(output)]
    assert unheard, "the kill came after a commit and before its acknowledgement"
    ledger = SqlLedger.open(ledger_store.place, "run-1")
    [first, *_] = changes(unheard)
    number = int(first.query_id.removeprefix("q"))
    assert ledger.write([make_event(make_query(number), first.labeler_id)]) == [first]
    assert ledger.events() == before
    ledger.close()


def test_a_full_disk_ends_acknowledgement_and_keeps_what_was_promised(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    code, output = run_writer(path, "never", 1, file_bytes=400_000)
    assert code == 1
    assert "labels cannot be stored" in output
    promised = acknowledged(output)
    assert promised
    assert promised.items() <= {event.event_id: event.seq for event in stored(path)}.items()
