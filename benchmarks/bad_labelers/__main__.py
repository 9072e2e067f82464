"""Labelers of whom half are bad, over the real HTTP API, and rewards fitted to their labels.

    python -m benchmarks.bad_labelers
    python -m benchmarks.bad_labelers --honest-from 2 --gold agreed
    python -m benchmarks.bad_labelers --labelers 50 --labels 250 --seeds 5

In a session nobody is stopped, so that all ways to treat its labels can be compared; who would have
been, and when, the ledger says. With `--stopped` there are sessions that stop the bad, too.

Each seed is kept under `runs/bad-labelers/`; what is there already is read, not run again. The
tables are Markdown, as in docs/results/labelers.md. A seed of detection takes about half a minute
of one core, and one of fits about a minute.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click
import torch
from transformers import AutoTokenizer
from transformers.utils import logging as transformers_logging

from actors.prompts.grammar import review_corpus
from benchmarks.bad_labelers.detection import Detection, detections, later_gold, read_view
from benchmarks.bad_labelers.fits import RewardFits, fit_requests
from benchmarks.bad_labelers.questions import CLEAR_MARGIN
from benchmarks.bad_labelers.session import Plan, hold_session, quality
from benchmarks.bad_labelers.tables import (
    accuracy_table,
    detection_table,
    mistakes_line,
    trust_table,
)
from label_queue.quality_config import QualityConfig
from learners.base_model import train_base_model
from learners.engine import free_port, join_ranks, leave_ranks
from learners.text_config import BaseModelConfig, FromScratchConfig
from protocol.fits import FitRequest

FOLDER = Path("runs/bad-labelers")
HOST = "127.0.0.1"
BASE_MODEL = BaseModelConfig(
    width=64,
    layers=2,
    num_texts=8_000,
    engine=FromScratchConfig(adam_betas=(0.9, 0.999), adam_eps=1e-5),
)
"""A base model of a tenth of the demo's size, so that many rewards can be fitted."""


class Experiment:
    """The sessions of one setting, each run once."""

    def __init__(self, plan: Plan) -> None:
        """Make the base model if it is not there yet. `join_ranks` comes first.

        Args:
            plan: Of every session, but for its seed and whom it stops.
        """
        self._plan = plan
        sizes = f"{plan.num_labelers}-labelers-{plan.num_candidates}-candidates"
        guard = "" if plan.honest_from is None else f"-honest-from-{plan.honest_from:g}"
        self._folder = FOLDER / f"{sizes}-{plan.labels}-labels-{plan.gold}-gold{guard}"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._base_model = FOLDER / "base-model"
        if not self._base_model.exists():
            draft = FOLDER / "base-model-draft"
            train_base_model(review_corpus(BASE_MODEL.num_texts, 1), BASE_MODEL, draft)
            draft.rename(self._base_model)
        self._tokenizer = AutoTokenizer.from_pretrained(self._base_model)

    def detect(self, seed: int) -> list[Detection]:
        """Return who was found out, and when, in a session that stops the bad."""
        return self._session(f"detection-{seed:03d}", seed, stops_the_bad=True)

    def unstopped(self, seed: int) -> list[Detection]:
        """Return who would be found out, and when, in a session that stops nobody."""
        return self._session(f"unstopped-{seed:03d}", seed, stops_the_bad=False)

    def weigh(self, seed: int) -> dict[str, float]:
        """Return everybody's reliability after a session that stops nobody."""
        found = self._once(
            f"weighed-{seed:03d}", lambda: dict(self._requests(seed)["weights"].labeler_weights)
        )
        return dict(found)

    def later_gold(self, seed: int) -> dict[str, float]:
        """Return the share of gold in everybody's later labels, in a session that stops nobody."""
        path = self._folder / f"unstopped-{seed:03d}" / "ledger.sqlite"
        first = QualityConfig().gold.first_tasks
        return dict(self._once(f"gold-{seed:03d}", lambda: later_gold(read_view(path), first)))

    def fit(self, seed: int) -> dict[str, float]:
        """Return the accuracy of each treatment's reward, of a session that stops nobody."""

        def fit() -> dict[str, float]:
            fits = RewardFits(self._base_model, self._tokenizer, seed)
            requests = self._requests(seed)
            return {name: fits.accuracy(request) for name, request in requests.items()}

        return dict(self._once(f"fits-{seed:03d}", fit))

    def _requests(self, seed: int) -> dict[str, FitRequest]:
        found = self.unstopped(seed)
        folder = self._folder / f"unstopped-{seed:03d}"
        view = read_view(folder / "ledger.sqlite")
        return fit_requests(view, found, quality(folder / "gold.jsonl", stops_the_bad=True))

    def _session(self, name: str, seed: int, *, stops_the_bad: bool) -> list[Detection]:
        """Return who was found out in a session, running it if need be."""
        found = self._once(
            name, lambda: [asdict(each) for each in self._hold(seed, name, stops_the_bad)]
        )
        return [Detection(**{**each, "flags": tuple(each["flags"])}) for each in found]

    def _hold(self, seed: int, name: str, stops_the_bad: bool) -> list[Detection]:
        folder = self._folder / name
        shutil.rmtree(folder, ignore_errors=True)  # what an interrupted session left
        folder.mkdir()
        plan = replace(self._plan, seed=seed, stops_the_bad=stops_the_bad)
        asyncio.run(hold_session(folder, plan, self._tokenizer))
        view = read_view(folder / "ledger.sqlite")
        return detections(view, quality(folder / "gold.jsonl", stops_the_bad=True))

    def _once(self, name: str, make: Callable[[], Any]) -> Any:
        """Return what was made under a name, making it if need be."""
        path = self._folder / f"{name}.json"
        if not path.exists():
            started = time.monotonic()
            made = make()
            path.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
            click.echo(f"{name}: {time.monotonic() - started:.0f} s", err=True)
        return json.loads(path.read_text(encoding="utf-8"))


