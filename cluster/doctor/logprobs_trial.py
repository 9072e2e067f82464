"""A tiny model, made on the spot, sampled by vLLM and scored by the trainer's own model.

Both must find the same log-probabilities: those of the tokens that vLLM drew, at a temperature
that is not 1, and those of a fixed sequence, by which every weight load of a run is proved.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from actors.config import RolloutConfig
from actors.environment import set_engine_environment
from protocol.messages import Sampling

CONFIG = RolloutConfig(kv_cache_gib=0.0625)
TEMPERATURE = 0.7
NUM_RESPONSE = 24
WORDS = 48
SPREAD = 0.2
"""Standard deviation of the weights: GPT-2's own 0.02 hardly tells two tokens apart."""


def make_model(folder: Path) -> None:
    """Write a random model and its tokenizer, as the base models of runs are written."""
    import torch

    from learners.base_model import build_language_model
    from learners.text_config import BaseModelConfig, SupervisedConfig
    from learners.word_tokenizer import build_tokenizer

    tokenizer = build_tokenizer([" ".join(f"word{n}" for n in range(WORDS))])
    shape = BaseModelConfig(width=64, layers=2, heads=2, training=SupervisedConfig())
    model = build_language_model(len(tokenizer), shape)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("weight") and parameter.dim() > 1:
                parameter.normal_(0.0, SPREAD, generator=generator)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


async def ask_engine(
    folder: Path, prompt: Sequence[int], probe: Sequence[int]
) -> tuple[list[int], list[float], list[float]]:
    """Return a response, its log-probabilities, and those of the probe from its second token on."""
    from actors.vllm_engine import VllmEngine

    engine = VllmEngine(folder, CONFIG, seed=1)
    await engine.start()
    try:
        sampling = Sampling(temperature=TEMPERATURE, max_tokens=NUM_RESPONSE, seed=1)
        sample = await engine.sample("doctor", prompt, sampling, stop_token_ids=frozenset())
        return list(sample.token_ids), list(sample.logprobs), list(await engine.score(probe))
    finally:
        await engine.stop()


def ask_trainer(
    folder: Path, prompt: Sequence[int], response: Sequence[int], temperature: float
) -> list[float]:
    """Return the log-probabilities of a response as the PPO learner finds them."""
    import torch

    from learners.config import PPOConfig
    from learners.policy_model import PolicyModel

    model = PolicyModel.from_pretrained(folder, PPOConfig()).eval()
    with torch.no_grad():
        logprobs, _, _ = model(
            torch.tensor([[*prompt, *response]]),
            torch.tensor([list(response)]),
            torch.tensor([len(prompt)]),
            torch.tensor([temperature]),
        )
    return [float(each) for each in logprobs[0]]


def main(folder: Path) -> None:
    """Print the largest difference, in nats, and what runs allow."""
    set_engine_environment(os.environ, CONFIG)
    make_model(folder)
    prompt, probe = list(range(4, 12)), list(range(3, 35))
    response, drawn, scored = asyncio.run(ask_engine(folder, prompt, probe))
    ours = drawn + scored
    theirs = ask_trainer(folder, prompt, response, TEMPERATURE)
    theirs += ask_trainer(folder, probe[:1], probe[1:], 1.0)
    differences = [abs(a - b) for a, b in zip(ours, theirs, strict=True)]
    said = {
        "largest": max(differences),
        "num_tokens": len(differences),
        "tolerance": CONFIG.probe_tolerance,
    }
    sys.stdout.write("\n" + json.dumps(said) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
