"""Numbers that no ledger holds: a file may say any, and what they break would break much later."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Mapping

from protocol.errors import InputError
from protocol.limits import LARGEST_STORED

CLIENTS = frozenset({"shown_at", "first_action_at", "submitted_at", "active_ms"})
"""What clients and outside tools say of time, by clocks and in units of their own."""
SIGNED = frozenset({"logprob_sum", "reward_scores", "metrics"}) | CLIENTS
"""Fields that may be below 0, with all that is in them."""
TIMES = ("_at", "_until")
"""How the names of times end, beside "at"; all are Unix seconds."""
LATEST = 10**12
"""The latest time that is taken, as of what comes over HTTP; 30,000 years hence."""


def refuse_strange_numbers(given: object, where: str, place: str = "", name: str = "") -> None:
    """Refuse numbers that are not finite, beyond what a database holds, or below 0.

    Args:
        given: A record, as it was read from JSON, or a part of one.
        where: Names the line.
        place: Of the part in the record, e.g. "candidates.0.token_ids".
        name: Of the field that the part is of, e.g. "token_ids".

    Raises:
        InputError: There is one; line and field are named.
    """
    if isinstance(given, Mapping):
        for key, value in given.items():
            inner = name if name in SIGNED else key
            refuse_strange_numbers(value, where, f"{place}.{key}".lstrip("."), inner)
    elif isinstance(given, list):
        for i, value in enumerate(given):
            refuse_strange_numbers(value, where, f"{place}.{i}", name)
    elif isinstance(given, int | float) and not isinstance(given, bool):
        problem = _problem(given, name)
        if problem is not None:
            raise InputError(f"{where}: {place}: {problem}")


def _problem(number: float, name: str) -> str | None:
    """Say what is wrong with a field's number; None: nothing."""
    if isinstance(number, float) and not math.isfinite(number):
        return "want a finite number: it is beyond all that a computer counts with"
    is_time = name not in CLIENTS and (name == "at" or name.endswith(TIMES))
    largest = LATEST if is_time else LARGEST_STORED
    if (is_time or isinstance(number, int)) and abs(number) > largest:
        return f"want a number of at most {largest}, got {reprlib.repr(number)}"
    if number < 0 and name not in SIGNED:
        return f"want 0 or more, got {number}"
    return None
