"""Who labels: of every ten five are good and five bad, each bad in a way of their own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from label_queue.simulated.config import LabelerProfile

TURNS_AFTER = 150
"""Labels after which the adversary turns."""
FIRST_SHOWN = 100.0
"""A position bias that no difference of utility makes up for."""
SECONDS_CLAIMED = 6.0
"""Mean time everybody says a task took, so that speed gives nobody away."""

TEN: Sequence[tuple[str, LabelerProfile]] = (
    ("random", LabelerProfile(beta=0.0)),
    ("random", LabelerProfile(beta=0.0)),
    ("adversary", LabelerProfile(beta=2.0, adversarial_after=TURNS_AFTER)),
    ("first-shown", LabelerProfile(beta=0.0, position_bias=FIRST_SHOWN)),
    ("careless", LabelerProfile(beta=2.0, eps_mistake=0.25)),
    ("good", LabelerProfile(beta=1.5, eps_mistake=0.02)),
    ("good", LabelerProfile(beta=1.5, eps_mistake=0.04)),
    ("good", LabelerProfile(beta=2.0, eps_mistake=0.02)),
    ("good", LabelerProfile(beta=2.0, eps_mistake=0.06)),
    ("good", LabelerProfile(beta=3.0, eps_mistake=0.04)),
)
"""The sort of each of ten, and how they label; without seeds."""

FRIENDS = tuple(profile for kind, profile in TEN if kind == "good")[1:4]
"""Good labelers of before the session, on whose agreement gold rests."""


def kind_of(name: str) -> str:
    """Return what sort of labeler somebody is, e.g. "random" of "random-2"."""
    return name.rstrip("-0123456789")


def profiles(
    seed: int, num_labelers: int, honest_from: float | None = None
) -> dict[str, LabelerProfile]:
    """Return labelers by name, with seeds of their own, all at the same pace.

    Args:
        seed: Of the session.
        num_labelers: A multiple of ten.
        honest_from: From how clear a task on adversaries are on their guard; None: they never are.
    """
    assert num_labelers % len(TEN) == 0, "so many of each sort"
    found: dict[str, LabelerProfile] = {}
    count: Counter[str] = Counter()
    for number in range(num_labelers):
        kind, profile = TEN[number % len(TEN)]
        count[kind] += 1
        own = {"seed": 1_000 * seed + number, "seconds_per_label": SECONDS_CLAIMED}
        found[f"{kind}-{count[kind]}"] = profile.model_copy(
            update={**own, "honest_from": honest_from}
        )
    return found


def labels_honestly(name: str, num_given: int) -> bool:
    """Say whether a label is meant well: the truth, which no estimator is told.

    Args:
        name: Who gave it.
        num_given: Labels they gave before.
    """
    kind = kind_of(name)
    return kind == "good" or (kind == "adversary" and num_given < TURNS_AFTER)
