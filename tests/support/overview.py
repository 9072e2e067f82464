"""Overviews with sensible fields: a run of five labelers in its middle."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

from label_queue.folds.shown import ShownCandidate, ShownPrompt
from label_queue.oversight.overview import Disagreement, Moment, Overview, Progress, Vote
from label_queue.quality.assessment import Assessment
from protocol.cord import CordState

T = TypeVar("T")


def changed(shown: T, **changes: object) -> T:
    """Return a copy of what is shown, with other fields."""
    of_any: Any = shown
    other: T = replace(of_any, **changes)
    return other


def make_progress(**changes: object) -> Progress:
    progress = Progress(
        episodes=18_432,
        policy_version=36,
        reward_version=5,
        labels_total=1_024,
        labels_scheduled=512,
        labels_received=528,
        labels_held=12,
        queries_outstanding=16,
        rate_per_min=7.4,
        label_latency_p50_s=11.2,
        label_to_policy_p50_s=84.0,
        label_to_policy_p95_s=240.0,
        coverage=0.93,
        agreement_alpha=0.46,
        winrate_vs_reference=0.71,
        winrate_recent=0.78,
        winrate_recent_low=0.66,
        winrate_recent_high=0.87,
        winrate_recent_labels=100,
    )
    return changed(progress, **changes)


def make_labeler(labeler_id: str, **changes: object) -> Assessment:
    """Active, good, with a fifth of the weight."""
    row = Assessment(
        labeler_id=labeler_id,
        state="active",
        labels=132,
        labels_held=0,
        held_from=None,
        excluded_from=None,
        gold_right=13,
        gold_wrong=1,
        gold_accuracy=0.875,
        gold_low=0.73,
        gold_high=0.97,
        self_agreement=0.84,
        self_repeats=6,
        peer_agreement=0.74,
        peer_labels=31,
        position_z=0.4,
        fast_share=0.02,
        reliability=0.92,
        is_doubted=False,
        weight_share=0.2,
        flags=(),
        late_changes=0,
        undoable=None,
        last_label_at=999.0,
    )
    return changed(row, **changes)


def make_disagreement(
    number: int = 0, *, prompt: ShownPrompt | str = "the soup here was", **changes: object
) -> Disagreement:
    disagreement = Disagreement(
        query_id=f"q{number}",
        kind="pair",
        purpose="overlap",
        prompt=ShownPrompt(text=prompt) if isinstance(prompt, str) else prompt,
        candidates=(
            ShownCandidate(candidate_id=f"q{number}-a", text=" warm and generous."),
            ShownCandidate(candidate_id=f"q{number}-b", text=" fine, I suppose."),
        ),
        votes=(
            Vote(labeler_id="ann", choice=f"q{number}-a"),
            Vote(labeler_id="bob", choice=f"q{number}-b"),
        ),
    )
    return changed(disagreement, **changes)


def make_overview(**changes: object) -> Overview:
    overview = Overview(
        run_id="run-1",
        at=1_000.0,
        progress=make_progress(),
        history=(
            Moment(at=400.0, received=310, scheduled=300),
            Moment(at=700.0, received=420, scheduled=408),
        ),
        connectors=(),
        cord=CordState(
            is_pulled=False,
            pulled_by="",
            reason="",
            pulled_at=0.0,
            rollback_to=None,
            offered_rollback=None,
        ),
        labelers=(
            make_labeler("ann"),
            make_labeler(
                "bob",
                state="suspended",
                labels_held=41,
                gold_right=3,
                gold_wrong=9,
                gold_accuracy=0.5,
                gold_low=0.31,
                gold_high=0.69,
                position_z=4.2,
                fast_share=0.41,
                reliability=0.38,
                weight_share=0.06,
                flags=("gold", "position", "speed"),
            ),
        ),
        disagreements=(make_disagreement(),),
        is_closed=False,
        activity="training",
    )
    return changed(overview, **changes)
