"""What judges say of a run, in figures: win rates, their gap, and how the learned score goes along.

Beside each figure of judges is that of the labelers who train, whose labels on the very same
responses the reward has learned: there it looks better than it is.
"""

from __future__ import annotations

from collections.abc import Mapping

from cluster.report.records import RunRecords
from cluster.report.score_correlation import (
    LEAST_ITEMS,
    LEAST_SYSTEMS,
    JudgedQuery,
    correlations,
    items,
    judged_queries,
    systems,
)
from label_queue.figures.validation import WINDOW

SIDES = ("judges", "training")
"""By whom: judges, or labelers who train."""
STATISTICS = ("pearson", "spearman", "kendall")
LEVELS = {"item": LEAST_ITEMS, "system": LEAST_SYSTEMS}
"""Least number of points by level."""
JUDGED_REASONS: Mapping[str, str] = {
    f"judged_winrate_{of}{which}{bound}": "no query was answered by a judge and one who trains"
    for of in ("training", "judges", "gap")
    for which in ("", "_recent")
    for bound in ("", "_low", "_high")
} | {
    f"score_{level}_{statistic}_{side}": f"fewer than {least} {level}s were judged and scored"
    for level, least in LEVELS.items()
    for statistic in STATISTICS
    for side in SIDES
}
"""Why a figure of a run with judges may be null, by its name."""


def judged_figures(run: RunRecords) -> dict[str, float | int | None]:
    """Return what judges say, on the queries that labelers who train answered too, and by score.

    Nothing of a run without judges.
    """
    if not run.label_side.judges:
        return {}
    return {**_win_rates(run), **_correlations(run)}


def judged_by(run: RunRecords) -> dict[str, list[JudgedQuery]]:
    """Return the validation queries that the run's last reward scored, by whose choices count."""
    standings = run.label_side.history.standings
    by_side = {
        "judges": [e for e in run.labels if standings[e.labeler_id].judges(e.seq)],
        "training": [e for e in run.labels if standings[e.labeler_id].trains(e.seq)],
    }
    queries = run.label_side.board.queries
    return {
        side: judged_queries(queries, labels, run.candidate_scores)
        for side, labels in by_side.items()
    }


def _win_rates(run: RunRecords) -> dict[str, float | int | None]:
    figures: dict[str, float | int | None] = {}
    for which, last in (("", None), ("_recent", WINDOW)):
        found = run.label_side.figures.judged(last)
        of = found.by_training, found.by_judges
        rates = {
            "training": (of[0].rate, of[0].low, of[0].high),
            "judges": (of[1].rate, of[1].low, of[1].high),
            "gap": (found.gap, found.low, found.high),
        }
        figures[f"judged_queries{which}"] = found.num_queries
        figures[f"judged_labels{which}"] = found.by_judges.num_labels
        for name, values in rates.items():
            for bound, value in zip(("", "_low", "_high"), values, strict=True):
                known = value if found.num_queries else None
                figures[f"judged_winrate_{name}{which}{bound}"] = known
    return figures


def _correlations(run: RunRecords) -> dict[str, float | int | None]:
    figures: dict[str, float | int | None] = {}
    for side, queries in judged_by(run).items():
        for level, points in (("item", items(queries)), ("system", systems(queries))):
            found = correlations(points, LEVELS[level])
            figures[f"score_{level}s_{side}"] = len(points)
            for statistic in STATISTICS:
                value = None if found is None else getattr(found, statistic)
                figures[f"score_{level}_{statistic}_{side}"] = value
    return figures
