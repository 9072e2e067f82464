"""What we rely on in the installed Ray and Serve: names that it does not know would set nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from cluster.starting import folders
from cluster.starting.environment import SHARED_MACHINE

SERVE = "RAY_SERVE_"
READ = f"""
import json, sys
from ray.serve._private import constants
print(json.dumps({{
    name: getattr(constants, name, None) or getattr(constants, name.removeprefix("{SERVE}"), None)
    for name in sys.argv[1:]
}}))
"""


def test_serve_has_every_deadline_that_is_set() -> None:
    wanted = {name: float(text) for name, text in SHARED_MACHINE.items() if name.startswith(SERVE)}
    assert len(wanted) == 2
    read = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", READ, *wanted],
        env={**os.environ, **SHARED_MACHINE},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(read.stdout.splitlines()[-1]) == wanted


def test_ray_knows_every_setting() -> None:
    import ray._raylet

    library = Path(ray._raylet.__file__).read_bytes()
    for name in SHARED_MACHINE.keys() - {n for n in SHARED_MACHINE if n.startswith(SERVE)}:
        assert name.removeprefix("RAY_").encode() in library


def test_ray_takes_the_longest_folder_that_we_take(monkeypatch: pytest.MonkeyPatch) -> None:
    from ray._private.utils import validate_socket_filepath

    longest = Path("/tmp") / folders._SOCKET.format(pid=folders._largest_pid())
    room = folders.LONGEST_SOCKET_BYTES - len(os.fsencode(longest))
    fits, too_long = (Path("/tmp" + "p" * n) for n in (room, room + 1))
    below = longest.relative_to("/tmp")
    validate_socket_filepath(str(fits / below))
    with pytest.raises(OSError, match="path length cannot exceed"):
        validate_socket_filepath(str(too_long / below))


DEPLOY = Path(__file__).resolve().parents[2] / "cluster" / "deploy"


def test_ray_takes_the_environment_of_a_submitted_job() -> None:
    from ray.runtime_env import RuntimeEnv

    given = yaml.safe_load((DEPLOY / "ray_jobs" / "runtime_env.yaml").read_text())
    assert RuntimeEnv(**given)["env_vars"] == given["env_vars"]
    with pytest.raises(TypeError):
        RuntimeEnv(**{**given, "env_vars": {"HF_HOME": 1}})


def test_ray_up_takes_our_cluster() -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    given = yaml.safe_load((DEPLOY / "ray_up" / "cluster.yaml").read_text())
    prepared = prepare_config(given)
    validate_config(prepared)
    assert prepared["max_workers"] == len(given["provider"]["worker_ips"])
    assert prepared["head_start_ray_commands"] == given["head_start_ray_commands"]
