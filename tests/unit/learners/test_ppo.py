"""The PPO learner's promises: order, idempotency, finiteness, and what it measures."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from learners.config import KLConfig
from learners.ppo import PPOLearner
from protocol.errors import ConfigError, NotFinite, VersionError
from protocol.messages import ExperienceBatch, Score
from reward_service.buckets import BatchLimits
from tests.support import learner_inputs as inputs
from tests.support.messages import weights_path
from tests.support.metric_proofs import proves
from tests.support.plain_learners import PlainPPO
from tests.support.policy_learner import policy_learner
from tests.support.present import present

ONE_PASS = BatchLimits(max_tokens=2**20, max_sequences=64)


def on_policy(learner: PPOLearner, batch: ExperienceBatch) -> ExperienceBatch:
    """The same responses with the behaviour log-probabilities the learner itself gives them."""
    from learners.collate import collate

    responses = collate(batch.rollouts)
    with torch.no_grad():
        logprobs, _, _ = learner._engine.module(*responses.model_inputs())
    scored = []
    for row, each in enumerate(batch.rollouts):
        length = len(each.rollout.token_ids)
        rollout = replace(
            each.rollout,
            behavior_logprobs=tuple(logprobs[row, :length].tolist()),
            policy_versions=(learner._version,) * length,
        )
        scored.append(replace(each, rollout=rollout))
    return replace(batch, rollouts=tuple(scored))


def with_scores(batch: ExperienceBatch, value: float) -> ExperienceBatch:
    score = Score(value=value, heads=(value,), reward_version=2)
    return replace(batch, rollouts=tuple(replace(each, score=score) for each in batch.rollouts))


def test_version_0_is_the_reference_itself(learner: PPOLearner, model_folder: Path) -> None:
    policy = learner.announce()
    assert policy is not None
    assert (policy.version, policy.reward_version) == (0, 0)
    published = load_file(weights_path(policy))
    reference = AutoModelForCausalLM.from_pretrained(model_folder).state_dict()
    assert "lm_head.weight" in published
    assert all(published[name].equal(tensor) for name, tensor in reference.items())


@proves("policy/version", "policy/episodes", "policy/lr")
def test_a_step_raises_the_version_and_says_what_it_learned_from(learner: PPOLearner) -> None:
    report = learner.step(inputs.experience_batch(0))
    assert report is not None
    policy = report.policy
    assert (policy.version, policy.episodes) == (1, 16)
    assert (policy.reward_version, policy.learned_through) == (2, 5)
    assert (report.metrics["policy/version"], report.metrics["policy/episodes"]) == (1, 16)
    assert report.metrics["policy/lr"] == inputs.PPO.lr


def test_the_learning_rate_falls_to_nothing(learner: PPOLearner) -> None:
    batch = replace(inputs.experience_batch(0), episodes_before=48)
    report = learner.step(batch)
    assert report is not None
    assert report.metrics["policy/lr"] == pytest.approx(inputs.PPO.lr / 4)


def test_the_same_step_again_is_the_first_answer(learner: PPOLearner) -> None:
    first = learner.step(inputs.experience_batch(0))
    assert learner.step(inputs.experience_batch(0)) is first
    engine: Any = learner._engine
    assert engine.num_steps == inputs.PPO.epochs * inputs.PPO.minibatches


@pytest.mark.parametrize("step", [2, 1])
def test_a_skipped_step_is_an_error(learner: PPOLearner, step: int) -> None:
    with pytest.raises(VersionError, match=f"step {step} came after step -1"):
        learner.step(inputs.experience_batch(step))


def test_an_older_step_is_an_error(learner: PPOLearner) -> None:
    for step in range(2):
        learner.step(inputs.experience_batch(step))
    with pytest.raises(VersionError, match="step 0 came after step 1"):
        learner.step(inputs.experience_batch(0))


def test_a_batch_that_cannot_be_cut_is_named(learner: PPOLearner) -> None:
    with pytest.raises(ConfigError, match="multiple of 2"):
        learner.step(inputs.experience_batch(0, size=15))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_score_that_is_not_finite_stops_the_line(learner: PPOLearner, value: float) -> None:
    with pytest.raises(NotFinite):
        learner.step(with_scores(inputs.experience_batch(0), value))


def test_on_policy_there_is_no_mismatch_no_kl_and_no_lag(learner: PPOLearner) -> None:
    report = learner.step(on_policy(learner, inputs.experience_batch(0)))
    assert report is not None
    metrics = report.metrics
    assert metrics["rollout/logprob_mismatch_max"] == pytest.approx(0, abs=1e-5)
    assert metrics["kl/reference_mean"] == pytest.approx(0, abs=1e-5)
    assert metrics["reward/kl_penalty"] == pytest.approx(0, abs=1e-6)
    assert metrics["staleness/importance_weight_mean"] == pytest.approx(1, abs=1e-5)
    assert metrics["staleness/policy_lag_max"] == 0


def test_a_samplers_noise_at_the_start_is_no_distance(learner: PPOLearner) -> None:
    """Its figures are far from ρ's, and the policy is ρ still."""
    metrics = present(learner.step(inputs.experience_batch(0))).metrics
    assert metrics["rollout/logprob_mismatch_mean"] > 0.1
    assert metrics["kl/reference_mean"] == pytest.approx(0, abs=1e-5)
    assert metrics["kl/reference_max"] == pytest.approx(0, abs=1e-5)


