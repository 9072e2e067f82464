"""That a task's whole run is made once, and that one that was stopped goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Protocol

import pytest

from examples.tasks import whole_run


class OneRun(Protocol):
    """A case of a task whose runs are whole ones."""

    @property
    def folder(self) -> Path:
        """Where it lies."""

    def run(self) -> None:
        """Have it run to its end, unless it has."""


def check_made_once(case: OneRun, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a case run, resume and do nothing, by the state of its folder; nothing is started.

    Args:
        case: Not run so far, in a folder whose parent is there.
        config: What it starts from.
        monkeypatch: The test's.
    """
    called: list[list[str]] = []
    monkeypatch.setattr(whole_run, "run_program", lambda command: called.append(command[3:]))
    case.run()
    assert called.pop()[:4] == ["run", str(config), "--folder", str(case.folder)]
    case.folder.mkdir()
    for state, is_resumed in (("stopped", True), ("finished", False)):
        (case.folder / "run.json").write_text(json.dumps({"state": state}))
        case.run()
        assert called == ([["resume", str(case.folder)]] if is_resumed else [])
        called.clear()
