"""Kills random processes of one run, all through it, and checks that it ends as it should.

    python -m benchmarks.chaos --kills 100 --mean-interval-s 10
    python -m benchmarks.chaos --quick

The run is the demo's. Kinds and moments are drawn from the seed: each kill is `kill -9` of one
process of a kind that is there; a killed driver is followed by `andon resume`. A kill has been
recovered from when a later policy version is made, and as many processes of its kind are there as
before. Then the history is checked: every label that a labeler saw acknowledged is in the ledger
once, version numbers rise, each step is in the metrics once. Ends with 1 where one of them does not
hold, or the run does not end.

What was seen is kept in FOLDER, the kills in `chaos.jsonl`; the table is Markdown.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import click
import psutil

from benchmarks.chaos.victims import DRIVER, KINDS, processes
from benchmarks.programs import end_program, heard, start_program
from cluster.json_lines import read_rows
from cluster.run_folder import RunFolder
from label_queue.folds.view import LedgerView
from label_queue.ledger.sql import SqlLedger
from protocol.labels import Submitted

POLL_S = 0.5
START_S = 900.0
"""For the first policy version: the base model is made first."""
STUCK_S = 900.0
"""Without a policy version for so long, the run is taken for stuck."""
SETTINGS = (
    "rollouts.num_actors=2",
    "cluster.restarts.max_restarts=100000",
    "cluster.restarts.first_pause_s=0.2",
    "cluster.restarts.longest_pause_s=2",
)
QUICK = (12, 15.0)
"""Kills, and mean seconds between them."""


@dataclass(slots=True, kw_only=True)
class Kill:
    """One process killed, and what came of it."""

    kind: str
    at: float
    """When, Unix seconds."""
    version: int
    """Newest policy version at that moment."""
    num_alive: int
    """Processes of that kind before."""
    recovered_s: float | None = None
    """Seconds until a later version was made with as many of them; None: not before the end."""


class Chaos:
    """One run under fire.

    Args:
        folder: The run's.
        seed: Of the run, and of kinds and moments.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = RunFolder(folder)
        self.kills: list[Kill] = []
        self._rng = random.Random(seed)
        self._log = folder.with_name(f"{folder.name}.log").open("ab")
        overrides = [part for setting in SETTINGS for part in ("--set", setting)]
        self._driver = self._started(
            "demo", "--folder", str(folder), "--seed", str(seed), *overrides
        )

    def go(self, num_kills: int, mean_interval_s: float) -> int:
        """Kill until there were so many or the run has ended; return the last exit code."""
        self._wait_for_version(1, START_S)
        next_at = time.time() + self._rng.expovariate(1 / mean_interval_s)
        last, moved_at = self._version(), time.time()
        while self._driver.poll() is None:
            time.sleep(POLL_S)
            now = time.time()
            if (version := self._version()) > last:
                last, moved_at = version, now
            assert now - moved_at < STUCK_S, f"no policy version for {STUCK_S:g} s"
            self._look(now)
            if now >= next_at and len(self.kills) < num_kills:
                self._kill(now)
                next_at = now + self._rng.expovariate(1 / mean_interval_s)
        return int(self._driver.returncode)

    def _kill(self, now: float) -> None:
        alive = {kind: found for kind, found in processes(self._driver).items() if found}
        if not alive:
            return
        kind = self._rng.choice(sorted(alive))
        kill = Kill(kind=kind, at=now, version=self._version(), num_alive=len(alive[kind]))
        self.kills.append(kill)
        click.echo(f"kill {len(self.kills)}: {kind}, at version {kill.version}")
        victim = self._rng.choice(sorted(alive[kind], key=lambda each: each.pid))
        with suppress(psutil.Error):
            victim.kill()
        if kind == DRIVER:
            self._driver.wait()
            time.sleep(self._rng.uniform(0.0, 5.0))  # before its cleaning up is done, or after
            self._driver = self._resumed()

    def _resumed(self) -> psutil.Popen:
        """Start `andon resume`, again while what the dead driver left is not gone yet.

        One that is refused for good is returned, ended.
        """
        deadline = time.time() + STUCK_S
        while True:
            driver = self._started("resume", str(self.folder.path))
            with suppress(subprocess.TimeoutExpired, psutil.TimeoutExpired):
                if driver.wait(20.0) and time.time() < deadline:
                    time.sleep(1.0)
                    continue
            return driver

    def _look(self, now: float) -> None:
        open_kills = [kill for kill in self.kills if kill.recovered_s is None]
        if not open_kills:
            return
        version, alive = self._version(), processes(self._driver)
        for kill in open_kills:
            if version > kill.version and len(alive[kill.kind]) >= kill.num_alive:
                kill.recovered_s = now - kill.at

    def _version(self) -> int:
        rows = read_rows(self.folder.recordings / "policies.jsonl")
        return max((int(row["version"]) for row in rows), default=0)

    def _wait_for_version(self, version: int, timeout_s: float) -> None:
        deadline = time.time() + timeout_s
        while self._version() < version:
            assert self._driver.poll() is None, "the run ended before it began"
            assert time.time() < deadline, f"no policy version {version} in {timeout_s:g} s"
            time.sleep(POLL_S)

    def _started(self, *arguments: str) -> psutil.Popen:
        driver: psutil.Popen = start_program(
            [sys.executable, "-m", "cluster.cli", *arguments],
            psutil.Popen,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        return driver

    def close(self) -> None:
        """End the run, if it still goes on."""
        end_program(self._driver)


def broken_promises(folder: RunFolder) -> Iterator[str]:
    """Give what does not hold of a run that has ended."""
    state = folder.read_state()
    if state["state"] != "finished":
        yield f"the run is {state['state']}: {state.get('error') or state.get('stop_reason')}"
    ledger = SqlLedger.open_to_read(folder.ledger)
    try:
        view = LedgerView.of(ledger)
    finally:
        ledger.close()
    labels = [event.label_id for event in view.events if isinstance(event, Submitted)]
    assignments = [event.assignment_id for event in view.events if isinstance(event, Submitted)]
    if len(set(labels)) < len(labels) or len(set(assignments)) < len(assignments):
        yield f"{len(assignments) - len(set(assignments))} labels are in the ledger twice"
    acknowledged = state.get("labels_acknowledged")
    if acknowledged is not None and acknowledged > len(labels):
        yield f"{acknowledged} labels were acknowledged, and the ledger holds {len(labels)}"
    for what, versions in (
        ("policy", [policy.version for policy in view.policies]),
        ("reward", [reward.version for reward in view.rewards]),
    ):
        if versions != sorted(set(versions)):
            yield f"{what} versions do not rise, each by itself: {versions}"
    steps = [row for row in read_rows(folder.metrics) if "policy/loss" in row]
    episodes = [row["policy/episodes"] for row in steps]
    if episodes != sorted(set(episodes)):
        yield "a step is in the metrics twice, or out of order"


def table(kills: list[Kill], summary: dict[str, Any]) -> str:
    """Return what was seen, as Markdown."""
    times: dict[str, list[float | None]] = defaultdict(list)
    for kill in kills:
        times[kill.kind].append(kill.recovered_s)
    lines = [
        "| killed | times | recovered in, median s | at most s |",
        "| --- | ---: | ---: | ---: |",
    ]
    for kind in (*KINDS, DRIVER):
        known = [each for each in times[kind] if each is not None]
        found = f"{median(known):.0f} | {max(known):.0f}" if known else "– | –"
        lines.append(f"| {kind} | {len(times[kind])} | {found} |")
    figures = ("wall_s", "episodes", "gold_final_mean", "kl_final_mean", "coverage_median")
    told = ", ".join(f"`{name}` {summary.get(name)}" for name in figures)
    return "\n".join([*lines, "", f"{len(kills)} kills; {told}"])


def main() -> None:
    """Run from the command line; see the module."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--mean-interval-s", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=Path("runs/chaos-1"))
    parser.add_argument("--quick", action="store_true", help="a dozen kills, further apart")
    chosen = parser.parse_args()
    num_kills, interval_s = QUICK if chosen.quick else (chosen.kills, chosen.mean_interval_s)
    chosen.folder.parent.mkdir(parents=True, exist_ok=True)
    with heard(), closing(Chaos(chosen.folder, chosen.seed)) as chaos:
        code = chaos.go(num_kills, interval_s)
    kept = chosen.folder / "chaos.jsonl"
    kept.write_text("".join(json.dumps(asdict(kill)) + "\n" for kill in chaos.kills))
    broken = [*([f"it ended with {code}"] if code else []), *broken_promises(chaos.folder)]
    summary = chosen.folder / "report" / "summary.json"
    click.echo(table(chaos.kills, json.loads(summary.read_text()) if summary.exists() else {}))
    for promise in broken:
        click.echo(f"BROKEN: {promise}")
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
