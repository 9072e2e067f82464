"""The wait for nodes: what a run has asked its cluster for, what of it has a place, how long yet.

A cluster that scales by itself adds a node for what was asked and has no place yet. That takes
minutes, and may take long where machines are scarce: so people are shown what is waited for, and
only then, after `cluster.wait_for_nodes_s`, is it an error. Nobody adds a node to this machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import ray

ON_A_CLUSTER_S = 3600.0
"""How long a run waits for nodes by default on a Ray cluster that was there before."""
ALONE_S = 60.0
"""How long by default on this machine alone."""
SHOWN_AFTER_S = 5.0
"""A wait that is over sooner is no wait for nodes."""
SHOWN_EVERY_S = 1.0
MEND = "add nodes, lower the number of processes, or raise cluster.wait_for_nodes_s"
ALWAYS_SAID = ("CPU", "GPU")
"""Resources whose number is told even where none were asked for."""


@dataclass(eq=False, slots=True)
class Asked:
    """What the cluster was asked for at once."""

    what: str
    """For whom, e.g. "2 learner ranks"."""
    bundles: tuple[Mapping[str, float], ...]
    """Resources of each process."""
    since: float
    num_placed: int = 0

    @property
    def in_words(self) -> str:
        """What it is, e.g. "2 learner ranks (1 CPU, 1 GPU each)"."""
        each = _in_words(self.bundles[0])
        return f"{self.what} ({each} each)" if each else self.what

    @property
    def is_placed(self) -> bool:
        """Whether all of it has its place."""
        return self.num_placed == len(self.bundles)


class NodeWait:
    """What one run waits for, all its parts together.

    Args:
        limit_s: How long each part may wait.
        now: Seconds, rising.
    """

    def __init__(self, limit_s: float, now: Callable[[], float] = time.monotonic) -> None:
        self._limit_s = limit_s
        self._now = now
        self._asked: dict[str, Asked] = {}
        self._show: Callable[[str], None] | None = None
        self._shown = ""
        self._shown_at = 0.0

    def show_by(self, show: Callable[[str], None]) -> None:
        """Tell from now on what is waited for, about once a second; "" once nothing is."""
        self._show = show

    def ask(
        self, what: str, bundles: Sequence[Mapping[str, float]], waited_s: float = 0.0
    ) -> Asked:
        """Take note of what the cluster is asked for.

        Args:
            what: For whom, which nothing else is.
            bundles: Resources of each process.
            waited_s: How long that was waited for already.
        """
        asked = self._asked[what] = Asked(what, tuple(bundles), self._now() - waited_s)
        return asked

    def placed(self, asked: Asked, count: int) -> None:
        """Take note of how many of its bundles have a place; to be called again and again."""
        asked.num_placed = count
        self._tell()

    def forget(self, what: str) -> None:
        """Take note of what is not asked for any more, or was given back."""
        del self._asked[what]
        self._tell()

    def is_over(self, asked: Asked, at_least_s: float = 0.0) -> bool:
        """Whether it has been waited for long enough."""
        return self._now() - asked.since >= max(self._limit_s, at_least_s)

    @property
    def in_words(self) -> str:
        """What is waited for, as people are told; "" while nothing is."""
        waits = [
            each
            for each in self._asked.values()
            if not each.is_placed and self._now() - each.since >= SHOWN_AFTER_S
        ]
        if not waits:
            return ""
        asked = ", ".join(each.in_words for each in waits)
        return f"waiting for nodes: {self._count} bundles placed, asked for {asked}"

    def lack(self, asked: Asked) -> str:
        """Return what was asked, what there is, and what to do; for an error. Asks Ray."""
        return (
            f"waited {self._limit_s:g} s for nodes with room for {asked.in_words}: "
            f"{self._count} bundles of the run are placed, and {_there(asked)}; {MEND}"
        )

    @property
    def _count(self) -> str:
        placed = sum(each.num_placed for each in self._asked.values())
        return f"{placed} of {sum(len(each.bundles) for each in self._asked.values())}"

    def _tell(self) -> None:
        words, now = self.in_words, self._now()
        is_due = bool(words) and now - self._shown_at >= SHOWN_EVERY_S
        if self._show is not None and (is_due or words != self._shown):
            self._shown, self._shown_at = words, now
            self._show(words)


def _there(asked: Asked) -> str:
    """Say what the cluster has of what was asked, and how much of it is free."""
    nodes = [node for node in ray.nodes() if node["Alive"]]
    total, free = ray.cluster_resources(), ray.available_resources()
    names = dict.fromkeys((*ALWAYS_SAID, *asked.bundles[0]))
    of_all = _in_words({name: total.get(name, 0.0) for name in names})
    of_free = _in_words({name: free.get(name, 0.0) for name in names})
    count = "1 node" if len(nodes) == 1 else f"{len(nodes)} nodes"
    return f"the cluster has {count} with {of_all}, of which {of_free} are free"


def _in_words(resources: Mapping[str, float]) -> str:
    return ", ".join(f"{amount:g} {name}" for name, amount in resources.items())
