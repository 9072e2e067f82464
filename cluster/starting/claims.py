"""Names on a Ray cluster that one driver has at a time, and that end with it, however it ends.

A claim is an actor with a name. Ray gives a name to one actor at a time, and ends a driver's actors
when the driver is gone, also where it was killed; so a claim needs nobody to clean up after it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray.exceptions import ActorAlreadyExistsError, GetTimeoutError, RayActorError

from cluster.supervision.deadlines import START_TIMEOUT_S
from protocol.errors import ResourceError

NAMESPACE = "andon"
"""Ray's namespace of what all runs on a cluster share."""
WHO_TIMEOUT_S = 10.0
"""How long the holder of a name is waited for to say who it is: it may only be coming up."""
RELEASE_S = 30.0
POLL_S = 0.2


class ClaimShell:
    """Holds a name, and says for whom."""

    def __init__(self, by: str) -> None:
        self._by = by

    def by(self) -> str:
        """Return who holds the name, in words. Does not block; may be called twice."""
        return self._by


class Claim:
    """A name that is ours, until it is released or this driver ends.

    Args:
        name: In the namespace that all runs share.
        holder: The actor that has it.
    """

    def __init__(self, name: str, holder: Any) -> None:
        self.name = name
        self._holder = holder

    def release(self) -> None:
        """Give the name back, and wait until others can have it."""
        ray.kill(self._holder, no_restart=True)
        until = time.monotonic() + RELEASE_S
        while is_claimed(self.name) and time.monotonic() < until:
            time.sleep(POLL_S)


def claim(name: str, by: str) -> Claim | None:
    """Take a name, or return None where another has it.

    Args:
        name: In the namespace that all runs share.
        by: Says to others who has it.
    """
    options = {"name": name, "namespace": NAMESPACE, "num_cpus": 0, "max_restarts": -1}
    try:
        return Claim(name, ray.remote(ClaimShell).options(**options).remote(by))
    except ActorAlreadyExistsError:  # it may be free again by now
        return None


def is_claimed(name: str) -> bool:
    """Say whether anybody has a name."""
    return name in claimed()


def claimed() -> frozenset[str]:
    """Return all names that somebody has."""
    named = ray.util.list_named_actors(all_namespaces=True)
    return frozenset(each["name"] for each in named if each["namespace"] == NAMESPACE)


def holder_of(name: str) -> str:
    """Return who has a name, in their words; blocks for up to `WHO_TIMEOUT_S`."""
    try:
        holder = ray.get_actor(name, namespace=NAMESPACE)
        return str(ray.get(holder.by.remote(), timeout=WHO_TIMEOUT_S))
    except (ValueError, RayActorError, GetTimeoutError):
        return "a driver that does not answer, or has just ended"


@contextmanager
def turn(name: str, by: str, timeout_s: float = START_TIMEOUT_S) -> Iterator[None]:
    """Wait for a name that drivers have one after the other, and have it within the block.

    Raises:
        ResourceError: Somebody had it for all of that time; says who.
    """
    until = time.monotonic() + timeout_s
    while (mine := claim(name, by)) is None:
        if time.monotonic() >= until:
            raise ResourceError(
                f"waited {timeout_s:g} s for {name!r} on this Ray cluster, which {holder_of(name)} "
                "has: see what that one waits for, or end it"
            )
        time.sleep(POLL_S)
    try:
        yield
    finally:
        mine.release()
