"""Each learner's whole path, and the reward service's, with the model on a device of its own.

What strays to another device fails here as it would on a GPU, and the figures are those of the CPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from learners import engine_state
from learners.comparisons import calibration_error
from learners.engine import Engine
from learners.ppo import PPOLearner
from learners.reference import FrozenCopy
from learners.reward_fit import RewardTrainer
from learners.supervised import SupervisedLearner
from learners.weight_average import WeightAverage
from reward_service.buckets import BatchLimits
from reward_service.bundle import load_bundle
from reward_service.config import RewardModelConfig
from reward_service.hot_swap import LiveModel
from reward_service.pretrained import load_causal_model, load_tokenizer
from tests.support import learner_inputs as inputs
from tests.support.plain_engine import PlainEngine
from tests.support.policy_learner import policy_learner_of
from tests.support.present import digest_of, present
from tests.support.second_device import SECOND, Strayed, is_second, second_device


class EngineElsewhere(PlainEngine):
    device = SECOND


@pytest.fixture(params=[PlainEngine, EngineElsewhere], ids=["cpu", "elsewhere"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[type]:
    for module in ("ppo", "reward_fit", "supervised"):
        monkeypatch.setattr(f"learners.{module}.Engine", request.param)
    if request.param is PlainEngine:
        yield request.param
    else:
        with second_device():
            yield request.param


FIGURES: dict[str, object] = {}
"""Of the first run of a path, which is the CPU's."""


def same_as_on_cpu(path: str, figures: Any) -> None:
    assert figures == FIGURES.setdefault(path, figures)


def make_ppo(model_folder: Path, root: Path, **changes: Any) -> PPOLearner:
    return policy_learner_of(
        model_folder,
        root,
        ppo=inputs.WITH_TEXT,
        learner=inputs.averaging(inputs.engine_config(1, 0)),
        pretraining=inputs.pretraining(),
        **changes,
    )


def make_trainer(model_folder: Path, root: Path, **model: object) -> RewardTrainer:
    return RewardTrainer(
        policy_path=model_folder,
        model=RewardModelConfig.model_validate({"num_heads": 2, **model}),
        fit=inputs.REWARD_FIT,
        deepspeed=inputs.engine_config(1, 0),
        root=root / "reward",
        reference_sequences=inputs.reference_sequences(),
        clock=lambda: 0.0,
    )


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"critic": "separate"},
        {"objective": "naive", "whiten_rewards": False, "whiten_advantages": False},
    ],
    ids=["shared", "separate", "naive"],
)
def test_ppo_steps_checkpoints_and_goes_back(
    engine: Any, model_folder: Path, tmp_path: Path, changes: dict[str, object]
) -> None:
    learner = make_ppo(model_folder, tmp_path, **changes)
    first = learner.announce()
    reports = [learner.step(inputs.experience_batch(step)) for step in range(2)]
    restored = learner.restore(0)
    learner.save(tmp_path / "saved")
    assert first is not None
    assert restored is not None
    assert digest_of(restored.weights) == digest_of(first.weights)
    digests = [digest_of(report.policy.weights) for report in reports if report is not None]
    metrics = [report.metrics for report in reports if report is not None]
    same_as_on_cpu(f"ppo {changes}", (first.probe, digests, metrics))
    for name in ("saved", "saved_ema"):
        assert load_causal_model(tmp_path / name).device.type == "cpu"
    assert load_tokenizer(tmp_path / "saved") is not None
    learner.close()


@pytest.mark.parametrize(
    "model",
    [
        {},
        {"combine": "min"},
        {"combine": "mean_minus_variance", "variance_coefficient": 0.5},
        {"normalisation": "zero_at_reference", "normalisation_path": "given.jsonl"},
    ],
    ids=lambda model: str(model.get("combine") or model.get("normalisation") or "mean"),
)
def test_a_reward_is_fitted_updated_and_served(
    engine: Any, model_folder: Path, tmp_path: Path, model: dict[str, object]
) -> None:
    """A refit, a warm update that judges what it has not learned, another refit, and scores."""
    trainer = make_trainer(model_folder, tmp_path, **model)
    requests = [
        inputs.fit_request(count=11),
        inputs.fit_request("warm", count=9, first=11),
        inputs.fit_request(count=20),
    ]
    versions = [present(trainer.fit(request)) for request in requests]
    assert "reward_model/ece" in versions[1].metrics
    assert "reward_model/correlation_with_previous" in versions[2].metrics
    live = LiveModel(
        inputs.reference_sequences(),
        BatchLimits(max_tokens=64, max_sequences=4),
        engine.device,
    )
    live.swap(versions[2])
    answers = live.score([inputs.reference_sequences(), [(5, 6, 7)]])
    same_as_on_cpu(f"reward {model}", ([replace(v, path="") for v in versions], answers))
    trainer.close()