def test_mismatch_is_absent_when_nothing_was_sampled_under_this_version(
    learner: PPOLearner,
) -> None:
    for step in range(2):
        report = learner.step(on_policy(learner, inputs.experience_batch(step)))
    stale = replace(inputs.experience_batch(2), rollouts=inputs.experience_batch(0).rollouts)
    report = learner.step(stale)
    assert report is not None
    assert "rollout/logprob_mismatch_max" not in report.metrics
    assert report.metrics["staleness/policy_lag_mean"] == 2


@proves("policy/loss", "policy/value_loss", "policy/grad_norm", "kl/reference_mean")
def test_losses_and_norm_are_those_of_plain_ppo_on_a_stale_batch(
    learner: PPOLearner, model_folder: Path
) -> None:
    """The oracle goes token by token, and its rewards pay the KL of what sampled."""
    batch = inputs.experience_batch(0)
    report = learner.step(batch)
    assert report is not None
    plain = PlainPPO(model_folder, inputs.PPO, inputs.TOTAL_EPISODES, inputs.SEED)
    for name, value in plain.step(batch, inputs.KL.coefficient).items():
        assert report.metrics[name] == pytest.approx(value, rel=1e-3, abs=1e-5), name


def test_responses_of_unlike_lengths_are_trained_on_in_passes_of_like_ones(
    learner: PPOLearner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same step as in one padded pass, and less work."""
    batch = inputs.experience_batch(0)
    lengths = [len(each.rollout.token_ids) for each in batch.rollouts]
    assert len(set(lengths)) > 2
    learner._pass_limits = ONE_PASS

    def step(pass_tokens: int) -> tuple[dict[str, float], int]:
        monkeypatch.setattr("reward_service.buckets.PASS_TOKENS", pass_tokens)
        shapes: list[torch.Size] = []
        hook = learner._engine.module.register_forward_pre_hook(
            lambda _, inputs: shapes.append(inputs[0].shape)
        )
        learner.restore(0)
        report = present(learner.step(replace(batch, step=learner._version)))
        hook.remove()
        return report.metrics, sum(shape.numel() for shape in shapes)

    learner.keep()
    many, few_tokens = step(1)
    one, many_tokens = step(10_000)
    assert few_tokens < 0.9 * many_tokens
    for name in ("policy/loss", "policy/value_loss", "policy/grad_norm", "policy/entropy"):
        assert many[name] == pytest.approx(one[name], rel=1e-4, abs=1e-6), name


def test_passes_of_few_tokens_take_the_same_step(
    learner: PPOLearner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To float error, and none holds more; those of whole batches would."""
    batch, most = inputs.experience_batch(0), 12
    learner.keep()

    def step(limits: BatchLimits) -> tuple[dict[str, float], list[torch.Size]]:
        learner._pass_limits = limits
        shapes: list[torch.Size] = []
        hook = learner._engine.module.register_forward_pre_hook(
            lambda _, inputs: shapes.append(inputs[0].shape)
        )
        learner.restore(0)
        report = present(learner.step(replace(batch, step=learner._version)))
        hook.remove()
        return report.metrics, shapes

    whole, large = step(ONE_PASS)
    cut, small = step(BatchLimits(max_tokens=most, max_sequences=64))
    assert max(shape.numel() for shape in small) <= most < max(shape.numel() for shape in large)
    assert max(shape[1] for shape in small) > most // 2, "a long one has a pass of its own"
    for name in ("policy/loss", "policy/value_loss", "policy/grad_norm", "policy/entropy"):
        assert cut[name] == pytest.approx(whole[name], rel=1e-4, abs=1e-6), name


def stale_batch(step: int) -> ExperienceBatch:
    """Responses of version 0, whose behaviour is far from any learner's own."""
    batch = inputs.experience_batch(step)
    return replace(batch, rollouts=inputs.experience_batch(0).rollouts)


def test_the_penalty_is_of_the_kl_that_moves_the_coefficient(learner: PPOLearner) -> None:
    learner.step(inputs.experience_batch(0))
    batch, beta = stale_batch(1), learner._kl.coefficient
    report = learner.step(batch)
    assert report is not None
    metrics = report.metrics
    assert metrics["kl/coefficient"] == beta
    assert abs(metrics["kl/reference_mean"]) > 0.1
    assert metrics["reward/kl_penalty"] == pytest.approx(beta * metrics["kl/reference_mean"])
    error = min(max(metrics["kl/reference_mean"] / inputs.KL.target - 1, -0.2), 0.2)
    moved = beta * (1 + error * len(batch.rollouts) / inputs.KL.horizon_episodes)
    assert learner._kl.coefficient == pytest.approx(moved)


def test_a_batch_far_from_the_target_pays_by_its_own_kl(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kl = inputs.KL.model_copy(update={"proportional": 0.5, "target": 1.5})
    learner = policy_learner(model_folder, tmp_path, monkeypatch, kl=kl)
    plain = PlainPPO(model_folder, inputs.PPO, inputs.TOTAL_EPISODES, inputs.SEED)
    first, batch = inputs.experience_batch(0), stale_batch(1)
    plain.step(first, present(learner.step(first)).metrics["kl/coefficient"])
    beta = learner._kl.coefficient
    metrics = present(learner.step(batch)).metrics
    error = min(max(metrics["kl/reference_mean"] / kl.target - 1, -1.0), 1.0)
    assert error > 0.5
    assert metrics["kl/coefficient"] == pytest.approx(beta * (1 + 0.5 * error))
    for name, value in plain.step(batch, metrics["kl/coefficient"]).items():
        assert metrics[name] == pytest.approx(value, rel=1e-3, abs=1e-5), name


@proves("policy/entropy", "policy/approx_kl", "policy/step_kl", "policy/clip_fraction")
@pytest.mark.parametrize("objective", ["decoupled", "naive"])
def test_the_update_is_measured_from_where_it_started(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, objective: str
) -> None:
    """Two optimizer steps: the first finds π_θ = π_prox, the second what the first made of it."""
    settings: dict[str, Any] = {"objective": objective, "minibatches": 1}
    batch = inputs.experience_batch(0)
    once = policy_learner(model_folder, tmp_path / "1", monkeypatch, **settings, epochs=1)
    before, entropy = by_token(once, batch)
    once.step(batch)
    after, _ = by_token(once, batch)
    twice = policy_learner(model_folder, tmp_path / "2", monkeypatch, **settings, epochs=2)
    report = twice.step(batch)
    assert report is not None
    metrics = report.metrics
    assert metrics["policy/entropy"] == pytest.approx(float(entropy.mean()), rel=1e-4)
    expected = (0.0 + float((0.5 * (after - before) ** 2).mean())) / 2
    assert metrics["policy/approx_kl"] == pytest.approx(expected, rel=1e-3)
    moved = float((0.5 * (after - before) ** 2).sum()) / len(batch.rollouts)
    assert metrics["policy/step_kl"] == pytest.approx(moved, rel=1e-3)
    assert report.policy.moved_kl == metrics["policy/step_kl"]
    behavior = [torch.tensor(each.rollout.behavior_logprobs) for each in batch.rollouts]
    center = before if objective == "decoupled" else torch.cat(behavior)
    advantages = plain_advantages(model_folder, batch)
    bound = [clipped(now - center, advantages) for now in (before, after)]
    assert metrics["policy/clip_fraction"] == pytest.approx(sum(bound) / 2)


def plain_advantages(model_folder: Path, batch: ExperienceBatch) -> torch.Tensor:
    """The advantages of all response tokens, flat, as the oracle has them."""
    plain = PlainPPO(model_folder, inputs.PPO, inputs.TOTAL_EPISODES, inputs.SEED)
    rollouts = [each.rollout for each in batch.rollouts]
    with torch.no_grad():
        before = [plain.evaluate(plain.policy, rollout) for rollout in rollouts]
    reference = [logprobs for logprobs, _ in before]
    targets = plain.targets(batch, before, reference, inputs.KL.coefficient)
    return torch.cat([advantages for advantages, _ in targets])


def clipped(log_ratio: torch.Tensor, advantages: torch.Tensor) -> float:
    """The share of tokens that the clip of 0.2 stops from going further where they go."""
    ratio = log_ratio.exp()
    is_bound = ((advantages > 0) & (ratio > 1.2)) | ((advantages < 0) & (ratio < 0.8))
    return float(is_bound.float().mean())


def by_token(learner: PPOLearner, batch: ExperienceBatch) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probability and entropy of each response token under the learner's policy, flat."""
    logprobs, entropies = [], []
    model = learner._engine.module.language_model
    for each in batch.rollouts:
        prompt, response = each.rollout.prompt.token_ids, each.rollout.token_ids
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([prompt + response])).logits[0]
        logits = logits[len(prompt) - 1 : -1] / each.rollout.sampling.temperature
        table = logits.log_softmax(dim=-1)
        logprobs.append(table[torch.arange(len(response)), torch.tensor(response)])
        entropies.append(-(table.exp() * table).sum(dim=-1))
    return torch.cat(logprobs), torch.cat(entropies)


@pytest.mark.parametrize("critic", ["shared", "separate"])
@pytest.mark.parametrize("objective", ["decoupled", "naive"])
def test_it_learns_what_is_rewarded(
    model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    critic: str,
    objective: str,
) -> None:
    """Reward the responses that begin with an even token; their probability rises."""
    learner = policy_learner(
        model_folder,
        tmp_path,
        monkeypatch,
        kl=KLConfig(kind="fixed", coefficient=0.0),
        critic=critic,
        objective=objective,
    )
    before = even_minus_odd(learner)
    for step in range(3):
        batch = on_policy(learner, inputs.experience_batch(0))
        scored = tuple(
            replace(each, score=Score(value=value, heads=(value,), reward_version=2))
            for each in batch.rollouts
            for value in [1.0 if each.rollout.token_ids[0] % 2 == 0 else -1.0]
        )
        learner.step(replace(batch, step=step, rollouts=scored))
    assert even_minus_odd(learner) > before + 0.05


def even_minus_odd(learner: PPOLearner) -> float:
    batch = on_policy(learner, inputs.experience_batch(0))
    totals: dict[int, list[float]] = {0: [], 1: []}
    for each in batch.rollouts:
        totals[each.rollout.token_ids[0] % 2].append(each.rollout.behavior_logprobs[0])
    return sum(totals[0]) / len(totals[0]) - sum(totals[1]) / len(totals[1])


def test_a_saved_policy_ends_as_the_one_it_started_from(
    learner: PPOLearner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started_from = Path(shutil.copytree(learner._weights._folder, tmp_path / "start"))
    named = json.dumps({"eos_token_id": [2, 5]})
    (started_from / "generation_config.json").write_text(named)
    monkeypatch.setattr(learner._weights, "_folder", started_from)
    learner.save(tmp_path / "saved")
    assert (tmp_path / "saved" / "generation_config.json").read_text() == named


def test_a_saved_policy_is_loaded_in_its_own_type(learner: PPOLearner, tmp_path: Path) -> None:
    """Its config says the type of its tensors; ρ was loaded in float32, whatever it is trained in.

    By the type in the config the library loads it, and engines serve it.
    """
    learner._engine.module.to(torch.bfloat16)
    learner.save(tmp_path / "saved")
    assert json.loads((tmp_path / "saved" / "config.json").read_text())["dtype"] == "bfloat16"
    saved = AutoModelForCausalLM.from_pretrained(tmp_path / "saved")
    assert {x.dtype for x in saved.parameters()} == {torch.bfloat16}
    own = learner._engine.module.language_model.state_dict()
    assert all(saved.state_dict()[name].equal(tensor) for name, tensor in own.items())
    assert learner._saved_config.dtype == torch.float32, "what it is asked for it does not change"


def test_a_saved_policy_loads_whole(learner: PPOLearner, tmp_path: Path) -> None:
    learner.step(inputs.experience_batch(0))
    learner.save(tmp_path / "policy" / "v000001")
    learner.save(tmp_path / "policy" / "v000001")
    saved = AutoModelForCausalLM.from_pretrained(tmp_path / "policy" / "v000001")
    own = learner._engine.module.language_model.state_dict()
    assert all(saved.state_dict()[name].equal(tensor) for name, tensor in own.items())
    assert "lm_head.weight" in load_file(tmp_path / "policy" / "v000001" / "model.safetensors")
    assert AutoTokenizer.from_pretrained(tmp_path / "policy" / "v000001").eos_token == "<eos>"
