"""The catalogue is the one source of what is written, of its page, and of what must be proven."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.metrics.names import AXES, CATALOGUE, SECTIONS, checked
from cluster.metrics.page import metrics_page
from tests.support.metric_proofs import proven, proves

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = ("actors", "cluster", "label_queue", "learners", "protocol", "reward_service")
WRITTEN = {name for name, metric in CATALOGUE.items() if metric.is_written}


def names_in_code() -> set[str]:
    """Every string of the packages that looks like a metric, the definitions' own left out."""
    prefixes = "|".join(section.prefix for section in SECTIONS)
    pattern = re.compile(rf'"((?:{prefixes}|time)/[a-z0-9_]+)"')
    files = [file for package in PACKAGES for file in (ROOT / package).rglob("*.py")]
    return {
        name
        for file in files
        if "definitions" not in file.parts
        for name in pattern.findall(file.read_text(encoding="utf-8"))
    }


def test_every_metric_has_a_test_that_proves_its_definition() -> None:
    assert WRITTEN - proven(ROOT / "tests" / "unit") == set(AXES)


def test_the_page_is_what_the_catalogue_makes_of_it() -> None:
    assert (ROOT / "docs" / "METRICS.md").read_text(encoding="utf-8") == metrics_page()


def test_the_page_is_checked_by_its_tool() -> None:
    tool = [sys.executable, str(ROOT / "tools" / "metrics_page.py"), "--check"]
    assert subprocess.run(tool, check=False).returncode == 0


def test_code_names_what_the_catalogue_has_and_writes_what_it_says_is_written() -> None:
    # These two are put together from a prefix and the names of what they are measured on.
    composed = {
        "reward_model/validation_accuracy",
        "reward_model/validation_accuracy_current_policy",
    }
    assert names_in_code() | composed | set(AXES) == WRITTEN


def test_every_definition_says_what_in_what_unit_and_when() -> None:
    for metric in CATALOGUE.values():
        assert re.fullmatch(r"[A-Z0-9\"`|½ΣKβπl].*\.", metric.meaning), metric.name
        assert metric.unit
        assert metric.when
        assert not metric.when.endswith("."), metric.name
    meanings = [metric.meaning for metric in CATALOGUE.values() if "the same" not in metric.meaning]
    assert len(meanings) == len(set(meanings))


@pytest.mark.parametrize("name", ["reward_model/anchor_accuracy", "system/restarts"])
def test_a_name_kept_for_later_cannot_be_written(name: str) -> None:
    metric = CATALOGUE[name]
    assert not metric.is_written
    with pytest.raises(ValueError, match=f"'{name}' is not written yet: "):
        checked({metric.axis: 1, name: 0.5})


def test_a_proof_of_no_metric_is_refused() -> None:
    with pytest.raises(AssertionError, match="no such metrics"):
        proves("policy/lost")
