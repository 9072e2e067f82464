"""What may be a file's name in a folder, and what would lead out of it."""

from __future__ import annotations

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from cluster.stores.contents import StoredFile, stored_file

DIGEST = "0" * 64


@pytest.mark.parametrize("name", ["config.json", "templates/tool.jinja", "..a", "a..b/.c"])
def test_a_path_in_the_folder_is_a_name(name: str) -> None:
    assert StoredFile(name=name, size=0, sha256=DIGEST).name == name


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/../../x", "a/./b", "a//b", "/etc/x", "a/", "..\\x", "a\0"]
)
def test_what_leads_out_of_the_folder_is_none(name: str) -> None:
    with pytest.raises(ValueError, match="leads out of its folder: want a relative path"):
        StoredFile(name=name, size=0, sha256=DIGEST)


def test_several_who_ask_at_once_have_a_file_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    digest, num_read, second_reader = hashlib.file_digest, list[bool](), threading.Barrier(2)

    def slow_digest(*args: Any) -> Any:
        num_read.append(True)
        with suppress(threading.BrokenBarrierError):
            second_reader.wait(0.5)
        return digest(*args)

    def ask(_: int) -> StoredFile:
        return stored_file(tmp_path, "model.safetensors")

    monkeypatch.setattr(hashlib, "file_digest", slow_digest)
    with ThreadPoolExecutor(3) as pool:
        found = set(pool.map(ask, range(3)))
    assert (len(found), len(num_read)) == (1, 1)
