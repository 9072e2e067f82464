"""Runs as processes of their own, each with its result kept: it is read, not made again.

A result is of one recipe (`recipe.recipe_of`): where anything that a run follows from is changed,
what was kept before is of another run. Results of before there were recipes are kept as of
`BEFORE`; they can be shown, by themselves, and never made again.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import click

from benchmarks.kept_results import KeptResults
from benchmarks.label_efficiency.arms import EVERY, Arm
from benchmarks.label_efficiency.recipe import recipe_of, target_of
from benchmarks.programs import heard, run_program
from benchmarks.spread import standard_error

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "runs" / "label-efficiency"
ONE = (sys.executable, "-m", "benchmarks.label_efficiency.one")
KEY = ("task", "arm", "budget", "seed", "recipe")
"""What results are kept by."""
BEFORE = "before"
"""The recipe of results that did not say theirs: no β moved with its own batch, letters were a text
in six hundred, and a sampler's noise was paid as KL."""
NEAR = 0.1
"""How far from its target a KL may be, in parts of it, for golds to compare at it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One run."""

    task: str
    arm: str
    budget: int
    seed: int
    kept_recipe: str = ""
    """The recipe of results that are shown and can no more be made; "": the present one."""

    @property
    def key(self) -> tuple[str, str, int, int, str]:
        """What its result is kept by; see `KEY`."""
        recipe = self.kept_recipe or recipe_of(self.task, self._arm, self.budget)
        return (self.task, self.arm, self.budget, self.seed, recipe)

    @property
    def _arm(self) -> Arm:
        return EVERY[self.arm]

    @property
    def is_free(self) -> bool:
        """Whether its KL was held nowhere."""
        return self._arm.is_free

    @property
    def is_kept(self) -> bool:
        """Whether there is a result of it."""
        return self.key in RESULTS

    def run(self) -> None:
        """Have it run, unless it was.

        Raises:
            LookupError: It is of a recipe that is gone, and was not kept.
        """
        if self.kept_recipe and not self.is_kept:
            raise LookupError(
                f"of the recipe {self.kept_recipe!r} no result is kept of {self.arm} on "
                f"{self.task} with {self.budget} labels and seed {self.seed}, and it cannot be "
                "made again: ask for the arms, budgets and seeds that were kept, or for the "
                "present recipe"
            )
        RESULTS.made(self.key, self._made)

    def _made(self) -> dict[str, Any]:
        log = FOLDER / self.task / f"{self.arm}-{self.budget}-{self.seed}-{self.key[-1]}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder, log.open("w") as output:
            result = Path(folder) / "result.json"
            run_program(
                [*ONE, self.task, self.arm, str(self.budget), str(self.seed), result],
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
        return RESULTS[self.key]

    @property
    def gold(self) -> float:
        """Of the policy at the end."""
        return float(self.result["gold"])

    @property
    def golds_at_target(self) -> list[float]:
        """Of the steps of the run's second half whose KL was at its target, within `NEAR`.

        The last policy is where β has left it; golds of unlike distances do not compare.
        """
        target, rows = target_of(self.task, self._arm), self.result["rows"]
        near = [row for row in rows[len(rows) // 2 :] if abs(row["kl"] / target - 1) <= NEAR]
        return [float(row["gold"]) for row in near]


def _kept(number: str) -> float:
    """Return a figure as it is kept: there are thousands."""
    return round(float(number), 4)


RESULTS = KeptResults(Path(__file__).parent / "results.jsonl", KEY)


def over_seeds(
    task: str, arm: Arm, budget: int, seeds: Sequence[int], kept_recipe: str = ""
) -> list[Case]:
    """Return the runs of an arm that differ in their seeds alone; see `Case`."""
    return [
        Case(task=task, arm=arm.name, budget=budget, seed=seed, kept_recipe=kept_recipe)
        for seed in seeds
    ]


def offer_before(parser: argparse.ArgumentParser) -> None:
    """Let a command show what was kept of the recipe before; `kept_recipe` is what it then has."""
    parser.add_argument(
        "--before",
        dest="kept_recipe",
        action="store_const",
        const=BEFORE,
        default="",
        help="show results of before runs were told apart by their recipe; nothing is run",
    )


def in_a_cell(cases: Sequence[Case]) -> str:
    """Return runs, one a seed, as a table says them: gold and KL at the end; gold at the target.

    Free ones have no target.
    """
    kl = fmean(case.result["kl"] for case in cases)
    end = f"{with_error([case.gold for case in cases])} at KL {kl:.1f}"
    return end if any(case.is_free for case in cases) else f"{end}; {at_target(cases)}"


def at_target(cases: Sequence[Case]) -> str:
    """Return the gold of runs, one a seed, while their KL was at its target, and of how many steps.

    Seeds count alike, however many steps each was there.
    """
    golds = [case.golds_at_target for case in cases]
    means = [fmean(each) for each in golds if each]
    return f"{with_error(means)} ({sum(map(len, golds))})" if means else "– (0)"


def with_error(golds: Sequence[float]) -> str:
    """Return a mean, with its standard error where there are several."""
    error = f" ± {standard_error(golds):.2f}" if len(golds) > 1 else ""
    return f"{fmean(golds):+.2f}{error}"


def run_all(cases: Sequence[Case], processes: int) -> None:
    """Have all cases run, so many at a time, and say how many are done."""
    for task in sorted({case.task for case in cases if not case.is_kept}):
        # First and alone: two runs must not make one base model at once.
        run_program([*ONE, task], cwd=ROOT)
    with heard(), ThreadPoolExecutor(processes) as pool:
        for number, _ in enumerate(pool.map(Case.run, cases), start=1):
            click.echo(f"{number} of {len(cases)} runs", err=True)
