"""Runs the demo once for each injection and seed, until a guard stops it or it ends.

    python -m benchmarks.guard_injections --seeds 1 2 3
    python -m benchmarks.guard_injections --injections score_sign clean --seeds 1
    python -m benchmarks.guard_injections --quick

What runs is a copy of the newest commit, so that a series of hours is of one code, whatever is
edited meanwhile; the runs lie under `runs/guard-injections/COMMIT/`. Each result is a line of
`results/COMMIT.jsonl` beside this file; what is there already is read, not run again, so that an
interrupted series goes on, on another machine too; `--commit` goes on with that of an older one.
The table is Markdown, as in docs/results/faults.md. A run of the demo takes about ten minutes of
two cores; `--quick` is one injection in a run of a few steps, whose result stays beside its run.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.guard_injections.breaks import INJECTIONS
from benchmarks.kept_results import KeptResults
from benchmarks.programs import started
from cluster.metrics.jsonl_sink import read_metrics
from cluster.run_folder import RunFolder

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "runs" / "guard-injections"
RESULTS = Path(__file__).parent / "results"
POLL_S = 0.5
QUICK = "nan_gradient"
QUICK_SETTINGS = (
    "run.episodes=512",
    "base_model.num_texts=1500",
    "ppo.batch_size=32",
    "ppo.minibatches=4",
    "rollouts.num_actors=1",
    "reward_model.num_normalisation_samples=32",
    "labels.total=48",
    "labels.initial=16",
    "labels.ahead=4",
    "labels.refits=2",
)
"""A demo of a minute or two. Its 16 losses a step put the NaN into the third step, too."""


def _reasons(state: dict[str, Any]) -> list[dict[str, Any]]:
    return list((state.get("cord") or {}).get("reasons", []))


def guards_of(state: dict[str, Any]) -> list[str]:
    """Return the guards that hold the cord, by `run.json`."""
    return [each["guard"] for each in _reasons(state) if each["actor"] == "guard"]


def outcome_of(run: RunFolder, state: dict[str, Any]) -> dict[str, Any]:
    """Return what became of a run, from its folder."""
    rows = list(read_metrics(run.metrics)) if run.metrics.exists() else []
    golds = [row["reward/gold_mean"] for row in rows if "reward/gold_mean" in row]
    episodes = [row["policy/episodes"] for row in rows if "policy/episodes" in row]
    return {
        "guards": guards_of(state),
        "reasons": [each["reason"] for each in _reasons(state)],
        "ended_by": state.get("error", ""),
        "episodes": episodes[-1] if episodes else 0,
        "gold_first": golds[0] if golds else None,
        "gold_last": golds[-1] if golds else None,
        "gold_lost": max(golds) - golds[-1] if golds else None,
        "kept": sorted(path.name for path in run.guards.glob("*.json")),
    }


def copied_code(series: Path, commit: str) -> Path:
    """Return a folder with the code of a commit, whose runs are the repository's."""
    code = series / "code"
    if not code.exists():
        archive = subprocess.run(
            ["git", "archive", commit], cwd=ROOT, check=True, capture_output=True
        ).stdout
        draft = series / "draft"
        shutil.rmtree(draft, ignore_errors=True)
        with tarfile.open(fileobj=io.BytesIO(archive)) as files:
            files.extractall(draft, filter="data")
        (draft / "runs").symlink_to(ROOT / "runs")
        draft.rename(code)
    return code


def injected_run(
    name: str, seed: int, folder: Path, settings: Sequence[str], code: Path
) -> dict[str, Any]:
    """Run the demo, broken, until a guard has pulled the cord or it ends.

    Args:
        name: Of the injection.
        seed: Of the run.
        folder: The run's, to be made.
        settings: `--set` overrides.
        code: Folder of the code that runs.
    """
    injection = INJECTIONS[name]
    overrides = [
        part for setting in (*settings, *injection.settings) for part in ("--set", setting)
    ]
    startup = code / "benchmarks" / "guard_injections" / "startup"
    paths = (str(startup), str(code), os.environ.get("PYTHONPATH", ""))
    environment = {
        **os.environ,
        "ANDON_INJECTION": name,
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
    }
    command = [sys.executable, "-m", "cluster.cli", "demo", "--folder", str(folder)]
    log = folder.with_suffix(".log")
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as output:
        run, state = RunFolder(folder), dict[str, Any]()
        with started(
            [*command, "--seed", str(seed), *overrides],
            cwd=code,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        ) as process:
            while process.poll() is None:
                time.sleep(POLL_S)
                state = run.read_state() if run.state.exists() else {}
                if any(
                    each["actor"] == "guard"
                    for each in (state.get("cord") or {}).get("reasons", [])
                ):
                    break
            else:
                state = run.read_state() if run.state.exists() else {}
    return outcome_of(run, state)


def table(results: Sequence[dict[str, Any]]) -> str:
    """Return results as a Markdown table."""
    lines = [
        "| injection | seed | stopped by | episodes | gold at first | at the stop | lost |",
        "| --- | ---: | --- | ---: | ---: | ---: | ---: |",
    ]
    for each in results:
        stopped = ", ".join(each["guards"]) or each["ended_by"].partition(":")[0] or "nothing"
        golds = [
            "–" if each[key] is None else f"{each[key]:+.2f}"
            for key in ("gold_first", "gold_last", "gold_lost")
        ]
        lines.append(
            f"| {each['injection']} | {each['seed']} | {stopped} | {each['episodes']:.0f} | "
            f"{' | '.join(golds)} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Run what the command line asks for and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument(
        "--injections", nargs="+", choices=sorted(INJECTIONS), default=list(INJECTIONS)
    )
    parser.add_argument("--quick", action="store_true", help=f"only {QUICK}, in a very short run")
    parser.add_argument("--commit", default="HEAD", help="whose code runs")
    arguments = parser.parse_args()
    commit = subprocess.run(
        ["git", "rev-parse", "--short", arguments.commit],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    series = FOLDER / commit
    series.mkdir(parents=True, exist_ok=True)
    code = copied_code(series, commit)
    names, seeds = arguments.injections, arguments.seeds
    settings: tuple[str, ...] = ()
    if arguments.quick:
        names, seeds, settings = [QUICK], seeds[:1], QUICK_SETTINGS
    file = (series / "quick.jsonl") if arguments.quick else RESULTS / f"{commit}.jsonl"
    kept = KeptResults(file, ("injection", "seed"))

    def run(name: str, seed: int) -> dict[str, Any]:
        folder = series / f"{'quick-' if arguments.quick else ''}{name}-{seed}"
        shutil.rmtree(folder, ignore_errors=True)  # of a series that was interrupted
        return injected_run(name, seed, folder, settings, code)

    results = [
        kept.made((name, seed), partial(run, name, seed)) for seed in seeds for name in names
    ]
    sys.stdout.write(table(results) + "\n")


if __name__ == "__main__":
    main()
