"""A journal under a clock moved by hand, and what it is told."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from cluster.loops.journal import Journal
from cluster.loops.steady_clock import SteadyClock
from cluster.metrics.hub import MetricsHub
from cluster.recordings.streams import Recordings
from protocol.fits import RewardVersion
from protocol.messages import ActorStats, ExperienceBatch, StepReport
from tests.support.memory_sink import MemorySink
from tests.support.messages import make_policy, make_request, make_rollout, make_scored

START = 1000.0


class LengthGold:
    """A gold score that a test works out by counting letters."""

    def score(self, prompt: str, response: str, gamma: float = 1.0) -> float:
        return float(len(prompt) - len(response))


def make_batch(step: int, reward_version: int) -> ExperienceBatch:
    """Two responses of three kept tokens, the second of them cut off."""
    rollouts = [make_rollout(make_request(n), step, is_complete=n == 0) for n in range(2)]
    return ExperienceBatch(
        step=step,
        rollouts=tuple(make_scored(r, reward_version=reward_version) for r in rollouts),
        episodes_before=8 * step,
        reward_version=reward_version,
        learned_through=10 * reward_version,
    )


def make_reward(version: int) -> RewardVersion:
    return RewardVersion(
        version=version,
        kind="refit",
        path="",
        sha256="",
        ledger_seq=10 * version,
        exclusions_sha256="",
        labeler_weights=(),
        labels_used=9 * version,
        fit_seconds=0.5,
        metrics={"reward_model/loss": 0.25},
    )


def make_stats(
    uptime_s: float, busy_s: float, num_tokens: int, actor_id: str = "rollout-0"
) -> ActorStats:
    return ActorStats(
        actor_id=actor_id,
        policy_version=0,
        num_rollouts=0,
        num_tokens=num_tokens,
        num_in_flight=0,
        uptime_s=uptime_s,
        busy_s=busy_s,
        num_loads=0,
        load_s=0.0,
    )


class Desk:
    """A journal, what it wrote, and the clock it reads. The hub refuses rows of unknown names."""

    def __init__(self, folder: Path) -> None:
        self.now = START
        self.set_by_s = 0.0
        """By how much somebody set the machine's clock."""
        self.sink = MemorySink()
        self.folder = folder
        self.recordings = Recordings(folder)
        self.journal = Journal(
            self.recordings,
            MetricsHub([self.sink], lambda: self.now - START),
            gold=LengthGold(),
            now=lambda: self.now + self.set_by_s,
            steady=SteadyClock(lambda: START, lambda: self.now - START),
        )

    @property
    def last_row(self) -> dict[str, float | int | str]:
        return self.sink.rows[-1]

    def recorded(self, stream: str) -> list[dict[str, object]]:
        lines = (self.folder / f"{stream}.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def step(self, batch: ExperienceBatch, *, num_waiting: int = 0, num_dropped: int = 0) -> None:
        policy = make_policy(batch.step + 1, batch.episodes_before + 8)
        policy = replace(policy, learned_through=batch.learned_through)
        self.journal.step_begun(batch, num_waiting)
        report = StepReport(policy=policy, metrics={"policy/loss": 0.5})
        self.journal.step_done(batch, report, num_dropped)
