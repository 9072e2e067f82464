"""A model's folder is found by its files whatever its name means as a pattern."""

from __future__ import annotations

import glob
import tempfile
from pathlib import Path

import pytest

from actors.literal_path import literal_path
from protocol.errors import ConfigError
from tests.support.odd_names import ODD_NAMES


@pytest.mark.parametrize("name", ODD_NAMES, ids=ascii)
def test_a_pattern_below_the_folder_finds_its_files(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    (folder / "model.safetensors").touch()
    found = literal_path(folder)
    (file,) = glob.glob(f"{found}/*.safetensors")  # noqa: PTH207 -- as vLLM does
    assert Path(file).samefile(folder / "model.safetensors")
    assert (found == folder) == (not set(name) & set("*?["))


def test_a_folder_for_links_that_is_a_pattern_itself_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "[t]").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "[t]"))
    with pytest.raises(ConfigError, match="set TMPDIR to another"):
        literal_path(tmp_path / "a*")