def main() -> None:
    """Run what the command line asks for and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20, help="sessions that stop nobody")
    parser.add_argument("--no-fits", action="store_true", help="fit no rewards to their labels")
    parser.add_argument("--stopped", type=int, default=0, help="sessions that stop the bad")
    parser.add_argument("--labelers", type=int, default=10, help="in all, a multiple of ten")
    parser.add_argument("--labels", type=int, default=300, help="of each labeler, at most")
    parser.add_argument("--candidates", type=int, default=2, help="of a query")
    parser.add_argument(
        "--gold",
        choices=("clear", "agreed"),
        default="clear",
        help="made of plain questions, or of such as others, of which three chose the same",
    )
    parser.add_argument(
        "--honest-from",
        type=float,
        metavar="LEAD",
        help="adversaries answer honestly where the best candidate leads by so much "
        f"(all clear gold does by {CLEAR_MARGIN:g})",
    )
    arguments = parser.parse_args()
    if arguments.labelers < 10 or arguments.labelers % 10:
        parser.error(f"--labelers {arguments.labelers}: want a multiple of ten")
    torch.set_num_threads(1)
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    join_ranks(0, 1, HOST, free_port(HOST))
    experiment = Experiment(
        Plan(
            seed=0,
            num_labelers=arguments.labelers,
            labels=arguments.labels,
            num_candidates=arguments.candidates,
            gold=arguments.gold,
            honest_from=arguments.honest_from,
            stops_the_bad=False,
        )
    )
    if arguments.stopped:
        stopped = [experiment.detect(seed) for seed in range(1, arguments.stopped + 1)]
        click.echo(f"{detection_table(stopped)}\n\n{mistakes_line(stopped)}\n")
    seeds = range(1, arguments.seeds + 1)
    found = [experiment.unstopped(seed) for seed in seeds]
    if found:
        click.echo(f"{detection_table(found)}\n\n{mistakes_line(found)}\n")
        weighed = [experiment.weigh(seed) for seed in seeds]
        click.echo(trust_table(weighed, found, [experiment.later_gold(each) for each in seeds]))
    if not arguments.no_fits and found:
        click.echo(f"\n{accuracy_table([experiment.fit(seed) for seed in seeds])}")
    leave_ranks()


if __name__ == "__main__":
    main()
