"""What the labels are worth: one ledger, five ways to treat it, five rewards.

The ledger is that of a session in which nobody was stopped, so that all five learn from the same
labels and differ only in which they take and how much they trust each.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.bad_labelers.detection import Detection
from benchmarks.bad_labelers.labelers import labels_honestly
from benchmarks.bad_labelers.questions import HELD_OUT_MARGIN, clear_questions, encode, question
from benchmarks.fit_once import fitted_once
from label_queue.fitting.retraining import make_request
from label_queue.folds.view import LedgerView
from label_queue.quality.standings import standings
from label_queue.quality_config import QualityConfig
from learners.config import DeepSpeedConfig, RewardFitConfig
from learners.reward_reading import LIMITS
from protocol.fits import Comparison, FitRequest
from protocol.labels import LabelChange, Submitted
from reward_service.batching import raw_scores
from reward_service.config import RewardModelConfig

TREATMENTS: Mapping[str, str] = {
    "none": "no quality control",
    "exclusion": "those suspended or flagged left out",
    "weights": "reliability weights",
    "both": "both: the product's default",
    "truth": "the truth known: only labels meant well",
}
NUM_HELD_OUT, NUM_REFERENCE = 2_000, 256
FIT = RewardFitConfig(lr=1e-3, batch_size=32, epochs=4)
"""The fit, among those tried, whose accuracy depends least on its seed: by 0.4 %."""


def fit_requests(
    view: LedgerView, found: Sequence[Detection], config: QualityConfig
) -> dict[str, FitRequest]:
    """Return the order for a fit under each treatment.

    Args:
        view: A ledger in which nobody was stopped.
        found: Who is detected in it under `config`.
        config: The product's own.
    """
    # Believe everybody, and bound nobody's share of the weight.
    plain = config.model_copy(
        update={"weigh_reliability": False, "max_weight_share": 1.0, "cap_from_labelers": 2}
    )
    everything = _without_gold(view).dataset(view.last_seq, config)
    bad = {each.name for each in found if each.flagged_at is not None}
    honest = _honest_seqs(view)
    taken = {
        "none": (everything, plain),
        "exclusion": (tuple(each for each in everything if each.labeler_id not in bad), plain),
        "weights": (everything, config),
        "both": (view.dataset(view.last_seq, config), config),
        "truth": (tuple(each for each in everything if each.seq in honest), plain),
    }
    gold = standings(view.queries, view.events, config).gold_answers()
    return {name: _refit(view, *taken[name], gold) for name in TREATMENTS}


class RewardFits:
    """Fits rewards and says how often they are right on clean pairs nobody labelled."""

    def __init__(self, base_model: Path, tokenizer: Any, seed: int) -> None:
        """Draw the held-out pairs and the reference responses. `join_ranks` comes first."""
        self._base_model = base_model
        rng = random.Random(f"held-out-{seed}")
        pairs = clear_questions(rng, NUM_HELD_OUT, 2, HELD_OUT_MARGIN)
        self._best = torch.tensor([each.best for each in pairs])
        self._sequences = [
            encode(tokenizer, each.prompt) + encode(tokenizer, text)
            for each in pairs
            for text in each.candidates
        ]
        drawn = [question(rng, 1) for _ in range(NUM_REFERENCE)]
        self._reference = [
            encode(tokenizer, each.prompt) + encode(tokenizer, each.candidates[0]) for each in drawn
        ]

    def accuracy(self, request: FitRequest) -> float:
        """Return the share of held-out pairs that the fitted reward orders rightly. Blocks."""
        model = fitted_once(
            request,
            policy=self._base_model,
            model=RewardModelConfig(),
            fit=FIT,
            deepspeed=DeepSpeedConfig(),
            reference=self._reference,
        )
        scores = raw_scores(model, self._sequences, LIMITS).mean(dim=1).view(-1, 2)
        return float((scores.argmax(dim=1) == self._best).float().mean())


def _refit(
    view: LedgerView,
    comparisons: Sequence[Comparison],
    config: QualityConfig,
    gold: Mapping[str, tuple[int, int]],
) -> FitRequest:
    return make_request(
        "refit",
        comparisons,
        seq=view.last_seq,
        exclusions_sha256="",
        replay=0.0,
        seed=1,
        quality=config,
        gold=gold,
    )


def _without_gold(view: LedgerView) -> LedgerView:
    """Return the view as if there were no gold: nobody is on probation or suspended."""
    queries = {name: query for name, query in view.queries.items() if query.purpose != "gold"}
    events = tuple(
        event
        for event in view.events
        if isinstance(event, LabelChange) and event.query_id in queries
    )
    return replace(view, queries=queries, events=events)


def _honest_seqs(view: LedgerView) -> set[int]:
    """Return the sequence numbers of the labels that were meant well."""
    given: Counter[str] = Counter()
    honest: set[int] = set()
    for event in view.events:
        if not isinstance(event, LabelChange):
            continue
        if labels_honestly(event.labeler_id, given[event.labeler_id]):
            honest.add(event.seq)
        given[event.labeler_id] += isinstance(event, Submitted)
    return honest
