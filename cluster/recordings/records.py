"""What is recorded of a run: one class for each kind of line under `recordings/`.

The journal makes them of what it is told, and the report gets them back. A version of the policy is
recorded as the ledger keeps it, `protocol.labels.PolicyProvenance`. Times are Unix seconds.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Self

from protocol.chat import in_one_text
from protocol.fits import RewardVersion
from protocol.messages import ChatMessage, Rollout, Score


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutRecord:
    """A response of ρ, or one that was trained on."""

    step: int
    """The policy version its PPO step made, from 1; 0 for responses of ρ."""
    episodes: int
    """Episodes trained in all, that step's included; 0 for responses of ρ."""
    rollout_id: str
    purpose: str
    prompt: str
    """The prompt in one text; of a chat, its turns with their roles."""
    messages: tuple[ChatMessage, ...] = ()
    """Turns of a chat; empty for a plain text, and in runs from before there were chats."""
    text: str
    num_kept: int
    is_complete: bool
    score: float | None
    reward_version: int | None
    oldest_version: int
    newest_version: int
    actor_id: str
    started_at: float
    finished_at: float

    @classmethod
    def of(cls, rollout: Rollout, *, step: int, episodes: int, score: Score | None) -> Self:
        """Return the record of a response that a step trained on, or of one of ρ (step 0)."""
        return cls(
            step=step,
            episodes=episodes,
            rollout_id=rollout.rollout_id,
            purpose=rollout.purpose,
            prompt=in_one_text(rollout.prompt.text, rollout.prompt.messages),
            messages=rollout.prompt.messages,
            text=rollout.text,
            num_kept=rollout.num_kept,
            is_complete=rollout.is_complete,
            score=None if score is None else score.value,
            reward_version=None if score is None else score.reward_version,
            oldest_version=rollout.oldest_version,
            newest_version=rollout.newest_version,
            actor_id=rollout.actor_id,
            started_at=rollout.started_at,
            finished_at=rollout.finished_at,
        )

    @property
    def policy_lag(self) -> int:
        """Versions between the policy that the step changed and the rollout's oldest token."""
        return self.step - 1 - self.oldest_version


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadRecord:
    """Every actor took a version of the policy, and proved it."""

    version: int
    loaded_at: float
    probe_difference: float
    """Largest |sampler − trainer| over the log-probabilities of the probe's tokens, nats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstSampleRecord:
    """A policy version was first sampled from."""

    version: int
    sampled_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardRecord(RewardVersion):
    """A version of the reward."""

    served_at: float | None
    """When every replica served it; None: an update of it was served in its place, that had learned
    what came while it was fitted."""

    @classmethod
    def of(cls, version: RewardVersion, *, served_at: float | None) -> Self:
        """Return the record of a version as it was announced."""
        return cls(**asdict(version), served_at=served_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonRecord:
    """A reward fitted after an exclusion was compared with the one before it."""

    version: int
    """Version of the newer reward."""
    correlation: float | None
    """Pearson's correlation of both rewards' scores; None where it is not defined, or no scores
    came."""
    num_compared: int
    verdict: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateScore:
    """What the run's last reward says of a response that people compared with others."""

    query_id: str
    candidate_id: str
    reward_version: int
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Something that the learner or the reward trainer did from one moment to another."""

    doing: str
    """What was done: a `Doing` of the learner, or the reward trainer's kind of fit, e.g.
    "refit"."""
    started_at: float
    ended_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ActorLook:
    """What an actor said of itself."""

    actor_id: str
    at: float
    uptime_s: float
    busy_s: float
    """Part of `uptime_s` with at least one request in flight, whatever it was for."""
    num_tokens: int
    """Response tokens of all rollouts finished since the actor started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartRecord:
    """A part of the run died and was started again."""

    part: str
    """Names it, e.g. "rollout actor rollout-0"."""
    cause: str
    """The type of the error, and what it said."""
    restarted_at: float

    @classmethod
    def of(cls, part: str, cause: Exception, at: float) -> RestartRecord:
        """Return the record of a part that is started again at a time, Unix seconds."""
        return cls(part=part, cause=f"{type(cause).__name__}: {cause}", restarted_at=at)
