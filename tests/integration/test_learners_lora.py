"""Adapters, and heads on a trunk that stays, under DeepSpeed.

On 1 and 2 ranks, ZeRO 0, 2 and 3, float32 and bfloat16.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForCausalLM

from tests.support import learner_inputs as inputs
from tests.support.rank_fixtures import ran_by_ranks

FLOAT32 = ("0", "2", "3")
ENGINES = (*FLOAT32, "0-bfloat16", "3-bfloat16")

ran = ran_by_ranks(ENGINES, "tests.support.lora_ranks", alone=[pytest.mark.long])


def told(ran: Path, engine: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ran / f"{engine}.json").read_text())
    return found


def distance(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    assert one.keys() == other.keys()
    return max(float((one[name].float() - x.float()).abs().max()) for name, x in other.items())


@pytest.mark.parametrize("engine", FLOAT32[1:])
@pytest.mark.parametrize(
    "what",
    ["ppo", "reward", "update", "warm", "heads-reward", "heads-update", "heads-warm"],
)
def test_all_stages_learn_the_same(ran: Path, engine: str, what: str) -> None:
    plain, own = (load_file(ran / f"{what}-{each}.safetensors") for each in ("0", engine))
    assert distance(own, plain) < 1e-4


@pytest.mark.parametrize("engine", ENGINES)
def test_another_learner_goes_on_bit_for_bit(ran: Path, engine: str) -> None:
    _, untouched, resumed = told(ran, engine)["ppo"]
    assert resumed == untouched


@pytest.mark.parametrize("what", ["reward", "heads"])
@pytest.mark.parametrize("engine", ENGINES)
def test_another_trainer_goes_on_bit_for_bit(ran: Path, engine: str, what: str) -> None:
    *_, untouched, resumed = told(ran, engine)[what]
    assert resumed["sha256"] == untouched["sha256"]
    loss = "reward_model/loss"
    assert resumed["metrics"][loss] == untouched["metrics"][loss]


@pytest.mark.parametrize("engine", ENGINES)
def test_only_what_is_trained_is_kept(ran: Path, engine: str) -> None:
    share = load_file(ran / f"policy-{engine}" / "v000001" / "rank-0000.safetensors")
    kept = {name for name in share if name.startswith("weight/")}
    assert kept
    assert all(".lora_" in name or "value_head" in name for name in kept)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_policy_that_is_saved_says_what_was_announced(ran: Path, engine: str) -> None:
    """Without peft. In bfloat16 the engine's passes round, which weights drawn large show."""
    model: Any = AutoModelForCausalLM.from_pretrained(ran / f"saved-{engine}", dtype=torch.float32)
    sequence = torch.tensor(inputs.PROBE)
    with torch.no_grad():
        logprobs = model(input_ids=sequence[None]).logits[0, :-1].log_softmax(-1)
    said = logprobs.gather(1, sequence[1:, None])[:, 0].tolist()
    announced = told(ran, engine)["ppo"][1]["probe"]
    assert said == pytest.approx(announced, abs=0.15 if "bfloat16" in engine else 1e-4)
