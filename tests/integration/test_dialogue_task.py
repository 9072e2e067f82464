"""`examples/tasks/dialogue`, made small: chats whose last turn is judged, in a whole run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cluster.config_file import load_config
from cluster.report.records import read_run
from examples.tasks.dialogue.__main__ import CONFIG, fresh_dialogues
from examples.tasks.drawing import draw
from label_queue.simulated.gold.dialogues import DialoguesGold
from learners.pretraining import PretrainingBlocks
from protocol.chat import in_one_text
from reward_service.pretrained import load_tokenizer
from tests.integration.conftest import Replay
from tests.support.present import present
from tests.support.small_task import run_small

pytestmark = [pytest.mark.timeout(1800), pytest.mark.long]

SETTINGS = (
    "labels.total=40",
    "labels.initial=16",
    "kl.horizon_episodes=320",
    "pretraining.num_texts=1500",
    "pretraining.held_out_texts=40",
    "ppo.ptx.coefficient=0.3",
    'recording.record=["batches"]',
)


@pytest.fixture(scope="module")
def folder(tasks: Path) -> Path:
    return run_small("dialogue", tasks, SETTINGS)


def test_it_ends_with_every_label_and_a_report(folder: Path) -> None:
    summary: dict[str, Any] = json.loads((folder / "report" / "summary.json").read_text())
    assert summary["episodes"] == 128
    assert summary["labels_acknowledged"] == summary["labels_in_ledger"] >= 36
    assert (folder / "report" / "index.html").exists()


def test_prompts_are_chats_and_metrics_show_the_gold_that_labelers_judge_by(folder: Path) -> None:
    run, gold = read_run(folder), DialoguesGold()
    shown = run.series("reward/gold_mean")
    assert len(shown) == 4
    for step, mean in enumerate(shown, start=1):
        trained = [rollout for rollout in run.trained if rollout.step == step]
        assert all(rollout.prompt.startswith("user: ") for rollout in trained)
        scores = [gold.score(rollout.prompt, rollout.text) for rollout in trained]
        assert mean == pytest.approx(sum(scores) / len(scores), abs=1e-6)


def test_people_see_the_turns_and_choose_the_best_last_one(folder: Path) -> None:
    run, gold = read_run(folder), DialoguesGold()
    chosen = [label for label in run.labels if label.outcome == "choice"]
    assert len(chosen) >= 36
    for label in chosen:
        query = run.label_side.board.queries[label.query_id]
        roles = [turn.role for turn in query.prompt_messages]
        assert roles == ["user", "assistant", "user", "assistant", "user"]
        prompt = in_one_text(query.prompt_text, query.prompt_messages)
        scores = {each.candidate_id: gold.score(prompt, each.text) for each in query.candidates}
        assert scores[str(label.choice)] == max(scores.values())


def test_demonstrations_are_mixed_in_of_which_the_last_turn_counts(folder: Path) -> None:
    run = read_run(folder)
    assert len(run.series("policy/ptx_loss")) == len(run.series("policy/alignment_tax")) == 4
    blocks = PretrainingBlocks.read(folder / "pretraining.safetensors")
    tokenizer = load_tokenizer(folder / "policy" / "final")
    counted = present(blocks.train_counted)
    for block, of_block in zip(blocks.train[:40], counted[:40], strict=True):
        learned = tokenizer.decode(block[1:][of_block])
        assert learned.startswith(". assistant: ")
        assert learned.endswith(" . <eos>")


def test_the_policy_that_came_of_it_answers_other_dialogues(folder: Path) -> None:
    prompts = [each.turns for each in fresh_dialogues(40)]
    drawn = draw(folder / "policy" / "final", prompts, load_config(CONFIG).response, seed=1)
    assert sum(each.is_complete for each in drawn) > 20
    assert any("a table" in each.text for each in drawn)


def test_its_learner_is_replayed_bit_for_bit(folder: Path, replay: Replay) -> None:
    code, said = replay(folder, "--part", "learner")
    assert code == 0, said
    assert "learner: 4 of 4 as recorded, bit for bit" in said
