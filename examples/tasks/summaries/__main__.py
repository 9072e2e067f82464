"""Policies that sum up news articles, beside lead-3 and the references; see README.md.

    python -m examples.tasks.summaries
    python -m examples.tasks.summaries --modes online --seeds 1 2 3
    python -m examples.tasks.summaries --modes

Both base models of each seed are made first, then each run is a whole run of Andon in a folder of
its own under `runs/summaries/`, named for its recipe, one after the other; with no mode there is
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

from actors.prompts.articles import Article, article
from benchmarks.kept_results import KeptResults
from cluster.config import RunConfig
from cluster.config_file import load_config
from cluster.run import RUNS
from examples.tasks.judging import Judge
from examples.tasks.measures import mean_of, table
from examples.tasks.summaries.figure import draw
from examples.tasks.summaries.measures import Measures
from examples.tasks.whole_run import Case, config_of, seeded, start_of

CONFIG = Path(__file__).parent / "run.toml"
FOLDER = RUNS / "summaries"
MODES = ("online", "batched")
NUM_ARTICLES = 1_000
"""Fresh ones, which every system sums up."""
KEY = ("system", "recipe", "seed", "articles")
"""What measures are kept by: the recipe is the digest of the policy's config."""

COLUMNS: Mapping[str, Callable[[Measures], str]] = {
    "gold": lambda m: f"{m.gold:+.2f}",
    "wins, gold": lambda m: f"{m.win_gold:.0%}",
    "wins, labelers": lambda m: f"{m.win_labelers:.0%}",
    "ROUGE-1": lambda m: f"{100 * m.rouge1:.1f}",
    "-2": lambda m: f"{100 * m.rouge2:.1f}",
    "-L": lambda m: f"{100 * m.rougeL:.1f}",
    "facts true": lambda m: f"{m.true_facts:.1%}",
    "wholly true": lambda m: f"{m.wholly_true:.0%}",
    "covered": lambda m: f"{m.covered:.0%}",
    "words": lambda m: f"{m.words:.1f}",
    "novel 3-grams": lambda m: f"{m.novel_3:.0%}",
    "longest copy": lambda m: f"{m.longest_copy:.1f}",
    "sentences copied": lambda m: f"{m.sentences_copied:.0%}",
    "ended": lambda m: f"{m.finished:.0%}",
}
"""The table's columns; wins are over the references."""


def case_of(mode: str, seed: int) -> Case:
    """Return the run of a mode, one of `MODES`, and a seed."""
    changed = {"run.name": f"summaries-{mode}", "run.mode": mode}
    return Case(file=CONFIG, series=FOLDER, name=mode, seed=seed, changed=changed)


def starts(seed: int) -> dict[str, RunConfig]:
    """Return the configs whose base models are the policies before any label, of a seed.

    The *zero-shot* one has read articles of which only a few had a summary; the *supervised* one,
    which every run of the seed starts from, an article with a summary each.
    """
    config = config_of(CONFIG, seeded(seed))
    recipe = config.base_model
    assert recipe is not None, "the task's config makes its own"
    whole = recipe.training.model_copy(update={"loss_after": ""})
    plain = recipe.model_copy(update={"texts": "articles", "training": whole})
    return {"zero-shot": config.model_copy(update={"base_model": plain}), "supervised": config}


def fresh_articles(count: int) -> list[Article]:
    """Return articles that nothing was trained on."""
    return [article(random.Random(f"judged-{number}")) for number in range(count)]


def judge_of(count: int) -> Judge[Article, Measures]:
    """Return who measures systems by their summaries of so many fresh articles."""
    given, results = fresh_articles(count), KeptResults(FOLDER / "results.jsonl", KEY)
    return Judge(given, lambda each: each.prompt, Measures.of, Measures.kept, results)


def main() -> None:
    """Run what the command line asks for, print the table and draw the figure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--modes", nargs="*", choices=MODES, default=list(MODES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--articles", type=int, default=NUM_ARTICLES)
    chosen = parser.parse_args()
    config = load_config(CONFIG)
    judge = judge_of(chosen.articles)
    systems = {
        "references": [judge.written(lambda each: each.reference, config)],
        "lead-3": [judge.written(lambda each: each.lead, config)],
    }
    for seed in chosen.seeds:
        for name, start in starts(seed).items():
            measured = judge.policy(name, seed, start, partial(start_of, start))
            systems.setdefault(name, []).append(measured)
    cases = {mode: [case_of(mode, seed) for seed in chosen.seeds] for mode in chosen.modes}
    for mode, of_seeds in cases.items():
        for case in of_seeds:
            case.run()
        systems[mode] = [
            judge.policy(mode, case.seed, case.config, case.policy) for case in of_seeds
        ]
    click.echo(table(COLUMNS, systems, "summaries"))
    picture = FOLDER / "summaries.png"
    curves = {mode: [case.folder for case in of_seeds] for mode, of_seeds in cases.items()}
    draw(curves, {name: mean_of(each) for name, each in systems.items()}, picture)
    click.echo(f"\n{picture}")


if __name__ == "__main__":
    main()
