"""`inspect.json`: how every part of a run stood when its driver last looked.

The driver writes it anew once a second; whoever reads it needs no Ray, no HTTP and no luck. Its
time tells of a driver that says nothing any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError, model_validator

from cluster.loops.staleness import RolloutState
from protocol.errors import InputError
from protocol.files import read_text
from protocol.fits import FitKind
from protocol.schema import only

MEND = "wait a second, or put back what the run wrote"


class _Part(BaseModel):
    """Strict, and open to what another version adds."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)


class LearnerPicture(_Part):
    """What the learner does, as the loops tell it."""

    doing: str | None
    """"step" and "rollback" are work, the rest is waited for, e.g. "labels"; None: between two."""
    for_s: float
    """How long it has."""
    policy_version: int
    """The newest; actors take it from here."""
    episodes: int


class PartPicture(_Part):
    """What one process last said of itself. Times are Unix seconds."""

    kind: Literal["actor", "rewards", "labels"]
    heard_at: float | None
    """When its last answer came; None: none yet."""
    asked_at: float | None
    """Since when the question that is open waits; None: none is."""
    answer: dict[str, Any]
    """The last one, by kind: an actor's `ActorStats`; which reward version is announced and served;
    the label queue's metrics."""
    error: str | None = None
    """The last, whenever it was."""
    error_at: float | None = None

    @model_validator(mode="after")
    def _answers_by_its_kind(self) -> Self:
        if self.heard_at is not None:
            _ANSWERS[self.kind].model_validate(self.answer)
        return self


class ActorAnswer(_Part):
    """What is read of an actor's."""

    policy_version: int
    num_in_flight: int


class ReplicaAnswer(_Part):
    """What is read of a reward replica's."""

    version: int
    heard_s: float


class RewardsAnswer(_Part):
    """What is read of the reward announcer's."""

    announced: int | None
    replicas: dict[str, ReplicaAnswer]


class LabelsAnswer(_Part):
    """What is read of the label queue's: numbers alone."""

    __pydantic_extra__: dict[str, float]


_ANSWERS: Mapping[str, type[_Part]] = {
    "actor": ActorAnswer,
    "rewards": RewardsAnswer,
    "labels": LabelsAnswer,
}


class Picture(_Part):
    """All of it."""

    format: Annotated[int, AfterValidator(only(1))] = 1
    at: float
    """When it was written, Unix seconds."""
    pid: int
    activity: str
    """What the run does now, in words; see `cluster.loops.activity`."""
    learner: LearnerPicture
    fit: FitKind | None
    """The fit that is under way."""
    fit_for_s: float | None
    has_reward: bool
    """Whether a reward version is served: before it nothing is scored."""
    is_cord_pulled: bool
    rollouts: dict[RolloutState, int]
    """How many of the policy loop's are in each state."""
    parts: dict[str, PartPicture]
    """By name."""
    has_ended: bool = False
    """Whether the loops have: the run saves its policy and stops its parts, and writes no more."""
    trouble: str = ""
    """What keeps people from labelling; empty where nothing does."""


def read_picture(path: Path) -> Picture | None:
    """Return what `inspect.json` holds; None where it was not written yet.

    Raises:
        InputError: It is not as a run writes it; names the key.
        ResourceError: It may not be read.
    """
    if not path.exists():
        return None
    try:
        return Picture.model_validate_json(read_text(path, "inspect.json", MEND))
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in problem["loc"])
        raise InputError(f"{path}: {key or 'file'}: {problem['msg']}; {MEND}") from error
