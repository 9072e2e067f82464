"""Bytes on the command line that are no UTF-8 come as lone surrogates, and are refused as such."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.one_line import refusal
from tests.support.synthetic_run import SyntheticRun

NAME = "b\udcf6b"
"""As "böb" comes in Latin-1."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(SyntheticRun(tmp_path_factory.mktemp("runs") / "synthetic").write())


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["labelers", "exclude", NAME, "--reason", "x", "--yes", "--run"], "NAME"),
        (["labelers", "exclude", "ada", "--reason", NAME, "--yes", "--run"], "--reason"),
        (["labelers", "reinstate", NAME, "--reason", "x", "--yes", "--run"], "NAME"),
        (["labelers", "revoke", "ada", "--token", NAME, "--reason", "x", "--run"], "--token"),
        (["labelers", "access", "--search", NAME, "--run"], "--search"),
        (["gold", "retire", NAME, "--reason", "x", "--run"], "NAME"),
        (["gold", "make", NAME, "c", "--run"], "QUERY"),
        (["cord", "pull", "--reason", NAME], "--reason"),
        (["trace", "--labeler", NAME], "--labeler"),
        (["trace", "--label", NAME], "--label"),
        (["stop", "--reason", NAME], "--reason"),
        (["label", "--as", NAME], "--as"),
        (["resume", "--set", NAME], "--set"),
    ],
    ids=lambda each: " ".join(each[:2]) if isinstance(each, list) else "",
)
def test_they_are_refused_by_the_argument(run: str, arguments: list[str], named: str) -> None:
    said = refusal([*arguments, run])
    assert said.startswith(f"{named} 'b\\udcf6b' is not UTF-8 text: ")


def test_of_several_texts_the_one_is_shown(run: str) -> None:
    texts = ["--candidate", "a", "--candidate", NAME, "--prompt", "p", "--answer", "1"]
    assert refusal(["gold", "write", *texts]).startswith("--candidate 'b\\udcf6b' is not UTF-8")


def test_a_run_of_such_a_name_is_refused_as_before(tmp_path: Path) -> None:
    assert "is not a path" in refusal(["status", str(tmp_path / NAME)])
