"""Names of runs and of people: one rule for each, checked where a name comes in.

Config, `--folder`, the owner's API, imports and connectors all check by these. What is inside
takes a name as it is: as a file's name, a Ray namespace, a part of a Serve application's name, an
id in the ledger and in bodies that cross the labelling API.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from protocol.errors import InputError

LONGEST_RUN_NAME = 64
LONGEST_RUN_ID = 96
"""Characters of a run's id, at most: in ids of at most 128 they leave room for what is put before
or after."""
LONGEST_LABELER_ID = 64
LONGEST_IDENTIFIER = 128
OWNER = "owner"
"""Name of the owner whom the run itself lets in, and who acts where no other owner is named."""
RESERVED_NAMES = frozenset({OWNER, "guard", "learner", "import"})
"""Names of who else acts in a ledger: no labeler is called so."""

_RUN = r"[A-Za-z0-9][A-Za-z0-9._-]"
LABELER_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._@:+-]"
_DIGEST_CHARACTERS = 8


def is_run_id(text: str) -> bool:
    """Whether a text can be a run's id."""
    return bool(re.fullmatch(f"{_RUN}{{0,{LONGEST_RUN_ID - 1}}}", text))


def is_labeler_id(text: str) -> bool:
    """Whether a text can be a labeler's or an owner's id."""
    return bool(re.fullmatch(f"{LABELER_PATTERN}{{0,{LONGEST_LABELER_ID - 1}}}", text))


def is_identifier(text: str) -> bool:
    """Whether a text can cross the labelling API as an id, and be a key of any ledger."""
    return 1 <= len(text) <= LONGEST_IDENTIFIER and can_be_key(text)


def can_be_key(text: str) -> bool:
    """Whether any ledger can hold a text: PostgreSQL no NUL, UTF-8 no half of a surrogate pair."""
    return re.search(r"[\x00\ud800-\udfff]", text) is None


def run_id_of(folder: Path) -> str:
    """Return the id of the run that is kept in a folder: the folder's name, wherever it lies.

    A name that cannot be an id, such as "süß (2)", is given one that can, and always the same:
    what can stay of it and a digest of the whole, "s-2-1f0c27b9".

    Raises:
        InputError: The path is no text or has no name, as "/" has none.
    """
    try:
        name = folder.resolve().name
        name.encode()
    except (ValueError, OSError, RuntimeError) as error:  # not UTF-8, a NUL, links in a circle
        raise InputError(f"{folder}: not a path for a run ({error}); choose another") from error
    if not name:
        raise InputError(f"{folder}: has no name to call the run by; name a folder below it")
    if is_run_id(name):
        return name
    digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:_DIGEST_CHARACTERS]
    kept = re.sub(r"[^A-Za-z0-9]+", "-", name)[: LONGEST_RUN_ID - len(digest) - 1].strip("-")
    return f"{kept or 'run'}-{digest}"


def refuse_reserved(labeler_id: str) -> str:
    """Return a labeler's id unless it is one that the run itself uses: then raise ValueError."""
    if labeler_id in RESERVED_NAMES:
        raise ValueError(f"no labeler can be called {labeler_id!r}: the run itself uses that name")
    return labeler_id


def check_run_name(text: str) -> str:
    """Return what a config calls a run; raise ValueError where that is no name."""
    if len(text) > LONGEST_RUN_NAME or not is_run_id(text):
        raise ValueError(
            f"want at most {LONGEST_RUN_NAME} letters, digits and . _ -, the first a letter or "
            "digit"
        )
    return text


def check_labeler_id(text: str) -> str:
    """Return a labeler's or an owner's id; raise ValueError where it is none."""
    if not is_labeler_id(text):
        raise ValueError(
            f"want at most {LONGEST_LABELER_ID} letters, digits and . _ @ : + -, the first a "
            "letter or digit"
        )
    return text
