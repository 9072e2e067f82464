"""What must hold of a ledger after a crash: whatever was promised is there, once, in its place."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

from label_queue.ledger.records import Ledger
from label_queue.ledger.tables import STREAMS
from protocol.labels import LabelEvent


class Lost(AssertionError):
    """An acknowledged event is not there, or not where it was said to be."""


class Doubled(AssertionError):
    """An event is there twice, or under two numbers."""


class Broken(AssertionError):
    """The history is another than it was, or holds what nobody wrote."""


def digest(events: Sequence[LabelEvent]) -> str:
    """Return what two histories have in common only if they are one."""
    adapter = STREAMS[LabelEvent].adapter
    return hashlib.sha256(b"\n".join(adapter.dump_json(event) for event in events)).hexdigest()


def check_history(
    found: Sequence[LabelEvent],
    acknowledged: Mapping[str, int],
    attempted: Mapping[str, LabelEvent],
) -> None:
    """Raise Lost, Doubled or Broken unless a ledger's events are what was promised.

    Args:
        found: In the ledger, as read.
        acknowledged: The number each acknowledged event was given, by its id.
        attempted: All that anybody tried to write, by its id.
    """
    numbers = {event.event_id: event.seq for event in found}
    if len(numbers) != len(found):
        raise Doubled(f"{len(found) - len(numbers)} of {len(found)} events are there again")
    if [event.seq for event in found] != list(range(1, len(found) + 1)):
        raise Broken("the numbers of the events do not rise by one from 1")
    for event_id, seq in acknowledged.items():
        if numbers.get(event_id) != seq:
            raise Lost(f"{event_id} was acknowledged as {seq}, and is {numbers.get(event_id)}")
    for event in found:
        given = attempted.get(event.event_id)
        if given is None or replace(given, seq=event.seq) != event:
            raise Broken(f"{event.event_id} is not what was written under that id")


def check_retries(ledger: Ledger, attempted: Mapping[str, LabelEvent]) -> None:
    """Write all that was ever tried once more: what stands stays, and the rest lands once."""
    before = ledger.events()
    ledger.write(list(attempted.values()))
    after = ledger.events()
    if after[: len(before)] != before:
        raise Broken("a retry changed the history before it")
    check_history(after, {event.event_id: event.seq for event in before}, attempted)
    if len(after) != len(attempted):
        raise Lost(f"{len(attempted)} events were written again, and {len(after)} are there")
