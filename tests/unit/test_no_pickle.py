"""What the packages load and write: safetensors and JSON, no pickle; and no spreadsheet's cells."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("protocol", "actors", "reward_service", "learners", "label_queue", "cluster")
PICKLES = {"pickle", "_pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
SPREADSHEETS = {"csv", "openpyxl", "xlsxwriter"}
"""Cells that start with = + - or @ would have to be escaped: nothing writes any."""
UNPICKLING = {"torch.load", "torch.save", "numpy.load", "np.load", "pandas.read_pickle"}
MODULES = sorted(path for name in PACKAGES for path in (ROOT / name).rglob("*.py"))


def imported(tree: ast.Module) -> set[str]:
    """Return the top-level modules that a module imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return {name.partition(".")[0] for name in names}


def called(tree: ast.Module) -> Iterator[str]:
    """Yield the dotted names of the functions that a module calls."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_reads_or_writes_a_pickle_or_a_spreadsheet(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert imported(tree).isdisjoint(PICKLES | SPREADSHEETS)
    assert set(called(tree)).isdisjoint(UNPICKLING)
    assert "allow_pickle" not in path.read_text(encoding="utf-8")
