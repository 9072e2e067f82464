"""How labelers are judged, and by which gold. Imports nothing but pydantic."""

from __future__ import annotations

import math
from typing import Annotated, Self

from pydantic import Field, model_validator

from label_queue.connector_config import AnyPath
from protocol.settings import Count, Fraction, Settings, Share

OpenShare = Annotated[float, Field(gt=0, lt=1)]
"""A share of a whole, neither nothing nor all of it."""
ErrorRate = Annotated[float, Field(gt=0, lt=0.5)]
CountOrZero = Annotated[int, Field(ge=0, le=1_000_000_000)]
"""A count that may be 0."""


class GoldConfig(Settings):
    """Tasks whose right answer is known, mixed in unseen. They never train."""

    path: AnyPath | None = None
    """A JSON Lines file, one {"prompt", "candidates", "answer"} a line: a text or chat messages, as
    many candidates as the run's queries have, no two of them alike, and the index of the best. With
    it, labels of a new labeler are held until the gold test clears them."""
    share_first: Share = 0.25
    """Share of gold in a labeler's first tasks, and in all their tasks while they are on
    probation."""
    first_tasks: CountOrZero = 40
    """How many tasks of a labeler are the first."""
    share: Share = 0.05
    """Share of gold in a labeler's later tasks."""
    share_doubted: Share = 0.25
    """Share of gold, where it is the larger, in the tasks of somebody whose newest answers may be
    chance, see `doubt_from`; nobody's where `share` is 0."""


BAD_SHARE = 0.25
"""A bad labeler's lead over chance, as a share of a good one's."""
LEAST_GAP = 0.05
"""Least difference between a good and a bad labeler's share of right gold answers."""
RunLength = Annotated[float, Field(ge=1, le=1e9)]
"""Gold answers between two false alarms, on average."""


