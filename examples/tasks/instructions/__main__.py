"""PPO alone against PPO-ptx: the reward each wins, and what it loses on text; see README.md.

    python -m examples.tasks.instructions
    python -m examples.tasks.instructions --coefficients 0 1 27.8 --seeds 1 2 3

Each run is a whole run of Andon in a folder of its own under `runs/instructions/`, named for its
recipe, one after the other. One that is there already is read, not run again; one that was stopped
goes on. The table is Markdown; the figure lies in the same folder.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import click

from examples.tasks.instructions.figure import draw
from examples.tasks.whole_run import Case, ptx_case

CONFIG = Path(__file__).parent / "run.toml"
FOLDER = Path("runs/instructions")
COEFFICIENTS = (0.0, 27.8)
"""γ_ptx: of PPO alone, and as published."""


def case_of(coefficient: float, seed: int) -> Case:
    """Return the run of a γ_ptx and a seed."""
    return ptx_case(CONFIG, FOLDER, coefficient, seed)


def name_of(coefficient: float) -> str:
    """Return what tables and legends call a run."""
    return f"PPO-ptx, γ {coefficient:g}" if coefficient else "PPO alone"


def table(series: Mapping[str, Sequence[dict[str, Any]]]) -> str:
    """Return the ends of all runs as a Markdown table, with ρ before them.

    Args:
        series: Summaries of runs, one a seed, by what the table calls them.
    """
    every = [summary for summaries in series.values() for summary in summaries]

    def row(name: str, summaries: Sequence[dict[str, Any]], keys: Sequence[str], kl: str) -> str:
        gold, loss = (fmean(each[key] for each in summaries) for key in keys)
        tax = loss - fmean(each["pretraining_loss_base"] for each in summaries)
        return f"| {name} | {gold:+.2f} | {kl} | {loss:.3f} | {tax:+.3f} |"

    lines = [
        "| policy | gold | KL | loss on held-out text | alignment tax |",
        "| --- | ---: | ---: | ---: | ---: |",
        row("ρ", every, ("gold_base_mean", "pretraining_loss_base"), "0.0"),
    ]
    for name, summaries in series.items():
        kl = f"{fmean(each['kl_final_mean'] for each in summaries):.1f}"
        lines.append(row(name, summaries, ("gold_final_mean", "pretraining_loss_final"), kl))
    return "\n".join(lines)


def main() -> None:
    """Run what the command line asks for, print the table and draw the figure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--coefficients", type=float, nargs="+", default=list(COEFFICIENTS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    chosen = parser.parse_args()
    cases = {
        name_of(coefficient): [case_of(coefficient, seed) for seed in chosen.seeds]
        for coefficient in chosen.coefficients
    }
    for each in (case for of in cases.values() for case in of):
        each.run()
    click.echo(table({name: [case.summary for case in of] for name, of in cases.items()}))
    picture = FOLDER / "instructions.png"
    draw({name: [case.folder for case in of] for name, of in cases.items()}, picture)
    click.echo(f"\n{picture}")


if __name__ == "__main__":
    main()
