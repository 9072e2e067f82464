"""Taking labels back: what an exclusion changes, and whether a refit is due for it at once."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from label_queue.history import states_preference
from label_queue.intake.owner_schemas import ExclusionPreview
from label_queue.ledger.view import LearnedLabels, LedgerView
from label_queue.oversight.lineage import policies_touched, rewards_touched
from protocol.labels import Excluded, LabelChange, OwnerEvent, Reinstated, Source

FORCING_SHARE = 0.02
"""Above this share of a fit's weight, what changed forces a refit."""


def exclusion(labeler_id: str, *, from_seq: int, reason: str, event_id: str, at: float) -> Excluded:
    """Return the event by which an owner leaves somebody's labels out, from `from_seq` on."""
    return Excluded(
        seq=0,
        event_id=event_id,
        labeler_id=labeler_id,
        received_at=at,
        source=Source(system="owner"),
        reason=reason,
        from_seq=from_seq,
    )


def reinstatement(labeler_id: str, *, reason: str, event_id: str, at: float) -> Reinstated:
    """Return the event by which an owner takes somebody in again."""
    return Reinstated(
        seq=0,
        event_id=event_id,
        labeler_id=labeler_id,
        received_at=at,
        source=Source(system="owner"),
        reason=reason,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """How the training set moved away from what the live reward learned."""

    left: frozenset[str] = frozenset()
    """Ids of the labels learned, and since excluded or held."""
    returned: frozenset[str] = frozenset()
    """Ids of those that a reinstatement brought back, and that were not learned."""
    weight_share: float = 0.0
    """Of what was learned and came back, by the live reward's own weights, in [0, 1]."""

    @property
    def forces_refit(self) -> bool:
        """Whether to wait for the next regular refit would be too long."""
        return self.weight_share > FORCING_SHARE


def find_shift(view: LedgerView, learned: LearnedLabels) -> Shift:
    """Return how the training set moved since the live reward; nothing before the first.

    A state, not an event: it is the same after a restart, small exclusions add up, and it goes on
    until a refit has learned the training set as it is.
    """
    live = view.live_reward
    if live is None:
        return Shift()
    known = learned.by_reward(view)[live.version]
    present = learned.training_set(view)
    labels = view.labels()
    left = {name for name in known - present if states_preference(labels.get(name))}
    reinstated = {
        event.labeler_id
        for event in view.events
        if isinstance(event, Reinstated) and event.seq > live.ledger_seq
    }
    returned = {
        name
        for name in present - known
        if labels[name].labeler_id in reinstated and labels[name].seq <= live.ledger_seq
    }
    return Shift(
        left=frozenset(left),
        returned=frozenset(returned),
        weight_share=_weight_share(view, left | returned, known | returned),
    )


def contaminated_from(
    view: LedgerView, learned: LearnedLabels, labels: Collection[str]
) -> int | None:
    """Return the first policy version that any of these labels reached.

    None where none was, or where a rollback has left all of them behind.
    """
    touched = policies_touched(view.policies, rewards_touched(learned.by_reward(view), labels))
    is_clean = not touched or view.newest_policy not in touched
    return None if is_clean else touched[0]


def preview(
    view: LedgerView,
    learned: LearnedLabels,
    change: OwnerEvent,
) -> ExclusionPreview:
    """Return what an exclusion or reinstatement, not yet written, would change."""
    from_seq = (change.from_seq or 0) if isinstance(change, Excluded) else 0
    after = view.with_event(change)
    before_set, after_set = learned.training_set(view), learned.training_set(after)
    moved = before_set ^ after_set
    own = {
        name
        for name, label in view.labels().items()
        if label.labeler_id == change.labeler_id and label.seq >= from_seq
    }
    by_reward = learned.by_reward(view)
    rewards = rewards_touched(by_reward, own)
    touched = policies_touched(view.policies, rewards)
    live = view.live_reward
    known = before_set if live is None else by_reward[live.version]
    whole = known | (after_set - before_set)
    return ExclusionPreview(
        labeler_id=change.labeler_id,
        from_seq=from_seq,
        labels=len(moved),
        weight_share=_weight_share(view, moved & whole, whole),
        forces_refit=find_shift(after, learned).forces_refit,
        reward_versions=rewards,
        policy_versions=(touched[0], touched[-1]) if touched else None,
    )


def _weight_share(view: LedgerView, some: Iterable[str], whole: Iterable[str]) -> float:
    """Return the share of labels in the weight of others, by the weights of the live reward."""
    weights = {} if view.live_reward is None else dict(view.live_reward.labeler_weights)
    labeler_of = {
        event.label_id: event.labeler_id for event in view.events if isinstance(event, LabelChange)
    }

    def weight(labels: Iterable[str]) -> float:
        return math.fsum(weights.get(labeler_of[name], 1.0) for name in labels)

    total = weight(whole)
    return weight(some) / total if total else 0.0
