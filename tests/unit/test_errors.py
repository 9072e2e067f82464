"""The tree of errors is the one that is drawn, and crosses a process whole."""

from __future__ import annotations

import inspect
import pickle
import re

import pytest

from protocol import errors
from protocol.errors import AndonError

ALL = [
    each
    for _, each in inspect.getmembers(errors, inspect.isclass)
    if issubclass(each, AndonError) and each is not AndonError
]
LINE = re.compile(r"^    (?P<indent>[│├└─ ]*)(?P<name>[A-Z]\w+)(?: +\((?P<standard>\w+)\))?(?: |$)")


def drawn() -> dict[str, tuple[str, str | None]]:
    """Return parent and standard exception of each error of the picture, by name."""
    found: dict[str, tuple[str, str | None]] = {}
    line_of_parents = ["AndonError"]
    for text in (errors.__doc__ or "").splitlines():
        match = LINE.match(text)
        if match is None or match["name"] == "AndonError":
            continue
        depth = len(match["indent"]) // 4
        del line_of_parents[depth:]
        found[match["name"]] = (line_of_parents[-1], match["standard"])
        line_of_parents.append(match["name"])
    return found


def test_the_picture_shows_every_error_under_its_parent_with_its_standard_exception() -> None:
    real = {}
    for error in ALL:
        parent, *others = error.__bases__
        standard = others[0].__name__ if others else None
        real[error.__name__] = (parent.__name__, standard)
    assert drawn() == real


@pytest.mark.parametrize("error", ALL, ids=lambda each: each.__name__)
def test_an_error_crosses_a_process_with_its_type_and_message(error: type[AndonError]) -> None:
    sent = error("rollout actor rollout-1 died", "spans.0.end")
    received = pickle.loads(pickle.dumps(sent))  # as Ray does

    assert type(received) is error
    assert received.args == sent.args
    assert str(received) == str(sent)
