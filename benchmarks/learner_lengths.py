"""A learner's tokens a second on responses of unlike lengths, against as many without padding.

    python -m benchmarks.learner_lengths [--turns 5] [--rows 128] [--median 48]

One PPO step on one rank and one thread, a GPT-2 of 0.9 M weights, four epochs of four minibatches.
Lengths are log-normal with σ = 1; against them stand as many responses of one length, the mean of
these, so that both have as many tokens and the second has no padding. The steps take turns, so that
a busy neighbour slows both alike; the figures are medians over the turns. Padded to the longest of
the batch, as is done without thinking, is given too: by counting, not by waiting for it.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median

import click
import torch

from benchmarks.against_trl.task import VOCABULARY, write_model
from learners.config import KLConfig, LearnerConfig, PolicyConfig, PPOConfig
from learners.engine import free_port, join_ranks, leave_ranks
from learners.ppo import PPOLearner
from learners.weights import SharedMemoryPublisher
from protocol.messages import ExperienceBatch
from tests.support.messages import make_rollout, make_scored

PROMPT_TOKENS = 8
CONTEXT = 1024


def drawn_lengths(rows: int, middle: int, rng: random.Random) -> list[int]:
    """Return response lengths, log-normal with σ = 1 about their median."""
    longest = CONTEXT - PROMPT_TOKENS
    return [max(2, min(longest, round(rng.lognormvariate(0.0, 1.0) * middle))) for _ in range(rows)]


def make_batch(step: int, lengths: Sequence[int], rng: random.Random) -> ExperienceBatch:
    """Return responses of these lengths, of random tokens."""
    rollouts = []
    for number, length in enumerate(lengths):
        ids = [rng.randrange(4, VOCABULARY) for _ in range(PROMPT_TOKENS + length)]
        rollout = make_rollout()
        rollout = replace(
            rollout,
            rollout_id=f"{step}-{number}",
            prompt=replace(rollout.prompt, token_ids=tuple(ids[:PROMPT_TOKENS])),
            token_ids=tuple(ids[PROMPT_TOKENS:]),
            behavior_logprobs=(-6.2,) * length,
            policy_versions=(step,) * length,
            num_kept=length,
        )
        rollouts.append(make_scored(rollout, value=rng.gauss(0, 1)))
    return ExperienceBatch(
        step=step,
        rollouts=tuple(rollouts),
        reward_version=1,
        episodes_before=step * len(lengths),
        learned_through=0,
    )


@contextmanager
def lone_learner(root: Path, model: Path, ppo: PPOConfig, **engine: object) -> Iterator[PPOLearner]:
    """Yield a learner of one rank in this process, on one thread; it keeps one checkpoint.

    Args:
        root: For what it writes.
        model: The folder of ρ.
        ppo: The algorithm.
        engine: What to set of the engine, by the names of `LearnerConfig`.
    """
    torch.set_num_threads(1)
    join_ranks(0, 1, "127.0.0.1", free_port("127.0.0.1"))
    learner = PPOLearner(
        policy=PolicyConfig(path=str(model)),
        ppo=ppo,
        kl=KLConfig(kind="fixed", coefficient=0.05),
        learner=LearnerConfig.model_validate({**engine, "checkpoint": {"every_steps": 1_000_000}}),
        checkpoint_root=root / "policy",
        total_episodes=1_000_000,
        probe_token_ids=(5, 6, 7),
        publisher=SharedMemoryPublisher(root / "weights"),
        seed=1,
    )
    try:
        yield learner
    finally:
        learner.close()
        leave_ranks()


def main() -> None:
    """Run from the command line; see the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--rows", type=int, default=128)
    parser.add_argument("--median", type=int, default=48, help="of the lengths, in tokens")
    chosen = parser.parse_args()
    rng = random.Random(1)
    mixed = drawn_lengths(chosen.rows, chosen.median, rng)
    even = [round(sum(mixed) / len(mixed))] * len(mixed)
    seconds: dict[bool, list[float]] = {True: [], False: []}
    with tempfile.TemporaryDirectory() as name:
        model = write_model(Path(name) / "model", context_tokens=CONTEXT)
        ppo = PPOConfig(batch_size=chosen.rows, lr=1e-6)
        with lone_learner(Path(name), model, ppo) as learner:
            learner.announce()
            for step in range(2 * chosen.turns + 2):
                is_mixed = step % 2 == 0
                batch = make_batch(step, mixed if is_mixed else even, rng)
                started = time.perf_counter()
                learner.step(batch)
                if step > 1:  # the first of each is slow
                    seconds[is_mixed].append(time.perf_counter() - started)
    rates = {
        is_mixed: (sum(mixed if is_mixed else even) + PROMPT_TOKENS * chosen.rows) / median(each)
        for is_mixed, each in seconds.items()
    }
    padded = (max(mixed) + PROMPT_TOKENS) * len(mixed) / (sum(mixed) + PROMPT_TOKENS * len(mixed))
    click.echo(
        f"{chosen.rows} responses of {min(mixed)} to {max(mixed)} tokens, mean {even[0]}\n"
        f"without padding   {rates[False]:8.0f} tokens/s\n"
        f"unlike lengths    {rates[True]:8.0f} tokens/s, {rates[True] / rates[False]:.2f} of it\n"
        f"padded to the longest, {padded:.1f} times as many tokens would go through the model"
    )


if __name__ == "__main__":
    main()
