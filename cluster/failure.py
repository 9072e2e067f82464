"""What went wrong in a run, of all that was raised on the way out."""

from __future__ import annotations

from protocol.errors import AndonError


def first_cause(error: BaseException) -> AndonError | None:
    """Return the first of our own errors, or None where none of them is ours.

    Loops that run together raise a group; parts that are closed after a failure may raise again,
    and what they raise has the failure as its context.
    """
    # What an error was raised "from" is the same failure in other words.
    before = (error.__cause__ or error).__context__
    if before is not None and (earlier := first_cause(before)) is not None:
        return earlier
    if isinstance(error, BaseExceptionGroup):
        return next((cause for cause in map(first_cause, error.exceptions) if cause), None)
    return error if isinstance(error, AndonError) else None
