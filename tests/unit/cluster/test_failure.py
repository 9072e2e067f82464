from __future__ import annotations

import pytest

from cluster.failure import first_cause
from protocol.errors import ActorDied, AndonError, DeploymentFailed, InputError


def test_an_error_of_a_group_raised_while_the_group_is_handled_is_the_first() -> None:
    cause = DeploymentFailed("no room")
    group = ExceptionGroup("unhandled errors in a TaskGroup", [OSError("a pipe"), cause])
    cause.__context__ = group
    assert first_cause(cause) is cause
    assert first_cause(group) is cause


def test_what_was_raised_on_the_way_out_is_not() -> None:
    first, later = ActorDied("the learner died"), AndonError("the hub is closed")
    later.__context__ = first
    assert first_cause(ExceptionGroup("all", [later])) is first


def test_none_of_ours_is_none() -> None:
    assert first_cause(ExceptionGroup("all", [OSError("a pipe"), ValueError("no")])) is None


def test_what_an_error_stands_in_for_is_not_shown_in_its_place() -> None:
    def read() -> None:
        try:
            raise InputError("want postgresql://")
        except InputError as error:
            raise InputError(f"LEDGER: {error}") from None

    with pytest.raises(InputError) as told:
        read()
    assert str(first_cause(told.value)) == "LEDGER: want postgresql://"
