"""Policies that answer the last turn of a dialogue, with and without demonstrations; see README.md.

    python -m examples.tasks.dialogue
    python -m examples.tasks.dialogue --coefficients 0 0.1 1 --seeds 1 2 3
    python -m examples.tasks.dialogue --coefficients

The base model of each seed is made first, then each run is a whole run of Andon in a folder of its
own under `runs/dialogue/`, named for its recipe, one after the other; with no coefficient there is
none. A run that is there already is not run again, one that was stopped goes on, and measures are
kept, of a recipe each. The table is Markdown; the figure lies in the same folder.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import click

from actors.prompts.dialogues import Booking, Dialogue, confirmation, dialogue
from benchmarks.kept_results import KeptResults
from cluster.run import RUNS
from examples.tasks.dialogue.figure import draw
from examples.tasks.dialogue.measures import Measures
from examples.tasks.judging import Judge
from examples.tasks.measures import mean_of, table
from examples.tasks.whole_run import Case, config_of, ptx_case, seeded, start_of
from label_queue.simulated.gold.dialogues import things

CONFIG = Path(__file__).parent / "run.toml"
FOLDER = RUNS / "dialogue"
COEFFICIENTS = (0.0, 0.3)
"""γ: of RL alone, and of RL mixed with supervised updates."""
NUM_DIALOGUES = 1_000
"""Which every system answers."""
KEY = ("system", "recipe", "seed", "dialogues")
"""What measures are kept by: the recipe is the digest of the policy's config."""

COLUMNS: Mapping[str, Callable[[Measures], str]] = {
    "gold": lambda m: f"{m.gold:+.2f}",
    "wins, gold": lambda m: f"{m.win_gold:.0%}",
    "wins, labelers": lambda m: f"{m.win_labelers:.0%}",
    "right": lambda m: f"{m.right:.0%}",
    "outdated": lambda m: f"{m.outdated:.0%}",
    "wholly right": lambda m: f"{m.whole:.0%}",
    "words": lambda m: f"{m.words:.1f}",
    "ended": lambda m: f"{m.finished:.0%}",
}
"""The table's columns; wins are over the references."""


def case_of(coefficient: float, seed: int) -> Case:
    """Return the run of a γ and a seed."""
    return ptx_case(CONFIG, FOLDER, coefficient, seed)


def name_of(coefficient: float) -> str:
    """Return what tables and legends call a run."""
    return f"mixed, γ {coefficient:g}" if coefficient else "RL alone"


def fresh_dialogues(count: int) -> list[Dialogue]:
    """Return the first so many of the dialogues that every system answers."""
    return [dialogue(random.Random(f"judged-{number}")) for number in range(count)]


def of_last_turn(each: Dialogue) -> str:
    """Return the answer of one who heard the last turn alone."""
    heard: Booking = {said.slot: said.word for said in things(each.turns[-1].content)}
    return confirmation(heard)


def judge_of(count: int) -> Judge[Dialogue, Measures]:
    """Return who measures systems by their answers to so many fresh dialogues."""
    given, results = fresh_dialogues(count), KeptResults(FOLDER / "results.jsonl", KEY)
    return Judge(given, lambda each: each.turns, Measures.of, Measures.kept, results)


def main() -> None:
    """Run what the command line asks for, print the table and draw the figure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--coefficients", type=float, nargs="*", default=list(COEFFICIENTS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--dialogues", type=int, default=NUM_DIALOGUES)
    chosen = parser.parse_args()
    config = config_of(CONFIG, {})
    judge = judge_of(chosen.dialogues)
    systems = {
        "references": [judge.written(lambda each: each.reference, config)],
        "last turn alone": [judge.written(of_last_turn, config)],
    }
    for seed in chosen.seeds:
        start = config_of(CONFIG, seeded(seed))
        measured = judge.policy("supervised", seed, start, partial(start_of, start))
        systems.setdefault("supervised", []).append(measured)
    cases = {
        name_of(coefficient): [case_of(coefficient, seed) for seed in chosen.seeds]
        for coefficient in chosen.coefficients
    }
    for name, of_seeds in cases.items():
        for case in of_seeds:
            case.run()
        systems[name] = [
            judge.policy(name, case.seed, case.config, case.policy) for case in of_seeds
        ]
    click.echo(table(COLUMNS, systems, "answers"))
    picture = FOLDER / "dialogue.png"
    curves = {name: [case.folder for case in of_seeds] for name, of_seeds in cases.items()}
    draw(curves, {name: mean_of(each) for name, each in systems.items()}, picture)
    click.echo(f"\n{picture}")


if __name__ == "__main__":
    main()
