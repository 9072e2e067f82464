"""From a label to the versions it touched, and from a policy version to the people behind it.

ledger = read_trace(run / "ledger.sqlite", config.labels.quality)
ledger.of_label("0199…")      LabelTrace
ledger.of_event(412)          LabelTrace, by a sequence number
ledger.of_labeler("ann")      LabelerTrace
ledger.of_policy(31)          PolicyTrace
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from label_queue.folds.lineage import (
    ancestry,
    policies_touched,
    rewards_behind,
)
from label_queue.folds.view import LearnedLabels, LedgerView
from label_queue.ledger.sql import SqlLedger
from label_queue.ledger_place import LedgerPlace
from label_queue.quality_config import QualityConfig
from protocol.errors import InputError
from protocol.labels import LabelChange, PolicyProvenance
from protocol.text_tree import TextNode


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelTrace:
    """One label, from what was asked to what learned it."""

    label_id: str
    labeler_id: str
    query_id: str
    node: TextNode | None
    """Where in a long text's tree the query's prompt stands; None: it is of no such text."""
    revisions: tuple[LabelChange, ...]
    """All revisions of the label, oldest first; the newest stands."""
    candidate_versions: tuple[int, ...]
    """Policy versions that wrote the candidates, in the query's order."""
    reward_versions: tuple[int, ...]
    """Reward versions that learned the label, rising."""
    policy_versions: tuple[int, ...]
    """Policy versions reached by a reward that had learned the label, rising; a rollback leaves it
    behind, so there may be gaps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelerTrace:
    """All of one labeler's labels, as one."""

    labeler_id: str
    num_labels: int
    """Labels given and not taken back, whatever they say."""
    num_learned: int
    """Labels that some reward version learned, also those taken back since."""
    first_seq: int | None
    last_seq: int | None
    reward_versions: tuple[int, ...]
    policy_versions: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelerPart:
    """What one labeler gave to a policy version."""

    labeler_id: str
    num_labels: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyTrace:
    """One policy version, and all that is behind it."""

    policy: PolicyProvenance
    line: tuple[int, ...]
    """Policy versions it came from, itself first, then its parent, down to ρ."""
    reward_versions: tuple[int, ...]
    """Reward versions that it and its ancestors were trained on, rising."""
    label_ids: tuple[str, ...]
    """Ids of the labels that the rewards behind it learned, in the order in which they were
    given."""
    labelers: tuple[LabelerPart, ...]
    """How many of the labels behind it each labeler gave, those who gave most first."""


class Trace:
    """Questions to one ledger. A label counts as learned if it was in the training set."""

    def __init__(self, view: LedgerView, config: QualityConfig) -> None:
        self._view = view
        self._changes = [event for event in view.events if isinstance(event, LabelChange)]
        self._learned = LearnedLabels(config).rows_by_reward(view)

    def of_label(self, label_id: str) -> LabelTrace:
        """Trace one label. Raises InputError for an unknown one."""
        revisions = tuple(event for event in self._changes if event.label_id == label_id)
        if not revisions:
            raise InputError(f"label {label_id!r}: not in this ledger; name a label_id or a seq")
        query = self._view.queries[revisions[0].query_id]
        rewards = self._learned.touching({self._row(revisions[0])})
        return LabelTrace(
            label_id=label_id,
            labeler_id=revisions[0].labeler_id,
            query_id=query.query_id,
            node=query.prompt_node,
            revisions=revisions,
            candidate_versions=tuple(each.policy_version for each in query.candidates),
            reward_versions=rewards,
            policy_versions=policies_touched(self._view.policies, rewards),
        )

    def of_event(self, seq: int) -> LabelTrace:
        """Trace the label of an event. Raises InputError where there is none of that number."""
        for event in self._changes:
            if event.seq == seq:
                return self.of_label(event.label_id)
        raise InputError(
            f"seq {seq}: no label has it; this ledger's go from 1 to {self._view.last_seq}"
        )

    def of_labeler(self, labeler_id: str) -> LabelerTrace:
        """Trace all labels of somebody. Raises InputError for somebody who gave none."""
        events = [event for event in self._changes if event.labeler_id == labeler_id]
        if not events:
            names = sorted({event.labeler_id for event in self._changes})
            raise InputError(
                f"labeler {labeler_id!r}: gave no label here; those who did: {', '.join(names)}"
            )
        given = set(map(self._row, events))
        learned = given & self._learned.ever()
        rewards = self._learned.touching(given)
        return LabelerTrace(
            labeler_id=labeler_id,
            num_labels=sum(e.labeler_id == labeler_id for e in self._view.labels().values()),
            num_learned=len(learned),
            first_seq=events[0].seq,
            last_seq=events[-1].seq,
            reward_versions=rewards,
            policy_versions=policies_touched(self._view.policies, rewards),
        )

    def of_policy(self, version: int) -> PolicyTrace:
        """Trace a policy version back. Raises InputError for an unknown one."""
        line = ancestry(self._view.policies, version)
        if not line:
            raise InputError(
                f"policy version {version}: not made in this run; "
                f"newest: {self._view.newest_policy}"
            )
        rewards = rewards_behind(line)
        behind = frozenset[int]().union(*(self._learned.get(each, frozenset()) for each in rewards))
        labelers = {e.label_id: e.labeler_id for e in self._changes if self._row(e) in behind}
        counts = Counter(labelers.values())
        return PolicyTrace(
            policy=line[0],
            line=tuple(policy.version for policy in line),
            reward_versions=rewards,
            label_ids=tuple(labelers),
            labelers=tuple(
                LabelerPart(labeler_id=name, num_labels=count)
                for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
            ),
        )

    def _row(self, event: LabelChange) -> int:
        return self._view.columns.label[event.seq]


def read_trace(ledger_place: LedgerPlace, config: QualityConfig) -> Trace:
    """Read a ledger, also one that a run is writing to, and be ready to answer.

    Args:
        ledger_place: The run folder's ledger.sqlite, or a server's.
        config: How that run judged its labelers: whose labels were held, it decides.

    Raises:
        MissingError: There is no ledger.
        InputError: It is none, or another version's.
    """
    ledger = SqlLedger.open_to_read(ledger_place)
    try:
        return Trace(LedgerView.of(ledger), config)
    finally:
        ledger.close()
