"""Which labels a reward version learned, and which policy versions they reached.

    label ──▶ a fit's own list ──▶ RewardVersion ──▶ PolicyVersion ──▶ its descendants

A reward version learned the list of the refit it goes back to, and those of the warm updates
since. A policy version is touched by a label if the reward it was trained on learned it,
or if its parent is touched; a rollback makes a version whose parent is the one restored.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from typing import TypeVar

from protocol.fits import RewardVersion
from protocol.labels import PolicyProvenance
from protocol.messages import PolicyVersion

NameT = TypeVar("NameT", int, str)
"""What names a label: a sequence number, or an id."""


def as_provenance(policy: PolicyVersion, at: float) -> PolicyProvenance:
    """Return what the ledger keeps of a policy version."""
    return PolicyProvenance(
        version=policy.version,
        episodes=policy.episodes,
        reward_version=policy.reward_version,
        learned_through=policy.learned_through,
        restored_from=policy.restored_from,
        created_at=at,
        moved_kl=policy.moved_kl,
    )


def reference_provenance(at: float) -> PolicyProvenance:
    """Return what the ledger keeps of version 0, which is ρ in every run."""
    return PolicyProvenance(
        version=0,
        episodes=0,
        reward_version=0,
        learned_through=0,
        restored_from=None,
        created_at=at,
        moved_kl=0.0,
    )


class Memories(Mapping[int, frozenset[NameT]]):
    """What each reward version has learned: its own fit's list, and those since the last refit.

    Worked out when asked for, since together they are as many as labels times versions.
    """

    def __init__(
        self, rewards: Iterable[RewardVersion], own: Callable[[int], Iterable[NameT]]
    ) -> None:
        """Take the versions, and what returns a version's own list."""
        self._own: Callable[[int], Iterable[NameT]] = own
        self._refits: dict[int, int] = {}
        self._versions: list[int] = []
        for reward in sorted(rewards, key=lambda each: each.version):
            self._take(reward)

    def grown_to(self, rewards: Sequence[RewardVersion]) -> Memories[NameT]:
        """Return those of a ledger that has grown, whose versions are the first of some.

        Where they are not, all are gone through.
        """
        new = rewards[len(self._versions) :]
        if any(reward.version <= self._newest for reward in new) or len(self) > len(rewards):
            return Memories(rewards, self._own)
        grown: Memories[NameT] = Memories((), self._own)
        grown._refits, grown._versions = dict(self._refits), list(self._versions)
        for reward in new:
            grown._take(reward)
        return grown

    def by(self, own: Callable[[int], Iterable[NameT]]) -> Memories[NameT]:
        """Return those of the same versions, whose labels `own` names otherwise. Copies nothing."""
        others: Memories[NameT] = Memories((), own)
        others._refits, others._versions = self._refits, self._versions
        return others

    @property
    def _newest(self) -> int:
        return self._versions[-1] if self._versions else 0

    def _take(self, reward: RewardVersion) -> None:
        """Take the next version."""
        before = self._refits[self._newest] if self._versions else reward.version
        self._refits[reward.version] = reward.version if reward.kind == "refit" else before
        self._versions.append(reward.version)

    def __getitem__(self, version: int) -> frozenset[NameT]:
        """Return what a version has learned."""
        return frozenset().union(*(self._own(each) for each in self.since_refit(version)))

    def __iter__(self) -> Iterator[int]:
        """Yield the versions, rising."""
        return iter(self._versions)

    def __len__(self) -> int:
        """Return how many versions there are."""
        return len(self._versions)

    @property
    def versions(self) -> Set[int]:
        """The versions there are."""
        return self._refits.keys()

    def own(self, version: int) -> Iterable[NameT]:
        """Return what a version's own fit was given."""
        return self._own(version)

    def since_refit(self, version: int, after: int = 0) -> Sequence[int]:
        """Return the versions whose lists a version goes back to, rising, those after another."""
        first = max(self._refits[version], after + 1)
        start = bisect_left(self._versions, first)
        return self._versions[start : bisect_right(self._versions, version)]

    def refit_of(self, version: int) -> int:
        """Return the refit that a version goes back to, which may be itself."""
        return self._refits[version]

    def ever(self) -> frozenset[NameT]:
        """Return what any version has learned."""
        return frozenset().union(*(self._own(version) for version in self._versions))

    def touching(self, labels: Set[NameT]) -> tuple[int, ...]:
        """Return the versions that learned any of these labels, rising."""
        return self.going_on_from(
            lambda version: any(name in labels for name in self._own(version))
        )

    def going_on_from(self, is_one: Callable[[int], bool]) -> tuple[int, ...]:
        """Return the versions that are, or go on from, one of some, rising."""
        touched: list[int] = []
        since = 0
        for version in self._versions:
            refit = self._refits[version]
            if since != refit and is_one(version):
                since = refit  # and so are all that go on from it
            if since == refit:
                touched.append(version)
        return tuple(touched)


