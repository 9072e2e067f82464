"""What went wrong in a run, of all that was raised on the way out."""

from __future__ import annotations

from protocol.errors import AndonError


def first_cause(error: BaseException) -> AndonError | None:
    """Return the first of our own errors, or None where none of them is ours.

    Loops that run together raise a group; parts that are closed after a failure may raise again,
    and what they raise has the failure as its context. Where an error of a group is raised by
    itself while the group is handled, each leads to the other.
    """
    return _first(error, set())


def _first(error: BaseException, seen: set[int]) -> AndonError | None:
    if id(error) in seen:
        return None
    seen.add(id(error))
    # What an error was raised "from" is the same failure in other words.
    said = error.__cause__ or error
    before = None if said.__suppress_context__ else said.__context__
    if before is not None and (earlier := _first(before, seen)) is not None:
        return earlier
    if isinstance(error, BaseExceptionGroup):
        return next((cause for each in error.exceptions if (cause := _first(each, seen))), None)
    return error if isinstance(error, AndonError) else None
