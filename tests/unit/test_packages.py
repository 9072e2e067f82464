"""The packages are this checkout's, nobody else's, and start light."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import json
import re
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("protocol", "actors", "reward_service", "learners", "label_queue", "cluster")
HEAVY = ("torch", "ray", "vllm", "deepspeed", "transformers", "numpy", "wandb", "matplotlib")


CONFIGS = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for name in PACKAGES
    for path in (ROOT / name).rglob("config.py")
)


def modules_loaded_by(code: str) -> set[str]:
    """Run code in a fresh interpreter; return the top-level modules it has loaded by its end."""
    report = "import atexit, json, sys; atexit.register(lambda: sys.stderr.write("
    report += "'\\n' + json.dumps(sorted({name.split('.')[0] for name in sys.modules}))))\n"
    done = subprocess.run(
        [sys.executable, "-c", report + code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return set(json.loads(done.stderr.splitlines()[-1]))


@pytest.fixture(scope="module")
def pyproject() -> dict[str, Any]:
    """The project's own description."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.mark.parametrize("name", PACKAGES)
def test_package_is_this_checkouts(name: str) -> None:
    package = importlib.import_module(name)
    assert package.__file__ is not None
    assert Path(package.__file__) == ROOT / name / "__init__.py"


@pytest.mark.parametrize("name", PACKAGES)
def test_no_other_distribution_owns_the_name(name: str) -> None:
    # An editable install may list no top-level names: then nobody owns it, which is fine too.
    owners = importlib.metadata.packages_distributions().get(name, [])
    assert set(owners) <= {"andon"}


@pytest.mark.parametrize("name", PACKAGES)
def test_package_init_is_its_docstring_alone(name: str) -> None:
    for path in (ROOT / name).rglob("__init__.py"):
        body = ast.parse(path.read_text()).body
        assert all(isinstance(node, ast.Expr) for node in body), path
        assert len(body) == 1, f"{path} has no docstring"


def test_tests_are_not_shipped(pyproject: dict[str, Any]) -> None:
    shipped = pyproject["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert tuple(shipped) == PACKAGES


def test_every_requirement_is_pinned(pyproject: dict[str, Any]) -> None:
    project = pyproject["project"]
    required = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = {normal(line.partition("==")[0]) for line in lines if "==" in line}
    assert {normal(line.partition("[")[0]) for line in required} <= pins
    assert not [line for line in lines if "://" in line or "+" in line]


def normal(distribution: str) -> str:
    """Return a distribution's name in the one spelling that all its spellings share."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def test_the_ground_is_light() -> None:
    names = {f"protocol.{path.stem}" for path in (ROOT / "protocol").glob("[a-z]*.py")}
    loaded = modules_loaded_by("import " + ", ".join(sorted(names - {"protocol.settings"})))
    assert loaded.isdisjoint({*HEAVY, "pydantic"})
    assert modules_loaded_by("import protocol.settings").isdisjoint(HEAVY)


@pytest.mark.parametrize("module", CONFIGS)
def test_configs_are_light(module: str) -> None:
    assert modules_loaded_by(f"import {module}").isdisjoint(HEAVY)


TORCH = ("torch", "vllm", "deepspeed", "transformers")


@pytest.mark.parametrize(
    "module",
    [
        *("cluster.conduct", "cluster.starting.placement"),  # the driver
        *("label_queue.shell", "cluster.starting.resumption"),  # the label queue, what it recalls
        *("label_queue.intake.shell", "cluster.metrics.shell"),
        *("actors.shell", "reward_service.shell", "learners.shell"),  # who starts these
    ],
)
def test_who_needs_no_torch_does_without(module: str) -> None:
    """It takes seconds to import, of every process at a start, and half a gigabyte."""
    assert modules_loaded_by(f"import {module}").isdisjoint(TORCH)


def test_help_imports_neither_torch_nor_ray() -> None:
    loaded = modules_loaded_by(
        "from cluster.cli import main\n"
        "try:\n    main(['--help'])\n"
        "except SystemExit as done:\n    assert done.code in (0, None)"
    )
    assert loaded.isdisjoint(HEAVY)
