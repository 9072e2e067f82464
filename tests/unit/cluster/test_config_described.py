"""What the README says of config keys: each is described where it is defined, in a config file."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from textwrap import dedent
from typing import get_args

import pytest

from cluster.config import RunConfig
from protocol.settings import Settings


def sections_in(annotation: object) -> list[type[Settings]]:
    """Return the classes of config sections that a field may hold."""
    if inspect.isclass(annotation) and issubclass(annotation, Settings):
        return [annotation]
    return [found for part in get_args(annotation) for found in sections_in(part)]


def sections(of: type[Settings] = RunConfig) -> Iterator[type[Settings]]:
    yield of
    for field in of.model_fields.values():
        for section in sections_in(field.annotation):
            yield from sections(section)


@cache
def described(section: type) -> frozenset[str]:
    """Return the fields of a class after which a docstring stands, in it or where it inherits."""
    found = set[str]()
    for each in section.__mro__:
        if issubclass(each, Settings) and each is not Settings:
            [tree] = ast.parse(dedent(inspect.getsource(each))).body
            assert isinstance(tree, ast.ClassDef)
            for field, after in zip(tree.body, tree.body[1:], strict=False):
                if isinstance(field, ast.AnnAssign) and isinstance(after, ast.Expr):
                    found.add(ast.unparse(field.target))
    return frozenset(found)


def undescribed(section: type[Settings]) -> list[str]:
    """Return the keys without a word; what a section is for its own class says."""
    fields = section.model_fields.items()
    own = [name for name, field in fields if not sections_in(field.annotation)]
    return sorted({*own} - described(section))


ALL = sorted(set(sections()), key=lambda section: section.__qualname__)


@pytest.mark.parametrize("section", ALL, ids=lambda section: section.__qualname__)
def test_every_key_is_described_where_it_is_defined(section: type[Settings]) -> None:
    assert undescribed(section) == []
    assert section.__doc__


@pytest.mark.parametrize("section", ALL, ids=lambda section: section.__qualname__)
def test_it_is_defined_where_the_readme_says(section: type[Settings]) -> None:
    file = Path(inspect.getsourcefile(section) or "")
    assert file.stem.endswith("config") or file.parent.name == "guards"


class Half(Settings):
    """A section of the test's own."""

    said: bool = True
    """Whether it is said."""
    unsaid: bool = True


class Whole(Half):
    """One that inherits a key without a word."""

    told: bool = True
    """Whether it is told."""
    part: Half = Half()


def test_a_key_without_a_word_is_found_also_where_it_is_inherited() -> None:
    assert undescribed(Whole) == ["unsaid"]
    assert {*sections(Whole)} == {Whole, Half}
