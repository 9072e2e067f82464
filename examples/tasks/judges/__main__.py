"""Win rates by those a policy was trained on, and by judges it never learned from; see README.md.

    python -m examples.tasks.judges
    python -m examples.tasks.judges --tastes alike --seeds 1 2 3

Each run is a whole run of Andon in a folder of its own under `runs/judges/`, named for its recipe,
one after the other. One that is there already is read, not run again; one that was stopped goes on.
The tables are Markdown; the figure lies in the same folder.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import click

from cluster.config import RunConfig, SimulatedLabeler
from cluster.config_file import load_config
from examples.tasks.judges.figure import draw
from examples.tasks.whole_run import Case

CONFIG = Path(__file__).parent / "run.toml"
FOLDER = Path("runs/judges")
TASTES: Mapping[str, float] = {"alike": 1.0, "myopic": 0.25}
"""Myopia γ of the labelers who train, by the name of their taste; judges read all of a response."""
COLUMNS = (
    "judged_winrate_training",
    "judged_winrate_judges",
    "judged_winrate_gap",
)
STATISTICS = ("pearson", "spearman", "kendall")
SIDES = {"training": "those who train", "judges": "judges"}
"""Groups of people whose choices the learned score is held against, by their name in figures."""


def case_of(taste: str, seed: int) -> Case:
    """Return the run of a taste of the labelers who train, one of `TASTES`, and a seed."""
    changed: dict[str, object] = {"run.name": f"judges-{taste}"}
    if TASTES[taste] != 1.0:
        changed["labelers"] = labelers_with(load_config(CONFIG), gamma=TASTES[taste])
    return Case(file=CONFIG, series=FOLDER, name=taste, seed=seed, changed=changed)


def labelers_with(config: RunConfig, *, gamma: float) -> str:
    """Return a run's labelers in TOML, those who train with another myopia."""
    rows = []
    for each in config.labelers:
        told = each if each.name in config.judges else each.model_copy(update={"gamma": gamma})
        rows.append(_in_toml(told))
    return f"[{', '.join(rows)}]"


def _in_toml(labeler: SimulatedLabeler) -> str:
    """Return one in a line; JSON's numbers, texts and truths are TOML's, and it has no null."""
    told = labeler.model_dump(mode="json", exclude_defaults=True)
    return f"{{{', '.join(f'{key} = {json.dumps(value)}' for key, value in told.items())}}}"


def table(series: Mapping[str, Sequence[dict[str, Any]]]) -> str:
    """Return the ends of all runs as a Markdown table, means over seeds.

    Args:
        series: Summaries of runs, one a seed, by the taste of those who train.
    """
    lines = [
        "| labelers who train | preferred by them | by judges | gap |",
        f"| --- |{' ---: |' * len(COLUMNS)}",
    ]
    for name, summaries in series.items():
        cells = " | ".join(_cell(name, [each[name] for each in summaries]) for name in COLUMNS)
        lines.append(f"| {name} | {cells} |")
    return "\n".join(lines)


def correlation_table(series: Mapping[str, Sequence[dict[str, Any]]]) -> str:
    """Return how the learned score goes with people's choices; see docs/judges.md.

    Args:
        series: As `table`'s.
    """
    lines = [
        "| labelers who train | level | choices of | Pearson | Spearman | Kendall τ_b | points |",
        f"| --- | --- | --- |{' ---: |' * (len(STATISTICS) + 1)}",
    ]
    for name, summaries in series.items():
        for level in ("item", "system"):
            for side, who in SIDES.items():
                keys = [f"score_{level}_{each}_{side}" for each in STATISTICS]
                cells = [_cell(key, [each[key] for each in summaries]) for key in keys]
                points = fmean(each[f"score_{level}s_{side}"] for each in summaries)
                row = " | ".join([*cells, f"{points:.0f}"])
                lines.append(f"| {name} | {level} | {who} | {row} |")
    return "\n".join(lines)


def _cell(column: str, values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "–"
    mean = fmean(known)
    if column.startswith("score"):
        return f"{mean:+.2f}"
    return f"{100 * mean:+.0f} points" if column.endswith("gap") else f"{mean:.0%}"


def main() -> None:
    """Run what the command line asks for, print the tables and draw the figure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tastes", nargs="+", choices=list(TASTES), default=list(TASTES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    chosen = parser.parse_args()
    cases = {taste: [case_of(taste, seed) for seed in chosen.seeds] for taste in chosen.tastes}
    for each in (case for of in cases.values() for case in of):
        each.run()
    series = {taste: [case.summary for case in of] for taste, of in cases.items()}
    click.echo(f"{table(series)}\n\n{correlation_table(series)}")
    picture = FOLDER / "judges.png"
    draw(series, picture)
    click.echo(f"\n{picture}")


if __name__ == "__main__":
    main()
