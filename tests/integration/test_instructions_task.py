"""`examples/tasks/instructions`, made small: rankings of six, and PPO-ptx in a whole run."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from actors.prompts.grammar import review_corpus
from cluster.report.records import read_run
from learners.pretraining import PretrainingBlocks
from learners.supervised import pack
from reward_service.pretrained import load_causal_model, load_tokenizer
from tests.support.patience import PATIENCE_S
from tests.support.run_process import andon
from tests.support.small_task import run_small

pytestmark = [pytest.mark.timeout(1800), pytest.mark.long]

SETTINGS = (
    "labels.total=24",
    "labels.initial=8",
    "pretraining.num_texts=1500",
    "pretraining.held_out_texts=40",
    'recording.record=["batches"]',
)


@pytest.fixture(scope="module")
def folder(tasks: Path) -> Path:
    return run_small("instructions", tasks, SETTINGS)


def test_people_are_asked_to_rank_six_and_every_ranking_is_learned_whole(folder: Path) -> None:
    run = read_run(folder)
    learned = [each for each in run.training if each.purpose == "train"]
    assert len(learned) >= 16
    for each in learned:
        assert each.outcome == "ranking"
        assert sorted(each.ranking or ()) == list(range(6))
    assert {each.kind for each in run.rewards} >= {"refit"}


def test_every_step_trains_on_text_and_measures_what_it_costs(folder: Path) -> None:
    run = read_run(folder)
    losses, taxes = run.series("policy/pretraining_loss"), run.series("policy/alignment_tax")
    assert len(run.series("policy/ptx_loss")) == len(losses) == len(taxes) == 4
    assert min(losses) > 0
    bases = [loss - tax for loss, tax in zip(losses, taxes, strict=True)]
    assert bases == pytest.approx([bases[0]] * 4, abs=1e-9)
    summary: dict[str, Any] = json.loads((folder / "report" / "summary.json").read_text())
    assert summary["alignment_tax_final"] == taxes[-1]
    assert summary["pretraining_loss_base"] == pytest.approx(bases[0])


def test_the_last_loss_is_that_of_the_policy_that_was_saved(folder: Path) -> None:
    """In plain transformers, on the texts that the generator writes next."""
    run = read_run(folder)
    tokenizer = load_tokenizer(folder / "policy" / "final")
    blocks = pack(review_corpus(1540, seed=1)[1500:], tokenizer, 64)
    model = load_causal_model(folder / "policy" / "final").eval()
    with torch.no_grad():
        losses = [float(model(input_ids=x[None], labels=x[None]).loss) for x in blocks]
    mean = sum(losses) / len(losses)
    # Products of its steps may be in bfloat16; see learner.matmul_dtype.
    assert run.series("policy/pretraining_loss")[-1] == pytest.approx(mean, abs=0.02)
    assert PretrainingBlocks.read(folder / "pretraining.safetensors").held_out.equal(blocks.int())


def test_the_average_of_the_versions_is_saved_beside_the_last(folder: Path) -> None:
    last, averaged = (
        load_file(folder / "policy" / name / "model.safetensors") for name in ("final", "final_ema")
    )
    assert last.keys() == averaged.keys()
    assert any(not last[name].equal(averaged[name]) for name in last)
    assert load_causal_model(folder / "policy" / "final_ema") is not None


def test_its_learner_is_replayed_bit_for_bit(folder: Path) -> None:
    done = subprocess.run(
        andon("replay", folder.name, "--part", "learner"),
        cwd=folder.parent,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "learner: 4 of 4 as recorded, bit for bit" in done.stdout
