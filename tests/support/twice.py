"""Every method that another process may call, and how it is shown that calling it twice is no harm.

A lost answer is asked for again, and who asks cannot know whether the first call took effect. So
each class that is called across processes has a table of all its public methods: `READS` for those
that change nothing, or a scenario that calls the method twice. A method that no table names fails
`check_table`: whoever adds one says here what its second call does.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

READS = None
"""For a method that changes nothing."""
LOCAL = None
"""For one that is called in its own process alone, where no answer can be lost."""

Scenario = Callable[[Any], Awaitable[None]]
"""Takes what the tests of its class prepare."""
Table = Mapping[str, Scenario | None]


def public_methods(kind: type) -> set[str]:
    """Return the names of all that can be called on objects of a class from outside."""
    return {
        name
        for name, member in inspect.getmembers(kind)
        if inspect.isfunction(member) and not name.startswith("_")
    }


def check_table(kind: type, table: Table) -> None:
    """Assert that a table names every public method of a class, and no other."""
    methods = public_methods(kind)
    assert methods - set(table) == set(), (
        f"{kind.__name__} has methods that no scenario calls twice: say in its table what a second "
        "call does"
    )
    assert set(table) - methods == set(), f"{kind.__name__} no longer has these"


def scenarios(table: Table) -> list[str]:
    """Return the names of the methods that are called twice."""
    return [name for name, scenario in table.items() if scenario is not READS]


def every_scenario(tables: Iterable[Table]) -> list[Scenario]:
    """Return what calls methods twice, each once, by name."""
    found = {table[name] for table in tables for name in scenarios(table)}
    return sorted(
        (each for each in found if each is not None), key=lambda scenario: scenario.__name__
    )


def by_method(tables: Mapping[type, Table]) -> dict[str, Scenario | None]:
    """Return what calls each method twice, by its class and its name."""
    return {
        f"{kind.__name__}.{name}": table[name]
        for kind, table in tables.items()
        for name in scenarios(table)
    }
