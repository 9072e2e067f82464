"""`examples/tasks/summaries`, made small: articles summed up, in a whole run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from actors.prompts.articles import SUFFIX
from cluster.config_file import load_config
from cluster.report.records import read_run
from examples.tasks.drawing import draw
from examples.tasks.summaries.__main__ import CONFIG, fresh_articles
from label_queue.simulated.gold.summaries import SummariesGold
from tests.support.small_task import run_small

pytestmark = [pytest.mark.timeout(1800), pytest.mark.long]

SETTINGS = ("labels.total=40", "labels.initial=16", "kl.horizon_episodes=320")


@pytest.fixture(scope="module")
def folder(tasks: Path) -> Path:
    return run_small("summaries", tasks, SETTINGS)


def test_it_ends_with_every_label_and_a_report(folder: Path) -> None:
    summary: dict[str, Any] = json.loads((folder / "report" / "summary.json").read_text())
    assert summary["episodes"] == 128
    assert summary["labels_acknowledged"] == summary["labels_in_ledger"] >= 36
    assert (folder / "report" / "index.html").exists()


def test_prompts_are_articles_and_metrics_show_the_gold_that_labelers_judge_by(
    folder: Path,
) -> None:
    run, gold = read_run(folder), SummariesGold()
    shown = run.series("reward/gold_mean")
    assert len(shown) == 4
    for step, mean in enumerate(shown, start=1):
        trained = [rollout for rollout in run.trained if rollout.step == step]
        assert all(rollout.prompt.endswith(f" . {SUFFIX}") for rollout in trained)
        scores = [gold.score(rollout.prompt, rollout.text) for rollout in trained]
        assert mean == pytest.approx(sum(scores) / len(scores), abs=1e-6)


def test_people_see_summaries_that_ended_and_choose_the_best(folder: Path) -> None:
    run, gold = read_run(folder), SummariesGold()
    chosen = [label for label in run.labels if label.outcome == "choice"]
    assert len(chosen) >= 36
    for label in chosen:
        query = run.label_side.board.queries[label.query_id]
        assert {each.finish_reason for each in query.candidates} == {"end"}
        scores = {
            each.candidate_id: gold.score(query.prompt_text, each.text) for each in query.candidates
        }
        assert scores[str(label.choice)] == max(scores.values())


def test_the_policy_that_came_of_it_sums_up_other_articles(folder: Path) -> None:
    prompts = [each.prompt for each in fresh_articles(40)]
    drawn = draw(folder / "policy" / "final", prompts, load_config(CONFIG).response, seed=1)
    assert sum(each.is_complete for each in drawn) > 20
    assert all("<eos>" not in each.text for each in drawn if each.is_complete)
