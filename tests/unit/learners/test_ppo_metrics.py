"""What a PPO step says of its batch, each figure worked out by hand from three responses.

The learner holds version 3. One response is of version 3, one began under 2 and ended under 3, one
is of version 1 and was cut off by the length limit.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from learners.collate import Responses, collate
from learners.ppo_metrics import kl_metrics, measured_kl, reward_metrics, staleness_metrics
from learners.targets import Evaluation
from protocol.messages import ExperienceBatch, Score, ScoredRollout
from tests.support.messages import make_request, make_rollout
from tests.support.metric_proofs import proves

VERSION = 3
CAP = 2.0
BEHAVIOR = [[-1.0, -2.0], [-0.5, -1.0], [-3.0, -1.0]]
PROXIMAL = torch.tensor([[-1.1, -2.0], [-0.5, -0.7], [-2.0, -1.5]])
REFERENCE = torch.tensor([[-2.0, -2.5], [-0.5, -2.0], [-2.5, -0.5]])
EVALUATION = Evaluation(
    version=VERSION,
    proximal_logprobs=PROXIMAL,
    reference_logprobs=REFERENCE,
    values=torch.zeros(3, 2),
    entropy=torch.zeros(3, 2),
)


def scored(
    row: int, versions: tuple[int, int], kept: int, value: float, heads: tuple[float, ...]
) -> ScoredRollout:
    rollout = replace(
        make_rollout(make_request(row)),
        token_ids=(4, 5),
        behavior_logprobs=tuple(BEHAVIOR[row]),
        policy_versions=versions,
        num_kept=kept,
        is_complete=len(set(heads)) > 1,
    )
    return ScoredRollout(rollout=rollout, score=Score(value=value, heads=heads, reward_version=7))


BATCH = ExperienceBatch(
    step=VERSION,
    rollouts=(
        scored(0, (3, 3), 2, 1.0, (0.5, 1.5)),
        scored(1, (2, 3), 1, 0.0, (-2.0, 2.0)),
        scored(2, (1, 1), 2, -1.0, (-1.0, -1.0)),
    ),
    episodes_before=9,
    reward_version=7,
    learned_through=5,
)


@pytest.fixture
def responses() -> Responses:
    return collate(BATCH.rollouts)


@proves(
    "kl/reference_mean",
    "kl/reference_max",
    "kl/reference_std",
    "kl/coefficient",
    "kl/target",
    "reward/kl_penalty",
)
def test_the_kl_that_is_paid_is_the_one_that_is_controlled(responses: Responses) -> None:
    kl = measured_kl(responses, EVALUATION, CAP)
    found = kl_metrics(kl, coefficient=0.2, target=6.0)
    # Of the first, of this version, by the learner's figures, 0.9 weighed by e^−0.1, and 0.5; of
    # the others by what sampled them: (0 + 1), (−0.5 − 0.5).
    first = 0.9 * 0.904837 + 0.5
    mean = first / 3
    squares = (first - mean) ** 2 + (1.0 - mean) ** 2 + (-1.0 - mean) ** 2
    assert found == {
        "kl/reference_mean": pytest.approx(mean),
        "kl/reference_max": pytest.approx(first),
        "kl/reference_std": pytest.approx((squares / 3) ** 0.5),
        "kl/coefficient": 0.2,
        "kl/target": 6.0,
        "reward/kl_penalty": pytest.approx(0.2 * mean),
    }
    fixed = kl_metrics(kl, coefficient=0.2, target=None)
    assert found.keys() - fixed.keys() == {"kl/target"}


def test_a_sampler_s_noise_is_no_distance_from_the_reference(responses: Responses) -> None:
    """With π = ρ, as at the first step."""
    start = replace(EVALUATION, proximal_logprobs=REFERENCE)
    kl = measured_kl(responses, start, CAP)
    assert kl[0] == 0
    assert kl[1:].tolist() == pytest.approx([1.0, -1.0]), "of older policies, by what sampled"
    assert measured_kl(responses, replace(start, version=VERSION + 1), CAP)[0] == 1.5


def test_the_kl_of_a_noisy_sampler_s_responses_is_the_learner_s(responses: Responses) -> None:
    """All of 1,000 responses of one token of three, drawn by a sampler that is not the policy."""
    pi, rho, sampler = (
        torch.tensor(each).log() for each in ([0.6, 0.3, 0.1], [0.2, 0.3, 0.5], [0.4, 0.4, 0.2])
    )
    tokens = torch.tensor([0] * 400 + [1] * 400 + [2] * 200)
    column = {"behavior_logprobs": sampler[tokens][:, None], "mask": torch.ones(1_000, 1)}
    drawn = replace(responses, **column, oldest_versions=torch.full((1_000,), VERSION))
    evaluation = replace(
        EVALUATION,
        proximal_logprobs=pi[tokens][:, None],
        reference_logprobs=rho[tokens][:, None],
    )
    of_pi = float((pi.exp() * (pi - rho)).sum())
    assert float(measured_kl(drawn, evaluation, CAP).mean()) == pytest.approx(of_pi, abs=1e-5)


@proves(
    "reward/score_mean",
    "reward/score_std",
    "reward/score_p05",
    "reward/score_p95",
    "reward/version",
)
def test_scores_are_what_ppo_trains_on_fixed_ones_included() -> None:
    found = reward_metrics(BATCH)
    assert found["reward/score_mean"] == pytest.approx(0.0)
    assert found["reward/score_std"] == pytest.approx((2 / 3) ** 0.5)
    # Of −1, 0, 1 a share s lies at −1 + 2s.
    assert found["reward/score_p05"] == pytest.approx(-0.9)
    assert found["reward/score_p95"] == pytest.approx(0.9)
    assert found["reward/version"] == 7


@proves("reward/ensemble_std", "reward/length_correlation")
def test_what_was_not_judged_says_nothing_of_the_reward_model() -> None:
    found = reward_metrics(BATCH)
    # Heads ½ and 2 from their mean; of the third, which has a fixed score, nobody asked them.
    assert found["reward/ensemble_std"] == pytest.approx((0.5 + 2.0) / 2)
    # The longer of the two judged has the higher score; with the third it would be 0.
    assert found["reward/length_correlation"] == pytest.approx(1.0)


def test_of_a_batch_that_nobody_judged_there_is_no_ensemble() -> None:
    found = reward_metrics(replace(BATCH, rollouts=BATCH.rollouts[2:]))
    assert found["reward/score_mean"] == -1.0
    assert "reward/ensemble_std" not in found
    assert "reward/length_correlation" not in found


@proves(
    "staleness/policy_lag_mean",
    "staleness/policy_lag_max",
    "staleness/importance_weight_mean",
    "staleness/importance_weight_capped",
)
def test_staleness_is_of_the_oldest_token(responses: Responses) -> None:
    found = staleness_metrics(BATCH, responses, EVALUATION, CAP)
    assert found["staleness/policy_lag_mean"] == pytest.approx((0 + 1 + 2) / 3)
    assert found["staleness/policy_lag_max"] == 2
    # log w: −0.1, 0; 0, 0.3; 1, −0.5, of which e¹ is above 2.
    weights = [0.904837, 1.0, 1.0, 1.349859, 2.0, 0.606531]
    assert found["staleness/importance_weight_mean"] == pytest.approx(sum(weights) / 6, abs=1e-5)
    assert found["staleness/importance_weight_capped"] == pytest.approx(1 / 6)


@proves("rollout/logprob_mismatch_mean", "rollout/logprob_mismatch_max")
def test_the_mismatch_is_of_responses_sampled_wholly_under_the_learner_s_version(
    responses: Responses,
) -> None:
    found = staleness_metrics(BATCH, responses, EVALUATION, CAP)
    # 0.1 and 0 of the first response. The second's end, 0.3, was sampled under this version too,
    # but beside keys and values of the one before.
    assert found["rollout/logprob_mismatch_mean"] == pytest.approx(0.05, abs=1e-6)
    assert found["rollout/logprob_mismatch_max"] == pytest.approx(0.1, abs=1e-6)


def test_without_tokens_of_lag_0_there_is_no_mismatch(responses: Responses) -> None:
    found = staleness_metrics(BATCH, responses, replace(EVALUATION, version=VERSION + 1), CAP)
    assert not [name for name in found if name.startswith("rollout/")]


@proves("reward/mark_pay")
def test_what_marks_pay_is_of_the_kept_tokens_mean_a_response() -> None:
    marks = ((0.9, 0.9, 0.9, 0.5, -0.25), (0.9, 0.9, 0.9, 1.0), ())
    judged = tuple(
        replace(each, score=replace(each.score, mark_values=values))
        for each, values in zip(BATCH.rollouts, marks, strict=True)
    )
    found = reward_metrics(replace(BATCH, rollouts=judged), mark_coefficient=0.3)
    # After the prompt of three: 0.25 and 1; the fixed score of the third goes without.
    assert found["reward/mark_pay"] == pytest.approx(0.3 * (0.25 + 1.0) / 3)
    assert "reward/mark_pay" not in reward_metrics(BATCH)
