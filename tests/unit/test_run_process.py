"""What tests see of the processes that a run has started."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from tests.support import run_process
from tests.support.run_process import RunProcess

FAMILY = ["sh", "-c", "sh -c 'sleep 3600; true'; true"]
"""A process with a child, and a child's child."""


def has_family(run: RunProcess) -> bool:
    return len(run.descendants()) == 2


def test_descendants_are_seen_as_they_come_and_followed_when_their_parents_have_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_process, "andon", lambda *_: FAMILY)
    run, other = (RunProcess.started(tmp_path / name, []) for name in ("run-1", "run-2"))
    try:
        for each in (run, other):
            each.wait_for(partial(has_family, each), "the whole family")
            assert each.descendants() == set(each.process.children(recursive=True))
        run.process.kill()
        assert run.wait() != 0
        assert has_family(run)
        run.kill()
        run.wait_for_silence(timeout_s=60)
        assert has_family(other)
    finally:
        run.kill()
        other.kill()
