"""One object for each token id, where each text had its own: a quarter of the memory.

A tuple of numbers holds only their addresses.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter

from label_queue.shelf import Finder
from protocol.labels import Candidate, ComparisonQuery

MOST_IDS = 1 << 20
"""Above every vocabulary. A text with other numbers in it keeps its own."""

_IDS: list[int] = []
"""Token ids from 0, each at its own place."""
_GROWING = threading.Lock()
"""Texts are read in several threads: the list grows by one of them at a time."""


def share_tokens(query: ComparisonQuery) -> ComparisonQuery:
    """Let a query's token ids be objects that all texts share; return it.

    The query is equal to what it was, so nobody who holds it can tell.
    """
    object.__setattr__(query, "prompt_token_ids", _shared(query.prompt_token_ids))
    for candidate in query.candidates:
        _share(candidate)
    return query


def sharing(find: Finder[ComparisonQuery]) -> Finder[ComparisonQuery]:
    """Return what finds the same queries, and lets them share."""

    def shared(names: Sequence[str]) -> Mapping[str, ComparisonQuery]:
        return {name: share_tokens(query) for name, query in find(names).items()}

    return shared


def _share(candidate: Candidate) -> None:
    object.__setattr__(candidate, "token_ids", _shared(candidate.token_ids))


def _shared(token_ids: tuple[int, ...]) -> tuple[int, ...]:
    # An item getter of two places or more is the fastest way to take many out of a list.
    if len(token_ids) < 2 or min(token_ids) < 0:
        return token_ids
    take: Callable[[list[int]], tuple[int, ...]] = itemgetter(*token_ids)
    try:
        return take(_IDS)
    except IndexError:
        last = max(token_ids)
        if last >= MOST_IDS:
            return token_ids
        with _GROWING:
            _IDS.extend(range(len(_IDS), last + 1))
        return take(_IDS)
