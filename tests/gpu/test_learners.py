"""The three learners on a GPU: what they come to is what plain PyTorch comes to on the CPU.

Also with the optimizer on the host.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from tests.support.learner_ranks import run_ranks
from tests.support.plain_figures import plain_base_model, plain_ppo, plain_rewards
from tests.support.tiny_model import save_tiny_model

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU; there is none"),
]

FLOAT32 = ("0", "2", "3", "offloaded-2", "offloaded-3")
BFLOAT16 = ("0-bfloat16", "1-bfloat16", "2-bfloat16", "3-bfloat16", "offloaded-2-bfloat16")
RESUMED = ("2", "offloaded-2", "offloaded-2-bfloat16", "offloaded-3")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("policy"))


@pytest.fixture(scope="module")
def ran(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("ran")
    run_ranks(1, model, out, (*FLOAT32, *BFLOAT16), accelerator="cuda")
    return out


@pytest.mark.parametrize("engine", [*FLOAT32, *BFLOAT16])
def test_ppo(ran: Path, model: Path, engine: str) -> None:
    plain, metrics = plain_ppo(model)
    figures = read(ran / f"ppo-{engine}.json")["metrics"]
    for mine, theirs in zip(figures, metrics, strict=True):
        assert mine["policy/loss"] == close(theirs["policy/loss"], engine)
        assert mine["kl/reference_mean"] == close(theirs["kl/reference_mean"], engine)
    assert_near(load_file(ran / f"ppo-{engine}.safetensors"), plain.policy.state_dict(), engine)


@pytest.mark.parametrize("engine", [*FLOAT32, *BFLOAT16])
def test_reward_fit(ran: Path, model: Path, engine: str) -> None:
    for name, (tensors, loss) in zip(("reward", "warm"), plain_rewards(model), strict=True):
        figures = read(ran / f"{name}-{engine}.json")["metrics"]
        assert figures["reward_model/loss"] == close(loss, engine)
        assert_near(load_file(ran / f"{name}-{engine}.safetensors"), tensors, engine)


@pytest.mark.parametrize("engine", [*FLOAT32, *BFLOAT16])
def test_supervised(ran: Path, model: Path, engine: str) -> None:
    trained, losses = plain_base_model(model)
    figures = read(ran / f"supervised-{engine}.json")["metrics"]
    assert [each["loss"] for each in figures] == [close(loss, engine) for loss in losses]
    learned = load_file(ran / f"supervised-{engine}.safetensors")
    assert_near(learned, trained.state_dict(), engine)


@pytest.mark.parametrize("engine", ["0", "2", "0-bfloat16", "2-bfloat16", "offloaded-2"])
def test_going_back_is_exact(model: Path, tmp_path: Path, engine: str) -> None:
    run_ranks(
        1, model, tmp_path, (engine,), module="tests.support.checkpoint_ranks", accelerator="cuda"
    )
    told = read(tmp_path / f"{engine}.json")
    step_0, _, step_2, step_3, *repeated = told["steps"]
    assert step_2["sha256"] != step_3["sha256"]
    assert repeated == [step_2, step_3, step_0, step_2, step_2]


@pytest.mark.parametrize("engine", RESUMED)
def test_another_engine_goes_on_bit_for_bit(model: Path, tmp_path: Path, engine: str) -> None:
    run_ranks(
        1, model, tmp_path, (engine,), module="tests.support.resumed_ranks", accelerator="cuda"
    )
    told = read(tmp_path / f"{engine}.json")
    assert told["resumed"] == {count: told["through"][int(count) :] for count in ("2", "5")}


def close(value: float, engine: str) -> Any:
    """Compare as far as the engine's type lets them agree."""
    if engine.endswith("bfloat16"):
        return pytest.approx(value, rel=0.02, abs=0.1)
    return pytest.approx(value, rel=1e-3, abs=1e-4)


def assert_near(learned: Mapping[str, Tensor], expected: Mapping[str, Tensor], engine: str) -> None:
    assert set(learned) == set(expected)
    atol = 0.1 if engine.endswith("bfloat16") else 1e-3
    for name, tensor in learned.items():
        torch.testing.assert_close(
            tensor.float(), expected[name], atol=atol, rtol=1e-2, msg=f"{engine}: {name}"
        )


def read(path: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(path.read_text())
    return told
