"""All estimators of the labelers of a ledger, by going through all of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from label_queue.folds.tallies import Tallies
from label_queue.quality.assessment import Assessment, assess_tallies
from label_queue.quality.preference import TRAINING, best_id
from label_queue.quality.standings import Standings, standings
from label_queue.quality_config import QualityConfig
from protocol.labels import AnswerEvent, Assignment, ComparisonQuery, LabelEvent


def assess(
    queries: Mapping[str, ComparisonQuery],
    assignments: Mapping[str, Assignment],
    events: Sequence[LabelEvent],
    config: QualityConfig,
    *,
    newcomers: Iterable[str] = (),
    reliability: Mapping[str, float] | None = None,
    weight_shares: Mapping[str, float] | None = None,
) -> dict[str, Assessment]:
    """Return everybody the ledger knows something of, and `newcomers`, sorted by name.

    A pure function of the ledger up to the last event; goes through all of them.

    Args:
        queries: All, by id.
        assignments: All, by id.
        events: All label events, by `seq`.
        config: Limits of the flags and constants of the tests.
        newcomers: Who was let in, whether or not they have given a label yet.
        reliability: a_ℓ by labeler as of the last fit: too dear to find out at every look.
        weight_shares: Shares of a fit's weight by labeler, where they are known.
    """
    tallies = Tallies.of(queries, assignments, events, config)
    standing_of = standings(queries, events, config)
    names = {*(known for known, _ in standing_of.items()), *newcomers}
    return assess_tallies(
        tallies.snapshot(),
        {name: standing_of[name] for name in names},
        config,
        held=_held(queries, tallies.labels(), standing_of),
        reliability=reliability or {},
        doubted=frozenset(),  # only a queue that goes on asks anybody gold
        late_changes={},
        weight_shares=weight_shares or {},
    )


def _held(
    queries: Mapping[str, ComparisonQuery], labels: Iterable[AnswerEvent], standing_of: Standings
) -> Counter[str]:
    return Counter(
        label.labeler_id
        for label in labels
        if queries[label.query_id].purpose in TRAINING
        and (label.outcome == "tie" or best_id(label) is not None)
        and not standing_of[label.labeler_id].trains(label.seq)
    )
