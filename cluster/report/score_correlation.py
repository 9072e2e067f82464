"""How far the learned score goes with what people say: by response, and by version of the policy.

As evaluations of dialogue metrics report it, by turn and by system (Mehri and Eskenazi 2020, "USR:
An Unsupervised and Reference Free Evaluation Metric for Dialog Generation"): the learned reward is
the metric, validation queries are the annotated set, and one reward version scores all of it.

item     A response of a validation query that somebody answered by a choice. What people say of it
         is the share of these choices that fell on it; what the reward says is its score minus the
         mean score of the query's responses, since people choose among those alone, and how easy a
         prompt is shows in the score and not in the choice.
system   ρ, or versions of the policy that follow each other, put together so that about as many
         queries show each. What people say of it is the share of choices that fell on its
         responses, each beside as many of ρ's, and of ρ ½; what the reward says is the mean score
         of its responses minus that of ρ's in the same queries, and of ρ 0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import fmean

from scipy import stats

from label_queue.figures.online import shown_version
from label_queue.figures.validation import as_vote
from label_queue.quality.preference import best_id
from protocol.labels import AnswerEvent, ComparisonQuery

LEAST_ITEMS = 10
"""Responses of which a correlation is told."""
LEAST_SYSTEMS = 4
"""Systems of which one is told, ρ among them: of three any order is within chance."""
MOST_GROUPS = 8
"""Groups of policy versions at most."""
QUERIES_A_GROUP = 10
"""Queries that each group is shown in at least, but for the last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One response or system, as the reward and people have it."""

    learned: float
    """Score, relative to that of what it was shown beside."""
    chosen: float
    """Share of people's choices that fell on it, in [0, 1]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class System(Point):
    """Versions of the policy put together, or ρ."""

    first: int
    last: int
    """Policy versions from `first` to `last`; both 0 for ρ."""
    num_queries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Correlations:
    """Correlations of what the reward says with what people say, each in [−1, 1]."""

    pearson: float
    spearman: float
    kendall: float
    """τ_b, which allows for ties."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedQuery:
    """A validation query with scores of one reward version, and the choices that count."""

    version: int
    """Policy version that it shows, of its oldest response but ρ's."""
    is_reference: tuple[bool, ...]
    """[K], whether a response is ρ's; half of them are."""
    scores: tuple[float, ...]
    """[K], of one reward version."""
    choices: tuple[int, ...]
    """[K], how many people put each response first; at least one did."""


def judged_queries(
    queries: Mapping[str, ComparisonQuery],
    labels: Iterable[AnswerEvent],
    scores: Mapping[str, float],
) -> list[JudgedQuery]:
    """Return the validation queries with the choices of some people, by policy version.

    Args:
        queries: By id.
        labels: As they stand, of the people who are asked about; those that are no choice between
            the policy and ρ are left out.
        scores: By candidate id, of one reward version; queries that lack one are left out.
    """
    chosen: dict[str, Counter[str]] = {}
    for label in labels:
        best = best_id(label)
        if best is not None and as_vote(queries[label.query_id], label) is not None:
            chosen.setdefault(label.query_id, Counter())[best] += 1
    found = []
    for query_id, counts in chosen.items():
        query = queries[query_id]
        names = [each.candidate_id for each in query.candidates]
        if all(name in scores for name in names):
            found.append(
                JudgedQuery(
                    version=shown_version(query),
                    is_reference=tuple(each.policy_version == 0 for each in query.candidates),
                    scores=tuple(scores[name] for name in names),
                    choices=tuple(counts[name] for name in names),
                )
            )
    return sorted(found, key=lambda each: each.version)


def items(queries: Iterable[JudgedQuery]) -> list[Point]:
    """Return the responses of queries as items; see the module."""
    return [
        Point(learned=score - fmean(query.scores), chosen=count / sum(query.choices))
        for query in queries
        for score, count in zip(query.scores, query.choices, strict=True)
    ]


def systems(queries: Sequence[JudgedQuery]) -> list[System]:
    """Return ρ and the policy's versions as systems, by version; see the module.

    A version is never parted, and the last few queries join the group before them.
    """
    least = max(QUERIES_A_GROUP, -(-len(queries) // MOST_GROUPS))
    groups: list[list[JudgedQuery]] = []
    for _, same in groupby(sorted(queries, key=_version), key=_version):
        if not groups or len(groups[-1]) >= least:
            groups.append([])
        groups[-1] += same
    if len(groups) > 1 and 2 * len(groups[-1]) < least:
        rest = groups.pop()
        groups[-1] += rest
    reference = System(learned=0.0, chosen=0.5, first=0, last=0, num_queries=len(queries))
    return [reference, *map(_system, groups)] if groups else []


def correlations(points: Sequence[Point], least: int) -> Correlations | None:
    """Return the correlations over points; None for fewer than `least`, or where one side is flat.

    What scipy has: Pearson's r, Spearman's ρ and Kendall's τ_b.
    """
    learned, chosen = [each.learned for each in points], [each.chosen for each in points]
    if len(points) < max(2, least) or min(len(set(learned)), len(set(chosen))) < 2:
        return None
    return Correlations(
        pearson=float(stats.pearsonr(learned, chosen).statistic),
        spearman=float(stats.spearmanr(learned, chosen).statistic),
        kendall=float(stats.kendalltau(learned, chosen).statistic),
    )


def _version(query: JudgedQuery) -> int:
    return query.version


def _system(group: Sequence[JudgedQuery]) -> System:
    won = sum(
        count
        for query in group
        for count, is_reference in zip(query.choices, query.is_reference, strict=True)
        if not is_reference
    )
    return System(
        learned=fmean(map(_lead, group)),
        chosen=won / sum(sum(query.choices) for query in group),
        first=group[0].version,
        last=group[-1].version,
        num_queries=len(group),
    )


def _lead(query: JudgedQuery) -> float:
    """Return how much higher the policy's responses score than ρ's, in the mean."""
    by_side: dict[bool, list[float]] = {False: [], True: []}
    for score, is_reference in zip(query.scores, query.is_reference, strict=True):
        by_side[is_reference].append(score)
    return fmean(by_side[False]) - fmean(by_side[True])
