"""A folder in place of a dataset of the hub: what `datasets` stumbles over is told in a line."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.prompts.config import PromptsConfig
from actors.prompts.hub import dataset_rows
from protocol.errors import InputError, MissingError


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a[b]", r"taken for a pattern where it holds \[: rename it"),
        ("empty", "check prompts"),
    ],
)
def test_a_folder_in_which_nothing_is_found(tmp_path: Path, name: str, said: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    if name != "empty":
        (folder / "train.jsonl").write_text('{"prompt": "the soup was"}\n')
    with pytest.raises(MissingError, match=rf"no data files there: .*{said}"):
        list(dataset_rows(PromptsConfig(source="hub", dataset=str(folder)), "prompts"))


def test_a_folder_of_garbage(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text("{no json\n")
    with pytest.raises(InputError, match="cannot read it"):
        list(dataset_rows(PromptsConfig(source="hub", dataset=str(tmp_path)), "prompts"))
