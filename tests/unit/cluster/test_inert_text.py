"""What others wrote cannot act on a terminal."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from cluster.inert_text import MOST_CHARACTERS, inert, one_line, shell_word
from tests.support.odd_names import ODD_NAMES


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("it shouts", "it shouts"),
        ("two\n lines\tand a tab", "two lines and a tab"),
        ("\x1b[2Jgone\x07", "\\x1b[2Jgone\\x07"),
        ("left\u202eright", "left\\u202eright"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("ünïcode π", "ünïcode π"),
    ],
)
def test_controls_become_visible(text: str, shown: str) -> None:
    assert inert(text) == shown


def test_long_text_is_cut() -> None:
    assert inert("a" * 1000) == "a" * (MOST_CHARACTERS - 1) + "…"


def test_nothing_of_an_error_is_lost_in_its_line() -> None:
    assert one_line("a  b\nc\x1b" + "d" * 500) == "a  b\\nc\\x1b" + "d" * 500
    assert one_line("\udcff") == "\\udcff"


def test_a_plain_path_stays_as_it_is_in_a_command() -> None:
    assert shell_word(Path("runs/demo-1")) == "runs/demo-1"


def test_a_path_copied_into_a_shell_is_one_word_and_that_path(tmp_path: Path) -> None:
    for name in ODD_NAMES:
        (tmp_path / name).touch()
    words = " ".join(shell_word(Path(name)) for name in ODD_NAMES)
    assert words.isprintable()
    listed = subprocess.run(
        ["bash", "-c", f"printf '%s\\0' {words}"],
        cwd=tmp_path,
        capture_output=True,
        check=True,
    ).stdout.decode()
    found = [Path(word).name for word in listed.split("\0")[:-1]]
    assert found == [Path(name).name for name in ODD_NAMES]
