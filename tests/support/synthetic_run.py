"""A run's folder as a run would leave it, made without running one: 40 steps of 32 episodes."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random

from cluster.config import RunConfig
from cluster.config_file import parse_config, save_config
from cluster.metrics.hub import MetricsHub
from cluster.metrics.jsonl_sink import JsonlSink
from cluster.recordings.records import (
    ActorLook,
    FirstSampleRecord,
    RewardRecord,
    RolloutRecord,
    Span,
)
from cluster.recordings.streams import (
    ACTORS,
    FIRST_SAMPLES,
    LEARNER,
    POLICIES,
    REWARDS,
    ROLLOUTS,
    Recordings,
)
from cluster.run_folder import RunFolder
from label_queue.folds.lineage import reference_provenance
from label_queue.ledger.sql import SqlLedger
from label_queue.schedule import LabelSchedule
from protocol.fits import RewardVersion
from protocol.labels import (
    AnswerEvent,
    Assignment,
    Candidate,
    ComparisonQuery,
    PolicyProvenance,
)
from tests.support.labels import make_event

BEGAN = 1_000_000.0
NUM_STEPS = 40
BATCH = 32
STEP_S = 8.0
BEFORE_RL_S = 60.0
LABELERS = ("ada", "ben", "cem")
GOOD, BAD = ("lovely", "excellent", "warm", "fresh"), ("dull", "cold", "awful", "stale")
NOUNS = ("soup", "room", "staff", "view")


class SyntheticRun:
    """Writes the folder of a run whose policy slowly comes to prefer kind words.

    Args:
        path: The folder, made by this.
        seed: Of everything random.
    """

    def __init__(self, path: Path, seed: int = 0) -> None:
        self.folder = RunFolder.create(path)
        self.recordings = Recordings(self.folder.recordings)
        self.random = Random(seed)
        self.config = synthetic_config()
        self.rewards: list[RewardVersion] = []
        """By version from 1."""
        self.policies = [reference_provenance(BEGAN)]

    def write(self) -> Path:
        """Write everything; return the folder."""
        save_config(self.config, self.folder.config)
        label_times = self._label_times()
        self._write_rewards(label_times)
        self._write_steps()
        self._write_ledger(label_times)
        self.recordings.close()
        self.folder.update_state(
            run_id="synthetic",
            state="finished",
            mode="online",
            seed=3,
            started_at=BEGAN,
            wall_s=self.step_time(NUM_STEPS) - BEGAN,
            base_model_s=41.5,
            labels_acknowledged=len(label_times),
            versions={"torch": "2.13.0", "ray": "2.60.0"},
        )
        return self.folder.path

    def step_time(self, version: int) -> float:
        """When a policy version was made."""
        return BEGAN + BEFORE_RL_S + STEP_S * version

    def _label_times(self) -> list[float]:
        schedule = LabelSchedule.of(
            self.config.labels, num_episodes=self.config.run.episodes, mode="online"
        )
        times = [BEGAN + 20 + 30 * i / schedule.initial for i in range(schedule.initial)]
        for step in range(NUM_STEPS):
            due = schedule.wanted((step + 1) * BATCH) + 4
            start = self.step_time(step) - STEP_S / 2
            missing = due - len(times)
            times += [start + STEP_S * i / missing for i in range(missing)]
        return sorted(times)

    def _write_rewards(self, label_times: Sequence[float]) -> None:
        schedule = LabelSchedule.of(
            self.config.labels, num_episodes=self.config.run.episodes, mode="online"
        )
        hub = self._hub()
        due = set(schedule.refit_points)
        points = sorted(due | set(range(min(due) + 16, len(label_times), 16)))
        for version, point in enumerate(points, start=1):
            served_at = label_times[point - 1] + (6.0 if point in due else 2.0)
            self.rewards.append(make_reward(version, point, served_at, is_refit=point in due))
            record = RewardRecord.of(self.rewards[-1], served_at=served_at)
            self.recordings.write(REWARDS, record)
            progress = version / len(points)
            hub.write(
                {
                    "reward_model/version": version,
                    "reward_model/labels_used": point,
                    "reward_model/train_accuracy": 0.55 + 0.2 * progress,
                    "reward_model/validation_accuracy": self.random.choice((0.0, 0.5, 1.0)),
                    "reward_model/validation_labels": 2,
                    "reward_model/validation_accuracy_current_policy": (5 + 3 * progress) / 16,
                    "reward_model/validation_labels_current_policy": 16,
                }
            )
        hub.close()

    def _write_steps(self) -> None:
        hub = self._hub()
        for number in range(64):
            self._rollout(f"r-{number}", step=0, progress=0.0, finished_at=BEGAN + 15)
        self._first_sample(0, BEGAN + 15)
        for version in range(1, NUM_STEPS + 1):
            made_at = self.step_time(version)
            progress = version / NUM_STEPS
            served = [r.version for r in self.rewards if announced(r) < made_at - STEP_S / 2]
            reward_version = served[-1] if served else 1
            policy = PolicyProvenance(
                version=version,
                episodes=version * BATCH,
                reward_version=reward_version,
                learned_through=self.rewards[reward_version - 1].ledger_seq,
                restored_from=None,
                created_at=made_at,
            )
            self.policies.append(policy)
            for number in range(BATCH):
                self._rollout(
                    f"t-{version}-{number}",
                    step=version,
                    progress=progress,
                    finished_at=made_at - STEP_S / 2,
                    reward_version=reward_version,
                )
            self.recordings.write(POLICIES, policy)
            self._first_sample(version, made_at + 1.0)
            self._record_time(made_at)
            kl = 8 * (1 - math.exp(-5 * progress)) + self.random.gauss(0, 0.25)
            hub.write(
                {
                    "policy/step": version,
                    "policy/episodes": version * BATCH,
                    "kl/reference_mean": kl,
                    "kl/coefficient": 0.15 * math.exp(0.4 * math.sin(4 * progress)),
                    "rollout/probe_mismatch_max": 1e-6,
                    "rollout/logprob_mismatch_max": 2e-6 * (1 + self.random.random()),
                }
            )
            hub.write(
                {
                    "time/wall_s": made_at - BEGAN,
                    "throughput/training_s": 3.0 * version,
                    "throughput/episodes_per_s": BATCH / STEP_S,
                    "throughput/learner_idle": 0.625,
                }
            )
        hub.close()

    def _rollout(
        self,
        rollout_id: str,
        *,
        step: int,
        progress: float,
        finished_at: float,
        reward_version: int | None = None,
    ) -> None:
        words = [
            self.random.choice(GOOD if self.random.random() < 0.4 + 0.5 * progress else BAD)
            for _ in range(3)
        ]
        noun = self.random.choice(NOUNS)
        lag = self.random.choices((0, 1, 2), (5, 80, 15))[0]
        score = None if reward_version is None else 1.6 * progress + self.random.gauss(0, 1)
        text = f"{words[0]} , and it felt {words[1]} but the {noun} was {words[2]} ."
        self.recordings.write(
            ROLLOUTS,
            RolloutRecord(
                step=step,
                episodes=step * BATCH,
                rollout_id=rollout_id,
                purpose="train" if step else "reference",
                prompt=f"the {noun} was",
                text=text,
                num_kept=len(text.split()),
                is_complete=True,
                score=score,
                reward_version=reward_version,
                oldest_version=max(0, step - 1 - lag),
                newest_version=max(0, step - 1),
                actor_id=f"rollout-{self.random.randrange(2)}",
                started_at=finished_at - 2.5,
                finished_at=finished_at + self.random.random(),
            ),
        )

    def _record_time(self, made_at: float) -> None:
        """Of a step's 8 s the learner waits 5; one actor is busy for 6 of them, the other for 2."""
        begun_at = made_at - 3.0
        waits = Span(doing="rollouts", started_at=made_at - STEP_S, ended_at=begun_at)
        step = Span(doing="step", started_at=begun_at, ended_at=made_at)
        for span in (waits, step):
            self.recordings.write(LEARNER, span)
        for number, busy in enumerate((0.75, 0.25)):
            uptime_s = made_at - BEGAN
            look = ActorLook(
                actor_id=f"rollout-{number}",
                at=made_at,
                uptime_s=uptime_s,
                busy_s=busy * uptime_s,
                num_tokens=round(100 * uptime_s),
            )
            self.recordings.write(ACTORS, look)

    def _write_ledger(self, label_times: Sequence[float]) -> None:
        ledger = SqlLedger.open(self.folder.ledger, "synthetic")
        for number, received_at in enumerate(label_times):
            created_at = received_at - 3.0
            step = max(0, math.floor((created_at - BEGAN - BEFORE_RL_S) / STEP_S))
            # Of every twelve labels, the first three are of one query.
            if number % 12 not in (1, 2):
                purpose = "validation" if number % 12 == 9 else "train"
                query = make_query(
                    f"q-{number:05d}",
                    versions=(step, step, 0, 0) if purpose == "validation" else (step,) * 4,
                    purpose=purpose,
                    created_at=created_at,
                    labels_before=number,
                )
                ledger.write([query])
                is_win = self.random.random() < 0.5 + 0.5 * step / NUM_STEPS
            labeler = LABELERS[number % 3]
            is_blind = self.random.random() < (0.8 if labeler == "cem" else 0.2)
            choice = self.random.randrange(4) if is_blind else 2 * (not is_win)
            is_skipped = self.random.random() < 0.05
            label = make_label(query, labeler, None if is_skipped else choice, received_at)
            ledger.write([make_assignment(query, labeler, received_at - 5.0), label])
        ledger.write([*self.rewards, *self.policies])
        ledger.close()

    def _hub(self) -> MetricsHub:
        return MetricsHub([JsonlSink(self.folder.metrics)], wall_s=lambda: 0.0)

    def _first_sample(self, version: int, sampled_at: float) -> None:
        record = FirstSampleRecord(version=version, sampled_at=sampled_at)
        self.recordings.write(FIRST_SAMPLES, record)