def test_a_critic_starts_from_a_bundle(engine: Any, model_folder: Path, tmp_path: Path) -> None:
    version = present(make_trainer(model_folder, tmp_path).fit(inputs.fit_request()))
    learner = make_ppo(model_folder, tmp_path, critic="separate", critic_path=version.path)
    report = learner.step(inputs.experience_batch(0))
    assert report is not None
    same_as_on_cpu("critic from a bundle", report.metrics)


def test_texts_are_learned(engine: Any, model_folder: Path, tmp_path: Path) -> None:
    learner = SupervisedLearner(
        load_causal_model(model_folder), inputs.SUPERVISED, inputs.engine_config(1, 0)
    )
    losses = learner.train(inputs.blocks())
    assert learner.save(tmp_path / "saved", load_tokenizer(model_folder))
    same_as_on_cpu("supervised", losses)


def test_a_bundle_loads_on_the_cpu_whatever_it_was_written_from(
    engine: Any, model_folder: Path, tmp_path: Path
) -> None:
    version = present(make_trainer(model_folder, tmp_path).fit(inputs.fit_request()))
    model = load_bundle(Path(version.path)).model
    assert not any(is_second(x) for x in model.state_dict().values())


def test_an_engine_is_restored_where_its_weights_are() -> None:
    """Moments lie beside the weights, counts of steps on the CPU, and what is kept on the CPU."""
    with second_device():
        module = torch.nn.Linear(3, 2).to(SECOND)
        engine = _Engine(module)
        engine.learn()
        state = engine_state.copied(engine_state.state_of(engine))
        assert not any(is_second(x) for x in state.values())
        engine.learn()
        after = {name: x.cpu() for name, x in module.state_dict().items()}
        other = _Engine(torch.nn.Linear(3, 2).to(SECOND))
        engine_state.restore(other, state)
        other.learn()
        for name, x in other.module.state_dict().items():
            assert torch.equal(x.cpu(), after[name])


def test_a_reference_rests_on_the_host_and_comes_back(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("learners.ppo.Engine", EngineElsewhere)
    with second_device():
        learner = make_ppo(model_folder, tmp_path)
        learner.step(inputs.experience_batch(0))
        reference = learner._reference
        assert isinstance(reference, FrozenCopy)
        weights = list(reference._model.parameters())
        learner.rest()
        assert not any(map(is_second, weights))
        learner.wake()
        assert all(map(is_second, weights))
        learner.step(inputs.experience_batch(1))


def test_what_deepspeed_does_not_move_rests_on_the_host_and_comes_back() -> None:
    with second_device():
        module = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 2)).to(SECOND)
        module[0].requires_grad_(False)
        engine: Any = object.__new__(Engine)
        engine._engine = SimpleNamespace(module=module)
        engine._average = WeightAverage(list(module[1].parameters()), 0.5)
        for device in (torch.device("cpu"), SECOND):
            engine._move_others(device)
            moved = [*module[0].parameters(), *engine._average.state().values()]
            assert [is_second(x) for x in moved] == [device == SECOND] * 4
            assert all(is_second(x) for x in module[1].parameters())  # are DeepSpeed's to move


def test_a_calibration_error_is_counted_where_its_numbers_are() -> None:
    with second_device():
        confidence = torch.tensor([0.6, 0.7, 0.9], device=SECOND)
        hit = torch.tensor([True, False, True], device=SECOND)
        # Bins 6, 7 and 9 of ten: (0.4 + 0.7 + 0.1) / 3.
        assert calibration_error(confidence, hit) == pytest.approx(0.4)


def test_a_tensor_that_strays_is_found(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("learners.reward_fit.Engine", EngineElsewhere)
    with second_device():
        trainer = make_trainer(model_folder, tmp_path)
        trainer.fit(inputs.fit_request())
        heads = present(trainer._engine).module.heads
        heads.bias.data = heads.bias.data.cpu()
        with pytest.raises(Strayed):
            trainer.fit(inputs.fit_request("warm", count=9, first=11))


class _Engine:
    """As much of DeepSpeed's as its state is read from."""

    def __init__(self, module: torch.nn.Module) -> None:
        self.module = module
        self.optimizer = torch.optim.AdamW(module.parameters(), lr=0.1)

    def learn(self) -> None:
        self.optimizer.zero_grad()
        self.module(torch.ones(4, 3, device=SECOND)).square().sum().backward()
        self.optimizer.step()
