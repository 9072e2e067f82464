"""The owner's overview, part by part: the present, and pure functions of the ledger."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence

from label_queue.config import QualityConfig
from label_queue.figures.progress import episodes_at, received_times
from label_queue.figures.validation import WINDOW
from label_queue.folds.shown import shown_candidates, shown_prompt
from label_queue.folds.view import LedgerView
from label_queue.oversight.overview import Disagreement, Holding, Moment, Progress, Vote
from label_queue.quality.assessment import Assessment, assess
from label_queue.quality.preference import TRAINING, best_id
from label_queue.quality.weights import capped, weight_shares
from label_queue.schedule import LabelSchedule
from label_queue.state import LabelState
from protocol.labels import AnswerEvent, Comparison

MAX_DISAGREEMENTS = 20
MAX_MOMENTS = 120


def progress(state: LabelState, schedule: LabelSchedule, now: float) -> Progress:
    """Return the stream of labels against its schedule, and how online the run is."""
    scheduled = schedule.wanted(state.episodes)
    row = state.stats(now, scheduled) | state.figures.online_stats()
    recent = state.figures.winrate(WINDOW)
    return Progress(
        episodes=state.episodes,
        policy_version=state.policy_version,
        reward_version=state.reward_version,
        labels_total=schedule.total,
        labels_scheduled=scheduled,
        labels_received=state.history.num_preferences,
        labels_held=state.history.num_held,
        queries_outstanding=state.board.open_slots,
        rate_per_min=row.get("labels/rate_per_min", 0.0),
        label_latency_p50_s=row.get("labels/latency_p50"),
        label_to_policy_p50_s=row.get("online/label_to_policy_latency_p50"),
        label_to_policy_p95_s=row.get("online/label_to_policy_latency_p95"),
        coverage=row.get("online/coverage"),
        agreement_alpha=row.get("labels/agreement_alpha"),
        winrate_vs_reference=row.get("policy/winrate_vs_reference"),
        winrate_recent=recent.rate if recent.num_labels else None,
        winrate_recent_low=recent.low if recent.num_labels else None,
        winrate_recent_high=recent.high if recent.num_labels else None,
        winrate_recent_labels=recent.num_labels,
    )


def holdings(state: LabelState, now: float) -> tuple[Holding, ...]:
    """Return who holds tasks now, by name."""
    overdue_s = state.terms.duration_s
    return tuple(
        Holding(
            labeler_id=name,
            num_tasks=len(leases),
            since=(since := min(lease.since for lease in leases)),
            is_overdue=now > since + overdue_s,
        )
        for name, leases in state.board.held(now).items()
    )


def history(
    view: LedgerView, schedule: LabelSchedule, dataset: Sequence[Comparison]
) -> tuple[Moment, ...]:
    """Return labels received and due over the run so far, evenly spaced from the first label on."""
    times = received_times(view.events, dataset)
    if not times:
        return ()
    first, last = times[0], max([times[-1], *(each.created_at for each in view.policies)])
    num_moments = MAX_MOMENTS if last > first else 1
    moments = [first + (last - first) * i / max(1, num_moments - 1) for i in range(num_moments)]
    return tuple(
        Moment(at=at, received=bisect_right(times, at), scheduled=schedule.wanted(episodes))
        for at, episodes in zip(moments, episodes_at(view.policies, moments), strict=True)
    )


def assessments(
    view: LedgerView,
    labelers: Iterable[str],
    config: QualityConfig,
    dataset: Sequence[Comparison],
) -> tuple[Assessment, ...]:
    """Return all labelers, by name: everybody in the ledger, and those let in without a label yet.

    Reliabilities are those of the last fit; shares of weight are those of a fit of `dataset`, the
    view's training set, made now with them.
    """
    live = view.live_reward
    reliability = {} if live is None else dict(live.labeler_weights)
    shares = weight_shares(capped(dataset, reliability, config), reliability)
    found = assess(
        view.queries,
        view.assignments,
        view.events,
        config,
        newcomers=labelers,
        reliability=reliability,
        weight_shares=shares,
    )
    return tuple(found.values())


def disagreements(view: LedgerView, limit: int = MAX_DISAGREEMENTS) -> tuple[Disagreement, ...]:
    """Return the queries on which labelers differ, newest first; gold and repeats left out.

    Rankings differ by their first places; skips and reports say nothing of which is best.
    """
    votes: dict[str, list[AnswerEvent]] = defaultdict(list)
    for label in view.labels().values():
        is_vote = label.outcome == "tie" or best_id(label) is not None
        if is_vote and view.queries[label.query_id].purpose in TRAINING:
            votes[label.query_id].append(label)
    disputed = [given for given in votes.values() if len({best_id(label) for label in given}) > 1]
    disputed.sort(key=lambda given: max(label.seq for label in given), reverse=True)
    return tuple(_disagreement(view, given) for given in disputed[:limit])


def _disagreement(view: LedgerView, given: list[AnswerEvent]) -> Disagreement:
    query = view.queries[given[0].query_id]
    return Disagreement(
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
