"""The ten: five good labelers and five bad ones, each bad in a way of their own."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from label_queue.simulated.config import LabelerProfile

TURNS_AFTER = 150
"""Labels after which the adversary turns."""
FIRST_SHOWN = 100.0
"""A position bias that no difference of utility makes up for."""
SECONDS_CLAIMED = 6.0
"""Mean time everybody says a task took, so that speed gives nobody away."""

PROFILES: Mapping[str, LabelerProfile] = MappingProxyType(
    {
        "random-1": LabelerProfile(beta=0.0),
        "random-2": LabelerProfile(beta=0.0),
        "adversary": LabelerProfile(beta=2.0, adversarial_after=TURNS_AFTER),
        "first-shown": LabelerProfile(beta=0.0, position_bias=FIRST_SHOWN),
        "careless": LabelerProfile(beta=2.0, eps_mistake=0.25),
        "good-1": LabelerProfile(beta=1.5, eps_mistake=0.02),
        "good-2": LabelerProfile(beta=1.5, eps_mistake=0.04),
        "good-3": LabelerProfile(beta=2.0, eps_mistake=0.02),
        "good-4": LabelerProfile(beta=2.0, eps_mistake=0.06),
        "good-5": LabelerProfile(beta=3.0, eps_mistake=0.04),
    }
)
"""How each of the ten labels, by name; without seeds."""


def kind_of(name: str) -> str:
    """Return what sort of labeler somebody is, e.g. "random" of "random-2"."""
    return name.rstrip("-12345")


def profiles(seed: int) -> dict[str, LabelerProfile]:
    """Return the ten with seeds of their own, all at the same pace."""
    return {
        name: profile.model_copy(
            update={"seed": 1_000 * seed + number, "seconds_per_label": SECONDS_CLAIMED}
        )
        for number, (name, profile) in enumerate(PROFILES.items())
    }


def labels_honestly(name: str, num_given: int) -> bool:
    """Say whether a label is meant well: the truth, which no estimator is told.

    Args:
        name: Who gave it.
        num_given: Labels they gave before.
    """
    return kind_of(name) == "good" or (name == "adversary" and num_given < TURNS_AFTER)
