"""How long each part takes for its work, and how many there are; read from a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median

from cluster.config import RunConfig
from cluster.report.records import RunRecords, read_run
from protocol.labels import Submitted


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How many there are of each part, and what the run asks of them."""

    actors: int
    ranks: int
    replicas: int
    labelers: int
    batch: int
    """B, episodes of a step."""
    max_policy_lag: int
    requests_per_call: int
    episodes: int
    labels: int
    initial_labels: int
    ahead: int
    refits: int
    update_every: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Service times, as the parts have them while the others run beside them."""

    response_s: float
    """An actor's time for one response more in a full batch."""
    score_s: float
    """A replica's time for one sequence."""
    episode_s: float
    """A learner rank's time for one episode of a step."""
    meeting_s: float
    """What several ranks need to add up gradients, in one step."""
    load_s: float
    """Time from a version that is made to actors that sample from it."""
    update_s: float
    """A warm update's time, from its order to its being served."""
    refit_s_per_label: float
    """A refit's time, alone on its device."""
    label_s: float
    """Time between two labels of one labeler who has always a task."""
    controller_s: float
    """The driver's time for one rollout."""


def measured(folder: Path) -> tuple[Sizes, Times]:
    """Return sizes and times of a run that has ended."""
    run = read_run(folder)
    return _sizes(run.config), _times(run)


def _sizes(config: RunConfig) -> Sizes:
    return Sizes(
        actors=config.rollouts.num_actors,
        ranks=config.learner.num_ranks,
        replicas=config.reward_service.replicas,
        labelers=len(config.labelers) or len(config.people),
        batch=config.ppo.batch_size,
        max_policy_lag=config.run.max_policy_lag,
        requests_per_call=config.rollouts.requests_per_call,
        episodes=config.run.episodes,
        labels=config.labels.total,
        initial_labels=config.labels.initial,
        ahead=config.labels.ahead,
        refits=config.labels.refits,
        update_every=config.labels.warm.every_labels,
    )


def _times(run: RunRecords) -> Times:
    config = run.config
    steps = [each.ended_at - each.started_at for each in run.learner if each.doing == "step"]
    busy = run.actor_looks
    first = {each.actor_id: each for each in reversed(busy)}
    last = {each.actor_id: each for each in busy}
    seconds = sum(last[name].busy_s - first[name].busy_s for name in last)
    tokens = sum(last[name].num_tokens - first[name].num_tokens for name in last)
    updates = [each for each in run.fits if each.doing == "warm"]
    refits = [each for each in run.rewards if each.kind == "refit"]
    return Times(
        response_s=seconds / tokens * config.response.max_tokens,
        score_s=SCORE_S,
        episode_s=median(steps) / config.ppo.batch_size * config.learner.num_ranks,
        meeting_s=0.0,
        load_s=_load_s(run),
        update_s=median(each.ended_at - each.started_at for each in updates) + SWAP_S,
        refit_s_per_label=fmean(each.fit_seconds / each.labels_used for each in refits),
        label_s=_label_s(run),
        controller_s=CONTROLLER_S,
    )


SCORE_S = 1 / 650
"""`python -m benchmarks.scoring`: by handle, 128 a call."""
SWAP_S = 1.0
"""Time of replicas to take a version up, and of the guard's comparison."""
CONTROLLER_S = 0.0002
"""0.13 ms by `python -m benchmarks.controller_cost` with 64 actors, and 0.04 ms to pickle a rollout
in and out; what Ray's own calls cost is not in it."""


def _load_s(run: RunRecords) -> float:
    made = {each.version: each.created_at for each in run.policies}
    first = {each.version: each.sampled_at for each in run.first_samples}
    waits = [first[version] - made[version] for version in made.keys() & first.keys()]
    return median(waits)


def _label_s(run: RunRecords) -> float:
    """Return the time between two labels of one labeler before the first fit, when work abounds."""
    by_labeler: dict[str, list[float]] = {}
    for event in run.label_side.view().events[: run.config.labels.initial]:
        if isinstance(event, Submitted):
            by_labeler.setdefault(event.labeler_id, []).append(event.received_at)
    return fmean(_gap(times) for times in by_labeler.values() if len(times) > 1)


def _gap(times: Sequence[float]) -> float:
    return (times[-1] - times[0]) / (len(times) - 1)
