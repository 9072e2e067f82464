"""How the training set moved away from what the live reward learned."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from label_queue.folds.history import states_preference
from label_queue.folds.lineage import policies_touched
from label_queue.folds.view import LearnedLabels, LedgerView
from protocol.labels import LabelChange, Reinstated

FORCING_SHARE = 0.02
"""Share of a fit's weight above which what changed forces a refit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """How the training set moved away from what the live reward learned."""

    left: frozenset[str] = frozenset()
    """Ids of the labels learned, and since excluded or held."""
    returned: frozenset[str] = frozenset()
    """Ids of the labels that a reinstatement brought back, and that were not learned."""
    weight_share: float = 0.0
    """Weight of what left or came back, as a share of all that was learned or came back, in [0, 1],
    by the live reward's own weights."""

    @property
    def forces_refit(self) -> bool:
        """Whether waiting for the next regular refit would take too long."""
        return self.weight_share > FORCING_SHARE


def find_shift(
    view: LedgerView, learned: LearnedLabels, present: frozenset[str] | None = None
) -> Shift:
    """Return how the training set moved since the live reward; nothing before the first.

    A state, not an event: it is the same after a restart, small exclusions add up, and it goes on
    until a refit has learned the training set as it is.

    Args:
        view: The ledger.
        learned: What each reward has learned.
        present: The training set, where it is known; None: it is worked out.
    """
    live = view.live_reward
    if live is None:
        return Shift()
    known = learned.by_reward(view)[live.version]
    present = learned.training_set(view) if present is None else present
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
        weight_share=weight_share(view, left | returned, known | returned),
    )


def contaminated_from(
    view: LedgerView, learned: LearnedLabels, labels: Collection[str]
) -> int | None:
    """Return the first policy version that any of these labels reached.

    None where none was, or where a rollback has left all of them behind.
    """
    touched = policies_touched(view.policies, learned.by_reward(view).touching(frozenset(labels)))
    is_clean = not touched or view.newest_policy not in touched
    return None if is_clean else touched[0]


def weight_share(view: LedgerView, some: Iterable[str], whole: Iterable[str]) -> float:
    """Return the share of labels in the weight of others, by the weights of the live reward."""
    weights = {} if view.live_reward is None else dict(view.live_reward.labeler_weights)
    labeler_of = {
        event.label_id: event.labeler_id for event in view.events if isinstance(event, LabelChange)
    }

    def weight(labels: Iterable[str]) -> float:
        return math.fsum(weights.get(labeler_of[name], 1.0) for name in labels)

    total = weight(whole)
    return weight(some) / total if total else 0.0
