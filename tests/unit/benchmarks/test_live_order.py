"""What is fitted when, as a run's labels come."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from benchmarks.live_order import Fit, fits
from protocol.fits import Comparison
from tests.support.controller_world import small_config
from tests.support.labels import make_comparison

LABELS = [make_comparison(number + 1) for number in range(100)]


def fits_of(*, refits: int, replay: float = 1.0) -> list[Fit]:
    warm = {"every_labels": 16, "replay": replay}
    return list(fits(small_config({"total": 90, "refits": refits, "warm": warm}), LABELS))


def ids(comparisons: Sequence[Comparison]) -> list[str]:
    return [each.query_id for each in comparisons]


def test_each_point_of_the_schedule_has_one_refit_on_all_until_then() -> None:
    refits = [fit for fit in fits_of(refits=2) if fit.kind == "refit"]
    assert [fit.num_labels for fit in refits] == [10, 58]
    assert [list(fit.learns) for fit in refits] == [LABELS[:10], LABELS[:58]]


def test_an_update_learns_what_is_new_and_as_much_again_of_what_was_known() -> None:
    update = fits_of(refits=1)[2]
    assert (update.kind, update.num_labels) == ("warm", 42)
    drawn, new = list(update.learns[:16]), list(update.learns[16:])
    assert new == LABELS[26:42]
    assert len(set(ids(drawn))) == 16
    assert set(ids(drawn)) < set(ids(LABELS[:26]))


def test_every_label_after_the_first_is_asked_about_once_before_it_is_learned() -> None:
    made = fits_of(refits=2, replay=0.0)
    asked = Counter(name for fit in made for name in ids(fit.then))
    assert asked == Counter(ids(LABELS[10:]))
    known: set[str] = set()
    for fit in made:
        known |= set(ids(fit.learns))
        assert not known & set(ids(fit.then))
