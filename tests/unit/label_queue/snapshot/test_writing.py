"""When a snapshot is written and by whom, and that what cannot be leaves the one before."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from label_queue.ledger.sql import SqlLedger
from label_queue.snapshot.file import PARTIAL, Places
from label_queue.snapshot.prefix import newest_places
from label_queue.snapshot.writer import LOCK, fill
from label_queue.snapshot_keeper import LEAST_EVENTS, SnapshotKeeper
from protocol.errors import DiskFull, ResourceError
from protocol.fault_points import VARIABLE, Fault, FaultPlan
from tests.support.held_folds import held_by
from tests.support.ledger_stores import LedgerStore
from tests.support.patience import PATIENCE_S
from tests.support.run_process import wait_until
from tests.support.snapshots import folded, labelled, order


def test_what_it_says_of_a_ledger_that_is_written_to_hangs_together(ledger: SqlLedger) -> None:
    """Events are looked for first, so none is taken in whose query is not."""
    newest, asked = ledger.newest, []

    def newest_while_written(kind: object) -> int:
        asked.append(kind)
        place = newest(kind)
        ledger.write(list(labelled(100 * len(asked), 2)))
        return place

    ledger.newest = newest_while_written  # type: ignore[method-assign]
    assert newest_places(ledger) == Places(queries=14, assignments=16, label_events=10)


def test_what_could_not_be_written_leaves_nothing_on_the_ledger_s_disk(
    ledger_store: LedgerStore, ledger: SqlLedger, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = fill(order(ledger_store.place, path))
    ledger.write(list(labelled(10, 5)))

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(DiskFull):
        fill(order(ledger_store.place, path))
    assert not path.with_name(path.name + PARTIAL).exists()
    assert folded(ledger, path)[1] == places


def test_one_at_a_time_writes_it(ledger_store: LedgerStore, ledger: SqlLedger, path: Path) -> None:
    with path.with_name(path.name + LOCK).open("wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert fill(order(ledger_store.place, path)) is None
        assert not path.exists()
    assert fill(order(ledger_store.place, path)) is not None


async def test_what_a_killed_writer_left_goes_at_the_next_start_and_no_process_is_no_end(
    ledger_store: LedgerStore, ledger: SqlLedger, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(*_: object, **__: object) -> None:
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(asyncio, "create_subprocess_exec", refused)
    path.with_name(path.name + PARTIAL).write_bytes(b"half")
    keeper = SnapshotKeeper(order(ledger_store.place, path), lambda: LEAST_EVENTS, num_kept=0)
    with capture_logs() as logs:
        keeper.start()
        await asyncio.sleep(0.1)
    assert "temporarily unavailable" in logs[0]["why"]
    assert not path.with_name(path.name + PARTIAL).exists()
    assert keeper._keeping is not None
    assert not keeper._keeping.done()
    await keeper.close()


def test_none_is_written_while_the_disk_is_full(path: Path, ledger_store: LedgerStore) -> None:
    wanted = order(ledger_store.place, path)
    count = 3 * LEAST_EVENTS
    for has_room in (False, True):
        keeper = SnapshotKeeper(wanted, lambda: count, num_kept=0, has_room=partial(bool, has_room))
        assert keeper.is_due is has_room


def tmp_files(path: Path) -> list[Path]:
    """What lies where a snapshot does."""
    return list(path.parent.iterdir())


WRITER = (sys.executable, "-m", "label_queue.snapshot.writer")


@pytest.mark.parametrize("point", ["snapshot.block", "snapshot.before_replace"])
def test_killed_while_it_is_written_the_one_before_stays(
    ledger_store: LedgerStore, ledger: SqlLedger, path: Path, point: str
) -> None:
    places = fill(order(ledger_store.place, path))
    ledger.write(list(labelled(10, 5)))
    plan = FaultPlan(faults=(Fault(point=point, action="kill"),))
    done = subprocess.run(
        WRITER,
        input=order(ledger_store.place, path).model_dump_json().encode(),
        env=os.environ | {VARIABLE: plan.to_json()},
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    assert path.with_name(path.name + PARTIAL).exists()
    state, used, said = folded(ledger, path)
    assert (used, said) == (places, [])
    assert held_by(state) == held_by(folded(ledger, None)[0])


def test_a_lost_connection_to_the_disk_leaves_the_one_before(
    ledger_store: LedgerStore, ledger: SqlLedger, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = fill(order(ledger_store.place, path))
    ledger.write(list(labelled(10, 5)))

    def refuse(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        with pytest.raises(ResourceError):
            fill(order(ledger_store.place, path))
    assert folded(ledger, path)[1] == places


def test_it_is_due_once_enough_has_come(path: Path) -> None:
    events = 0
    keeper = SnapshotKeeper(order(path, path), lambda: events, num_kept=0)
    assert not keeper.is_due
    events = LEAST_EVENTS
    assert keeper.is_due
    keeper = SnapshotKeeper(order(path, path), lambda: events, num_kept=100 * LEAST_EVENTS)
    events = 109 * LEAST_EVENTS
    assert not keeper.is_due
    events = 110 * LEAST_EVENTS
    assert keeper.is_due


async def test_a_process_of_its_own_writes_it(
    ledger_store: LedgerStore, ledger: SqlLedger, path: Path
) -> None:
    keeper = SnapshotKeeper(order(ledger_store.place, path), lambda: LEAST_EVENTS, num_kept=0)
    await keeper.keep_now(order(ledger_store.place, path))
    assert folded(ledger, path)[1].label_events == 10
    assert not keeper.is_due, "it is not written again and again"


async def test_where_it_cannot_be_written_one_line_says_so(
    ledger_store: LedgerStore, ledger: SqlLedger, tmp_path: Path
) -> None:
    wanted = order(ledger_store.place, tmp_path / "no folder" / "ledger.folds")
    keeper = SnapshotKeeper(wanted, lambda: LEAST_EVENTS, num_kept=0)
    with capture_logs() as logs:
        await keeper.keep_now(wanted)
    assert [line["exit"] for line in logs] == [1]
    assert "no folder" in logs[0]["why"]
    assert not keeper.is_due


async def test_a_stop_ends_the_process_that_writes(
    ledger_store: LedgerStore, ledger: SqlLedger, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = FaultPlan(faults=(Fault(point="snapshot.before_replace", action="delay", delay_s=50),))
    monkeypatch.setenv(VARIABLE, plan.to_json())
    keeper = SnapshotKeeper(order(ledger_store.place, path), lambda: LEAST_EVENTS, num_kept=0)
    keeper.start()
    partial = path.with_name(path.name + PARTIAL)
    await asyncio.to_thread(wait_until, partial.exists, "the writer writes", PATIENCE_S)
    await keeper.close()
    assert {each.name for each in tmp_files(path)} >= {partial.name}
    assert path not in tmp_files(path)
