"""What only the tests need is installed where this user may; else it is said how to get it."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from tests.unit.setup_script.programs import put


@pytest.fixture
def machine(programs: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with nothing on it but what a test puts there; the user is root."""
    folder = tmp_path / "path"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(programs.os, "geteuid", lambda: 0)
    monkeypatch.setattr(programs, "POSTGRES", tmp_path / "postgresql")
    monkeypatch.setattr(programs, "POSTGRES_CLUSTERS", tmp_path / "clusters")
    return folder


INSTALL = "apt-get install --yes --no-install-recommends chromium"


def asked_of_apt(programs: ModuleType) -> list[str]:
    if not programs.LOG.exists():
        return []
    lines = programs.LOG.read_text().splitlines()
    return [line.removeprefix("$ ") for line in lines if line.startswith("$ apt-get")]


def test_a_browser_that_is_there_is_taken(
    programs: ModuleType, machine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(machine, "google-chrome")
    put(machine, "apt-get")
    programs.set_up_browser()
    assert asked_of_apt(programs) == []
    assert capsys.readouterr().out == ""


def test_a_missing_browser_is_installed_and_said_to_be(
    programs: ModuleType, machine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(machine, "apt-get")
    programs.set_up_browser()
    assert asked_of_apt(programs) == [INSTALL]
    assert capsys.readouterr().out.startswith("Installing Chromium")


def test_the_package_list_is_fetched_where_the_first_try_fails(
    programs: ModuleType, machine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(machine, "apt-get", f'[ "$1" = update ] && : > {machine}/list; [ -e {machine}/list ]')
    programs.set_up_browser()
    assert asked_of_apt(programs) == [INSTALL, "apt-get update", INSTALL]
    assert "skipped" not in capsys.readouterr().out


@pytest.mark.parametrize("reason", ["no apt-get", "no root", "no package"])
def test_without_a_browser_the_tests_go_on_and_say_how_to_get_one(
    programs: ModuleType,
    machine: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    reason: str,
) -> None:
    if reason != "no apt-get":
        put(machine, "apt-get", "exit 100")
    if reason == "no root":
        monkeypatch.setattr(programs.os, "geteuid", lambda: 1000)
    programs.set_up_browser()
    assert len(asked_of_apt(programs)) == (2 if reason == "no package" else 0)
    said = capsys.readouterr().out.splitlines()
    assert (
        "Without Chromium the tests of the pages will be skipped; `apt-get install chromium`"
        in said[-1]
    )


@pytest.fixture
def bare(programs: ModuleType, machine: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with nothing on root's PATH either."""
    monkeypatch.setattr(programs, "SYSTEM_PROGRAMS", (str(machine / "sbin"),))
    (machine / "sbin").mkdir()
    return machine


@pytest.mark.parametrize(
    ("there", "installed"),
    [
        ((), ["nginx-light", "caddy"]),
        (("sbin/nginx",), ["caddy"]),
        (("caddy",), ["nginx-light"]),
        (("nginx", "sbin/caddy"), []),
    ],
)
def test_the_proxies_that_are_missing_are_installed(
    programs: ModuleType, bare: Path, there: tuple[str, ...], installed: list[str]
) -> None:
    for name in there:
        put(bare, name)
    put(bare, "apt-get")
    programs.set_up_proxies()
    install = "apt-get install --yes --no-install-recommends"
    assert asked_of_apt(programs) == ([f"{install} {' '.join(installed)}"] if installed else [])


@pytest.mark.parametrize("reason", ["no apt-get", "no root", "no package"])
def test_without_proxies_the_tests_go_on_and_say_how_to_get_them(
    programs: ModuleType,
    bare: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    reason: str,
) -> None:
    if reason != "no apt-get":
        put(bare, "apt-get", "exit 100")
    if reason == "no root":
        monkeypatch.setattr(programs.os, "geteuid", lambda: 1000)
    programs.set_up_proxies()
    assert len(asked_of_apt(programs)) == (2 if reason == "no package" else 0)
    said = capsys.readouterr().out.splitlines()
    assert "Without nginx-light and caddy the tests of the public address" in said[-1]
    assert "`apt-get install nginx-light caddy`" in said[-1]


def test_proxies_that_their_packages_start_are_stopped(
    programs: ModuleType, bare: Path, tmp_path: Path
) -> None:
    put(bare, "caddy")
    put(bare, "apt-get")
    put(bare, "service", f'echo "$@" >> {tmp_path}/stopped')
    programs.set_up_proxies()
    assert (tmp_path / "stopped").read_text() == "nginx stop\n", "not what was there before"


def test_a_database_server_that_is_there_is_taken(
    programs: ModuleType, machine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(machine, "apt-get")
    binaries = programs.POSTGRES / "15" / "bin"
    binaries.mkdir(parents=True)
    put(binaries, "initdb")
    programs.set_up_postgres()
    assert asked_of_apt(programs) == []
    assert capsys.readouterr().out == ""


def test_a_missing_database_server_is_installed_and_what_its_package_starts_is_stopped(
    programs: ModuleType, machine: Path, tmp_path: Path
) -> None:
    (programs.POSTGRES_CLUSTERS / "15" / "main").mkdir(parents=True)
    put(machine, "apt-get")
    put(machine, "pg_ctlcluster", f'echo "$@" >> {tmp_path}/stopped')
    programs.set_up_postgres()
    assert asked_of_apt(programs) == [INSTALL.replace("chromium", "postgresql")]
    assert (tmp_path / "stopped").read_text() == "15 main stop\n"


def test_without_a_database_server_the_tests_go_on_and_say_how_to_get_one(
    programs: ModuleType, machine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (programs.POSTGRES_CLUSTERS / "15" / "main").mkdir(parents=True)
    put(machine, "apt-get", "exit 100")
    put(machine, "pg_ctlcluster", f'echo "$@" >> {tmp_path}/stopped')
    programs.set_up_postgres()
    said = capsys.readouterr().out.splitlines()
    assert "skipped; `apt-get install postgresql` brings what is missing." in said[-1]
    assert not (tmp_path / "stopped").exists(), "only what the set-up installed is stopped"


SERVERS = [("set_up_redis", "redis-server"), ("set_up_prometheus", "prometheus")]
"""What sets a server up for the tests, and its program, package and service in one name."""


@pytest.mark.parametrize(("set_up", "program"), SERVERS)
class TestServers:
    def test_one_that_is_there_is_taken(
        self,
        programs: ModuleType,
        machine: Path,
        capsys: pytest.CaptureFixture[str],
        set_up: str,
        program: str,
    ) -> None:
        put(machine, "apt-get")
        put(machine, program)
        getattr(programs, set_up)()
        assert asked_of_apt(programs) == []
        assert capsys.readouterr().out == ""

    def test_one_that_is_missing_is_installed_and_what_its_package_starts_is_stopped(
        self,
        programs: ModuleType,
        machine: Path,
        tmp_path: Path,
        set_up: str,
        program: str,
    ) -> None:
        put(machine, "apt-get")
        put(machine, "service", f'echo "$@" >> {tmp_path}/stopped')
        getattr(programs, set_up)()
        assert asked_of_apt(programs) == [INSTALL.replace("chromium", program)]
        assert (tmp_path / "stopped").read_text() == f"{program} stop\n"

    def test_without_one_the_tests_go_on_and_say_how_to_get_it(
        self,
        programs: ModuleType,
        machine: Path,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        set_up: str,
        program: str,
    ) -> None:
        put(machine, "apt-get", "exit 100")
        put(machine, "service", f'echo "$@" >> {tmp_path}/stopped')
        getattr(programs, set_up)()
        said = capsys.readouterr().out.splitlines()
        assert f"skipped; `apt-get install {program}` brings what is missing." in said[-1]
        assert not (tmp_path / "stopped").exists(), "only what the set-up installed is stopped"
