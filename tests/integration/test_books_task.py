"""`examples/tasks/books`, made small: passages, and summaries of summaries, in a whole run."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from actors.prompts.articles import SUFFIX
from cluster.report.records import read_run
from label_queue.simulated.gold.books import BooksGold
from protocol.labels import ComparisonQuery
from protocol.text_tree import TextNode
from tests.support.present import present
from tests.support.small_task import run_small

pytestmark = [pytest.mark.timeout(1800), pytest.mark.long]

SETTINGS = ("labels.total=40", "labels.initial=16", "kl.horizon_episodes=320")


@pytest.fixture(scope="module")
def folder(tasks: Path) -> Path:
    return run_small("books", tasks, SETTINGS)


def node_of(query: ComparisonQuery) -> TextNode:
    return present(query.prompt_node)


def test_it_ends_with_every_label_and_a_report(folder: Path) -> None:
    summary: dict[str, Any] = json.loads((folder / "report" / "summary.json").read_text())
    assert summary["episodes"] == 128
    assert summary["labels_acknowledged"] == summary["labels_in_ledger"] >= 36
    assert (folder / "report" / "index.html").exists()


def test_what_is_trained_on_above_is_what_was_written_below(folder: Path) -> None:
    run = read_run(folder)
    written = {rollout.text.strip() for rollout in run.trained}
    assert all(rollout.prompt.endswith(f" {SUFFIX}") for rollout in run.trained)
    above = [rollout for rollout in run.trained if "\n" in rollout.prompt]
    assert len(above) > 8
    for rollout in above:
        below = rollout.prompt.removesuffix(f" {SUFFIX}").split("\n")
        assert 2 <= len(below) <= 3
        assert set(below) <= written


def test_metrics_tell_passages_from_what_stands_above(folder: Path) -> None:
    run, gold = read_run(folder), BooksGold()
    by_step: dict[int, list[float]] = defaultdict(list)
    for rollout in run.trained:
        if "\n" not in rollout.prompt:
            by_step[rollout.step].append(gold.score(rollout.prompt, rollout.text))
    shown = run.series("reward/gold_mean_height_0")
    assert len(shown) == len(by_step) >= 3
    for mean, scores in zip(shown, (by_step[step] for step in sorted(by_step)), strict=True):
        assert mean == pytest.approx(sum(scores) / len(scores), abs=1e-6)
    assert run.series("reward/score_mean_height_1")


def test_people_are_asked_about_nodes_of_several_heights_and_each_label_says_which(
    folder: Path,
) -> None:
    side = read_run(folder).label_side
    queries = side.board.queries
    heights = {node_of(queries[name]).height for name in queries}
    assert {0, 1} <= heights
    for name in queries:
        query = queries[name]
        is_above = "\n" in query.prompt_text
        assert is_above == (node_of(query).height > 0)
        assert {each.finish_reason for each in query.candidates} == {"end"}
