"""What Serve says of replicas that no node has taken yet, read out of its words."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

NOT_SCHEDULED = re.compile(r"has (\d+) replicas that have taken more than .* to be scheduled")
"""What Serve's message says of such replicas, and of no others."""
FIGURES = re.compile(r"Resources required for each replica: (.*), total resources available: (.*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Unplaced:
    """Replicas of a deployment that wait for a node."""

    count: int
    words: str
    """What they wait for, in Serve's words."""
    resources: Mapping[str, float] = field(default_factory=dict)
    """What each replica needs; nothing where Serve does not know."""
    has_room: bool = False
    """Whether there is room for one, so that a node only takes its time."""


def unplaced_in(messages: Iterable[str]) -> Unplaced | None:
    """Return what waits for a node by what Serve says of each deployment, None where nothing is."""
    for message in messages:
        found = NOT_SCHEDULED.search(message)
        if found is not None:
            _, lead, figures = message.partition("Resources required")
            words = (lead + figures).partition(". Use ")[0] or message
            return _with_figures(int(found[1]), words)
    return None


def _with_figures(count: int, words: str) -> Unplaced:
    found = FIGURES.match(words)
    if found is None:
        return Unplaced(count=count, words=words)
    try:
        required, available = (json.loads(figures) for figures in found.groups())
    except json.JSONDecodeError:  # Serve does not always know
        return Unplaced(count=count, words=words)
    each = required if isinstance(required, list) else [required]
    names = {name for bundle in each for name in bundle}
    resources = {name: sum(bundle.get(name, 0.0) for bundle in each) for name in sorted(names)}
    has_room = all(available.get(name, 0.0) >= amount for name, amount in resources.items())
    return Unplaced(count=count, words=words, resources=resources, has_room=has_room)
