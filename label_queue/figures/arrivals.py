"""When labels reached a policy that was sampled."""

from __future__ import annotations

import math
from array import array
from collections.abc import Set
from dataclasses import dataclass

from label_queue.folds.label_table import EventColumns
from label_queue.folds.lineage import Lines, Memories, newest_until
from label_queue.folds.view import LearnedLabels, LedgerView
from protocol.labels import LabelChange


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Time from a label's receipt to the first response of a policy that had learned it."""

    label_id: str
    seq: int
    """Sequence number of the revision that was learned first."""
    received_at: float
    """When the revision that was learned first was received, Unix seconds."""
    arrived_at: float
    """When the first response of a policy that had learned the label came, Unix seconds."""

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.arrived_at - self.received_at


class Arrivals:
    """When each label first reached a policy that was sampled."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._sampled: dict[int, float] = {}
        """When each policy version was first sampled."""
        self._told: list[int] = []
        """Policy versions in `_sampled` that were not gone through yet."""
        self._arrived: dict[int, float] = {}
        """When each policy version, or one that came from it, was first sampled."""
        self._reached: dict[int, float] = {}
        """When each reward version first reached a policy that was sampled."""
        self._through: dict[int, tuple[int, float]] = {}
        """The newest version that goes back to a refit whose labels all have arrived, and by when,
        by the refit's version."""
        self._places = array("i")
        """Where in the columns below a label's latency is, from 1, by its row; 0: nowhere."""
        self._seqs = array("i")
        """The revision that was learned first, of each label that arrived."""
        self._arrived_at = array("d")
        self.seconds = array("d")
        """Latencies of the labels that arrived."""

    def has(self, row: int) -> bool:
        """Say whether a label arrived."""
        return row < len(self._places) and self._places[row] > 0

    def latencies(self, view: LedgerView) -> tuple[Latency, ...]:
        """Return the latencies of the labels that arrived, by `seq`."""
        arrived = sorted(zip(self._seqs, self._arrived_at, strict=True))
        revisions = view.read(seq for seq, _ in arrived)
        return tuple(
            Latency(
                label_id=event.label_id,
                seq=event.seq,
                received_at=event.received_at,
                arrived_at=at,
            )
            for (_, at), event in zip(arrived, revisions, strict=True)
            if isinstance(event, LabelChange)
        )

    def first_sampled(self, version: int, at: float) -> None:
        """Note when the first response of a policy version came, Unix seconds. In any thread."""
        if at < self._sampled.get(version, math.inf):
            self._sampled[version] = at
            self._told.append(version)

    def grow(self, view: LedgerView, learned: LearnedLabels) -> bool:
        """Take in what was told, and what the ledger has grown by since the last call.

        Returns whether anything arrived, or arrived earlier.
        """
        moved = self._moved(view)
        if moved:
            memories = learned.seqs_by_reward(view)
            # What came by now came no later: each refit learns nearly all labels again.
            came: set[int] = set()
            for reward in sorted(moved & memories.versions, key=self._reached.__getitem__):
                at = self._reached[reward]
                arriving = self._arriving(reward, at, memories)
                for seq in sorted(arriving - came):
                    self._arrive(seq, at, view.columns)
                came |= arriving
        return bool(moved)

    def _arriving(self, reward: int, at: float, memories: Memories[int]) -> Set[int]:
        """Return what a reward version has learned, without what is known to have come before."""
        refit = memories.refit_of(reward)
        through, came_by = self._through.get(refit, (refit - 1, -math.inf))
        if reward <= through:
            return memories[reward]
        self._through[refit] = reward, at
        if at < came_by:
            return memories[reward]
        return frozenset().union(
            *(memories.own(each) for each in memories.since_refit(reward, after=through))
        )

    def _moved(self, view: LedgerView) -> set[int]:
        """Go through what was told; return the reward versions that arrived, or did so earlier.

        A policy version arrives with whatever comes from it: whoever is sampled brings along its
        whole line, of which only what had not come as early is gone through.
        """
        moved: set[int] = set()
        told, self._told = self._told, []
        self._lines.grow_to(view.policies)
        line_of, known = self._lines.parents, self._lines.versions
        for version in told:
            sampled_at = self._sampled[version]
            at: int | None = newest_until(known, version)
            while at in line_of and sampled_at < self._arrived.get(at, math.inf):
                self._arrived[at] = sampled_at
                policy, at = line_of[at]
                reward = 0 if policy.restored_from is not None else policy.reward_version
                if reward and sampled_at < self._reached.get(reward, math.inf):
                    self._reached[reward] = sampled_at
                    moved.add(reward)
        return moved

    def _arrive(self, seq: int, at: float, columns: EventColumns) -> None:
        """Note that a policy was sampled that had learned a revision of a label."""
        row, seconds = columns.label[seq], at - columns.received_at[seq]
        self._places.extend([0] * (row + 1 - len(self._places)))
        place = self._places[row] - 1
        if place < 0:
            self._seqs.append(seq)
            self._arrived_at.append(at)
            self.seconds.append(seconds)
            self._places[row] = len(self.seconds)
        elif (at, seq) < (self._arrived_at[place], self._seqs[place]):
            self._seqs[place], self._arrived_at[place] = seq, at
            self.seconds[place] = seconds
