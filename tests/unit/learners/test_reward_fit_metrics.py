"""The figures of a reward fit against an oracle that goes comparison by comparison.

The learning rates are next to nothing, so that the model judged is known: ρ and the heads drawn.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from learners.config import RewardFitConfig
from learners.reward_fit import RewardTrainer
from protocol.fits import Comparison
from reward_service.bundle import load_bundle
from reward_service.config import RewardModelConfig
from tests.support import learner_inputs as inputs
from tests.support.metric_proofs import proves
from tests.support.plain_engine import PlainEngine
from tests.support.plain_learners import PlainReward

STILL = RewardFitConfig(
    lr=1e-12, warm_lr=1e-12, batch_size=4, warm_batch_size=4, seed=inputs.SEED, bootstrap=False
)
MODEL = RewardModelConfig(num_heads=2)


@pytest.fixture
def trainer(model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RewardTrainer:
    return make(model_folder, tmp_path, monkeypatch, STILL)


def make(
    model_folder: Path, root: Path, monkeypatch: pytest.MonkeyPatch, fit: RewardFitConfig
) -> RewardTrainer:
    monkeypatch.setattr("learners.reward_fit.Engine", PlainEngine)
    return RewardTrainer(
        policy_path=model_folder,
        model=MODEL,
        fit=fit,
        deepspeed=inputs.engine_config(1, 0),
        root=root / "reward",
        reference_sequences=inputs.reference_sequences(),
        clock=lambda: 0.0,
    )


@pytest.fixture
def oracle(model_folder: Path) -> PlainReward:
    return PlainReward(model_folder, MODEL, STILL, inputs.reference_sequences())


def probabilities(oracle: PlainReward, each: Comparison) -> tuple[int, float]:
    """The candidate of the highest mean score, and its probability averaged over the heads."""
    with torch.no_grad():
        raw = [oracle.raw(each.prompt_token_ids + y) for y in each.candidate_token_ids]
    scores = torch.stack(raw) * oracle.training_gain
    top = int(scores.mean(dim=1).argmax())
    return top, float(scores.softmax(dim=0)[top].mean())


def best(each: Comparison) -> int | None:
    """The labeler's best candidate; None for a tie."""
    if each.outcome == "ranking":
        assert each.ranking is not None
        return each.ranking[0]
    return each.choice


def share_of_hits(oracle: PlainReward, comparisons: list[Comparison]) -> float:
    decided = [each for each in comparisons if best(each) is not None]
    return sum(probabilities(oracle, each)[0] == best(each) for each in decided) / len(decided)


@proves("reward_model/loss", "reward_model/train_accuracy")
def test_loss_and_accuracy_are_of_what_the_fit_had_not_learned(
    trainer: RewardTrainer, oracle: PlainReward
) -> None:
    request = inputs.fit_request(count=11)
    version = trainer.fit(request)
    assert version is not None
    reliability = dict(request.labeler_weights)
    with torch.no_grad():
        losses = [
            float(oracle.loss(each, reliability.get(each.labeler_id, 1.0)).mean())
            for each in request.comparisons
        ]
    assert version.metrics["reward_model/loss"] == pytest.approx(sum(losses) / 11, rel=1e-4)
    expected = share_of_hits(oracle, list(request.comparisons))
    assert version.metrics["reward_model/train_accuracy"] == pytest.approx(expected)


@proves(
    "reward_model/validation_accuracy",
    "reward_model/validation_accuracy_current_policy",
    "reward_model/validation_labels",
    "reward_model/validation_labels_current_policy",
    "reward_model/ece",
)
def test_the_version_before_is_judged_on_what_no_version_has_learned(
    trainer: RewardTrainer, oracle: PlainReward
) -> None:
    trainer.fit(inputs.fit_request(count=8))
    request = inputs.fit_request("warm", count=40, first=4)
    # Of every three queries one shows ρ beside π.
    mixed = tuple(
        replace(each, policy_versions=(0, *each.policy_versions[1:])) if each.seq % 3 == 0 else each
        for each in request.comparisons
    )
    version = trainer.fit(replace(request, comparisons=mixed))
    assert version is not None
    fresh = [each for each in mixed if each.seq >= 8]  # q4 … q7 were learned
    metrics = version.metrics
    groups = {
        "": [each for each in fresh if each.purpose == "validation"],
        "_current_policy": [each for each in fresh if 0 not in each.policy_versions],
    }
    decided = [each for each in fresh if best(each) is not None]
    for which, asked in groups.items():
        expected = share_of_hits(oracle, asked)
        assert metrics[f"reward_model/validation_accuracy{which}"] == pytest.approx(expected)
        num_decided = sum(each in decided for each in asked)
        assert 0 < metrics[f"reward_model/validation_labels{which}"] == num_decided
    bins: dict[int, list[tuple[float, bool]]] = {}
    for each in decided:
        top, probability = probabilities(oracle, each)
        bins.setdefault(int(10 * probability), []).append((probability, top == best(each)))
    error = sum(abs(sum(hit - p for p, hit in found)) for found in bins.values()) / len(decided)
    assert metrics["reward_model/ece"] == pytest.approx(error, abs=1e-5)


@proves("reward_model/correlation_with_previous")
def test_two_versions_are_compared_on_the_samples_that_normalise_them(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make(model_folder, tmp_path, monkeypatch, inputs.REWARD_FIT)
    first, second = trainer.fit(inputs.fit_request()), trainer.fit(inputs.fit_request(count=7))
    assert first is not None
    assert second is not None
    assert "reward_model/correlation_with_previous" not in first.metrics
    means = []
    for version in (first, second):
        model = load_bundle(Path(version.path)).model
        with torch.no_grad():
            scores = [
                model.normalised(model(torch.tensor([ids]), torch.ones(1, len(ids)).long())).mean()
                for ids in inputs.reference_sequences()
            ]
        means.append(torch.stack(scores))
    x, y = (each - each.mean() for each in means)
    expected = float((x * y).sum() / (x.norm() * y.norm()))
    assert -1.0 < expected < 1.0
    assert second.metrics["reward_model/correlation_with_previous"] == pytest.approx(
        expected, abs=1e-4
    )
