"""How the cord hangs: the fold over its events."""

from __future__ import annotations

from dataclasses import replace

from protocol.labels import CordEvent, CordState

RELEASED = CordState(is_pulled=False)


def after(state: CordState, event: CordEvent) -> CordState:
    """Return how the cord hangs after an event: one step of the fold over them.

    While it is pulled the first reason stands, and a later pull only adds a guard's offer where
    there is none. A rollback pulls the cord, and leaves it pulled when it is done.
    """
    if event.action == "release":
        return RELEASED
    if event.action == "rolled_back":
        return replace(state, rollback_to=None, offered_rollback=None)
    if not state.is_pulled:
        state = CordState(
            is_pulled=True, pulled_by=event.actor, reason=event.reason, pulled_at=event.at
        )
    if event.action == "roll_back":
        return replace(state, rollback_to=event.to_version)
    if state.offered_rollback is None:
        return replace(state, offered_rollback=event.to_version)
    return state
