"""How the cord hangs: the fold over its events."""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from protocol.cord import (
    CordEvent,
    CordReason,
    CordState,
    Pulled,
    ReasonReleased,
    Released,
    RollbackOrdered,
    RolledBack,
)

RELEASED = CordState(is_pulled=False)


def after(state: CordState, event: CordEvent) -> CordState:
    """Return how the cord hangs after an event: one step of the fold over them.

    Every pull is a reason of its own, and the line stands until each is released; the oldest is
    shown first, and so is the oldest offer of a rollback. A rollback pulls the cord where it is not
    pulled, and leaves it pulled when it is done.
    """
    match event:
        case Released():
            return RELEASED
        case ReasonReleased():
            if state.rollback_to is not None:  # ordered in the moment of the release: it stands
                return state
            left = tuple(each for each in state.reasons if each.pull_id != event.pull_id)
            return _hanging(left, state)
        case RolledBack():
            kept = tuple(replace(each, offered_rollback=None) for each in state.reasons)
            return replace(state, rollback_to=None, offered_rollback=None, reasons=kept)
        case RollbackOrdered():
            hangs = state if state.is_pulled else _hanging((_reason(event),), state)
            return replace(hangs, rollback_to=event.to_version)
        case Pulled():
            return _hanging((*state.reasons, _reason(event)), state)
        case _:
            assert_never(event)


def _hanging(reasons: tuple[CordReason, ...], state: CordState) -> CordState:
    """Return how the cord hangs for these reasons, with the order under way, if any."""
    if not reasons:
        return RELEASED
    first = reasons[0]
    offers = [each.offered_rollback for each in reasons if each.offered_rollback is not None]
    return CordState(
        is_pulled=True,
        pulled_by=first.actor,
        reason=first.reason,
        pulled_at=first.at,
        rollback_to=state.rollback_to,
        offered_rollback=offers[0] if offers else None,
        reasons=reasons,
    )


def _reason(event: Pulled | RollbackOrdered) -> CordReason:
    plain = CordReason(pull_id=event.event_id, actor=event.actor, reason=event.reason, at=event.at)
    if isinstance(event, RollbackOrdered):
        return plain
    return replace(
        plain,
        guard=event.guard,
        evidence=event.evidence,
        offered_rollback=event.offered_rollback,
    )
