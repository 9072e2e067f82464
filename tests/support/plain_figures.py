"""What the learners' inputs come to in plain PyTorch, found once for each model.

See `plain_learners`. Nobody changes what is returned.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from torch import Tensor

from learners.comparisons import bootstrap_counts
from tests.support import learner_inputs as inputs
from tests.support.plain_learners import PlainPPO, PlainReward, plain_supervised


@cache
def plain_ppo(model: Path) -> tuple[PlainPPO, list[dict[str, float]]]:
    """Return the policy after two steps, and the figures of each."""
    text = inputs.pretraining()
    plain = PlainPPO(
        model, inputs.WITH_TEXT, inputs.TOTAL_EPISODES, inputs.SEED, text.train, text.held_out
    )
    beta, metrics = inputs.KL.coefficient, []
    for step in range(2):
        metrics.append(plain.step(inputs.experience_batch(step), beta))
        plain.take_in(inputs.EMA.decay)
        error = metrics[-1]["kl/reference_mean"] / inputs.KL.target - 1
        beta *= 1 + min(max(error, -0.2), 0.2) * inputs.PPO.batch_size / 10_000
    return plain, metrics


@cache
def plain_rewards(model: Path) -> list[tuple[dict[str, Tensor], float]]:
    """Return tensors and loss after the refit, and after the warm update."""
    plain = PlainReward(model, inputs.REWARD_MODEL, inputs.REWARD_FIT, inputs.reference_sequences())
    results = []
    for request in (inputs.fit_request(), inputs.fit_request("warm", count=5, first=11)):
        counts = bootstrap_counts(request.comparisons, 2, inputs.SEED)
        loss = plain.learn(request, counts)
        gain, bias = plain.gain_and_bias()
        tensors = {
            **{f"backbone.{name}": copied(x) for name, x in plain.trunk.named_parameters()},
            **{f"heads.{name}": copied(x) for name, x in plain.heads.named_parameters()},
            "gain": gain,
            "bias": bias,
        }
        results.append((tensors, loss))
    return results


@cache
def plain_base_model(model: Path) -> tuple[Any, list[float]]:
    """Return the model that supervised training comes to, and the loss of each step."""
    return plain_supervised(model, inputs.SUPERVISED, inputs.blocks())


def copied(x: Tensor) -> Tensor:
    return x.detach().clone()
