"""How the cord hangs: the fold over its events."""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from protocol.labels import (
    CordEvent,
    CordState,
    Pulled,
    Released,
    RollbackOrdered,
    RolledBack,
)

RELEASED = CordState(is_pulled=False)


def after(state: CordState, event: CordEvent) -> CordState:
    """Return how the cord hangs after an event: one step of the fold over them.

    While it is pulled the first reason stands, and a later pull only adds a guard's offer where
    there is none. A rollback pulls the cord, and leaves it pulled when it is done.
    """
    match event:
        case Released():
            return RELEASED
        case RolledBack():
            return replace(state, rollback_to=None, offered_rollback=None)
        case RollbackOrdered():
            return replace(_pulled(state, event), rollback_to=event.to_version)
        case Pulled():
            hangs = _pulled(state, event)
            if hangs.offered_rollback is not None:
                return hangs
            return replace(hangs, offered_rollback=event.offered_rollback)
        case _:
            assert_never(event)


def _pulled(state: CordState, event: Pulled | RollbackOrdered) -> CordState:
    if state.is_pulled:
        return state
    return CordState(is_pulled=True, pulled_by=event.actor, reason=event.reason, pulled_at=event.at)
