from __future__ import annotations

import torch

from learners.collate import collate
from learners.config import PPOConfig
from learners.targets import Evaluation, Targets, make_targets
from tests.support import learner_inputs as inputs


def targets(nudge: float) -> tuple[Targets, torch.Tensor]:
    responses = collate(inputs.experience_batch(step=1).rollouts)
    drawn = torch.randn(3, *responses.mask.shape, generator=torch.Generator().manual_seed(0))
    proximal, reference, values = (drawn * responses.mask).unbind()
    evaluation = Evaluation(
        proximal_logprobs=proximal,
        reference_logprobs=reference,
        values=values,
        entropy=torch.zeros_like(values),
    )
    config = PPOConfig(affirmative_nudge=nudge)
    return make_targets(responses, evaluation, config, kl_coefficient=0.1), responses.mask


def test_the_nudge_is_the_mean_of_the_advantages_and_moves_nothing_else() -> None:
    (plain, mask), (nudged, _) = targets(0.0), targets(0.25)
    total = mask.sum()
    assert abs(float((plain.advantages * mask).sum() / total)) < 1e-5
    assert torch.allclose((nudged.advantages * mask).sum() / total, torch.tensor(0.25), atol=1e-5)
    assert torch.equal(nudged.advantages * (1 - mask), plain.advantages * (1 - mask))
    assert torch.equal(nudged.returns, plain.returns)
