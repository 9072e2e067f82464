"""The image of a cluster's nodes: what its file says, read as the builder reads it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

from cluster.config_file import load_config
from cluster.starting.environment import ONE_THREAD, OWN_DEVICES, RAY_DEFAULTS, SHARED_MACHINE

ROOT = Path(__file__).resolve().parents[3]
FILE = ROOT / "cluster" / "deploy" / "container" / "Containerfile"
LOGIN_PATH = FILE.with_name("login_path.sh")
DEBIAN_S_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games"
"""What Debian's /etc/profile sets for whoever is not root, before it reads /etc/profile.d."""
HADOLINT = Path(sys.executable).parent / "hadolint"


@pytest.fixture(scope="module")
def instructions() -> list[tuple[str, str]]:
    """Each instruction and what follows it, in order, on one line."""
    lines = [line for line in FILE.read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [
        (line.partition(" ")[0], line.partition(" ")[2]) for line in joined.splitlines() if line
    ]


def all_of(instructions: list[tuple[str, str]], name: str) -> list[str]:
    return [rest for each, rest in instructions if each == name]


def lint(text: str) -> list[dict[str, object]]:
    done = subprocess.run(
        [HADOLINT, "--no-fail", "--format", "json", "-"], input=text, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    found: list[dict[str, object]] = json.loads(done.stdout)
    return found


def test_the_linter_finds_nothing() -> None:
    assert lint(FILE.read_text()) == []


@pytest.mark.parametrize(
    ("right", "wrong", "rule"),
    [
        ("USER 1000:1000", "USER root", "DL3002"),
        ("FROM python:${PYTHON}-slim-bookworm", "FROM python", "DL3006"),
        ("WORKDIR /runs", "WORKDIR runs", "DL3000"),
        ("COPY examples/ examples/", "ADD examples/ examples/", "DL3020"),
    ],
)
def test_the_linter_finds_what_is_wrong(right: str, wrong: str, rule: str) -> None:
    text = FILE.read_text()
    assert right in text
    assert rule in {each["code"] for each in lint(text.replace(right, wrong))}


def test_it_begins_from_a_version_and_no_registry(instructions: list[tuple[str, str]]) -> None:
    assert all_of(instructions, "ARG")[0] == "PYTHON=3.11.7"
    assert all_of(instructions, "FROM") == ["python:${PYTHON}-slim-bookworm"]
    assert not re.search(r"https?://|[\w-]+\.(io|com|org|dev)\b", FILE.read_text())


def test_packages_are_installed_by_the_set_up_and_its_pins(
    instructions: list[tuple[str, str]],
) -> None:
    installing = [each for each in all_of(instructions, "RUN") if "python" in each]
    assert len(installing) == 1
    assert installing[0].endswith('python -m tools.setup --image "${ACCELERATOR}"')
    assert "ACCELERATOR=cpu" in all_of(instructions, "ARG")


def test_whoever_runs_it_is_not_root_and_comes_after_all_that_is_written(
    instructions: list[tuple[str, str]],
) -> None:
    names = [name for name, _ in instructions]
    assert all_of(instructions, "USER") == ["1000:1000"]
    assert {"RUN", "COPY"}.isdisjoint(names[names.index("USER") :])


def test_the_builder_is_sent_all_that_is_copied_and_nothing_private(
    instructions: list[tuple[str, str]],
) -> None:
    ignored = FILE.with_name(f"{FILE.name}.dockerignore").read_text().splitlines()
    rules = [line for line in ignored if line and not line.startswith("#")]
    assert rules[0] == "*"
    sent = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}
    copied = {
        source.rstrip("/") for rest in all_of(instructions, "COPY") for source in rest.split()[:-1]
    }
    assert copied == sent
    assert all((ROOT / each).exists() for each in copied)
    private = ("runs", ".git", ".venv", "tests", ".cache")
    assert not any(fnmatch(name, rule) for name in private for rule in sent)


def test_it_holds_every_package_of_ours(instructions: list[tuple[str, str]]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    copied = {rest.split()[0].rstrip("/") for rest in all_of(instructions, "COPY")}
    assert copied >= set(packages)


def variables_of(instructions: list[tuple[str, str]]) -> dict[str, str]:
    (given,) = all_of(instructions, "ENV")
    return dict(each.split("=", 1) for each in given.split())


def test_login_shells_find_what_others_find(instructions: list[tuple[str, str]]) -> None:
    """`ray up` runs `ray start` in a login shell of the image's user."""
    (link,) = [each for each in all_of(instructions, "RUN") if "/etc/profile.d/" in each]
    inside = f"/opt/andon/{LOGIN_PATH.relative_to(ROOT)}"
    assert re.fullmatch(rf"ln -s {re.escape(inside)} /etc/profile\.d/\w+\.sh", link)
    assert LOGIN_PATH.stat().st_mode & 0o004, "the image's user may not read it"
    (wanted,) = re.findall(r"(\S+):\$\{PATH\}", variables_of(instructions)["PATH"])
    told = subprocess.run(
        ["bash", "--norc", "--noprofile", "-c", f". {LOGIN_PATH}; exec env"],
        env={**os.environ, "PATH": DEBIAN_S_PATH},
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"PATH={wanted}:{DEBIAN_S_PATH}" in told.stdout.splitlines()


def test_a_job_that_is_stopped_is_waited_for_as_long_as_a_run_takes(
    instructions: list[tuple[str, str]],
) -> None:
    stop_s = load_config(ROOT / "cluster" / "demo.toml").cluster.stop_s
    assert float(variables_of(instructions)["RAY_JOB_STOP_WAIT_TIME_S"]) > stop_s + 4


def test_its_environment_is_a_run_s(instructions: list[tuple[str, str]]) -> None:
    """A worker's environment is its node's, which no driver can change afterwards."""
    variables = variables_of(instructions)
    wanted = {**ONE_THREAD, **OWN_DEVICES, **RAY_DEFAULTS, **SHARED_MACHINE}
    assert {name: variables.get(name) for name in wanted} == wanted


def test_a_node_of_a_cluster_is_asked_how_it_is(instructions: list[tuple[str, str]]) -> None:
    (check,) = all_of(instructions, "HEALTHCHECK")
    assert check.endswith('CMD ["ray", "health-check"]')
    (command,) = all_of(instructions, "CMD")
    assert json.loads(command)[:3] == ["ray", "start", "--head"]
