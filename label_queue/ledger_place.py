"""Where a ledger lies: in a file, or on a PostgreSQL server that a URL names, without a password.

A password in a URL would be saved with the config and shown to whoever lists processes. So none is
taken: PostgreSQL's library reads it from PGPASSWORD or ~/.pgpass, in the process that connects.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

from protocol.errors import InputError
from protocol.settings import UNSHOWN

LedgerPlace = Path | str
"""A file, or a URL that `check_url` lets through."""
WANTED = (
    "want postgresql://USER@HOST:PORT/DATABASE, without a password: PostgreSQL's library takes "
    "that from PGPASSWORD or ~/.pgpass; and %XX for characters with a meaning in URLs"
)

_SCHEME = r"[A-Za-z][A-Za-z0-9+.-]*:/"
_PART = r"[^\s:@/?#&=%,\[\]]|%[0-9A-Fa-f]{2}"
_HOST = rf"(?:(?:{_PART})*|\[[0-9A-Fa-f:.]+\])(?::\d*)?"
_PARAMETER = rf"[a-z_]+=(?:{_PART}|[/:])*"
_URL = re.compile(
    rf"postgres(?:ql)?://(?:(?:{_PART})*@)?{_HOST}(?:,{_HOST})*(?:/(?:{_PART})*)?"
    rf"(?:\?{_PARAMETER}(?:&{_PARAMETER})*)?"
)
_SECRET = re.compile(r"[?&][a-z_]*(?:password|secret)=")


def check_url(url: str) -> str:
    """Return the URL of a ledger on a server.

    Raises InputError, which shows nothing of it, where it may hold a password or is none.
    """
    if _URL.fullmatch(url) is None or _SECRET.search(url) is not None:
        raise InputError(WANTED)
    return url


def _checked(given: object) -> str:
    if given == "":
        return ""
    try:
        return check_url(given if isinstance(given, str) else "?")
    except InputError as error:
        raise PydanticCustomError(UNSHOWN, "{problem}", {"problem": str(error)}) from None


LedgerUrl = Annotated[str, BeforeValidator(_checked)]
"""A config's field, "" for none; its errors do not show what was given."""


def place_of(text: str, name: str) -> LedgerPlace:
    """Return the place that somebody named on a command line.

    Args:
        text: A path, or a URL.
        name: What it is to whoever gave it, e.g. "LEDGER".

    Raises:
        InputError: It looks like a URL and is no ledger's.
    """
    return Path(text) if re.match(_SCHEME, text) is None else url_of(text, name)


def url_of(text: str, name: str) -> str:
    """Return the URL that somebody named; arguments and errors as for `place_of`."""
    try:
        return check_url(text)
    except InputError as error:
        raise InputError(f"{name}: {error}") from None
