"""Every fake must do what the real part does, by one suite of contract tests that both pass."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
IS_FAKE = re.compile("Fake|Memory")


@dataclass(frozen=True)
class Suite:
    """A test class that inherits a contract, for the part it names."""

    part: str
    contracts: frozenset[str]
    """By the names of the classes, those that a contract itself inherits included."""


def classes(folder: Path) -> Iterator[ast.ClassDef]:
    """All of a folder's modules, read and not imported: some need what is not there."""
    for path in sorted(folder.rglob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef):
                yield node


def bases(node: ast.ClassDef) -> list[str]:
    return [base.id for base in node.bases if isinstance(base, ast.Name)]


def part_of(node: ast.ClassDef) -> str | None:
    """Return what is given as `of=`."""
    for keyword in node.keywords:
        if keyword.arg == "of":
            value = keyword.value
            return value.id if isinstance(value, ast.Name) else str(ast.literal_eval(value))
    return None


@cache
def suites() -> tuple[Suite, ...]:
    found = list(classes(TESTS))
    parents = {node.name: bases(node) for node in found}

    def contracts(name: str) -> frozenset[str]:
        own = {name} if name.endswith("Contract") and name != "Contract" else set()
        return frozenset(own).union(*(contracts(base) for base in parents.get(name, [])))

    return tuple(
        Suite(part=part, contracts=frozenset[str]().union(*map(contracts, bases(node))))
        for node in found
        if (part := part_of(node)) is not None
    )


SUPPORT = {node.name for node in classes(TESTS / "support")}
FAKES = sorted(name for name in SUPPORT if IS_FAKE.search(name))


def test_there_are_fakes_to_look_at() -> None:
    assert {"FakeActor", "FakeEngine", "FakePeopleQueue", "MemoryLedger", "MemorySink"} <= {*FAKES}


@pytest.mark.parametrize("fake", FAKES)
def test_a_fake_passes_what_a_real_part_passes(fake: str) -> None:
    kept = [suite for suite in suites() if suite.part == fake]
    assert kept, f"no suite of contract tests is run for {fake}: see tests/support/contract.py"
    for contract in frozenset[str]().union(*(suite.contracts for suite in kept)):
        real = [
            suite.part
            for suite in suites()
            if contract in suite.contracts and suite.part not in SUPPORT
        ]
        assert real, f"{contract} is run for {fake}, and for no real part"


def test_every_suite_that_names_a_part_inherits_a_contract() -> None:
    assert [suite.part for suite in suites() if not suite.contracts] == []


def test_every_contract_is_run() -> None:
    run = frozenset[str]().union(*(suite.contracts for suite in suites()))
    written = {name for name in SUPPORT if name.endswith("Contract")}
    assert written - run == {"Contract"}
