"""What ρ says beside the policy that starts as it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from learners.engine import Engine
from learners.policy_model import PolicyModel
from learners.reference import FrozenCopy
from tests.support import learner_inputs as inputs
from tests.support.architectures import save_architecture
from tests.support.plain_engine import PlainEngine

PROMPT, RESPONSE = 30, 20


@pytest.mark.parametrize("name", ["qwen3", "llama untied", "mistral, sliding window", "gemma3"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_policy_that_was_not_trained_is_at_no_distance_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, dtype: str
) -> None:
    """The policy is in that type as the library itself loads it, which rounds no frequencies."""
    folder = save_architecture(name, tmp_path)
    plain = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype)).eval()
    policy = PolicyModel(plain)
    policy.value_head.to(plain.dtype)
    monkeypatch.setattr(f"{__name__}.Engine", PlainEngine)
    engine = Engine(policy, inputs.engine_config(1, 0))
    reference = FrozenCopy(folder, engine, inputs.engine_config(1, 0, dtype=dtype))
    ids = torch.randint(4, 53, (2, PROMPT + RESPONSE), generator=torch.Generator().manual_seed(0))
    asked = (ids, ids[:, PROMPT:], torch.full((2,), PROMPT), torch.ones(2))
    with torch.no_grad():
        expected, _, _ = policy(*asked)
    [found] = reference.logprobs([asked])
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
