"""The note that says that a base model is whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.starting.base_model import MADE_FILE, _made


def test_a_base_model_is_whole_when_its_note_is(tmp_path: Path) -> None:
    assert _made(tmp_path) is None
    (tmp_path / MADE_FILE).write_text('{"seconds": 41.5, "loss": 2.0}')
    assert _made(tmp_path) == {"seconds": 41.5}


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"seconds": "long"}', "{}"])
def test_a_garbled_note_has_the_model_made_anew(tmp_path: Path, content: str) -> None:
    (tmp_path / MADE_FILE).write_text(content)
    assert _made(tmp_path) is None
