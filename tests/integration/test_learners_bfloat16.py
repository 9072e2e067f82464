"""In bfloat16 the learners do what they do in float32, but for the rounding of forward passes.

Sums of gradients and what Adam moves are in float32 in every stage, on 1 and 2 ranks. "mixed" has
weights in float32, too, and rounds the factors of products alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from tests.support.plain_figures import plain_base_model, plain_ppo, plain_rewards
from tests.support.rank_fixtures import ran_by_ranks
from tests.support.summing_ranks import LR, SHARES

ENGINES = ("0-bfloat16", "2-bfloat16", "3-bfloat16", "0-mixed")


ran = ran_by_ranks(ENGINES, alone=[pytest.mark.long])
summed = ran_by_ranks(("0", *ENGINES, "1-bfloat16"), "tests.support.summing_ranks")


@pytest.mark.parametrize("engine", ["0", *ENGINES, "1-bfloat16"])
def test_small_gradients_count_beside_a_large_one_and_adam_counts_from_one(
    summed: Path, engine: str
) -> None:
    told = json.loads((summed / f"{engine}.json").read_text())
    # The gradient of a share of 1 is (1 … 8), and 1 for the bias: their squares sum to 205.
    assert told["norm"] == pytest.approx(sum(SHARES) * 205**0.5, rel=1e-3)
    # Adam's first step is the rate itself, whatever the gradient.
    assert told["moved"] == pytest.approx([LR] * 8, rel=1e-2)


@pytest.mark.parametrize("engine", ENGINES)
def test_ppo(ran: Path, engine: str, tiny_model: Path) -> None:
    plain, metrics = plain_ppo(tiny_model)
    figures = json.loads((ran / f"ppo-{engine}.json").read_text())["metrics"]
    for mine, theirs in zip(figures, metrics, strict=True):
        assert mine["policy/loss"] == pytest.approx(theirs["policy/loss"], abs=0.03)
        assert mine["kl/reference_mean"] == pytest.approx(theirs["kl/reference_mean"], abs=0.1)
    start = load_file(tiny_model / "model.safetensors")
    learned = load_file(ran / f"ppo-{engine}.safetensors")
    assert_went_the_same_way(learned, plain.policy.state_dict(), start)
    averaged = load_file(ran / f"averaged-{engine}.safetensors")
    assert_went_the_same_way(averaged, plain.average, start)


@pytest.mark.parametrize("engine", ENGINES)
def test_reward_fit(ran: Path, engine: str, tiny_model: Path) -> None:
    start = {
        f"backbone.{name.removeprefix('transformer.')}": x
        for name, x in load_file(tiny_model / "model.safetensors").items()
    }
    expected = plain_rewards(tiny_model)
    for name, (tensors, loss) in zip(("reward", "warm"), expected, strict=True):
        figures = json.loads((ran / f"{name}-{engine}.json").read_text())["metrics"]
        assert figures["reward_model/loss"] == pytest.approx(loss, rel=0.01)
        learned = load_file(ran / f"{name}-{engine}.safetensors")
        assert_went_the_same_way(learned, tensors, start)
        # What is served is normalised as well as if all had been in float32.
        assert learned["gain"].dtype == torch.float32
        assert learned["gain"].tolist() == pytest.approx(tensors["gain"].tolist(), rel=0.05)


@pytest.mark.parametrize("engine", ENGINES)
def test_supervised(ran: Path, engine: str, tiny_model: Path) -> None:
    trained, losses = plain_base_model(tiny_model)
    figures = json.loads((ran / f"supervised-{engine}.json").read_text())["metrics"]
    assert [each["loss"] for each in figures] == pytest.approx(losses, rel=0.01)
    start = load_file(tiny_model / "model.safetensors")
    learned = load_file(ran / f"supervised-{engine}.safetensors")
    assert_went_the_same_way(learned, trained.state_dict(), start)


def assert_went_the_same_way(
    learned: Mapping[str, Tensor], expected: Mapping[str, Tensor], start: Mapping[str, Tensor]
) -> None:
    """Adam's steps are signs almost, so a small gradient's rounding turns a whole step round."""
    names = sorted(start.keys() & expected.keys() & learned.keys())
    assert len(names) > 10
    mine, theirs = (
        torch.cat([(tensors[name].float() - start[name]).flatten() for name in names])
        for tensors in (learned, expected)
    )
    cosine = float(mine @ theirs / (mine.norm() * theirs.norm()))
    assert cosine > 0.85
    assert float(mine.norm() / theirs.norm()) == pytest.approx(1.0, abs=0.1)
