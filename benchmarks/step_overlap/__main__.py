"""How much longer a step takes than the slower of generation and training, in whole runs.

    python -m benchmarks.step_overlap [--turns 2] [--steps 24]

The work is that of `benchmarks.against_trl`, as Andon is by itself, one actor, lag 1: responses of
24 tokens; of log-normal lengths with σ = 1, by a model that ends them so; and both with rollouts
and scores that come late, by log-normal seconds with σ = 1 for every call. A step's time is that
from the end of one to the end of the next, in a run of the usual processes; training is the
learner's own part of it. Generation is what a batch takes the same actors by themselves, from the
moment it is asked for until the last of it has come and would be scored, as late as in the run: at
lag 1 one batch is under way while another is trained on. Cases take turns; figures are medians over
the turns, the first two steps of each run left out. The table is Markdown.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, median

import click

from actors.config import ResponseConfig, RolloutConfig
from benchmarks.against_trl.task import Task, make_task, write_model, write_reward
from benchmarks.local_ray import local_ray
from benchmarks.programs import run_program
from benchmarks.rollout_fleet import endless_requests, rollout_fleet
from benchmarks.step_overlap.ending_model import CONTEXT, write_ending_model
from benchmarks.step_overlap.late import late
from cluster.loops.fleet import RolloutFleet
from cluster.recordings.records import Span
from cluster.recordings.streams import LEARNER, read
from cluster.run_folder import RunFolder

WANTED = 1.10
FOLDER = Path("runs/step-overlap")
LOG = FOLDER / "log.txt"
"""What runs print."""
BATCH = 128
LAG = 1
CALL = 32
"""Requests of a call."""
MIDDLE = 16
"""Median of log-normal lengths, whose mean is about 24."""
LATE_S = 0.3
"""Median lateness of a call."""
ALONE_BATCHES = 8
"""Batches that generation by itself is measured on."""


@dataclass(frozen=True, slots=True)
class Case:
    """What differs."""

    name: str
    unlike: bool
    """Whether lengths are log-normal."""
    late_s: float

    @property
    def response(self) -> ResponseConfig:
        """Where responses end."""
        if not self.unlike:
            return ResponseConfig(max_tokens=24, cut_token="")
        return ResponseConfig(mode="end_token", max_tokens=CONTEXT - 16, end_tokens=("<eos>",))


CASES = (
    Case("24 tokens", False, 0.0),
    Case("log-normal lengths", True, 0.0),
    Case("24 tokens, late", False, LATE_S),
    Case("log-normal lengths, late", True, LATE_S),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """What a step takes, in seconds."""

    step_s: float
    training_s: float
    generation_s: float
    """By itself."""

    @property
    def ratio(self) -> float:
        """The step's time over the longer of the two."""
        return self.step_s / max(self.training_s, self.generation_s)


def step_times(spans: Sequence[Span]) -> tuple[float, float]:
    """Return the mean seconds of a step, and of the learner's part of it.

    Args:
        spans: What the learner did; the first two steps are left out.
    """
    steps = [each for each in spans if each.doing == "step"][1:]
    whole = (steps[-1].ended_at - steps[0].ended_at) / (len(steps) - 1)
    return whole, fmean(each.ended_at - each.started_at for each in steps[1:])


async def generation_s(case: Case, model: Path) -> float:
    """Return the seconds that a batch takes the actors by themselves."""
    config = RolloutConfig(num_actors=1, requests_per_call=CALL, weight_transport="shared_memory")
    rng = random.Random(1)
    generate = late(RolloutFleet.generate, case.late_s, rng)
    scored = late(_nothing, case.late_s, rng)
    some = endless_requests(case.response)

    async def call(fleet: RolloutFleet) -> None:
        await scored(await generate(fleet, some(CALL)))

    async with rollout_fleet(model, case.response, config) as fleet:
        await fleet.generate(some(BATCH))  # the first is slow
        started = time.perf_counter()
        for _ in range(ALONE_BATCHES):
            await asyncio.gather(*(call(fleet) for _ in range(BATCH // CALL)))
        return (time.perf_counter() - started) / ALONE_BATCHES


async def _nothing(_: object) -> None:
    """Score: what that takes by itself is left out."""


def run(case: Case, task: Task, model: Path, bundle: Path, folder: Path) -> tuple[float, float]:
    """Return `step_times` of a run."""
    response = case.response
    given = (
        f"run.episodes={task.episodes}",
        f"run.max_policy_lag={LAG}",
        f"run.reward={bundle.absolute()}",
        f"prompts.path={Path(task.folder).absolute() / 'prompts.jsonl'}",
        f"policy.path={model.absolute()}",
        f'response.mode="{response.mode}"',
        f"response.max_tokens={response.max_tokens}",
        f"response.end_tokens={list(response.end_tokens)}",
        f"rollouts.requests_per_call={CALL}",
        f"ppo.batch_size={BATCH}",
        f"ppo.epochs={task.epochs}",
        f"ppo.minibatches={task.minibatches}",
        "ppo.lr=1e-7",  # so that the law of lengths stays
    )
    overrides = [part for setting in given for part in ("--set", setting)]
    config = Path(__file__).parents[1] / "against_trl" / "andon.toml"
    command = [sys.executable, "-m", "benchmarks.step_overlap.late", str(case.late_s)]
    with LOG.open("a") as log:
        run_program(
            [*command, "run", str(config), "--folder", str(folder), *overrides],
            stdout=log,
            stderr=log,
        )
    return step_times(read(RunFolder(folder).recordings, LEARNER))


def table(found: dict[str, list[Times]]) -> str:
    """Return medians as Markdown."""
    lines = [
        "| responses | step, s | training, s | generation, s | step / the longer | wanted |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, times in found.items():
        figures = (
            median(each.step_s for each in times),
            median(each.training_s for each in times),
            median(each.generation_s for each in times),
            median(each.ratio for each in times),
        )
        lines.append(f"| {name} | {' | '.join(f'{each:.2f}' for each in figures)} | {WANTED:.2f} |")
    return "\n".join(lines)


def main() -> None:
    """Run from the command line; see the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--cases", type=int, nargs="+", default=list(range(len(CASES))))
    chosen = parser.parse_args()
    task = make_task(FOLDER / "task", episodes=chosen.steps * BATCH)
    models = {
        False: write_model(FOLDER / "even", context_tokens=CONTEXT),
        True: write_ending_model(FOLDER / "unlike", MIDDLE),
    }
    bundle = write_reward(replace(task, model=str(models[False])))
    found: dict[str, list[Times]] = {CASES[number].name: [] for number in chosen.cases}
    for turn in range(1, chosen.turns + 1):
        for case in (CASES[number] for number in chosen.cases):
            model = models[case.unlike]
            with local_ray():
                alone = asyncio.run(generation_s(case, model))
            with tempfile.TemporaryDirectory(dir=FOLDER) as scratch:
                step, training = run(case, task, model, bundle, Path(scratch) / "run")
            found[case.name].append(Times(step_s=step, training_s=training, generation_s=alone))
            click.echo(f"turn {turn}: {case.name}: {found[case.name][-1]}")
    click.echo(table(found))


if __name__ == "__main__":
    main()
