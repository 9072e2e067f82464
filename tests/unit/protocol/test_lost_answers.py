"""A large answer stays on the node that gave it until it is fetched, and may be lost with that."""

from __future__ import annotations

import pytest
from ray.exceptions import ObjectLostError, ObjectReconstructionFailedError, RayTaskError

from protocol.errors import ActorDied
from protocol.remote import raised_as_itself

OF = ("00ffff", b"", "remote.py:81")
"""An object, its owner's address, and where it was made."""


def raise_as_itself(error: Exception) -> None:
    with raised_as_itself("rollout actor rollout-1"):
        raise error


@pytest.mark.parametrize("kind", [ObjectLostError, ObjectReconstructionFailedError])
def test_who_was_lost_with_an_answer_is_dead(kind: type[ObjectLostError]) -> None:
    with pytest.raises(ActorDied, match="rollout actor rollout-1 was lost with its node"):
        raise_as_itself(kind(*OF))


def test_what_somebody_did_not_find_over_there_says_nothing_of_them() -> None:
    missed = ObjectLostError(*OF)
    with pytest.raises(ObjectLostError) as caught:
        raise_as_itself(RayTaskError("load_policy", "", missed).as_instanceof_cause())
    assert caught.value is missed
