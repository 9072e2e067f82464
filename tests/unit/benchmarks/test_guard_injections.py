"""Each injection breaks the system as it is called today, and breaks what its name says."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from typing import Any

import pytest
import torch

from actors.engine import Engine
from benchmarks.guard_injections.breaks import INJECTIONS, NAN_AT_CALL, SPOILED_FROM
from learners.collate import Responses
from learners.targets import Evaluation
from reward_service.buckets import BatchLimits
from tests.support.reward import write_reward_versions
from tests.support.tiny_model import save_tiny_model

SCORES = torch.tensor([2.0])
POLICY, REFERENCE, MASK = (
    torch.tensor([[-1.0, -2.0]]),
    torch.tensor([[-1.5, -4.0]]),
    torch.ones(1, 2),
)
BETA = 0.1


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Any:
    """The module that the injection of that name has patched, whole again after the test."""
    injection = INJECTIONS[request.param]
    assert injection.patch is not None
    module = importlib.import_module(injection.module)
    for name, value in list(vars(module).items()):
        if inspect.isroutine(value):
            monkeypatch.setattr(module, name, value)
        elif inspect.isclass(value) and "load" in vars(value):
            monkeypatch.setattr(value, "load", vars(value)["load"])
    injection.patch(module)
    return module


@pytest.mark.parametrize(
    ("broken", "paid"),
    [
        ("reward_sign", [[0.05, -1.8]]),
        ("score_sign", [[-0.05, -2.2]]),
        ("kl_sign", [[0.05, 2.2]]),
    ],
    indirect=["broken"],
)
def test_a_reward_is_turned(broken: Any, paid: list[list[float]]) -> None:
    rewards = broken.penalised_rewards(SCORES, POLICY, REFERENCE, MASK, BETA)
    torch.testing.assert_close(rewards, torch.tensor(paid))


@pytest.mark.parametrize("broken", ["kl_measured"], indirect=True)
def test_the_measured_kl_is_turned_and_nothing_else(broken: Any) -> None:
    lengths = torch.tensor([2])
    responses = Responses(
        **{
            field: {
                "behavior_logprobs": POLICY,
                "mask": MASK,
                "scores": SCORES,
                "lengths": lengths,
                "oldest_versions": torch.tensor([0]),
            }.get(field, torch.zeros(1, 2))
            for field in Responses.__dataclass_fields__
        }
    )
    evaluation = Evaluation(
        version=1,  # and the response is older
        proximal_logprobs=POLICY,
        reference_logprobs=REFERENCE,
        values=torch.zeros(1, 2),
        entropy=torch.zeros(1, 2),
    )
    assert broken.measured_kl(responses, evaluation, 2.0).tolist() == [-2.5]


@pytest.mark.parametrize("broken", ["nan_gradient"], indirect=True)
def test_one_loss_is_not_a_number(broken: Any) -> None:
    losses = [broken.value_loss(POLICY, POLICY, REFERENCE, 0.2) for _ in range(NAN_AT_CALL + 1)]
    assert [i for i, loss in enumerate(losses, start=1) if loss.isnan().any()] == [NAN_AT_CALL]


@pytest.mark.parametrize("broken", ["head_zeroed"], indirect=True)
def test_a_version_s_head_is_zeroed_as_a_replica_takes_it_in(broken: Any, tmp_path: Path) -> None:
    policy = save_tiny_model(tmp_path / "policy")
    versions = write_reward_versions(tmp_path / "reward", policy, SPOILED_FROM)
    live = broken.LiveModel(((4, 5, 6),), BatchLimits(max_tokens=64, max_sequences=8))
    spreads = []
    for version in versions:
        live.swap(version)
        (scores,) = live.score([[(5, 6, 7), (8,), (9, 10)]])
        spreads.append(max(each.value for each in scores) - min(each.value for each in scores))
    assert [spread > 0 for spread in spreads] == [True] * (SPOILED_FROM - 1) + [False]


@pytest.mark.parametrize("broken", ["weights_not_loaded"], indirect=True)
async def test_an_engine_says_it_took_weights_and_did_not(broken: Any) -> None:
    engine = object.__new__(broken.VllmEngine)  # one without a process: nothing of it is touched
    await engine.load(3, None)
    taken = inspect.signature(broken.VllmEngine.load).parameters
    assert taken.keys() == inspect.signature(Engine.load).parameters.keys()


def test_every_injection_is_one_that_is_tried_here_or_a_setting() -> None:
    tried = {
        "reward_sign",
        "score_sign",
        "kl_sign",
        "kl_measured",
        "nan_gradient",
        "head_zeroed",
        "weights_not_loaded",
    }
    assert {name for name, each in INJECTIONS.items() if each.patch is not None} == tried
