"""Runs as processes of their own, each with its result in a file that is read, not made again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "runs" / "label-efficiency"
ONE = (sys.executable, "-m", "benchmarks.label_efficiency.one")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One run."""

    task: str
    arm: str
    budget: int
    seed: int

    @property
    def path(self) -> Path:
        """Where its result lies, or is to."""
        return FOLDER / self.task / f"{self.arm}-{self.budget}-{self.seed}.json"

    def run(self) -> None:
        """Have it run, unless it was."""
        if self.path.exists():
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        case = (self.task, self.arm, str(self.budget), str(self.seed), str(self.path))
        with self.path.with_suffix(".log").open("w") as log:
            subprocess.run(
                [*ONE, *case],
                cwd=ROOT,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                check=True,
            )

    @property
    def result(self) -> dict[str, Any]:
        """What it came to."""
        return dict(json.loads(self.path.read_text()))

    @property
    def gold(self) -> float:
        """Of the policy at the end."""
        return float(self.result["gold"])


def run_all(cases: Sequence[Case], processes: int) -> None:
    """Have all cases run, so many at a time, and say how many are done."""
    for task in sorted({case.task for case in cases}):
        # First and alone: two runs must not make one base model at once.
        subprocess.run([*ONE, task], cwd=ROOT, check=True)
    with ThreadPoolExecutor(processes) as pool:
        for number, _ in enumerate(pool.map(Case.run, cases), start=1):
            click.echo(f"{number} of {len(cases)} runs", err=True)
