"""Ranks, ZeRO stages, threads, the optimizer on the host: all agree with plain PyTorch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from tests.support import learner_inputs as inputs
from tests.support.plain_figures import plain_base_model, plain_ppo, plain_rewards
from tests.support.plain_learners import PlainPPO
from tests.support.rank_fixtures import ran_by_ranks

ENGINES = ("0", "2", "3", "0-float32-3", "2-float32-3", "offloaded-2")
SIDE_BY_SIDE = ("0-float32-3", "2-float32-3", "0-mixed-3")
ALONE = ("0-float32-1", "2-float32-1", "0-mixed-1")
"""The same passes, one after the other."""

ran = ran_by_ranks((*ENGINES, *ALONE, "0-mixed-3"))


@pytest.fixture(scope="session")
def ppo(tiny_model: Path) -> tuple[PlainPPO, list[dict[str, float]]]:
    return plain_ppo(tiny_model)


@pytest.fixture(scope="session")
def rewards(tiny_model: Path) -> list[tuple[dict[str, Tensor], float]]:
    return plain_rewards(tiny_model)


@pytest.mark.parametrize("engine", ENGINES)
def test_ppo(ran: Path, engine: str, ppo: tuple[PlainPPO, list[dict[str, float]]]) -> None:
    plain, metrics = ppo
    figures = read(ran / f"ppo-{engine}.json")
    for mine, theirs in zip(figures["metrics"], metrics, strict=True):
        assert {name: mine[name] for name in theirs} == pytest.approx(theirs, rel=1e-4, abs=1e-6)
    tensors = load_file(ran / f"ppo-{engine}.safetensors")
    assert_close(tensors, plain.policy.state_dict(), atol=2e-5)
    averaged = load_file(ran / f"averaged-{engine}.safetensors")
    assert_close(averaged, plain.average, atol=2e-5)
    ids = torch.tensor([inputs.PROBE])
    with torch.no_grad():
        logprobs = plain.policy(input_ids=ids).logits[0, :-1].log_softmax(dim=-1)
    expected = logprobs.gather(1, ids[0, 1:, None])[:, 0].tolist()
    assert figures["probe"] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("name", "index"), [("reward", 0), ("warm", 1)])
def test_reward_fit(
    ran: Path,
    engine: str,
    name: str,
    index: int,
    rewards: list[tuple[dict[str, Tensor], float]],
) -> None:
    expected, loss = rewards[index]
    figures = read(ran / f"{name}-{engine}.json")["metrics"]
    assert figures["reward_model/loss"] == pytest.approx(loss, rel=1e-4)
    assert figures["reward_model/version"] == index + 1
    assert_close(load_file(ran / f"{name}-{engine}.safetensors"), expected, atol=5e-5)


@pytest.mark.parametrize(("together", "alone"), [*zip(SIDE_BY_SIDE, ALONE, strict=True)])
@pytest.mark.parametrize("name", ["ppo", "averaged", "reward", "warm", "supervised"])
def test_passes_that_go_side_by_side_change_no_bit(
    ran: Path, name: str, together: str, alone: str
) -> None:
    one, other = (load_file(ran / f"{name}-{engine}.safetensors") for engine in (together, alone))
    assert one.keys() == other.keys()
    assert all(one[each].equal(other[each]) for each in one)
    if name == "averaged":
        return
    figures = [read(ran / f"{name}-{engine}.json")["metrics"] for engine in (together, alone)]
    assert figures[0] == figures[1]


def test_a_refit_is_a_pure_function_of_its_request(ran: Path) -> None:
    first, again = (load_file(ran / f"{name}-0.safetensors") for name in ("reward", "again"))
    assert all(first[name].equal(again[name]) for name in first)


def test_the_warm_update_is_judged_before_it_learns(ran: Path) -> None:
    refit, warm, again = (read(ran / f"{n}-0.json")["metrics"] for n in ("reward", "warm", "again"))
    judged = {
        "reward_model/validation_accuracy",
        "reward_model/validation_accuracy_current_policy",
        "reward_model/validation_labels",
        "reward_model/validation_labels_current_policy",
        "reward_model/ece",
    }
    assert judged.isdisjoint(refit)
    assert judged <= set(warm)
    assert judged.isdisjoint(again), "it had learned all of these before"
    assert -1.0 <= warm["reward_model/correlation_with_previous"] <= 1.0


@pytest.mark.parametrize("engine", ENGINES)
def test_supervised(ran: Path, engine: str, tiny_model: Path) -> None:
    trained, losses = plain_base_model(tiny_model)
    figures = read(ran / f"supervised-{engine}.json")["metrics"]
    assert [each["loss"] for each in figures] == pytest.approx(losses, rel=1e-4)
    assert_close(
        load_file(ran / f"supervised-{engine}.safetensors"), trained.state_dict(), atol=2e-5
    )


def read(path: Path) -> dict[str, Any]:
    figures: dict[str, Any] = json.loads(path.read_text())
    return figures


def assert_close(
    tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], atol: float
) -> None:
    assert set(tensors) == set(expected)
    for name, tensor in tensors.items():
        torch.testing.assert_close(tensor, expected[name], atol=atol, rtol=1e-4, msg=name)
