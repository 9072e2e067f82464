"""Some of `benchmarks.ledger_fire`: writers killed and power cut, and that a loss would be seen."""

from __future__ import annotations

import random
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from label_queue.ledger.sql import SqlLedger
from protocol.labels import LabelEvent
from tests.support.crash_clones import check_clone, record
from tests.support.labels import make_event, make_query
from tests.support.ledger_history import Broken, Doubled, Lost, check_history
from tests.support.ledger_stores import over_its_connection
from tests.support.patience import PATIENCE_S

REPOSITORY = Path(__file__).parents[2]
NUM_COUNTS = 6
"""Numbers in each report: kills, acknowledged; clones, promised; lost and doubled."""
EVENTS = [make_event(make_query(i), seq=i + 1) for i in range(3)]


def test_nothing_is_lost_or_doubled_by_kills_and_power_cuts(tmp_path: Path) -> None:
    # In a process of its own: what is forked must have one thread.
    fired = subprocess.run(
        [sys.executable, "-m", "benchmarks.ledger_fire", "--quick", "--folder", str(tmp_path)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert fired.returncode == 0, fired.stdout + fired.stderr
    # Where it takes long, what was done so far is told twice a minute; the last word counts.
    counts = [int(number) for number in re.findall(r"\d+", fired.stdout)]
    kills, acknowledged, clones, promised, *losses = counts[-NUM_COUNTS:]
    assert (kills, clones, losses) == (150, 40, [0, 0])
    assert acknowledged > kills
    assert promised > clones


def test_what_was_done_is_not_done_again(tmp_path: Path) -> None:
    def fire(kills: int) -> str:
        command = [sys.executable, "-m", "benchmarks.ledger_fire", "--folder", str(tmp_path)]
        counts = ["--kills", str(kills), "--clones", "3"]
        return subprocess.check_output(
            [*command, *counts], cwd=REPOSITORY, text=True, timeout=PATIENCE_S
        )

    assert fire(2).startswith("2 kills")
    assert fire(3).startswith("3 kills")
    assert fire(3) == fire(3)


def test_a_ledger_that_does_not_wait_for_the_disk_is_found_out(tmp_path: Path) -> None:
    def weaken(ledger: SqlLedger) -> None:
        over_its_connection(ledger, "PRAGMA synchronous=NORMAL")

    recording = record(tmp_path, 60, weaken=weaken)

    def check_some() -> None:
        for number in range(40):
            check_clone(recording, random.Random(number))

    with pytest.raises(Lost):
        check_some()


def test_a_recording_holds_what_was_promised_and_synced(tmp_path: Path) -> None:
    recording = record(tmp_path, 20)
    assert [event.seq for event in recording.history] == list(range(1, 21))
    kinds = {operation.kind for operation in recording.operations}
    assert kinds >= {"write", "sync", "sync_folder", "delete", "said"}
    assert recording.num_sessions == 2


@pytest.mark.parametrize(
    ("found", "error"),
    [
        (EVENTS[:1], Lost),
        ([*EVENTS, replace(EVENTS[0], seq=4)], Doubled),
        ([EVENTS[0], replace(EVENTS[1], seq=3)], Broken),
        ([EVENTS[0], replace(EVENTS[1], comment="other"), EVENTS[2]], Broken),
        ([EVENTS[1], EVENTS[0], EVENTS[2]], Broken),
    ],
    ids=["lost", "doubled", "a gap", "changed", "out of order"],
)
def test_what_is_wrong_with_a_history_is_seen(
    found: Sequence[LabelEvent], error: type[AssertionError]
) -> None:
    acknowledged = {EVENTS[1].event_id: 2}
    attempted: dict[str, LabelEvent] = {event.event_id: event for event in EVENTS}
    check_history(EVENTS, acknowledged, attempted)
    with pytest.raises(error):
        check_history(found, acknowledged, attempted)
