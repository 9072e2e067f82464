"""Books summed up from their passages to the root, before and after labels; see README.md.

    python -m examples.tasks.books
    python -m examples.tasks.books --seeds 1 2 3
    python -m examples.tasks.books --seeds

The base model of each seed is made first, then each run is a whole run of Andon in a folder of its
own under `runs/books/`, named for its recipe, one after the other; with no seed there is none, and
only what people and the first sentences make of the books is measured. A run that is there already
is not run again, one that was stopped goes on, and measures are kept, of a recipe each. The table
is Markdown; the figure lies in the same folder.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import click

from actors.prompts.books import Book
from actors.prompts.node_prompts import NodePrompts
from benchmarks.kept_results import KeptResults
from cluster.config import RunConfig
from cluster.run import RUNS
from examples.tasks.books.climbing import SummedUp, Write, by_people, climb, fresh_books, lead
from examples.tasks.books.figure import draw
from examples.tasks.books.measures import Measures
from examples.tasks.drawing import draw as draw_summaries
from examples.tasks.measures import mean_of, table
from examples.tasks.whole_run import Case, config_of, digest_of, start_of
from learners.word_tokenizer import build_tokenizer
from protocol.tokenizing import PolicyTokenizer
from reward_service.pretrained import load_tokenizer

CONFIG = Path(__file__).parent / "run.toml"
FOLDER = RUNS / "books"
NUM_BOOKS = 300
"""Fresh ones, which every system sums up."""
KEY = ("system", "recipe", "seed", "books")
"""What measures are kept by: the recipe is the digest of the policy's config."""

COLUMNS: Mapping[str, Callable[[Measures], str]] = {
    "gold, passages": lambda m: f"{m.gold_passages:+.2f}",
    "parts": lambda m: f"{m.gold_parts:+.2f}",
    "wholes": lambda m: f"{m.gold_wholes:+.2f}",
    "of the book": lambda m: f"{m.gold_of_book:+.2f}",
    "wins, gold": lambda m: f"{m.win_gold:.0%}",
    "wins, labelers": lambda m: f"{m.win_labelers:.0%}",
    "news told": lambda m: f"{m.told:.0%}",
    "facts true of the prompt": lambda m: f"{m.true_of_prompt:.1%}",
    "true of the book": lambda m: f"{m.true_of_book:.1%}",
    "wholly true": lambda m: f"{m.wholly_true:.0%}",
    "words": lambda m: f"{m.words:.1f}",
    "ended": lambda m: f"{m.finished:.0%}",
}
"""The table's columns; wins are over people's summaries of the same books."""


def case_of(seed: int) -> Case:
    """Return the run of a seed."""
    return Case(file=CONFIG, series=FOLDER, name="online", seed=seed, changed={})


class Judge:
    """Measures systems on the same books, and keeps what was drawn from policies.

    Args:
        books: That are summed up.
        config: How they are cut up, and who labels.
        results: Kept measures, by `KEY`.
    """

    def __init__(self, books: Sequence[Book], config: RunConfig, results: KeptResults) -> None:
        self._books = books
        self._config = config
        self._results = results
        self._people = by_people(books, config.prompts.books)

    def people(self) -> Measures:
        """Measure the summaries that people wrote."""
        return self._measured(self._people)

    def written(self, write: Write) -> Measures:
        """Measure what a rule makes of each node."""
        words = build_tokenizer([made.text for made in self._books])
        return self._measured(self._climbed(PolicyTokenizer(words), write))

    def policy(self, name: str, seed: int, config: RunConfig, made: Callable[[], Path]) -> Measures:
        """Measure what a policy draws, one summary of each node.

        Args:
            name: What the table calls it.
            seed: Of what it draws.
            config: What it was made by; its responses end as that says.
            made: Returns its folder, once measures have to be made.
        """

        def measured() -> dict[str, float]:
            folder = made()
            write = partial(draw_summaries, folder, response=config.response, seed=seed)
            tokenizer = PolicyTokenizer(load_tokenizer(folder))
            return self._measured(self._climbed(tokenizer, write)).to_keep()

        key = (name, digest_of(config), seed, len(self._books))
        return Measures.kept(self._results.made(key, measured))

    def _climbed(self, tokenizer: PolicyTokenizer, write: Write) -> list[SummedUp]:
        cut = self._config.prompts.books
        return climb(self._books, cut, NodePrompts(tokenizer, cut), write)

    def _measured(self, found: Sequence[SummedUp]) -> Measures:
        return Measures.of(found, self._people, self._config.labelers)


def main() -> None:
    """Run what the command line asks for, print the table and draw the figure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="*", default=[1])
    parser.add_argument("--books", type=int, default=NUM_BOOKS)
    chosen = parser.parse_args()
    judge = Judge(
        fresh_books(chosen.books),
        config_of(CONFIG, {}),
        KeptResults(FOLDER / "results.jsonl", KEY),
    )
    systems = {"people": [judge.people()], "lead": [judge.written(lead)]}
    cases = [case_of(seed) for seed in chosen.seeds]
    for case in cases:
        start = judge.policy("supervised", case.seed, case.config, partial(start_of, case.config))
        systems.setdefault("supervised", []).append(start)
    for case in cases:
        case.run()
        systems.setdefault("online", []).append(
            judge.policy("online", case.seed, case.config, case.policy)
        )
    click.echo(table(COLUMNS, systems, "summaries"))
    picture = FOLDER / "books.png"
    means = {name: mean_of(each) for name, each in systems.items()}
    draw([case.folder for case in cases], means, picture)
    click.echo(f"\n{picture}")


if __name__ == "__main__":
    main()