def synthetic_config(changes: Mapping[str, object] | None = None) -> RunConfig:
    """Return the config of the synthetic run, sections of it replaced by `changes`."""
    content: dict[str, object] = {
        "people": LABELERS,
        "run": {"name": "synthetic", "seed": 3, "episodes": NUM_STEPS * BATCH},
        "prompts": {"source": "reviews"},
        "policy": {"path": "base"},
        "ppo": {"batch_size": BATCH},
        "rollouts": {"requests_per_call": BATCH},
        "kl": {"target": 8.0},
        "labels": {"total": 240, "initial": 60, "refits": 6, "ahead": 16},
    }
    return parse_config({**content, **(changes or {})}, "synthetic")


def make_reward(version: int, ledger_seq: int, at: float, *, is_refit: bool) -> RewardVersion:
    """Return a version that was announced `at`, and does not say its own list."""
    return RewardVersion(
        version=version,
        kind="refit" if is_refit else "warm",
        path="",
        sha256=hashlib.sha256(b"reward %d" % version).hexdigest(),
        ledger_seq=ledger_seq,
        exclusions_sha256="",
        labeler_weights=(),
        labels_used=ledger_seq,
        fit_seconds=5.0 if is_refit else 1.5,
        announced_at=at,
    )


def announced(reward: RewardVersion) -> float:
    """Return when a version was announced."""
    assert reward.announced_at is not None
    return reward.announced_at