def policies_touched(
    policies: Iterable[PolicyProvenance], reward_versions: Collection[int]
) -> tuple[int, ...]:
    """Return the policy versions that one of these reward versions reached, rising."""
    touched: set[int] = set()
    reward_versions = frozenset(reward_versions)
    line_of = parents(policies)
    for version, (policy, parent) in line_of.items():
        was_trained = policy.restored_from is None and policy.reward_version in reward_versions
        if was_trained or parent in touched:
            touched.add(version)
    return tuple(sorted(touched))


def ancestry(policies: Iterable[PolicyProvenance], version: int) -> tuple[PolicyProvenance, ...]:
    """Return a policy version and those it came from, newest first; empty if it is not known."""
    line_of = parents(policies)
    line: list[PolicyProvenance] = []
    at: int | None = version
    while at is not None and at in line_of:
        policy, at = line_of[at]
        line.append(policy)
    return tuple(line)


def left_behind(policies: Iterable[PolicyProvenance]) -> frozenset[int]:
    """Return the policy versions that the newest does not come from: rollbacks left them behind."""
    known = tuple(policies)
    if all(policy.restored_from is None for policy in known):
        return frozenset()
    newest = max(policy.version for policy in known)
    line = {policy.version for policy in ancestry(known, newest)}
    return frozenset(policy.version for policy in known) - line


def rewards_behind(line: Iterable[PolicyProvenance]) -> tuple[int, ...]:
    """Return the reward versions that a line of policy versions was trained on, rising.

    A restored version was trained on nothing: what is behind it, its parent says.
    """
    trained = {policy.reward_version for policy in line if policy.restored_from is None}
    return tuple(sorted(trained - {0}))


def parents(
    policies: Iterable[PolicyProvenance],
) -> dict[int, tuple[PolicyProvenance, int | None]]:
    """Return each policy version with the version it came from, by version.

    Where a crash kept a version out of the ledger, the one known before it stands for it.
    """
    lines = Lines()
    lines.grow_to(tuple(policies))
    return lines.parents


class Lines:
    """The same while policy versions come: none that was known is gone through again."""

    def __init__(self) -> None:
        self.versions: list[int] = []
        """Versions that are known, rising."""
        self.parents: dict[int, tuple[PolicyProvenance, int | None]] = {}
        """Each with the version it came from, by version."""

    def grow_to(self, policies: Sequence[PolicyProvenance]) -> None:
        """Take those of a ledger that has grown, of which the first are known.

        They rise, but for ρ in a ledger that had none at first: then all are taken anew.
        """
        new = policies[len(self.versions) :]
        if any(policy.version < self._newest for policy in new):
            self.versions.clear()
            self.parents.clear()
            new = policies
        for policy in sorted(new, key=lambda each: each.version):
            before = self.versions[-1] if self.versions else None
            parent = before if policy.restored_from is None else policy.restored_from
            self.parents[policy.version] = (policy, parent)
            self.versions.append(policy.version)

    @property
    def _newest(self) -> int:
        return self.versions[-1] if self.versions else 0


def newest_until(rising: Sequence[int], version: int) -> int:
    """Return the newest of some versions up to one; 0 where there is none.

    Where a crash kept a version out of the ledger, the one known before it stands for it.
    """
    at = bisect_right(rising, version)
    return rising[at - 1] if at else 0
