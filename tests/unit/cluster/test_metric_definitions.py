"""The catalogue is the one source of what is written, of its page, and of what must be proven."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.metrics import names
from cluster.metrics.definitions.section import WALL_S, Later, section
from cluster.metrics.names import AXES, CATALOGUE, SECTIONS, checked
from cluster.metrics.page import metrics_page
from tests.support.metric_proofs import proven, proves

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = ("actors", "cluster", "label_queue", "learners", "protocol", "reward_service")
WRITTEN = {name for name, metric in CATALOGUE.items() if metric.is_written}


# The key of these is put together from a name and what they are measured on.
COMPOSED = {
    "reward_model/validation_accuracy",
    "reward_model/validation_accuracy_current_policy",
    "reward_model/validation_labels",
    "reward_model/validation_labels_current_policy",
}
# The learners report these to whoever calls them, and the journal's rows say them of a version of
# any origin. `joined` in `cluster/loops/metric_rows.py` lets a row say one thing of each.
SAID_TWICE = {
    "policy/episodes": ("cluster/loops/metric_rows.py", "learners/ppo.py"),
    "policy/version": ("cluster/loops/metric_rows.py", "learners/ppo.py"),
    "reward_model/fit_seconds": ("cluster/loops/metric_rows.py", "learners/reward_fit.py"),
    "reward_model/labels_used": ("cluster/loops/metric_rows.py", "learners/reward_fit.py"),
    "reward_model/ledger_seq": ("cluster/loops/metric_rows.py", "learners/reward_fit.py"),
}


def package_files() -> list[Path]:
    """The packages' modules, the definitions of metrics left out."""
    files = [file for package in PACKAGES for file in (ROOT / package).rglob("*.py")]
    return sorted(file for file in files if "definitions" not in file.parts)


def names_in_code() -> set[str]:
    """Every string of the packages that looks like a metric, whether written or read."""
    prefixes = "|".join(section.prefix for section in SECTIONS)
    pattern = re.compile(rf'"((?:{prefixes}|time)/[a-z0-9_]+)"')
    return {
        name
        for file in package_files()
        for name in pattern.findall(file.read_text(encoding="utf-8"))
    }


def written_in(tree: ast.AST) -> Iterator[str]:
    """Every string that a module makes a row of: a key of a mapping, or one that is assigned to."""
    for node in ast.walk(tree):
        keys: list[ast.expr | None] = []
        if isinstance(node, ast.Dict):
            keys = node.keys
        elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store):
            keys = [node.slice]
        for key in keys:
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                yield key.value


def writers() -> dict[str, tuple[str, ...]]:
    """By metric, the axes left out: the module of each place that writes it."""
    places = [
        (name, str(file.relative_to(ROOT)))
        for file in package_files()
        for name in written_in(ast.parse(file.read_text(encoding="utf-8")))
        if name in CATALOGUE and name not in AXES
    ]
    return {name: tuple(file for other, file in places if other == name) for name, _ in places}


def test_every_metric_has_a_test_that_proves_its_definition() -> None:
    assert WRITTEN - proven(ROOT / "tests" / "unit") == set(AXES)


def test_the_page_is_what_the_catalogue_makes_of_it() -> None:
    assert (ROOT / "docs" / "METRICS.md").read_text(encoding="utf-8") == metrics_page()


def test_the_page_is_checked_by_its_tool() -> None:
    tool = [sys.executable, str(ROOT / "tools" / "metrics_page.py"), "--check"]
    assert subprocess.run(tool, check=False).returncode == 0


def test_code_names_only_what_the_catalogue_says_is_written() -> None:
    assert names_in_code() <= WRITTEN


def test_every_name_of_the_catalogue_is_written_somewhere_or_kept_for_later() -> None:
    assert writers().keys() | COMPOSED | AXES.keys() == WRITTEN
    assert CATALOGUE.keys() - WRITTEN == set()


def test_a_name_is_written_at_one_place_and_so_has_one_meaning() -> None:
    assert {name: places for name, places in writers().items() if len(places) > 1} == SAID_TWICE


def test_a_place_that_only_reads_a_metric_is_not_taken_for_one_that_writes_it() -> None:
    code = """
row = {"policy/loss": 1.0, **{"kl/target": 2.0}}
row["policy/lr"] = row["policy/entropy"]
shown = (("policy/version", ".0f"), row.get("policy/episodes"))
row[f"reward_model/{name}"] = 0.0
"""
    assert set(written_in(ast.parse(code))) == {"policy/loss", "kl/target", "policy/lr"}


def test_every_definition_says_what_in_what_unit_and_when() -> None:
    for metric in CATALOGUE.values():
        assert re.fullmatch(r"[A-Z0-9\"`|½ΣKβπl].*\.", metric.meaning), metric.name
        assert metric.unit
        assert metric.when
        assert not metric.when.endswith("."), metric.name
    meanings = [metric.meaning for metric in CATALOGUE.values() if "the same" not in metric.meaning]
    assert len(meanings) == len(set(meanings))


def test_a_name_kept_for_later_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    later = section("system", WALL_S, "each second", "", {"fans": ("1", "On.", Later(why="no"))})
    (metric,) = later.metrics
    assert not metric.is_written
    monkeypatch.setattr(names, "CATALOGUE", {**CATALOGUE, metric.name: metric})
    with pytest.raises(ValueError, match="'system/fans' is not written yet: no"):
        checked({metric.axis: 1, metric.name: 0.5})


def test_a_proof_of_no_metric_is_refused() -> None:
    with pytest.raises(AssertionError, match="no such metrics"):
        proves("policy/lost")
