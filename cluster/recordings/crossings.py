"""What crosses a process and can be recorded: each call with what is asked and what is answered.

Weights do not cross here: of an announced policy version its digest, size and probe are recorded,
and where they lay, which is gone with the run, is not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Generic, Literal, TypeVar

from pydantic import TypeAdapter

from cluster.recordings.config import CrossingStream
from protocol.fits import FitKind, FitRequest, RewardVersion
from protocol.labels import QueryDraft, QueryOrder
from protocol.messages import (
    ExperienceBatch,
    PolicyVersion,
    Rollout,
    RolloutRequest,
    Score,
    StepReport,
    StoredWeights,
    WeightsFile,
)

AskT = TypeVar("AskT")
AnswerT = TypeVar("AnswerT")

StreamName = CrossingStream | Literal["start"]
"""What is recorded together. "start" is what the rest cannot be replayed without, recorded along
with "labels", and never dropped for want of room."""
START: StreamName = "start"


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossing(Generic[AskT, AnswerT]):
    """One method that one process asks of another."""

    name: str
    """E.g. "learner.step"."""
    stream: StreamName
    asks: TypeAdapter[AskT]
    answers: TypeAdapter[AnswerT]
    version: int = 1
    """Schema version that is written; all up to it are read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """Drafts that answer an order of the label queue."""

    order_id: str
    drafts: tuple[QueryDraft, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far the run is, and with which policy."""

    episodes: int
    policy: PolicyVersion


_NOTHING: TypeAdapter[None] = TypeAdapter(None)
_POLICY = TypeAdapter(PolicyVersion)
_REWARD = TypeAdapter(RewardVersion)

GENERATE = Crossing(
    name="rollouts.generate",
    stream="rollouts",
    asks=TypeAdapter(tuple[RolloutRequest, ...]),
    answers=TypeAdapter(tuple[Rollout, ...]),
)
LOAD_POLICY = Crossing(
    name="rollouts.load_policy", stream="versions", asks=_POLICY, answers=TypeAdapter(float)
)
"""Answered with the probe's largest difference, nats."""
SCORE = Crossing(
    name="reward_service.score",
    stream="scores",
    asks=TypeAdapter(tuple[tuple[int, ...], ...]),
    answers=TypeAdapter(tuple[Score, ...]),
)
"""[N][T_n] prompt and kept response; [N]."""
SWAP = Crossing(name="reward_service.swap", stream="versions", asks=_REWARD, answers=_NOTHING)
STEP = Crossing(
    name="learner.step",
    stream="batches",
    asks=TypeAdapter(ExperienceBatch),
    answers=TypeAdapter(StepReport),
)
RESTORE = Crossing(name="learner.restore", stream="batches", asks=TypeAdapter(int), answers=_POLICY)
"""Asked for a version, answered with the next."""
FIT = Crossing(
    name="reward_trainer.fit", stream="labels", asks=TypeAdapter(FitRequest), answers=_REWARD
)
ADD_REFERENCE = Crossing(
    name="labels.add_reference",
    stream=START,
    asks=TypeAdapter(tuple[Rollout, ...]),
    answers=_NOTHING,
)
"""Responses of ρ: they also normalise the reward."""
NEXT_ORDERS = Crossing(
    name="labels.next_orders",
    stream="labels",
    asks=_NOTHING,
    answers=TypeAdapter(tuple[QueryOrder, ...]),
)
OFFER = Crossing(
    name="labels.offer", stream="labels", asks=TypeAdapter(Offer), answers=TypeAdapter(int)
)
"""Answered with how many queries were made."""
SET_PROGRESS = Crossing(
    name="labels.set_progress", stream="labels", asks=TypeAdapter(Progress), answers=_NOTHING
)
NEXT_FIT = Crossing(
    name="labels.next_fit",
    stream="labels",
    asks=TypeAdapter(FitKind | None),
    answers=TypeAdapter(FitRequest),
)
"""Asked for a kind; None: for whichever was due, as it once was."""
CATCH_UP = Crossing(
    name="labels.catch_up",
    stream="labels",
    asks=_REWARD,
    answers=TypeAdapter(FitRequest | None),
)
REWARD_SERVED = Crossing(
    name="labels.reward_served", stream="labels", asks=_REWARD, answers=_NOTHING
)
ROLLED_BACK = Crossing(name="labels.rolled_back", stream="labels", asks=_POLICY, answers=_NOTHING)

CROSSINGS = {
    each.name: each
    for each in (
        *(GENERATE, LOAD_POLICY, SCORE, SWAP, STEP, RESTORE, FIT),
        *(ADD_REFERENCE, NEXT_ORDERS, OFFER, SET_PROGRESS, ROLLED_BACK),
        *(NEXT_FIT, CATCH_UP, REWARD_SERVED),
    )
}
"""All of them, by name."""


def without_place(policy: PolicyVersion) -> PolicyVersion:
    """Return an announcement as it is recorded: with the weights' digest and not where they lie.

    Weights that went from device to device have no digest; the probe says what they are.
    """
    weights = policy.weights
    digest = weights.sha256 if isinstance(weights, WeightsFile | StoredWeights) else ""
    return replace(policy, weights=WeightsFile(path="", sha256=digest, num_bytes=weights.num_bytes))


def as_reported(report: StepReport) -> StepReport:
    """Return a step's report as it is recorded."""
    return replace(report, policy=without_place(report.policy))
