"""A process that is killed while it builds an op of DeepSpeed's keeps nobody else from building."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from learners.deepspeed_settings import import_deepspeed
from learners.op_builds import one_builder

HOLD = """
import sys, time
from pathlib import Path
from learners.op_builds import one_builder
with one_builder():
    Path(sys.argv[1]).mkdir()
    (Path(sys.argv[1]) / "lock").touch()  # as PyTorch does
    print("building", flush=True)
    sys.stdin.read()
    (Path(sys.argv[1]) / "lock").unlink()
"""


def start(code: str, folder: Path, *args: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *args],
        env={**os.environ, "TORCH_EXTENSIONS_DIR": str(folder)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def start_building(folder: Path) -> subprocess.Popen[str]:
    builder = start(HOLD, folder, str(folder / "some_op"))
    assert builder.stdout is not None
    assert builder.stdout.readline() == "building\n"
    return builder


def test_what_a_killed_builder_left_behind_is_taken_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    builder = start_building(tmp_path)
    builder.send_signal(signal.SIGKILL)
    builder.communicate()
    assert (tmp_path / "some_op" / "lock").exists()

    with monkeypatch.context() as patch:
        patch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path))
        with one_builder():
            assert not (tmp_path / "some_op" / "lock").exists()


def test_who_builds_is_waited_for(tmp_path: Path) -> None:
    first = start_building(tmp_path)
    second = start(HOLD, tmp_path, str(tmp_path / "other_op"))
    assert (tmp_path / "some_op" / "lock").exists()  # not taken for one left behind
    assert not (tmp_path / "other_op").exists()
    first.communicate("")
    said, _ = second.communicate("", timeout=60)
    assert second.returncode == 0, said
    assert "building" in said
    assert (tmp_path / "other_op").exists()


def test_deepspeed_builds_inside_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path))
    monkeypatch.setenv("LOCAL_RANK", "0")  # which it sets for the ranks' processes, for good
    import_deepspeed()
    from deepspeed.ops.op_builder.builder import OpBuilder

    class Op(OpBuilder):  # type: ignore[misc]  # DeepSpeed has no types
        def __init__(self) -> None:
            super().__init__("some_op")

        def is_compatible(self, verbose: bool = False) -> bool:
            with (tmp_path / "andon.lock").open() as file, pytest.raises(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return False

        def absolute_name(self) -> str:
            return "some.op"

        def sources(self) -> list[str]:
            return []

    with pytest.raises(RuntimeError, match="not being compatible"):
        Op().load()


MEET = """
import torch
from learners.config import DeepSpeedConfig
from learners.engine import Engine, free_port, join_ranks, leave_ranks
for stage in (0, 3):
    join_ranks(0, 1, "127.0.0.1", free_port("127.0.0.1"))
    Engine(torch.nn.Linear(2, 1), DeepSpeedConfig(zero_stage=stage)).close()
    leave_ranks()
"""


def test_engines_start_one_group_after_another_without_a_compiler(tmp_path: Path) -> None:
    said, _ = (rank := start(MEET, tmp_path)).communicate(timeout=120)
    assert rank.returncode == 0, said
    assert list(tmp_path.iterdir()) == []
