"""Versions of forms: what is written says which form it has, and a reader looks before it reads."""

from __future__ import annotations

from collections.abc import Callable

from pydantic_core import PydanticCustomError

from protocol.errors import SchemaMismatch

MEND_NEWER = "use the version of Andon that wrote it, or a newer one"
MEND_UNKNOWN = "it was changed: put a whole copy back"


def newer_than_ours(where: str, theirs: int, ours: int) -> SchemaMismatch:
    """Return the error to raise for a file of a newer form.

    Args:
        where: The file, and the line where it has lines.
        theirs: The version it says.
        ours: The newest that is read.
    """
    return SchemaMismatch(f"{where}: schema_version: is {theirs}, this is {ours}; {MEND_NEWER}")


def only(ours: int, oldest: int | None = None) -> Callable[[int], int]:
    """Return the validator of a field that says the form, where `ours` alone is read.

    What it raises names the version found and ours.

    Args:
        ours: The newest form that is read.
        oldest: The oldest, where those in between are read too.
    """
    first = ours if oldest is None else oldest

    def refuse_other(theirs: int) -> int:
        if not first <= theirs <= ours:
            mend = MEND_NEWER if theirs > ours else MEND_UNKNOWN
            problem = f"is {theirs}, this is {ours}; {mend}"
            raise PydanticCustomError("schema_version", "{problem}", {"problem": problem})
        return theirs

    return refuse_other
