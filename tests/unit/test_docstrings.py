"""What an editor shows of a field alone: its docstring is read without the fields around it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = (
    *("actors", "benchmarks", "cluster", "examples", "label_queue", "learners", "protocol"),
    "reward_service",
)
MODULES = sorted(path for name in PACKAGES for path in (ROOT / name).rglob("*.py"))
GOES_ON = ("Of ", "That ", "Those ", "Whose ", "With which ")
"""Beginnings that go on from the field's name, or from the field before."""


def field_docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield line and text of each docstring after an assignment, whatever body it is in."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if not isinstance(body, list):
            continue
        for field, after in pairwise(body):
            if isinstance(field, ast.Assign | ast.AnnAssign) and isinstance(after, ast.Expr):
                text = after.value
                if isinstance(text, ast.Constant) and isinstance(text.value, str):
                    yield after.lineno, text.value


def going_on(source: str) -> list[int]:
    """Return the lines of the field docstrings in `source` that do not stand alone."""
    found = field_docstrings(ast.parse(source))
    return [line for line, text in found if text.lstrip().startswith(GOES_ON)]


def test_a_docstring_that_goes_on_is_found_in_every_body() -> None:
    source = (
        "RATE = 2\n'''Of each.'''\n"
        "class Fit:\n"
        "    '''Of a class.'''\n"
        "    labels: int\n    '''That leave.'''\n"
        "    weight: float\n    '''Weight of all.'''\n"
        "    def __init__(self):\n        self.seen = 0\n        '''Those seen.'''\n"
    )
    assert going_on(source) == [2, 6, 11]


def test_every_package_is_looked_at() -> None:
    assert {path.relative_to(ROOT).parts[0] for path in MODULES} == set(PACKAGES)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_field_docstrings_stand_alone(path: Path) -> None:
    assert going_on(path.read_text(encoding="utf-8")) == []
