"""Runs as processes of their own, each with its result kept: it is read, not made again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from statistics import fmean
from typing import Any

import click

from benchmarks.kept_results import KeptResults
from benchmarks.programs import heard, run_program
from benchmarks.spread import standard_error

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

    def run(self) -> None:
        """Have it run, unless it was."""
        RESULTS.made(astuple(self), self._made)

    def _made(self) -> dict[str, Any]:
        log = FOLDER / self.task / f"{self.arm}-{self.budget}-{self.seed}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder, log.open("w") as output:
            result = Path(folder) / "result.json"
            run_program(
                [*ONE, *map(str, astuple(self)), result],
                cwd=ROOT,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            return dict(json.loads(result.read_text(), parse_float=_kept))

    @property
    def result(self) -> dict[str, Any]:
        """What it came to."""
        return RESULTS[astuple(self)]

    @property
    def gold(self) -> float:
        """Of the policy at the end."""
        return float(self.result["gold"])


def _kept(number: str) -> float:
    """Return a figure as it is kept: there are thousands."""
    return round(float(number), 4)


RESULTS = KeptResults(
    Path(__file__).parent / "results.jsonl", tuple(each.name for each in fields(Case))
)


def in_a_cell(cases: Sequence[Case]) -> str:
    """Return the ends of runs, one a seed, as a table says them: gold with its error, and KL."""
    golds = [case.gold for case in cases]
    error = f" ± {standard_error(golds):.2f}" if len(golds) > 1 else ""
    return f"{fmean(golds):+.2f}{error} at KL {fmean(case.result['kl'] for case in cases):.1f}"


def run_all(cases: Sequence[Case], processes: int) -> None:
    """Have all cases run, so many at a time, and say how many are done."""
    for task in sorted({case.task for case in cases}):
        # First and alone: two runs must not make one base model at once.
        run_program([*ONE, task], cwd=ROOT)
    with heard(), ThreadPoolExecutor(processes) as pool:
        for number, _ in enumerate(pool.map(Case.run, cases), start=1):
            click.echo(f"{number} of {len(cases)} runs", err=True)
