from __future__ import annotations

from dataclasses import fields, replace
from typing import Literal

import pytest
import torch

from learners.collate import collate
from learners.config import PPOConfig
from learners.targets import Evaluation, Targets, make_targets
from protocol.errors import ConfigError
from protocol.messages import Prompt, Score, ScoredRollout
from tests.support import learner_inputs as inputs


def targets(nudge: float) -> tuple[Targets, torch.Tensor]:
    responses = collate(inputs.experience_batch(step=1).rollouts)
    drawn = torch.randn(3, *responses.mask.shape, generator=torch.Generator().manual_seed(0))
    proximal, reference, values = (drawn * responses.mask).unbind()
    evaluation = Evaluation(
        version=1,
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


@pytest.mark.parametrize("objective", ["decoupled", "naive"])
def test_a_samplers_noise_is_no_distance_from_the_reference_and_costs_nothing(
    objective: Literal["decoupled", "naive"],
) -> None:
    """Responses of version 1, 0, 1, ..., whose sampler's figures are far from any model's."""
    responses = collate(inputs.experience_batch(step=1).rollouts)
    drawn = torch.randn(2, *responses.mask.shape, generator=torch.Generator().manual_seed(0))
    proximal, values = (drawn * responses.mask).unbind()
    config = PPOConfig(whiten_rewards=False, objective=objective)
    at_reference = Evaluation(
        version=1,
        proximal_logprobs=proximal,
        reference_logprobs=proximal,
        values=values,
        entropy=torch.zeros_like(values),
    )
    free, dear = (make_targets(responses, at_reference, config, beta) for beta in (0.0, 2.0))
    assert torch.equal(free.returns[::2], dear.returns[::2]), "π is ρ: there is nothing to pay"
    assert not torch.allclose(free.returns[1::2], dear.returns[1::2])
    # What an older policy sampled is paid by that policy's own distance from ρ.
    later = replace(at_reference, version=2)
    stale = make_targets(responses, later, config, 2.0)
    paid = -2.0 * (responses.behavior_logprobs - proximal) * responses.mask
    first = paid.sum(dim=1) + responses.scores  # γ = λ = 1 below
    summed = make_targets(
        responses, later, config.model_copy(update={"gae_lambda": 1.0}), 2.0
    ).returns[:, 0]
    assert torch.allclose(summed, first, atol=1e-4)
    assert torch.equal(stale.returns[1::2], dear.returns[1::2])


def marked_batch(*values: tuple[float, ...]) -> tuple[ScoredRollout, ...]:
    """Return responses of three tokens, of which two are kept, to a prompt of one token."""
    rollout = replace(
        inputs.experience_batch(step=1).rollouts[0].rollout,
        prompt=Prompt(prompt_id="p", text="", token_ids=(4,)),
        token_ids=(5, 6, 7),
        behavior_logprobs=(-1.0, -1.0, -1.0),
        policy_versions=(1, 1, 1),
        num_kept=2,
    )
    return tuple(
        ScoredRollout(
            rollout=rollout,
            score=Score(value=value, heads=(value,), reward_version=2, mark_values=of_tokens),
        )
        for value, of_tokens in enumerate(values, start=1)
    )


def test_a_token_is_paid_for_its_mark_at_once_and_the_score_at_the_end() -> None:
    # The prompt's own value, 0.9, is nobody's; the token after the cut is not judged.
    responses = collate(marked_batch((0.9, 0.5, -1.0), (0.9, 0.0, 0.25)), needs_marks=True)
    mask = responses.mask
    nothing = Evaluation(
        version=1,
        proximal_logprobs=responses.behavior_logprobs,
        reference_logprobs=responses.behavior_logprobs - 0.1 * mask,
        values=torch.tensor([[0.0, 0.5, 0.0], [0.0, 0.0, 0.0]]),
        entropy=torch.zeros_like(mask),
    )
    plain = {"whiten_rewards": False, "whiten_advantages": False, "gae_lambda": 1.0}
    config = PPOConfig(mark_coefficient=0.4, **plain)
    found = make_targets(responses, nothing, config, kl_coefficient=2.0)
    # r = 0.4·(0.5, −1, 0) − 2·0.1, and 1 at the end: (0, −0.6, 0.8); of the other
    # 0.4·(0, 0.25, 0) − 0.2, and 2: (−0.2, −0.1, 1.8). With γ = λ = 1 returns sum up what comes.
    expected = torch.tensor([[0.2, 0.2, 0.8], [1.5, 1.7, 1.8]])
    assert torch.allclose(found.returns, expected, atol=1e-6)
    assert torch.allclose(found.advantages, expected - nothing.values, atol=1e-6)
    unpaid = make_targets(responses, nothing, PPOConfig(**plain), kl_coefficient=2.0)
    assert torch.allclose(unpaid.returns[0], torch.tensor([0.4, 0.6, 0.8]), atol=1e-6)


def test_marks_that_are_not_paid_change_no_bit() -> None:
    batch = inputs.experience_batch(step=1).rollouts
    judged = [
        replace(
            each,
            score=replace(
                each.score,
                mark_values=(0.5,) * (len(each.rollout.prompt.token_ids) + each.rollout.num_kept),
            ),
        )
        for each in batch
    ]
    bare, marked = (collate(each) for each in (batch, judged))
    drawn = torch.randn(3, *bare.mask.shape, generator=torch.Generator().manual_seed(0))
    proximal, reference, values = (drawn * bare.mask).unbind()
    evaluation = Evaluation(
        version=1,
        proximal_logprobs=proximal,
        reference_logprobs=reference,
        values=values,
        entropy=torch.zeros_like(values),
    )
    one, other = (make_targets(each, evaluation, PPOConfig(), 0.1) for each in (bare, marked))
    for field in fields(one):
        assert torch.equal(getattr(one, field.name), getattr(other, field.name))


def test_where_marks_are_paid_a_reward_that_gives_none_is_refused_with_a_mend() -> None:
    with pytest.raises(ConfigError, match=r"mark_coefficient.*version 2.*\[reward_model.marks\]"):
        collate(marked_batch((0.9, 0.5, -1.0), ()), needs_marks=True)
    (judged,) = marked_batch(())
    fixed = replace(judged, rollout=replace(judged.rollout, is_complete=False))
    responses = collate([fixed], needs_marks=True)
    assert not responses.mark_values.any(), "a response of the fixed score was judged by no model"
