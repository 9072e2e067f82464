from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).resolve().parents[3] / "tools" / "setup.py"


@pytest.fixture
def setup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module, its `.venv` moved to a temporary folder."""
    spec = importlib.util.spec_from_file_location("andon_setup", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    places = {"VENV": "", "PYTHON": "bin/python", "UV": "bin/uv", "STAMP": "stamp", "LOG": "log"}
    for name, path in places.items():
        monkeypatch.setattr(module, name, tmp_path / path)
    (tmp_path / "bin").mkdir()
    return module
