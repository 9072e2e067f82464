"""Kills writers of a ledger, and cuts the power off under it; no label may be lost or doubled.

    python -m benchmarks.ledger_fire --kills 10000 --clones 2000
    python -m benchmarks.ledger_fire --quick

A kill is `kill -9` of a process that writes through the group commit: at a named point of commit
and acknowledgement, or after a random time. A clone is what a power loss may leave of the files:
all that was synced, and of the rest any sectors. After each, every acknowledged event is in the
ledger once, under its number, and the history before is unchanged; what is sent again lands once.

What was done is kept under `runs/ledger_fire/`, and gone on with. Ends with 1 at the first event
that is lost or doubled, and keeps the ledger that shows it.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import click

from tests.support.crash_clones import LONG_COMMENT, check_clone, record
from tests.support.ledger_kills import KilledLedger

FOLDER = Path("runs/ledger_fire")
KILLS_PER_LEDGER = 25
CLONES_PER_RECORDING = 50
QUICK = (150, 40)
"""Kills and clones."""


@dataclass(slots=True)
class Tally:
    """What was done so far."""

    kills: int = 0
    acknowledged: int = 0
    """Events, by writers that were killed."""
    clones: int = 0
    promised: int = 0
    """Events that clients had been told of when the power went, over all clones."""

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return what an earlier call left, if one did."""
        return cls(**json.loads(path.read_text())) if path.exists() else cls()

    def write(self, path: Path) -> None:
        """Keep it."""
        draft = path.with_suffix(".draft")
        draft.write_text(json.dumps(asdict(self)) + "\n")
        draft.replace(path)

    def __str__(self) -> str:
        return (
            f"{self.kills} kills, {self.acknowledged} events acknowledged before them; "
            f"{self.clones} crash clones, {self.promised} events promised before them; "
            "0 lost, 0 doubled"
        )


def kill_writers(folder: Path, tally: Tally, count: int, seed: int) -> None:
    """Kill up to `count` writers of one fresh ledger."""
    rng = random.Random(f"{seed}/kill/{tally.kills}")
    path = folder / f"killed-{tally.kills}.sqlite"
    for stale in folder.glob(f"{path.name}*"):
        stale.unlink()
    ledger = KilledLedger(path, rng)
    acknowledged = sum(ledger.kill_one() for _ in range(count))
    ledger.check_retries()
    tally.kills += count
    tally.acknowledged += acknowledged
    for done in folder.glob(f"{path.name}*"):
        done.unlink()


def cut_power(tally: Tally, count: int, seed: int) -> None:
    """Check up to `count` clones of one recorded ledger; every fourth has long labels."""
    rng = random.Random(f"{seed}/clone/{tally.clones}")
    is_long = tally.clones // CLONES_PER_RECORDING % 4 == 3
    with tempfile.TemporaryDirectory() as name:
        recording = record(
            Path(name),
            rng.randint(200, 300) if is_long else rng.randint(20, 120),
            comment=LONG_COMMENT if is_long else None,
        )
    promised = sum(check_clone(recording, rng) for _ in range(count))
    tally.clones += count
    tally.promised += promised


def main() -> None:
    """Read the arguments, and go on from where an earlier call ended."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=10_000)
    parser.add_argument("--clones", type=int, default=2_000)
    parser.add_argument("--quick", action="store_true", help="some dozen of each, from the start")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    arguments = parser.parse_args()
    kills, clones = QUICK if arguments.quick else (arguments.kills, arguments.clones)
    folder: Path = arguments.folder / "quick" if arguments.quick else arguments.folder
    if arguments.quick:
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    progress = folder / "tally.json"
    tally = Tally.read(progress)
    told_at = time.monotonic()
    while tally.kills < kills or tally.clones < clones:
        if tally.kills < kills:
            count = min(KILLS_PER_LEDGER, kills - tally.kills)
            kill_writers(folder, tally, count, arguments.seed)
        if tally.clones < clones:
            cut_power(tally, min(CLONES_PER_RECORDING, clones - tally.clones), arguments.seed)
        tally.write(progress)
        if time.monotonic() - told_at > 30:
            told_at = time.monotonic()
            click.echo(str(tally))
            sys.stdout.flush()
    click.echo(str(tally))


if __name__ == "__main__":
    main()
