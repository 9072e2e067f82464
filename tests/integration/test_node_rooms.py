"""A run that Ray has placed where it cannot fit, and a node that is gone by then: on real nodes."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import psutil
import pytest

from cluster.commands.exit_codes import EXIT_USER_ERROR
from cluster.planning.needs import GIB
from cluster.starting.node_rooms import measured
from protocol.errors import ActorDied
from tests.support.run_process import RunProcess, save_inputs
from tests.support.two_nodes import two_nodes_started

pytestmark = pytest.mark.timeout(1800)
CACHE_GIB = 100_000


async def test_a_node_that_is_gone_meanwhile_is_what_failed(ray_session: None) -> None:
    with pytest.raises(ActorDied, match="the node aaaaaaaa was gone before it could say what it"):
        await measured("a" * 56)


def test_it_is_refused_with_the_node_and_what_it_lacks_before_anybody_is_asked(
    tmp_path: Path,
) -> None:
    settings = (
        f"rollouts.kv_cache_gib={CACHE_GIB}",
        "rollouts.num_actors=2",
        "cluster.cpus_per_part=0.2",
    )
    with two_nodes_started() as (address, _):
        inputs = save_inputs(tmp_path / "inputs")
        run = RunProcess(inputs, tmp_path / "run", settings, {"RAY_ADDRESS": address})
        try:
            assert run.wait() == EXIT_USER_ERROR, run.output
        finally:
            run.kill()
    [line] = [each for each in run.error_output.splitlines() if each.startswith("andon: ")]
    found = re.fullmatch(
        r"andon: Ray has placed more on the node (.+) than it can hold: it has (.+) GiB of memory, "
        r"and (.+) are wanted at least, by .*rollout actor \d \(100000\.\d\).*",
        line,
    )
    assert found, line
    name, has, wants = found.groups()
    assert name == os.uname().nodename
    assert 0 < float(has) * GIB <= 1.01 * psutil.virtual_memory().total
    assert CACHE_GIB <= float(wants) < 3 * CACHE_GIB
    state = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (state["state"], "can hold" in state["error"]) == ("failed", True)
    assert not list((tmp_path / "run" / "tokens").iterdir()), "people were let in"
