"""Taking labels back: the event that does it, and what it would change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from label_queue.folds.label_table import LabelTable
from label_queue.folds.lineage import policies_touched
from label_queue.folds.shift import find_shift, weight_share
from label_queue.folds.view import LearnedLabels, LedgerView
from label_queue.quality.assessment import Assessment
from label_queue.quality.standing import Standing
from protocol.labels import ActUndone, Excluded, OwnerEvent, Reinstated, Source
from protocol.names import OWNER

Act = Literal["exclude", "reinstate", "undo"]
"""What is done about somebody's labels: the last takes back the newest of the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnerEvents:
    """The events by which an owner excludes somebody, takes them in again, or undoes either."""

    new_id: Callable[[], str]
    clock: Callable[[], float]
    """Returns the present time, Unix seconds."""

    def of(self, act: Act, labeler_id: str, from_seq: int, standing: Standing) -> OwnerEvent:
        """Return the event that an act would be; only an exclusion has a `from_seq`."""
        if act == "exclude":
            return self.exclude(labeler_id, from_seq, "")
        if act == "undo":
            return self.undo(labeler_id, standing.undoable or "", "")
        return self.reinstate(labeler_id, "")

    def exclude(self, labeler_id: str, from_seq: int, reason: str, actor: str = OWNER) -> Excluded:
        """Leave somebody's labels out, from a sequence number on."""
        return Excluded(**self._said(labeler_id, reason, actor), from_seq=from_seq)

    def reinstate(self, labeler_id: str, reason: str, actor: str = OWNER) -> Reinstated:
        """Take all labels of somebody in again."""
        return Reinstated(**self._said(labeler_id, reason, actor))

    def undo(self, labeler_id: str, act_id: str, reason: str, actor: str = OWNER) -> ActUndone:
        """Take an exclusion or a reinstatement back, by its event id."""
        return ActUndone(**self._said(labeler_id, reason, actor), undoes=act_id)

    def _said(self, labeler_id: str, reason: str, actor: str) -> dict[str, Any]:
        """Return the fields of an event that all acts have."""
        return {
            "seq": 0,
            "event_id": self.new_id(),
            "labeler_id": labeler_id,
            "received_at": self.clock(),
            "source": Source(system="owner"),
            "reason": reason,
            "actor": actor,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ExclusionPreview:
    """What an exclusion, a reinstatement or the undoing of one changes, or changed."""

    labeler_id: str
    from_seq: int
    labels_leaving: int
    """Number of labels that leave the training set."""
    labels_returning: int
    """Number of labels that come back into it: of a reinstatement, or an exclusion from a later
    number on than before."""
    weight_share: float
    """Share of the present fit's weight that leaves or comes back, in [0, 1]."""
    forces_refit: bool
    """Whether the next fit is a refit, at once: above 2 % of the weight it is."""
    reward_versions: tuple[int, ...]
    """Reward versions that learned any of the labeler's labels from `from_seq` on, rising."""
    policy_versions: tuple[int, int] | None
    """First and last policy version that a reward in `reward_versions` reached; None: none was."""
    undoable: str | None = None
    """The event id by which the newest act can be undone, once it is done; None: none can."""


def is_news(act: Act, from_seq: int, standing: Standing | Assessment) -> bool:
    """Return whether an act changes how somebody stands; one that does not is not written down.

    Args:
        act: What is done.
        from_seq: From where on, of an exclusion.
        standing: How they stand.
    """
    if act == "exclude":
        return standing.excluded_from != from_seq
    if act == "undo":
        return standing.undoable is not None
    return standing.state not in ("active", "judge")


def preview(
    view: LedgerView,
    learned: LearnedLabels,
    change: OwnerEvent,
    standing: Standing,
    table: LabelTable | None = None,
) -> ExclusionPreview:
    """Return what an act that is not yet written would change.

    Args:
        view: The ledger.
        learned: What each reward has learned.
        change: The event.
        standing: How it would make its labeler stand.
        table: The view's labels in columns, where they are known; None: they are gone through.
    """
    from_seq = (change.from_seq or 0) if isinstance(change, Excluded) else 0
    before = learned.table(view) if table is None else table
    after = before.after(change, standing)
    before_set, after_set = before.training_set(), after.training_set()
    moved = before_set ^ after_set
    own = before.of_labeler(change.labeler_id) & (before.stands >= from_seq)
    rewards = learned.touching(view, before, own)
    touched = policies_touched(view.policies, rewards)
    live = view.live_reward
    known = before_set if live is None else learned.learned(view, live.version, before)
    whole = known | (after_set & ~before_set)
    return ExclusionPreview(
        labeler_id=change.labeler_id,
        from_seq=from_seq,
        labels_leaving=int((before_set & ~after_set).sum()),
        labels_returning=int((after_set & ~before_set).sum()),
        weight_share=weight_share(before, live, moved & whole, whole),
        forces_refit=find_shift(view, learned, after).forces_refit,
        reward_versions=rewards,
        policy_versions=(touched[0], touched[-1]) if touched else None,
    )
