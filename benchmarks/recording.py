"""What recording costs a PPO step: the learner's own step on record, against the same without.

    python -m benchmarks.recording [--turns 9] [--quick]

A GPT-2 of 0.9 M parameters (width 128, 4 layers, 500 tokens), batches of 64 responses of 24 tokens,
one thread a process. Two learners of one beginning take the same steps in turn, one of them on
record, so that a busy neighbour slows both alike; the medians over the turns are compared. A step
on record ends when all of it is on disk.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.scoring import VOCABULARY, save_reference
from cluster.recordings.config import RecordingConfig
from cluster.recordings.ports import RecordedLearner
from cluster.recordings.recorder import Recorder
from cluster.recordings.segment_files import segment_files
from cluster.replay.learner import one_rank
from learners.config import CheckpointConfig, KLConfig, LearnerConfig, PolicyConfig, PPOConfig
from learners.ppo import PPOLearner
from learners.weights import ObjectStorePublisher
from protocol.messages import ExperienceBatch, Prompt, Rollout, Sampling, ScoredRollout
from protocol.ports import Learner
from tests.support.messages import make_score
from tests.support.one_rank import OneRankLearner

BATCH = 64
LENGTH = 24


def batch_of(step: int) -> ExperienceBatch:
    """Return random responses to random prompts."""
    rng = random.Random(step)

    def tokens(count: int) -> tuple[int, ...]:
        return tuple(rng.randrange(3, VOCABULARY) for _ in range(count))

    def scored(row: int) -> ScoredRollout:
        rollout = Rollout(
            rollout_id=f"t-{step * BATCH + row:06d}",
            prompt=Prompt(prompt_id=f"p-{row}", text="the soup here was", token_ids=tokens(4)),
            purpose="train",
            sampling=Sampling(temperature=0.7, max_tokens=LENGTH),
            token_ids=tokens(LENGTH),
            behavior_logprobs=tuple(rng.uniform(-6.0, -3.0) for _ in range(LENGTH)),
            policy_versions=(step,) * LENGTH,
            num_kept=LENGTH,
            is_complete=True,
            finish_reason="cut",
            text="very good and very warm, as it should be.",
            actor_id="rollout-0",
            started_at=1.7e9,
            finished_at=1.7e9 + 1,
        )
        return ScoredRollout(rollout=rollout, score=make_score(rng.gauss(0, 1), 1))

    return ExperienceBatch(
        step=step,
        rollouts=tuple(scored(row) for row in range(BATCH)),
        episodes_before=step * BATCH,
        reward_version=1,
        learned_through=8,
    )


def make_learner(reference: Path, root: Path, turns: int) -> OneRankLearner:
    """Return a learner that writes no checkpoint but the first."""
    rank = PPOLearner(
        policy=PolicyConfig(path=str(reference)),
        ppo=PPOConfig(batch_size=BATCH),
        kl=KLConfig(),
        learner=LearnerConfig(checkpoint=CheckpointConfig(every_steps=1_000_000)),
        checkpoint_root=root,
        total_episodes=turns * BATCH,
        probe_token_ids=(4, 9, 14),
        publisher=ObjectStorePublisher(lambda content: None),
        seed=1,
    )
    return OneRankLearner(rank)


async def compare(reference: Path, folder: Path, turns: int) -> None:
    """Take the steps in turn, and print what they took."""
    recorder = Recorder(folder / "crossings", RecordingConfig(record=("batches",)), time.time)
    plain: Learner = make_learner(reference, folder / "plain", turns)
    on_record = RecordedLearner(make_learner(reference, folder / "recorded", turns), recorder)
    took: dict[str, list[float]] = {"plain": [], "on record": []}
    for step in range(turns + 1):
        batch = batch_of(step)
        for name, learner in (("plain", plain), ("on record", on_record)):
            began = time.perf_counter()
            await learner.step(batch)
            if name == "on record":
                recorder.wait()
            if step:  # the first warms up
                took[name].append(time.perf_counter() - began)
    recorder.close()
    medians = {name: statistics.median(seconds) for name, seconds in took.items()}
    num_bytes = sum(f.path.stat().st_size for f in segment_files(folder / "crossings"))
    for name, seconds in medians.items():
        print(f"{name:10} {seconds * 1e3:8.1f} ms a step")  # noqa: T201
    ratio = medians["on record"] / medians["plain"]
    per_rollout = num_bytes / (turns + 1) / BATCH
    print(f"ratio      {ratio:8.3f}; {per_rollout:.0f} bytes a rollout on disk")  # noqa: T201


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--quick", action="store_true", help="three turns")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder, one_rank():
        reference = save_reference(Path(folder) / "reference")
        turns = 3 if arguments.quick else arguments.turns
        asyncio.run(compare(reference, Path(folder), turns))


if __name__ == "__main__":
    main()
