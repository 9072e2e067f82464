"""A guard in a run of real processes: NaN in a gradient stops the line, a person lets it go on."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from cluster.commands.owner_client import OwnerClient
from cluster.watching.status import describe, read_status
from tests.support.run_process import REPOSITORY, RunProcess, save_inputs

pytestmark = [pytest.mark.timeout(1800), pytest.mark.long]

STARTUP = REPOSITORY / "benchmarks" / "guard_injections" / "startup"
LABELER = 'labelers=[{name = "robot", seconds_per_label = 0.05}]'


def test_nan_in_the_learner_s_process_stops_the_line_and_the_run_still_ends_well(
    tmp_path: Path,
) -> None:
    """By the benchmark's injection, in the third of four steps."""
    paths = (str(STARTUP), str(REPOSITORY), os.environ.get("PYTHONPATH", ""))
    environment = {
        "ANDON_INJECTION": "nan_gradient",
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
    }
    inputs = save_inputs(tmp_path / "inputs")
    run = RunProcess(inputs, tmp_path / "run-1", [LABELER], environment)
    try:
        run.wait_for(lambda: bool((run.state.get("cord") or {}).get("reasons")), "a pulled cord")
        [reason] = run.state["cord"]["reasons"]
        assert (reason["actor"], reason["guard"]) == ("guard", "not_finite")
        kept = json.loads((run.folder.path / reason["evidence"]).read_text())
        assert "step on policy version 2 met NaN or infinity" in kept["reason"]
        assert kept["samples"]
        words = describe(read_status(run.folder.path), as_json=False)
        assert f"pulled by guard not_finite: {reason['reason']} (see {reason['evidence']})" in words
        with OwnerClient.of_run(run.folder.path) as owner:
            assert not owner.release_cord("the batch was odd").is_pulled
        assert run.wait() == 0, run.output
        assert run.state["state"] == "finished"
        policies = (run.folder.recordings / "policies.jsonl").read_text().splitlines()
        assert [json.loads(line)["restored_from"] for line in policies].count(0) == 1
        assert json.loads(policies[-1])["episodes"] == 64
    finally:
        run.kill()
