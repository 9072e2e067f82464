"""The owner's overview, part by part: the present."""

from __future__ import annotations

import asyncio

from label_queue.figures.validation import WINDOW
from label_queue.oversight.overview import Holding, Progress
from label_queue.schedule import LabelSchedule
from label_queue.state import LabelState


async def progress(state: LabelState, schedule: LabelSchedule, now: float) -> Progress:
    """Return the stream of labels against its schedule, and how online the run is.

    Others run between one part and the next.
    """
    scheduled = schedule.wanted(state.episodes)
    row = state.stats(now, scheduled)
    await asyncio.sleep(0)
    row |= await state.online_stats()
    await asyncio.sleep(0)
    recent = state.figures.winrate(WINDOW)
    judged = state.figures.judged(WINDOW)
    is_judged = judged.num_queries > 0
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
        winrate_judges=judged.by_judges.rate if is_judged else None,
        winrate_gap=judged.gap if is_judged else None,
        winrate_gap_low=judged.low if is_judged else None,
        winrate_gap_high=judged.high if is_judged else None,
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
