"""`examples/tasks/style`, made small: labelers of another taste, in a whole run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cluster.report.records import read_run
from label_queue.simulated.gold.descriptiveness import DescriptivenessGold
from tests.support.small_task import run_small

pytestmark = pytest.mark.timeout(1800)

SETTINGS = ("labels.total=40", "labels.initial=16", "kl.horizon_episodes=320")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_small("style", tmp_path_factory.mktemp("style"), SETTINGS)


def test_it_ends_with_every_label_and_a_report(folder: Path) -> None:
    summary: dict[str, Any] = json.loads((folder / "report" / "summary.json").read_text())
    assert summary["episodes"] == 128
    assert summary["labels_acknowledged"] == summary["labels_in_ledger"] >= 36
    assert (folder / "report" / "index.html").exists()


def test_report_and_metrics_show_the_gold_that_labelers_judge_by(folder: Path) -> None:
    run, gold = read_run(folder), DescriptivenessGold()
    for rollout in run.reference[:20]:
        assert run.gold(rollout) == gold.score(rollout.prompt, rollout.text)
    shown = run.series("reward/gold_mean")
    for step, mean in enumerate(shown, start=1):
        trained = [rollout for rollout in run.trained if rollout.step == step]
        scores = [gold.score(rollout.prompt, rollout.text) for rollout in trained]
        assert mean == pytest.approx(sum(scores) / len(scores), abs=1e-6)
    assert len(shown) == 4


def test_a_labeler_who_never_errs_chose_what_describes_most(folder: Path) -> None:
    run, gold = read_run(folder), DescriptivenessGold()
    chosen = [label for label in run.labels if label.outcome == "choice"]
    assert len(chosen) >= 36
    for label in chosen:
        query = run.label_side.board.queries[label.query_id]
        scores = {
            each.candidate_id: gold.score(query.prompt_text, each.text) for each in query.candidates
        }
        assert scores[str(label.choice)] == max(scores.values())
