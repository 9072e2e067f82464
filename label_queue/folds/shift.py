"""How the training set moved away from what the live reward learned."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from label_queue.folds.label_table import LabelTable
from label_queue.folds.lineage import policies_touched
from label_queue.folds.view import LearnedLabels, LedgerView
from label_queue.quality.given import Bools
from protocol.fits import RewardVersion

FORCING_SHARE = 0.02
"""Share of a fit's weight above which what changed forces a refit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """How the training set moved away from what the live reward learned."""

    left: frozenset[int] = frozenset()
    """Rows of the labels learned, and since excluded or held; see `LabelTable`."""
    returned: frozenset[int] = frozenset()
    """Rows of the labels that an act of the owner's brought back, and that were not learned."""
    weight_share: float = 0.0
    """Weight of what left or came back, as a share of all that was learned or came back, in [0, 1],
    by the live reward's own weights."""

    @property
    def forces_refit(self) -> bool:
        """Whether waiting for the next regular refit would take too long."""
        return self.weight_share > FORCING_SHARE


def find_shift(view: LedgerView, learned: LearnedLabels, table: LabelTable | None = None) -> Shift:
    """Return how the training set moved since the live reward; nothing before the first.

    A state, not an event: it is the same after a restart, small exclusions add up, and it goes on
    until a refit has learned the training set as it is.

    Args:
        view: The ledger.
        learned: What each reward has learned.
        table: Its labels in columns, where they are known; None: they are gone through.
    """
    live = view.live_reward
    if live is None:
        return Shift()
    table = learned.table(view) if table is None else table
    known = learned.learned(view, live.version, table)
    present = table.training_set()
    left = known & ~present & table.prefers
    is_back = [table.returned_at.get(name, 0) > live.ledger_seq for name in table.names]
    was_there = (table.stands > 0) & (table.stands <= live.ledger_seq)
    returned = present & ~known & was_there & np.array(is_back, dtype=np.bool_)[table.labeler]
    return Shift(
        left=frozenset(np.flatnonzero(left).tolist()),
        returned=frozenset(np.flatnonzero(returned).tolist()),
        weight_share=weight_share(table, live, left | returned, known | returned),
    )


def contaminated_from(
    view: LedgerView, learned: LearnedLabels, labels: Collection[int]
) -> int | None:
    """Return the first policy version that any of these labels, by their rows, reached.

    None where none was, or where a rollback has left all of them behind.
    """
    rewards = learned.rows_by_reward(view).touching(frozenset(labels))
    touched = policies_touched(view.policies, rewards)
    is_clean = not touched or view.newest_policy not in touched
    return None if is_clean else touched[0]


def weight_share(table: LabelTable, live: RewardVersion | None, some: Bools, whole: Bools) -> float:
    """Return the share of labels in the weight of others, by the weights of the live reward.

    Args:
        table: All labels.
        live: The live reward; None before the first: all weigh alike.
        some: [S], the labels in question.
        whole: [S], the others.
    """
    weights = {} if live is None else dict(live.labeler_weights)
    total = _weight(table.counts(whole), weights)
    return _weight(table.counts(some), weights) / total if total else 0.0


def _weight(counts: Mapping[str, int], weights: Mapping[str, float]) -> float:
    """Return Σ n·a, rounded once: the same whatever the order of the labelers."""
    return float(sum(n * Fraction(weights.get(name, 1.0)) for name, n in counts.items()))
