"""A whole run whose labelling face is open to a network, in a network namespace of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.patience import PATIENCE_S
from tests.support.proxies import NAME, make_certificate
from tests.support.run_process import RunProcess, andon, run_arguments

pytestmark = [pytest.mark.timeout(1800), pytest.mark.long]

ADDRESS = "10.77.0.1"
PORT = 8443
ORIGIN = f"https://{NAME}:{PORT}"
AS_ROOT = () if os.geteuid() == 0 else ("--user", "--map-root-user")
UNSHARED = ("unshare", "--net", *AS_ROOT)
LO = f"ip link set lo up && ip address add {ADDRESS}/24 dev lo"
"""All there is of a network: nobody but what is in there reaches it."""
LOOK = """
import json, ssl, sys, socket, urllib.error, urllib.request

address, port, name, own, reward, trusted = sys.argv[1:]
context = ssl.create_default_context(cafile=trusted)

def ask(host, path):
    with socket.create_connection((address, int(port))) as plain:
        with context.wrap_socket(plain, server_hostname=name) as line:
            asked = (f"GET {path} HTTP/1.1", f"Host: {host}", "Connection: close", "", "")
            line.sendall("\\r\\n".join(asked).encode())
            return int(line.makefile("rb").readline().split()[1])

def here(url):
    try:
        return urllib.request.urlopen(url).status
    except urllib.error.HTTPError as error:
        return error.code

def listens(port):
    try:
        socket.create_connection((address, int(port))).close()
    except OSError:
        return False
    return True

public = f"{name}:{port}"
print(json.dumps({
    "pages": ask(public, "/"),
    "api": ask(public, "/api/v1/run"),
    "docs": ask(public, "/docs"),
    "as this machine": ask("127.0.0.1", "/docs"),
    "docs here": here(own + "/docs"),
    "reward here": here(reward + "/health"),
    "own is open": listens(own.rpartition(":")[2]),
    "reward is open": listens(reward.rpartition(":")[2].partition("/")[0]),
}))
"""


def can_be_apart() -> bool:
    """Whether this user may have a network namespace here."""
    made = [*UNSHARED, "sh", "-c", LO]
    return subprocess.run(made, capture_output=True, check=False).returncode == 0


def beside(run: RunProcess, *command: str) -> str:
    """Return what a command says that is run in the network of a run."""
    user = () if not AS_ROOT else ("--user", "--preserve-credentials")
    entered = ("nsenter", f"--target={run.state['pid']}", "--net", *user)
    done = subprocess.run(
        [*entered, *command], capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(not can_be_apart(), reason="takes a network namespace")
def test_people_reach_a_run_by_tls_and_its_reward_and_own_programs_stay_at_loopback(
    reviews_inputs: Path, tmp_path: Path
) -> None:
    chain, key = make_certificate(tmp_path)
    folder = tmp_path / "wide-1"
    settings = (
        "cluster.http_host=0.0.0.0",
        f"cluster.http_port={PORT}",
        f"cluster.public_url={ORIGIN}",
        f"cluster.tls_certificate={chain}",
        f"cluster.tls_key={key}",
        "run.episodes=65536",
    )
    within = f'{LO} && exec "$@"'
    command = andon(*run_arguments(reviews_inputs, folder, settings))
    run = RunProcess.within(folder, [*UNSHARED, "sh", "-c", within, "sh", *command])
    try:
        run.wait_for_state("running")
        state = run.state
        assert state["pages_url"] == ORIGIN
        pages = (ADDRESS, str(PORT), NAME)
        faces = (state["url"], state["reward_url"], str(chain))
        seen = beside(run, sys.executable, "-c", LOOK, *pages, *faces)
        assert seen.strip() == (
            '{"pages": 401, "api": 401, "docs": 404, "as this machine": 421, "docs here": 200, '
            '"reward here": 401, "own is open": false, "reward is open": false}'
        )
        # The owner's commands come by loopback.
        assert "active" in beside(run, *andon("labelers", "list", "--run", str(folder)))
    finally:
        run.kill()
