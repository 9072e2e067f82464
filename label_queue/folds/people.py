"""Who may come in, and by what: a reading of `Access`, person by person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from label_queue.folds.access import Access
from label_queue.ledger.records import LabelerToken, Role, TokenKind

_TOKEN_ID_CHARACTERS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class WayIn:
    """A token, link or session that counts."""

    token_id: str
    """Names it, and lets nobody in: the beginning of its digest."""
    kind: TokenKind
    made_at: float
    """Unix seconds."""
    made_by: str
    """Who made it: an owner, or of a session whoever opened the link; "" where it is not known."""
    expires_at: float | None
    """When it ends at the latest, Unix seconds; None: never."""
    last_used_at: float | None
    """When it was last used, Unix seconds; None: not since the label queue was started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody who was ever let in."""

    labeler_id: str
    role: Role
    ways_in: tuple[WayIn, ...]
    """What lets them in now, newest first; empty: nothing does."""
    let_in_at: float
    """When they were first let in, Unix seconds."""
    last_used_at: float | None
    """When they last came by any of it, Unix seconds; None: not since the label queue was
    started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeoplePage:
    """A stretch of the people who match, by name."""

    people: tuple[Person, ...]
    offset: int
    """How many who match come before them."""
    total: int
    """How many match in all."""


def token_id_of(token: LabelerToken) -> str:
    """Return what names a token where its digest would be too much to show."""
    return token.token_sha256[:_TOKEN_ID_CHARACTERS]


def people_page(
    access: Access, *, offset: int, limit: int, search: str = "", role: Role | None = None
) -> PeoplePage:
    """Return the people whose names have `search` in them, whatever its case, in a role.

    Args:
        access: Who was let in.
        offset: How many of them to pass over.
        limit: How many to return at most.
        search: A part of the name; "": any.
        role: Theirs; None: any.
    """
    wanted = search.casefold()
    names = [
        name
        for name in access.names
        if wanted in name.casefold() and role in (None, access.role_of(name))
    ]
    people = tuple(person(access, name) for name in names[offset : offset + limit])
    return PeoplePage(people=people, offset=offset, total=len(names))


def person(access: Access, labeler_id: str) -> Person:
    """Return somebody who was ever let in."""
    tokens, role = access.tokens_of(labeler_id), access.role_of(labeler_id)
    assert role is not None, "only who was let in is listed"
    used = [at for at in map(access.used_at, tokens) if at is not None]
    return Person(
        labeler_id=labeler_id,
        role=role,
        ways_in=_ways_in(access, tokens),
        let_in_at=tokens[0].created_at,
        last_used_at=max(used, default=None),
    )


def _ways_in(access: Access, tokens: Sequence[LabelerToken]) -> tuple[WayIn, ...]:
    return tuple(
        WayIn(
            token_id=token_id_of(token),
            kind=token.kind,
            made_at=token.created_at,
            made_by=token.made_by,
            expires_at=token.expires_at,
            last_used_at=access.used_at(token),
        )
        for token in reversed(tokens)
        if not access.is_void(token)
    )
