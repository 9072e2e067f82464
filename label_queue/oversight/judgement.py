"""What the owner is shown of all labels: a moment's figures, read out in whatever thread."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Self

import numpy as np

from label_queue.figures.progress import episodes_at
from label_queue.folds.changes import Changes
from label_queue.folds.label_table import LabelTable
from label_queue.folds.shown import shown_candidates, shown_prompt
from label_queue.oversight.overview import Disagreement, Moment, Vote
from label_queue.quality.assessment import Assessment, assess_tallies
from label_queue.quality.preference import best_id
from label_queue.quality.standing import Standing
from label_queue.quality.tally import Tally
from label_queue.quality.weights import shares_of_counts
from label_queue.quality_config import QualityConfig
from label_queue.schedule import LabelSchedule
from label_queue.state import LabelState
from protocol.fits import RewardVersion
from protocol.labels import AnswerEvent, ComparisonQuery, PolicyProvenance

MAX_DISAGREEMENTS = 20
MAX_MOMENTS = 120


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evidence:
    """What is judged by: as of one moment, and taken without going through the labels."""

    tallies: Mapping[str, Tally]
    standings: Mapping[str, Standing]
    """Standings of everybody in the ledger, and of those let in without a label yet."""
    table: LabelTable
    reliability: Mapping[str, float]
    """Each labeler's a_ℓ as of the last fit."""
    doubted: Set[str]
    """Who is in doubt."""
    disputed: Sequence[tuple[ComparisonQuery, Sequence[AnswerEvent]]]
    """The newest queries on which labelers differ, newest first, each with its answers."""
    policies: Sequence[PolicyProvenance]
    changes: Changes
    """Changes of mind about labels that trained."""
    rewards: Sequence[RewardVersion]

    @classmethod
    def of(cls, state: LabelState, names: Iterable[str] = ()) -> Self:
        """Take the present; `names` are of those who were let in."""
        standings = state.history.standings
        known = {*(name for name, _ in standings.items()), *names}
        disputed = state.tallies.disputed(MAX_DISAGREEMENTS)
        return cls(
            tallies=state.tallies.snapshot(),
            standings={name: standings[name] for name in known},
            table=state.history.table(),
            reliability=state.doubts.reliability,
            doubted=frozenset(state.doubts.doubted()),
            disputed=[(state.board.queries[given[0].query_id], given) for given in disputed],
            policies=tuple(state.policies.values()),
            changes=state.history.changes.snapshot(),
            rewards=tuple(state.rewards.values()),
        )


def assessments(evidence: Evidence, config: QualityConfig) -> tuple[Assessment, ...]:
    """Return all labelers, by name.

    Reliabilities are those of the last fit; shares of weight are those of a fit made now with them.
    """
    table, reliability = evidence.table, evidence.reliability
    training = table.training_set()
    found = assess_tallies(
        evidence.tallies,
        evidence.standings,
        config,
        held=table.counts(table.is_training & ~training),
        reliability=reliability,
        doubted=evidence.doubted,
        late_changes=evidence.changes.late(each.ledger_seq for each in evidence.rewards),
        weight_shares=shares_of_counts(table.counts(training), reliability, config),
    )
    return tuple(found.values())


def history(evidence: Evidence, schedule: LabelSchedule) -> tuple[Moment, ...]:
    """Return labels received and due over the run so far, evenly spaced from the first label on."""
    table = evidence.table
    times: list[float] = np.sort(table.received_at[table.stands[table.training_set()]]).tolist()
    if not times:
        return ()
    first, last = times[0], max([times[-1], *(each.created_at for each in evidence.policies)])
    num_moments = MAX_MOMENTS if last > first else 1
    moments = [first + (last - first) * i / max(1, num_moments - 1) for i in range(num_moments)]
    return tuple(
        Moment(at=at, received=bisect_right(times, at), scheduled=schedule.wanted(episodes))
        for at, episodes in zip(moments, episodes_at(evidence.policies, moments), strict=True)
    )


def disagreements(evidence: Evidence) -> tuple[Disagreement, ...]:
    """Return the newest queries on which labelers differ, newest first; gold and repeats left out.

    Rankings differ by their first places; skips and reports say nothing of which is best.
    """
    return tuple(
        Disagreement(
            query_id=query.query_id,
            kind=query.kind,
            purpose=query.purpose,
            prompt=shown_prompt(query),
            candidates=shown_candidates(query),
            votes=tuple(
                Vote(labeler_id=label.labeler_id, choice=best_id(label))
                for label in sorted(given, key=lambda label: label.seq)
            ),
        )
        for query, given in evidence.disputed
    )
