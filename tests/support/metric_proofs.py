"""Which test proves which metric: a value that the test worked out by other means than the code.

`@proves("kl/reference_mean")` on a test says so; `tests/unit/cluster/test_metric_definitions.py`
fails while a metric of the catalogue has no such test.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from cluster.metrics.names import CATALOGUE

TestT = TypeVar("TestT", bound=Callable[..., object])


def proves(*names: str) -> Callable[[TestT], TestT]:
    """Say that the test proves these metrics' definitions."""
    unknown = [name for name in names if name not in CATALOGUE or not CATALOGUE[name].is_written]
    assert not unknown, f"no such metrics: {unknown}"
    return lambda test: test


def proven(tests: Path) -> set[str]:
    """Return the metrics that some test of a folder says it proves, by reading the tests."""
    return {
        argument.value
        for file in tests.rglob("test_*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        for decorator in node.decorator_list
        if isinstance(decorator, ast.Call) and getattr(decorator.func, "id", "") == "proves"
        for argument in decorator.args
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
    }
