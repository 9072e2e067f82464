"""Which fit of the reward model is due, and on what: a state machine without clock or disk."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from label_queue.config import WarmConfig
from label_queue.quality.given import Bools, GivenLabels
from label_queue.quality.reliability import reliabilities
from label_queue.quality.weights import kept_by_cap
from label_queue.quality_config import DEFAULT_QUALITY, QualityConfig
from label_queue.schedule import LabelSchedule
from protocol.fits import Comparison, FitKind, FitRequest


class RetrainingPlan:
    """Refits from scratch at the schedule's points; warm updates of the live model all the time.

    The refit is the truth. It takes long, and the updates go on while it is fitted; points passed
    meanwhile are made up for by one refit. Where all labels come before RL, or in rounds, the
    reward stays frozen after each. In every case a refit can be forced: once labels that were
    learned are taken back. Until it is served there are no updates of a model that learned them.
    """

    def __init__(self, schedule: LabelSchedule, warm: WarmConfig) -> None:
        self._points = schedule.refit_points
        self._warm = warm
        self.updates_warmly = schedule.updates_warmly and warm.every_labels > 0
        """Whether there are updates at all."""
        self._has_all_first = schedule.num_rounds is None and not schedule.updates_warmly
        """Whether all labels come before RL."""
        self._points_passed = 0
        self._has_fitted = False
        self._fitted_at = 0.0

    def is_refit_due(self, labels: int, *, is_forced: bool = False) -> bool:
        """Say whether a refit is due at this many labels."""
        if is_forced and self._has_fitted:
            return True
        if self._has_all_first:
            # Others are asked for in the place of what was taken back, and no update learns them.
            self._points_passed = min(self._points_passed, bisect_right(self._points, labels))
        return bisect_right(self._points, labels) > self._points_passed

    def update_due_in_s(self, new: int, now: float, *, is_forced: bool = False) -> float | None:
        """Return the seconds after which a warm update is due: 0 at once; None: with time, never.

        Args:
            new: Labels that came since the last fit was ordered. It is not by how many there are
                more: as many may have been taken back.
            now: On the clock of `fitted`.
            is_forced: Whether a refit is forced.
        """
        if is_forced or self._points_passed == 0 or not self.updates_warmly or new <= 0:
            return None
        if new >= self._warm.every_labels:
            return 0.0
        self._fitted_at = min(self._fitted_at, now)  # the clock may have been set back
        return max(0.0, self._fitted_at + self._warm.every_s - now)

    def fitted(self, kind: FitKind, *, labels: int, now: float) -> None:
        """Note a new reward version, ordered when there were `labels` labels in all."""
        if kind == "refit":
            self._points_passed = bisect_right(self._points, labels)
        self._has_fitted = True
        self._fitted_at = now

    @property
    def points_passed(self) -> int:
        """How many of the schedule's points the last refit has passed: of rounds, those fitted."""
        return self._points_passed


def alike(labels: GivenLabels) -> dict[str, float]:
    """Return a weight of 1 for everybody who gave some labels, sorted by name."""
    return dict.fromkeys(sorted(labels.counts()), 1.0)


def choose(
    kind: FitKind,
    labels: GivenLabels,
    weights: Mapping[str, float],
    *,
    seq: int,
    is_learned: Bools,
    replay: float,
    seed: int,
    quality: QualityConfig,
) -> list[int]:
    """Return the places of the labels of a training set that a fit learns, rising.

    A refit takes all but what the cap on a labeler's weight leaves out. A warm update takes of that
    what the live reward has not learned, whether it is new or was held, excluded or left out by the
    cap before, and for each of these `replay` labels that it has learned, drawn without
    replacement; the draw depends on seed and `seq` alone, so a restart repeats it.

    Args:
        kind: Of fit.
        labels: The training set, [n], by `seq`.
        weights: Each labeler's a_ℓ.
        seq: The ledger's newest.
        is_learned: [n], what the live reward has learned; of no interest to a refit.
        replay: Old labels for each new one.
        seed: Of the replay's draw.
        quality: The cap.
    """
    chosen = kept_by_cap(labels, weights, quality)
    if kind == "refit":
        return [int(place) for place in np.flatnonzero(chosen)]
    new, old = np.flatnonzero(chosen & ~is_learned), np.flatnonzero(chosen & is_learned)
    count = min(len(old), round(replay * len(new)))
    replayed = random.Random(f"{seed}/replay/{seq}").sample(range(len(old)), count)
    return sorted([*old[replayed].tolist(), *new.tolist()])


def make_request(
    kind: FitKind,
    dataset: Sequence[Comparison],
    *,
    seq: int,
    learned: Collection[int] = (),
    exclusions_sha256: str,
    replay: float,
    seed: int,
    quality: QualityConfig = DEFAULT_QUALITY,
    gold: Mapping[str, tuple[int, int]] | None = None,
) -> FitRequest:
    """Return the order for a fit on `dataset`, the training set at ledger sequence `seq`.

    See `choose`. A warm update may find nothing to learn. A refit's comparisons and weights depend
    on the labels in `dataset` and on `gold` alone, never on sequence numbers: after an exclusion
    they are those of a ledger without the labeler. Takes about a second of one core.

    Args:
        kind: Of fit.
        dataset: By `seq`.
        seq: The ledger's newest.
        learned: Sequence numbers of the comparisons that the live reward has learned; of no
            interest to a refit.
        exclusions_sha256: Digest of the exclusions behind `dataset`.
        replay: Old comparisons for each new one.
        seed: Of the replay's draw.
        quality: Whether reliabilities weigh, and the cap.
        gold: Right and wrong gold answers by labeler.
    """
    given = GivenLabels.of(dataset)
    weights = reliabilities(dataset, gold) if quality.weigh_reliability else alike(given)
    places = choose(
        kind,
        given,
        weights,
        seq=seq,
        is_learned=np.array([each.seq in learned for each in dataset], dtype=np.bool_),
        replay=replay,
        seed=seed,
        quality=quality,
    )
    chosen = [dataset[place] for place in places]
    fresh = sum(each.seq not in learned for each in chosen)
    labels_used = len(learned) + fresh if kind == "warm" else len(chosen)
    return FitRequest(
        kind=kind,
        ledger_seq=seq,
        comparisons=tuple(chosen),
        labeler_weights=tuple(weights.items()),
        exclusions_sha256=exclusions_sha256,
        labels_used=labels_used,
    )
