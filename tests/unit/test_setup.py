"""Set-up refuses what will not do in one sentence, and does nothing twice."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections import namedtuple
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "tools" / "setup.py"


@pytest.fixture
def setup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module, its `.venv` moved to a temporary folder."""
    spec = importlib.util.spec_from_file_location("andon_setup", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name, path in {"VENV": "", "PYTHON": "bin/python", "STAMP": "stamp", "LOG": "log"}.items():
        monkeypatch.setattr(module, name, tmp_path / path)
    (tmp_path / "bin").mkdir()
    return module


def set_pip(setup: ModuleType, script: str) -> None:
    setup.PYTHON.write_text(script)
    setup.PYTHON.chmod(0o755)


def fail_pip(setup: ModuleType) -> None:
    set_pip(setup, "#!/bin/sh\nseq 1 40\necho 'ERROR: no such wheel'\nexit 1\n")


def test_old_python_is_refused(setup: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 2))
    with pytest.raises(setup.SetupError, match=r"needs Python 3\.11"):
        setup.check_machine()


def test_no_compiler_is_refused(setup: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(setup.SetupError, match=r"install g\+\+"):
        setup.check_machine()


def test_full_disk_is_refused(setup: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(0, 0, 2.5e9))
    with pytest.raises(setup.SetupError, match=r"Only 2\.5 GB of disk"):
        setup.check_machine()


def test_failing_pip_shows_its_last_lines(
    setup: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    fail_pip(setup)
    with pytest.raises(setup.SetupError, match="could not install it"):
        setup.pip(["install", "it"], "pip could not install it")
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == setup.LOG_LINES_SHOWN
    assert shown[-1] == "ERROR: no such wheel"


def test_failure_is_one_line_and_a_status(
    setup: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert setup.main() == 1
    error = capsys.readouterr().err
    assert error.startswith("set-up: No C++ compiler")
    assert error.count("\n") == 1


def test_a_current_venv_is_left_alone(
    setup: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_pip(setup)
    monkeypatch.setattr(setup, "has_cuda", lambda: False)
    setup.STAMP.write_text(setup.fingerprint("cpu"))
    assert setup.main() == 0
    assert capsys.readouterr().out == ""


def test_another_extra_or_python_is_another_venv(
    setup: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = setup.fingerprint("cpu")
    assert setup.fingerprint("gpu") != before
    monkeypatch.setattr(sys, "version_info", (3, 99, 0))
    assert setup.fingerprint("cpu") != before


INDEX_OF_PLAIN_BUILDS = """#!/bin/sh
case "$*" in *+cpu) echo "ERROR: No matching distribution found for torch"; exit 1 ;; esac
"""


def asked_of_pip(setup: ModuleType) -> list[str]:
    lines = setup.LOG.read_text().splitlines()
    return [line.split()[-1] for line in lines if line.startswith("$ ")]


@pytest.mark.parametrize(
    ("platform", "extra", "asked"),
    [
        ("linux", "cpu", ["torch==2.13.0+cpu"]),
        ("linux", "gpu", ["torch==2.13.0"]),
        ("darwin", "cpu", ["torch==2.13.0"]),
    ],
)
def test_linux_without_cuda_asks_for_the_cpu_build(
    setup: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    platform: str,
    extra: str,
    asked: list[str],
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    set_pip(setup, "#!/bin/sh\n")
    setup.install_torch(extra)
    assert asked_of_pip(setup) == asked


def test_where_the_index_has_no_cpu_build_its_own_is_taken_and_named(
    setup: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    set_pip(setup, INDEX_OF_PLAIN_BUILDS)
    setup.install_torch("cpu")
    assert asked_of_pip(setup) == ["torch==2.13.0+cpu", "torch==2.13.0"]
    assert capsys.readouterr().out.splitlines() == [
        "Installing torch==2.13.0+cpu ...",
        "pip's index has no torch==2.13.0+cpu; its own build is taken.",
        "Installing torch==2.13.0 ...",
    ]


def test_a_cpu_build_that_fails_otherwise_is_not_replaced(
    setup: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    fail_pip(setup)
    with pytest.raises(setup.SetupError, match=r"could not install torch==2\.13\.0\+cpu"):
        setup.install_torch("cpu")
    assert asked_of_pip(setup) == ["torch==2.13.0+cpu"]


def test_what_no_index_has_is_one_line(
    setup: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    set_pip(setup, INDEX_OF_PLAIN_BUILDS)
    with pytest.raises(setup.NotInIndex, match="could not: ERROR: No matching distribution"):
        setup.pip(["install", "it+cpu"], "pip could not")
    assert capsys.readouterr().out == ""


@pytest.fixture
def machine(setup: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with nothing on it but what a test puts there; the user is root."""
    folder = tmp_path / "path"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(setup.os, "geteuid", lambda: 0)
    return folder


def put(folder: Path, name: str, script: str = "") -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


INSTALL = "apt-get install --yes --no-install-recommends chromium"


def asked_of_apt(setup: ModuleType) -> list[str]:
    if not setup.LOG.exists():
        return []
    lines = setup.LOG.read_text().splitlines()
    return [line.removeprefix("$ ") for line in lines if line.startswith("$ apt-get")]


def test_a_browser_that_is_there_is_taken(
    setup: ModuleType, machine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(machine, "google-chrome")
    put(machine, "apt-get")
    setup.set_up_browser()
    assert asked_of_apt(setup) == []
    assert capsys.readouterr().out == ""


def test_a_missing_browser_is_installed_and_said_to_be(
    setup: ModuleType, machine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(machine, "apt-get")
    setup.set_up_browser()
    assert asked_of_apt(setup) == [INSTALL]
    assert capsys.readouterr().out.startswith("Installing Chromium")


def test_the_package_list_is_fetched_where_the_first_try_fails(
    setup: ModuleType, machine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(machine, "apt-get", f'[ "$1" = update ] && : > {machine}/list; [ -e {machine}/list ]')
    setup.set_up_browser()
    assert asked_of_apt(setup) == [INSTALL, "apt-get update", INSTALL]
    assert "skipped" not in capsys.readouterr().out


@pytest.mark.parametrize("reason", ["no apt-get", "no root", "no package"])
def test_without_a_browser_the_tests_go_on_and_say_how_to_get_one(
    setup: ModuleType,
    machine: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    reason: str,
) -> None:
    if reason != "no apt-get":
        put(machine, "apt-get", "exit 100")
    if reason == "no root":
        monkeypatch.setattr(setup.os, "geteuid", lambda: 1000)
    setup.set_up_browser()
    assert len(asked_of_apt(setup)) == (2 if reason == "no package" else 0)
    said = capsys.readouterr().out.splitlines()
    assert "skipped; install one, e.g. `apt-get install chromium`" in said[-1]
