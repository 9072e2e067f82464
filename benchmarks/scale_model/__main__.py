"""Predicts episodes/s, idle shares, coverage and latency of a run of another size.

    python -m benchmarks.scale_model --run runs/demo-1                  beside what that run did
    python -m benchmarks.scale_model --run runs/demo-1 --devices 8 64 1024

Times are those of the run. With `--devices`, each device does what one process did in it, and the
batch grows with the ranks; of all ways to share them out among actors, learner ranks and replicas
the fastest is taken, one is the reward trainer's. Tables are Markdown.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import click

from benchmarks.scale_model.model import Outcome, ScaleModel
from benchmarks.scale_model.services import Sizes, Times, measured

STEPS = 60
"""PPO steps that a simulated run of another size takes."""
FIGURES = {
    "episodes_per_s": "{:.1f}",
    "learner_idle": "{:.2f}",
    "actor_idle": "{:.2f}",
    "coverage": "{:.2f}",
    "latency_p50_s": "{:.0f}",
    "latency_p95_s": "{:.0f}",
}
IN_SUMMARY = {
    "coverage": "coverage_median",
    "latency_p50_s": "label_to_policy_latency_p50_s",
    "latency_p95_s": "label_to_policy_latency_p95_s",
}


def beside(folder: Path, outcome: Outcome) -> str:
    """Return prediction and report as a table."""
    summary = json.loads((folder / "report" / "summary.json").read_text())
    lines = ["| figure | predicted | the run |", "| --- | ---: | ---: |"]
    for name, form in FIGURES.items():
        told = form.format(summary[IN_SUMMARY.get(name, name)])
        lines.append(f"| `{name}` | {form.format(getattr(outcome, name))} | {told} |")
    return "\n".join(lines)


def shared_out(devices: int, sizes: Sizes, times: Times) -> Iterator[tuple[Sizes, Outcome]]:
    """Give ways to share devices out, each with what comes of it."""
    left = devices - 1  # the reward trainer's
    for rank_share in (0.3, 0.4, 0.5, 0.6, 0.7):
        for replica_share in (0.05, 0.1, 0.15):
            ranks = max(1, round(rank_share * left))
            replicas = max(1, round(replica_share * left))
            actors = left - ranks - replicas
            if actors < 1:
                continue
            batch = sizes.batch * ranks
            bigger = replace(
                sizes,
                actors=actors,
                ranks=ranks,
                replicas=replicas,
                batch=batch,
                episodes=batch * STEPS,
                labelers=sizes.labelers * ranks,
            )
            yield bigger, ScaleModel(bigger, times).run()


def scaled(devices: list[int], sizes: Sizes, times: Times) -> str:
    """Return the best way for each number of devices, as a table."""
    lines = [
        "| devices | actors | ranks | replicas | episodes/s | learner idle | actors idle | "
        "driver busy |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for number in devices:
        chosen, outcome = max(
            shared_out(number, sizes, times), key=lambda each: each[1].episodes_per_s
        )
        lines.append(
            f"| {number} | {chosen.actors} | {chosen.ranks} | {chosen.replicas} | "
            f"{outcome.episodes_per_s:.0f} | {outcome.learner_idle:.2f} | "
            f"{outcome.actor_idle:.2f} | {outcome.controller_busy:.2f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Run from the command line; see the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--run", type=Path, required=True, help="folder of a run that has ended")
    parser.add_argument("--devices", type=int, nargs="+", default=[])
    parser.add_argument("--controller-s", type=float, help="of the driver for one rollout")
    chosen = parser.parse_args()
    sizes, times = measured(chosen.run)
    if chosen.controller_s is not None:
        times = replace(times, controller_s=chosen.controller_s)
    click.echo(f"{times}\n\n{beside(chosen.run, ScaleModel(sizes, times).run())}")
    if chosen.devices:
        click.echo(f"\n{scaled(chosen.devices, sizes, times)}")


if __name__ == "__main__":
    main()