def make_query(
    query_id: str,
    *,
    versions: Sequence[int] = (1, 1, 1, 1),
    purpose: str = "train",
    created_at: float = 0.0,
    labels_before: int = 0,
) -> ComparisonQuery:
    """Return a best-of-K query whose candidate i is "QUERY-i", of policy version versions[i]."""
    return ComparisonQuery(
        query_id=query_id,
        run_id="synthetic",
        kind="best_of_k",
        purpose=purpose,  # type: ignore[arg-type]
        prompt_text="the soup was",
        prompt_token_ids=(1, 2, 3),
        candidates=tuple(
            Candidate(
                candidate_id=f"{query_id}-{i}",
                text=f"lovely {i} .",
                token_ids=(4, 5 + i),
                policy_version=version,
                temperature=1.0,
                max_tokens=2,
                seed=None,
                engine="rollout-0",
                logprob_sum=-2.0,
                finish_reason="cut",
            )
            for i, version in enumerate(versions)
        ),
        reward_version=1,
        reward_scores=(),
        selector="uniform",
        selection_probability=1.0,
        labels_before=labels_before,
        created_at=created_at,
        expires_at=created_at + 3600,
    )


def make_assignment(query: ComparisonQuery, labeler: str, created_at: float) -> Assignment:
    """Return the lease of a query that `make_label` answers, shown in the query's own order."""
    return Assignment(
        assignment_id=f"{query.query_id}-{labeler}",
        query_id=query.query_id,
        labeler_id=labeler,
        shown_order=tuple(candidate.candidate_id for candidate in query.candidates),
        order_seed=1,
        created_at=created_at,
        lease_until=created_at + 600.0,
        page_version="api-1",
        guideline_version="1",
    )


def make_label(
    query: ComparisonQuery, labeler: str, choice: int | None, received_at: float, *, seq: int = 0
) -> AnswerEvent:
    """Return a labeler's choice of a candidate, or a skip for None."""
    assignment = f"{query.query_id}-{labeler}"
    return make_event(
        query,
        labeler,
        seq=seq,
        outcome="skip" if choice is None else "choice",
        choice=choice,
        received_at=received_at,
        event_id=f"{assignment}:0",
        label_id=assignment,
        assignment_id=assignment,
    )
