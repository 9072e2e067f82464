"""Runs the demo for several seeds and modes, one after the other, and prints their figures.

    python -m benchmarks.demo_runs --seeds 1 2 3 --modes online
    python -m benchmarks.demo_runs --seeds 1 --modes offline
    python -m benchmarks.demo_runs --folders runs/demo-1 runs/demo-2

Each run is kept under `runs/results/`; one that is there already is read, not run again. Runs that
were made otherwise are read by `--folders`. The table is Markdown, as in docs/results/demo.md.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.programs import run_program
from cluster.report.figures import last_part
from cluster.report.records import RewardStart, read_run

FOLDER = Path("runs/results")
SPAN = 1_000
"""Episodes before and after a refit that are compared."""
FIGURES = (
    ("wall_s", "{:.0f}"),
    ("base_model_s", "{:.0f}"),
    ("peak_memory_bytes", "{:,}"),
    ("episodes", "{:,}"),
    ("labels_acknowledged", "{:,}"),
    ("labels_in_ledger", "{:,}"),
    ("reward_refits", "{}"),
    ("reward_versions", "{}"),
    ("gold_base_mean", "{:+.2f}"),
    ("gold_base_std", "{:.2f}"),
    ("gold_final_mean", "{:+.2f}"),
    ("gold_last_of_best_tenth", "{:.2f}"),
    ("gold_after_refits", "{:+.2f}"),
    ("kl_final_mean", "{:.2f}"),
    ("kl_largest", "{:.1f}"),
    ("kl_target", "{:.1f}"),
    ("coverage_median", "{:.2f}"),
    ("label_to_policy_latency_p50_s", "{:.0f}"),
    ("label_to_policy_latency_p95_s", "{:.0f}"),
    ("policy_lag_max", "{}"),
    ("max_policy_lag", "{}"),
    ("logprob_mismatch_max", "{:.1e}"),
    ("validation_winrate", "{:.2f}"),
    ("validation_winrate_low", "{:.2f}"),
    ("episodes_per_s", "{:.1f}"),
    ("learner_idle", "{:.2f}"),
    ("actor_idle", "{:.2f}"),
)


def run_demo(mode: str, seed: int) -> Path:
    """Return the folder of one demo run, running it if need be."""
    folder = FOLDER / f"{mode}-{seed}"
    if not (folder / "report" / "summary.json").exists():
        command = [sys.executable, "-m", "cluster.cli", "demo", "--folder", str(folder)]
        run_program([*command, "--seed", str(seed), "--mode", mode])
    return folder


def figures(folder: Path) -> dict[str, Any]:
    """Return a run's summary, and how its gold and KL went, step by step."""
    summary: dict[str, Any] = json.loads((folder / "report" / "summary.json").read_text())
    run = read_run(folder)
    episodes, golds = run.against("reward/gold_mean", "policy/episodes")
    return summary | {
        "kl_largest": max(run.series("kl/reference_mean"), default=None),
        "gold_last_of_best_tenth": last_of_best_tenth(golds),
        "gold_after_refits": after_refits(
            episodes, golds, run.reward_starts, summary["gold_base_std"]
        ),
    }


def last_of_best_tenth(golds: Sequence[float]) -> float | None:
    """Return the mean of the last tenth over that of the best; None where there are no tenths."""
    size = len(golds) // 10
    if not size:
        return None
    best = max(fmean(golds[i : i + size]) for i in range(0, len(golds) - size + 1, size))
    return fmean(last_part(golds, 10)) / best


def after_refits(
    episodes: Sequence[float],
    golds: Sequence[float],
    starts: Sequence[RewardStart],
    deviation: float,
) -> float | None:
    """Return how much better the 1,000 episodes after a refit are than those before it, at worst.

    None where there was no refit but the first, before which nothing was trained.

    Args:
        episodes: Trained by each step.
        golds: Mean gold of each step's responses.
        starts: Of the run's reward versions.
        deviation: Of ρ's gold, the unit of what is returned.
    """

    def mean(first: float, last: float) -> float | None:
        found = [gold for n, gold in zip(episodes, golds, strict=True) if first <= n < last]
        return fmean(found) if found else None

    changes = []
    for start in starts:
        before = mean(start.episodes - SPAN, start.episodes)
        after = mean(start.episodes, start.episodes + SPAN)
        if start.is_refit and before is not None and after is not None:
            changes.append((after - before) / deviation)
    return min(changes, default=None)


def table(runs: Sequence[tuple[str, dict[str, Any]]]) -> str:
    """Return the figures as a Markdown table, a column a run; what is unknown is a dash."""
    lines = [
        "| figure | " + " | ".join(name for name, _ in runs) + " |",
        "| --- |" + " ---: |" * len(runs),
    ]
    for key, form in FIGURES:
        cells = ["–" if run[key] is None else form.format(run[key]) for _, run in runs]
        lines.append(f"| `{key}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Run what the command line asks for and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--modes", nargs="+", choices=["online", "offline"], default=["online"])
    parser.add_argument("--folders", type=Path, nargs="+", help="runs to read; none is made")
    arguments = parser.parse_args()
    folders = {folder.name: folder for folder in arguments.folders or ()} or {
        f"{mode}, seed {seed}": run_demo(mode, seed)
        for mode in arguments.modes
        for seed in arguments.seeds
    }
    runs = [(name, figures(folder)) for name, folder in folders.items()]
    sys.stdout.write(table(runs) + "\n")


if __name__ == "__main__":
    main()
