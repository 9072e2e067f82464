"""Results that a series reads instead of making them again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.kept_results import KeptResults

KEY = ("arm", "seed")


def test_what_was_made_is_read_and_not_made_again(tmp_path: Path) -> None:
    file = tmp_path / "series" / "results.jsonl"
    made: list[int] = []

    def make() -> dict[str, Any]:
        made.append(1)
        return {"gold": 2.5}

    first = KeptResults(file, KEY).made(("online", 3), make)
    again = KeptResults(file, KEY)
    assert again.made(("online", 3), make) == first == {"arm": "online", "seed": 3, "gold": 2.5}
    assert again["online", 3] == first
    assert made == [1]


def test_what_failed_is_not_kept(tmp_path: Path) -> None:
    results = KeptResults(tmp_path / "results.jsonl", KEY)

    def fail() -> dict[str, Any]:
        raise ChildProcessError("ended with 1")

    with pytest.raises(ChildProcessError):
        results.made(("online", 3), fail)
    with pytest.raises(KeyError):
        results["online", 3]
    assert not (tmp_path / "results.jsonl").exists()


def test_a_line_without_a_field_of_the_key_is_of_no_run(tmp_path: Path) -> None:
    """As of a series that has come to tell its runs apart by one field more."""
    file = tmp_path / "results.jsonl"
    KeptResults(file, ("arm",)).made(("online",), lambda: {"gold": 1.0})
    results = KeptResults(file, KEY)
    assert results.made(("online", 3), lambda: {"gold": 2.5})["gold"] == 2.5
    assert KeptResults(file, KEY)["online", 3]["gold"] == 2.5
    assert len(file.read_text().splitlines()) == 2