class QualityConfig(Settings):
    """How labelers are judged. The defaults are those the estimators' figures were worked out for.

    In the sequential test p₁ and p₀ are a good and a bad labeler's share of right gold answers.
    """

    gold: GoldConfig = GoldConfig()
    repeat_share: Share = 0.02
    """Share of tasks that ask labelers a query of their own again, in another order."""
    repeat_after: Count = 10
    """Labels that a labeler gives between a query and its repetition, at least."""

    good_accuracy: OpenShare = 0.9
    """p₁, a good labeler's share of right gold answers."""
    bad_accuracy: OpenShare | None = None
    """p₀, a bad labeler's share of right gold answers; None: what a quarter of a good labeler's
    lead over chance leaves, which is 0.6 of pairs and 0.41 of four candidates."""
    false_alarm: ErrorRate = 0.01
    """α, how often the sequential test may suspend a good labeler."""
    missed_alarm: ErrorRate = 0.05
    """β, how often the sequential test may clear a bad labeler."""
    good_run_length: RunLength = 20_000
    """Gold answers between two false alarms of the CUSUM that goes on where the test has ended, on
    average and at least, for a labeler of `good_accuracy`."""
    fair_accuracy: OpenShare = 0.85
    """Share of right gold answers of a labeler who is not good and is to be kept all the same."""
    fair_run_length: RunLength = 2_000
    """Gold answers between two false alarms of the CUSUM, on average and at least, for a labeler of
    `fair_accuracy`. Its threshold h is the lowest that holds both run lengths; what that costs in
    delay is in docs/results/labelers.md."""
    ask_owner_from: Fraction = 0.2
    """Share of all labels so far from which on a labeler against whom the CUSUM speaks is not
    suspended, but in question: their labels since the drift began are held, they go on labelling,
    and the owner is asked. 0: everybody; 1: only who gave all labels."""
    drift_threshold: Annotated[float, Field(gt=0, le=1_000)] | None = None
    """h, the CUSUM's threshold in nats, whatever run lengths follow, as in runs that set it; None:
    it follows from the run lengths."""

    self_agreement_floor: Fraction = 0.65
    """Share of repeated pairs answered alike below which a labeler is flagged; with K candidates,
    the share that somebody as sure of their own best would reach. At 0.5, which is chance, or below
    nobody is flagged."""
    self_min_repeats: Count = 20
    """Repeats answered from which on `self_agreement_floor` flags."""
    position_z_limit: Annotated[float, Field(gt=0, le=1_000)] = 3.0
    """Standard errors by which a labeler's share of choices of the response shown first may differ
    from chance; beyond them they are flagged."""
    position_min_labels: Count = 200
    """Labels from which on `position_z_limit` flags."""
    fast_tokens_per_s: Annotated[float, Field(gt=0, le=1e9)] = 20.0
    """Fastest reading speed, in tokens of displayed text a second: nobody reads faster."""
    fast_share_limit: Fraction = 0.25
    """Share of labels given faster than that above which a labeler is flagged."""
    fast_min_labels: Count = 20
    """Labels whose times are known from which on `fast_share_limit` flags."""

    weigh_reliability: bool = True
    """Whether each labeler's estimated reliability enters the likelihood of the fit; False: it is 1
    for all."""
    doubt_below: Fraction = 0.5
    """Reliability below which a labeler is in doubt, and does not count as active for the cap on
    weights."""
    doubt_from: Annotated[float, Field(gt=0, le=1_000)] = 4.0
    """Evidence that somebody's newest answers are chance, nats, from which on they are in doubt:
    their gold, their repeats, and with `weigh_reliability` the rest by what the others prefer. So
    is whoever gold speaks against by as much as one wrong answer. Who is in doubt gets
    `gold.share_doubted`; it suspends nobody."""
    max_weight_share: Annotated[float, Field(gt=0, le=1)] = 0.2
    """Largest share of a fit's weight for one labeler, once `cap_from_labelers` are active; 1.5
    over their number where that is more."""
    cap_from_labelers: Annotated[int, Field(ge=2, le=1_000_000)] = 5
    """Active labelers from whom on the cap holds."""
    cap_min_labels: Count = 20
    """Labels in the fit from which on a labeler may count as active."""

    def bad_accuracy_of(self, num_candidates: int, usual: float | None = None) -> float:
        """Return p₀ of gold with K candidates.

        Args:
            num_candidates: K ≥ 2.
            usual: How often good labelers answer that gold rightly, above 1/K; None: p₁. p₀ keeps
                its place between chance and it.
        """
        chance, good = 1 / num_candidates, self.good_accuracy
        bad = chance + BAD_SHARE * (good - chance)
        bad = bad if self.bad_accuracy is None else self.bad_accuracy
        if usual is None or usual == good:
            return bad
        return chance + (usual - chance) * (bad - chance) / (good - chance)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.bad_accuracy_of(2) >= self.good_accuracy:
            raise ValueError(
                f"quality: bad_accuracy ({self.bad_accuracy_of(2)}) must be below good_accuracy "
                f"({self.good_accuracy})"
            )
        if self.drift_threshold is None:
            self._refuse_what_no_threshold_serves()
        for name in ("share_first", "share"):
            if getattr(self.gold, name) + self.repeat_share > 1:
                raise ValueError(f"quality: gold.{name} + repeat_share must not be above 1")
        return self

    def _refuse_what_no_threshold_serves(self) -> None:
        """Refuse accuracies between which a long run length would leave no change to be seen."""
        # Pairs have the highest p₀, so that what serves them serves all.
        bad = self.bad_accuracy_of(2)
        if self.good_accuracy - bad < LEAST_GAP:
            raise ValueError(
                f"quality: bad_accuracy ({bad:g}) must be at least {LEAST_GAP:g} "
                f"below good_accuracy ({self.good_accuracy:g}), or gold hardly tells them apart"
            )
        right = math.log(self.good_accuracy / bad)
        wrong = math.log((1 - bad) / (1 - self.good_accuracy))
        least = (wrong / (wrong + right) + self.good_accuracy) / 2
        if self.fair_accuracy < least:
            raise ValueError(
                f"quality: fair_accuracy ({self.fair_accuracy:g}) must be at least {least:.3f}, "
                "halfway from where good_accuracy and bad_accuracy are equally likely to "
                "good_accuracy: raise it, or lower bad_accuracy"
            )


DEFAULT_QUALITY = QualityConfig()
