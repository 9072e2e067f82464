"""`examples/tasks/style` and `spans`, made small, as one whole run.

Each is the demo with something beside it: labelers of another taste, and labelers who mark words,
whose marks reach the policy. The run has both, and a judge as `judges` has two.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cluster.config_file import load_config
from cluster.report.records import read_run
from label_queue.simulated.gold.descriptiveness import DescriptivenessGold
from reward_service.bundle_manifest import read_manifest
from tests.integration.conftest import Replay
from tests.support.small_task import TASKS, run_small

pytestmark = [pytest.mark.timeout(1800), pytest.mark.long]

STYLE = "labels.simulated.gold=descriptiveness"
SETTINGS = (
    "labels.total=40",
    "labels.initial=16",
    "kl.horizon_episodes=320",
    STYLE,
    "labels.validation_share=0.4",
    'labelers=[{name = "robot", beta = 1e6, seconds_per_label = 0.05, marks = 1.0}, '
    '{name = "judge", beta = 1e6, seconds_per_label = 0.05, marks = 1.0}]',
    'judges=["judge"]',
    'recording.record=["batches", "scores", "labels"]',
)


@pytest.fixture(scope="module")
def folder(tasks: Path) -> Path:
    return run_small("spans", tasks, SETTINGS)


def test_a_run_of_spans_with_the_taste_of_style_is_one_of_style_with_the_marks_of_spans() -> None:
    marks = ("run.name=marked", "ppo.mark_coefficient=0.1")
    style = load_config(TASKS / "style" / "run.toml", [*marks, "reward_model.marks={}"])
    marking = tuple(each.model_copy(update={"marks": 0.5}) for each in style.labelers)
    spans = load_config(TASKS / "spans" / "run.toml", [STYLE])
    assert style.model_copy(update={"labelers": marking}) == spans


def test_it_ends_with_every_label_and_a_report(folder: Path) -> None:
    summary: dict[str, Any] = json.loads((folder / "report" / "summary.json").read_text())
    assert summary["episodes"] == 128
    assert summary["labels_acknowledged"] == summary["labels_in_ledger"] >= 36
    assert (folder / "report" / "index.html").exists()


def test_nothing_that_the_judge_said_was_learned_and_all_of_it_is_told(folder: Path) -> None:
    run, summary = read_run(folder), json.loads((folder / "report" / "summary.json").read_text())
    queries = run.label_side.board.queries
    judged = [label for label in run.labels if label.labeler_id == "judge"]
    assert judged
    assert {queries[label.query_id].purpose for label in judged} == {"validation"}
    for version in run.rewards:
        assert [name for name, _ in version.labeler_weights] == ["robot"]
        seqs = {seq for first, last in version.learned or () for seq in range(first, last + 1)}
        assert seqs
        assert seqs.isdisjoint(label.seq for label in judged)
    assert run.series("labels/counted")[-1] == len(run.training)
    assert summary["judged_queries"] > 0
    for live, told in (("winrate_judges", "judges"), ("winrate_gap", "gap")):
        assert run.series(f"policy/{live}")[-1] == summary[f"judged_winrate_{told}_recent"]
    shown = [each for label in judged for each in queries[label.query_id].candidates]
    assert {each.candidate_id for each in shown} & run.candidate_scores.keys()
    assert summary["score_items_judges"] > 0


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


def test_the_labels_carry_marks_and_every_fit_learns_them(folder: Path) -> None:
    run = read_run(folder)
    assert sum(bool(each.marks) for each in run.training) >= len(run.training) / 2
    assert run.rewards
    for version in run.rewards:
        assert 0.0 <= version.metrics["reward_model/mark_accuracy"] <= 1.0
        assert version.metrics["reward_model/mark_loss"] > 0.0
        assert read_manifest(Path(version.path)).reward_model.marks is not None


def test_every_step_pays_for_marks(folder: Path) -> None:
    paid = read_run(folder).series("reward/mark_pay")
    assert len(paid) == 4
    assert any(paid)


@pytest.mark.parametrize("part", ["learner", "reward-service", "reward-trainer", "label-queue"])
def test_what_crossed_a_process_with_marks_is_replayed(
    folder: Path, part: str, replay: Replay
) -> None:
    code, said = replay(folder, "--part", part)
    assert code == 0, said
