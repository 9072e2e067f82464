"""Who waits for what in a run, in a few lines: of one that goes on, hangs, is dead or has ended."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.inert_text import inert
from cluster.loops.staleness import RolloutState
from cluster.run_folder import RunFolder
from cluster.watching.picture import LearnerPicture, PartPicture, Picture, read_picture
from cluster.watching.status import ENDED, read_state

SILENT_S = 5.0
"""A driver, or a part of a run, that was not heard for longer is said to be silent."""
ENDING_S = 120.0
"""So long a driver whose loops have ended may take to save the policy and stop the parts."""

_LEARNER = {
    "step": "takes a PPO step",
    "rollback": "restores an older policy",
    "labels": "waits for labels, from the labelers",
    "rollouts": "waits for rollouts, from the actors and the reward service",
    "scores": "waits for scores of one reward version, from the reward service",
    "reward": "waits for a forced refit to be judged",
    "cord": "stands at the cord, until the owner releases it",
    "passing": "passes the cord",
    "down": "is down, until the run is resumed",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """A run, as its folder tells it at one moment."""

    path: Path
    state: dict[str, Any]
    """`run.json`; its "state" is "dead" where the driver is gone without a word."""
    picture: Picture | None
    """None where the driver had not come so far as to write one."""
    now: float
    """Unix seconds."""

    @property
    def silent_s(self) -> float | None:
        """For how long the driver has said nothing, in seconds; None: it never said anything."""
        return None if self.picture is None else max(0.0, self.now - self.picture.at)

    @property
    def is_well(self) -> bool:
        """Whether the run has ended as it should, or goes on and is heard."""
        if self.state["state"] in ("dead", "failed"):
            return False
        if self.state["state"] in ENDED or self.silent_s is None:
            return True
        has_ended = self.picture is not None and self.picture.has_ended
        return self.silent_s <= (ENDING_S if has_ended else SILENT_S)


def inspect(path: Path, now: float | None = None) -> Inspection:
    """Read a run's folder.

    Raises:
        MissingError: The folder holds no run.
        InputError: A file in it is not as a run writes it.
        ResourceError: It may not be read.
    """
    state = read_state(path)
    picture = read_picture(RunFolder(path).inspection)
    return Inspection(
        path=path, state=state, picture=picture, now=time.time() if now is None else now
    )


def describe(inspection: Inspection) -> str:
    """Return who waits for what."""
    return "\n".join(
        [
            f"{inspection.path}: {_headline(inspection)}",
            *(f"  {name:<15} {inert(text)}" for name, text in _lines(inspection)),
        ]
    )


def _headline(inspection: Inspection) -> str:
    state, picture = inspection.state["state"], inspection.picture
    if picture is None:
        doing = inspection.state.get("activity")
        return f"{state}{f' ({doing})' if doing else ''}; its loops have not begun to tell"
    heard = f"last heard {_ago(picture.at, inspection.now)}"
    if state == "dead":
        return f"dead: its process is gone without a word; {heard}"
    if state in ENDED:
        return f"{state}; {heard}, and so it stood then"
    if not inspection.is_well:
        return (
            f"silent: process {picture.pid} is there and says nothing; {heard}. What it did then:"
        )
    if picture.has_ended:
        return f"its loops have ended ({inspection.state.get('activity', 'stopping')}); {heard}"
    return f"{picture.activity}; {heard}"


def _lines(inspection: Inspection) -> Iterator[tuple[str, str]]:
    picture, state = inspection.picture, inspection.state
    if picture is not None:
        yield "learner", _learner(picture.learner)
        yield "reward trainer", _trainer(picture)
        yield "rollouts", _rollouts(picture)
        for name, part in sorted(picture.parts.items(), key=_place):
            yield name, f"{_said(part, picture)}; {_heard(part, picture.at)}"
        if picture.trouble:
            yield "labelling", picture.trouble
    cord = state.get("cord") or {}
    if cord.get("is_pulled"):
        yield "cord", f"pulled by {cord['pulled_by']}: {cord['reason']}"
    else:
        yield "cord", "free"
    yield from _errors(inspection)


def _place(named: tuple[str, PartPicture]) -> tuple[int, int, str]:
    """Return where a part is shown: as a rollout goes, and rollout-2 before rollout-10."""
    name, part = named
    return ("actor", "rewards", "labels").index(part.kind), len(name), name


def _learner(learner: LearnerPicture) -> str:
    """Return what the learner does; of a state that another version adds, its name."""
    doing = "is between two things"
    if learner.doing is not None:
        doing = f"{_LEARNER.get(learner.doing, learner.doing)}, for {learner.for_s:.0f} s"
    return f"{doing}; policy v{learner.policy_version}, {learner.episodes} episodes"


def _trainer(picture: Picture) -> str:
    if picture.fit is not None:
        return f"fits ({picture.fit}), for {picture.fit_for_s or 0.0:.0f} s"
    return "waits for labels, until the next fit is due"


def _rollouts(picture: Picture) -> str:
    found = picture.rollouts
    counts = [f"{found[state]} {state.value}" for state in RolloutState if found.get(state)]
    waits = "" if picture.has_reward else "; all wait for the first reward version"
    if not counts:
        return f"none under way{waits}"
    begun = (RolloutState.ADMITTED, RolloutState.BEING_DRAWN)
    if not any(picture.rollouts.get(state) for state in begun):
        waits += "; no other is begun before the actors hold a newer policy"
    return " · ".join(counts) + waits


def _said(part: PartPicture, picture: Picture) -> str:
    if part.heard_at is None:
        return "has said nothing yet"
    answer = part.answer
    if part.kind == "actor":
        held, newest = answer["policy_version"], picture.learner.policy_version
        loading = f", v{newest} is yet to be loaded" if held < newest else ""
        return f"holds policy v{held}{loading}; draws {answer['num_in_flight']} requests"
    if part.kind == "rewards":
        return _rewards(answer)
    counted, wanted = answer.get("labels/counted", 0), answer.get("labels/scheduled", 0)
    return (
        f"{counted:.0f} labels count of {wanted:.0f} wanted by now; "
        f"{answer.get('labels/outstanding', 0):.0f} answers are asked for, of "
        f"{answer.get('labelers/active', 0):.0f} active labelers"
    )


def _rewards(answer: dict[str, Any]) -> str:
    announced, replicas = answer["announced"], answer["replicas"]
    if not announced:
        return f"no version announced yet; {len(replicas)} replicas wait"
    served = ", ".join(
        f"{name[:8]} v{each['version']} ({each['heard_s']:.0f} s ago)"
        for name, each in sorted(replicas.items())
    )
    behind = sum(each["version"] < announced for each in replicas.values())
    late = f"; {behind} yet to take it" if behind else ""
    return f"v{announced} announced, served by {served or 'nobody'}{late}"


def _heard(part: PartPicture, at: float) -> str:
    """Say when a part was last heard, as of the moment the driver wrote."""
    if part.heard_at is None:
        return "not heard yet"
    heard = f"heard {_ago(part.heard_at, at)}"
    if part.asked_at is not None and at - part.asked_at > SILENT_S:
        return f"SILENT: asked {_ago(part.asked_at, at)}, {heard}"
    return heard


def _errors(inspection: Inspection) -> Iterator[tuple[str, str]]:
    if reason := inspection.state.get("error"):
        yield "error", f"the run: {reason}"
    parts = {} if inspection.picture is None else inspection.picture.parts
    for name, part in parts.items():
        if part.error is not None and part.error_at is not None:
            yield "error", f"{name}, {_ago(part.error_at, inspection.now)}: {part.error}"


def _ago(at: float, now: float) -> str:
    seconds = max(0.0, now - at)
    if seconds < 120:
        return f"{seconds:.0f} s ago"
    minutes = seconds / 60
    return f"{minutes:.0f} min ago" if minutes < 120 else f"{minutes / 60:.0f} h ago"
