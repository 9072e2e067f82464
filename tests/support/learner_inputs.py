"""Seeded inputs for the learners, for models with the vocabulary of `tiny_model`."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Literal

import torch

from learners.config import (
    EMAConfig,
    KLConfig,
    LearnerConfig,
    PPOConfig,
    PtxConfig,
    RewardFitConfig,
)
from learners.pretraining import PretrainingBlocks
from learners.text_config import SupervisedConfig
from protocol.fits import Comparison, FitKind, FitRequest
from protocol.messages import ExperienceBatch, Prompt, Rollout, Sampling, Score, ScoredRollout
from reward_service.config import RewardModelConfig

VOCABULARY = 53
OPTIMIZERS: dict[str, dict[str, object]] = {
    "offloaded": {"optimizer": "cpu_adam", "offload_optimizer": True},
    "compiled": {"optimizer": "cpu_adam"},
}
"""What names of engines begin with that have another optimizer, or have it on the host."""
TOTAL_EPISODES = 64
SEED = 11
PROBE = (4, 9, 14, 19, 24, 29)

# Sizes that cut unevenly: micro-batches of 3 in shares of 8 or 4, comparisons that do not fill the
# last batch, and an odd number in it.
PPO = PPOConfig(batch_size=16, minibatches=2, epochs=2, lr=1e-3)
# 8 blocks a minibatch of 13 that there are, in micro-batches of 3.
WITH_TEXT = PPO.model_copy(update={"ptx": PtxConfig(coefficient=0.7, examples_per_episode=1)})
EMA = EMAConfig(decay=0.75)
KL = KLConfig(coefficient=0.1, target=3.0)
REWARD_MODEL = RewardModelConfig(num_heads=2, embeddings=True)
REWARD_FIT = RewardFitConfig(lr=1e-3, batch_size=4, warm_lr=5e-4, warm_batch_size=4, seed=SEED)
SUPERVISED = SupervisedConfig(lr=1e-3, batch_size=4, block_tokens=8, warmup_fraction=0.5, seed=SEED)


def engine_config(num_ranks: int, zero_stage: int, **changes: object) -> LearnerConfig:
    """Return an engine that computes alike on any CPU."""
    engine = {"num_ranks": num_ranks, "zero_stage": zero_stage, "micro_batch_size": 3}
    return LearnerConfig.model_validate({**engine, "matmul_dtype": "float32", **changes})


def named_engine(num_ranks: int, name: str) -> LearnerConfig:
    """Return the engine that is called "2", "2-bfloat16", "2-mixed", "2-float32-4", "offloaded-2".

    After its ZeRO stage, its type ("mixed" has products in bfloat16), and its threads, where passes
    are of one row each. Before them may stand one of `OPTIMIZERS`.
    """
    first, *others = name.split("-")
    stage, *said = others if first in OPTIMIZERS else (first, *others)
    dtype, threads = [*said, *("float32", "")[len(said) :]]
    passes = {"torch_threads": int(threads), "micro_batch_size": 1} if threads else {}
    types = {"matmul_dtype": "bfloat16"} if dtype == "mixed" else {"dtype": dtype}
    optimizer = OPTIMIZERS.get(first, {})
    return engine_config(num_ranks, int(stage), **types, **passes, **optimizer)


def averaging(learner: LearnerConfig) -> LearnerConfig:
    """Return the learner with an average of its versions."""
    return learner.model_copy(update={"ema": EMA})


def experience_batch(step: int, size: int = PPO.batch_size) -> ExperienceBatch:
    """Responses of 1 to 6 tokens to prompts of 1 to 4, every other one a version old."""
    rng = random.Random(step)
    return ExperienceBatch(
        step=step,
        rollouts=tuple(_scored(rng, max(0, step - row % 2)) for row in range(size)),
        episodes_before=step * size,
        reward_version=2,
        learned_through=5,
    )


def as_step(batch: ExperienceBatch, step: int) -> ExperienceBatch:
    """Return a batch as it comes to the same weights under another version, `step`."""
    later = step - batch.step

    def moved(each: ScoredRollout) -> ScoredRollout:
        versions = tuple(version + later for version in each.rollout.policy_versions)
        return replace(each, rollout=replace(each.rollout, policy_versions=versions))

    return replace(batch, step=step, rollouts=tuple(map(moved, batch.rollouts)))


def comparisons(count: int = 11, first: int = 0) -> tuple[Comparison, ...]:
    rng = random.Random(first)
    return tuple(_comparison(rng, first + number) for number in range(count))


def fit_request(kind: FitKind = "refit", count: int = 11, first: int = 0) -> FitRequest:
    return FitRequest(
        kind=kind,
        ledger_seq=first + count,
        comparisons=comparisons(count, first),
        labeler_weights=(("ann", 0.9), ("bob", 0.6)),
        exclusions_sha256="",
        labels_used=first + count,
    )


def reference_sequences(count: int = 8) -> list[tuple[int, ...]]:
    rng = random.Random(99)
    return [_tokens(rng, 3, 9) for _ in range(count)]


def blocks(count: int = 13, seed: int = 5) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(3, VOCABULARY, (count, 8), generator=generator)


def pretraining() -> PretrainingBlocks:
    """Return 13 blocks to train on, and 7 to measure on, which two ranks cannot share evenly."""
    return PretrainingBlocks(train=blocks().int(), held_out=blocks(7, seed=6).int())


def _scored(rng: random.Random, version: int) -> ScoredRollout:
    response = _tokens(rng, 1, 6)
    rollout = Rollout(
        rollout_id=f"t-{rng.randrange(10**6)}",
        prompt=Prompt(prompt_id="p", text="", token_ids=_tokens(rng, 1, 4)),
        purpose="train",
        sampling=Sampling(temperature=0.7, max_tokens=6),
        token_ids=response,
        behavior_logprobs=tuple(rng.uniform(-6.0, -3.0) for _ in response),
        policy_versions=(version,) * len(response),
        num_kept=len(response),
        is_complete=True,
        finish_reason="cut",
        text="",
        actor_id="rollout-0",
        started_at=0.0,
        finished_at=1.0,
    )
    value = rng.gauss(0.0, 1.0)
    return ScoredRollout(
        rollout=rollout, score=Score(value=value, heads=(value, 0.0), reward_version=2)
    )


OUTCOMES: tuple[Literal["choice", "ranking", "tie"], ...] = ("choice", "choice", "tie", "ranking")


def _comparison(rng: random.Random, seq: int) -> Comparison:
    outcome = OUTCOMES[seq % 4]
    num_candidates = rng.choice((2, 3, 4))
    places = list(range(num_candidates))
    rng.shuffle(places)
    return Comparison(
        seq=seq,
        query_id=f"q{seq}",
        labeler_id=("ann", "bob", "cat")[seq % 3],
        purpose=("train", "validation")[seq % 2],
        prompt_token_ids=_tokens(rng, 1, 4),
        candidate_token_ids=tuple(_tokens(rng, 1, 6) for _ in range(num_candidates)),
        policy_versions=(1,) * num_candidates,
        outcome=outcome,
        choice=rng.randrange(num_candidates) if outcome == "choice" else None,
        ranking=tuple(places) if outcome == "ranking" else None,
    )


def _tokens(rng: random.Random, shortest: int, longest: int) -> tuple[int, ...]:
    return tuple(rng.randrange(3, VOCABULARY) for _ in range(rng.randint(shortest, longest)))


def with_marks(batch: ExperienceBatch) -> ExperienceBatch:
    """Return a batch whose reward has a mark head."""
    rng = random.Random(batch.step)

    def marked(each: ScoredRollout) -> ScoredRollout:
        length = len(each.rollout.prompt.token_ids) + each.rollout.num_kept
        values = tuple(rng.uniform(-1.0, 1.0) for _ in range(length))
        return replace(each, score=replace(each.score, mark_values=values))

    return replace(batch, rollouts=tuple(map(marked, batch.rollouts)))
