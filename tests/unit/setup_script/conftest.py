from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from tools import installing as installing_
from tools import setup as setup_
from tools import system_programs

PLACES = {"VENV": "", "PYTHON": "bin/python", "UV": "bin/uv", "STAMP": "stamp", "LOG": "log"}


@pytest.fixture
def setup(installing: ModuleType) -> ModuleType:
    """The script, its `.venv` moved to a temporary folder."""
    return setup_


@pytest.fixture
def programs(installing: ModuleType) -> ModuleType:
    """What sets up the programs that only tests need, with the same folder."""
    return system_programs


@pytest.fixture
def installing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """How things are installed, into the same folder."""
    for module in (installing_, setup_, system_programs):
        for name, path in PLACES.items():
            if hasattr(module, name):
                monkeypatch.setattr(module, name, tmp_path / path)
    (tmp_path / "bin").mkdir()
    return installing_
