"""What is told of a run that goes on again, before its loops have told anything themselves."""

from __future__ import annotations

import asyncio
import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from cluster import run
from cluster.config import RunConfig
from cluster.config_file import parse_config
from cluster.loops.journal import Journal
from cluster.metrics.hub import MetricsHub
from cluster.recordings.streams import Recordings
from cluster.run_folder import RunFolder
from cluster.watching.display import RunDisplay
from cluster.watching.inspected import Inspection, describe, inspect
from cluster.watching.memory import PeakMemory
from cluster.watching.status import describe as describe_status
from cluster.watching.status import read_status
from cluster.watching.watch import Watch
from protocol.cord import CordState
from tests.support.memory_sink import MemorySink

CONTENT: dict[str, Any] = {
    "prompts": {"source": "reviews"},
    "base_model": {"num_texts": 100},
    "people": ["ann"],
    "run": {"episodes": 5120},
}
PICTURE = {
    "at": 1_000.0,
    "pid": 7,
    "activity": "training",
    "learner": {"doing": "step", "for_s": 1.0, "policy_version": 4, "episodes": 512},
    "fit": None,
    "fit_for_s": None,
    "has_reward": True,
    "is_cord_pulled": False,
    "rollouts": {},
    "parts": {},
}


def test_a_resumed_run_is_not_told_by_what_it_did_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[Inspection] = []

    def conduct(_: RunConfig, folder: RunFolder, *__: object) -> None:
        found.append(inspect(folder.path))
        folder.inspection.write_text(json.dumps(PICTURE))
        folder.update_state(state="stopped", ended_at=1_000.0)

    monkeypatch.setattr(run, "prepare_environment", lambda _: None)
    monkeypatch.setattr(run, "check_before_start", lambda *_: None)
    monkeypatch.setattr(run, "_conduct_to_end", conduct)
    path = tmp_path / "demo-1"
    run.run_to_end(parse_config(CONTENT, "test"), path)
    run.resume_to_end(path, (), None)
    begun, resumed = found
    assert describe(resumed) == describe(begun)
    assert resumed.is_well
    assert "starting; its loops have not begun to tell" in describe(resumed)


class Queue:
    """The label queue of a run whose disk has room and whose cord hangs free."""

    async def stats(self) -> dict[str, float]:
        return {}

    async def online_stats(self) -> dict[str, float]:
        return {}

    async def cord(self) -> CordState:
        return CordState(is_pulled=False)

    async def want_of_room(self) -> str:
        return ""

    async def ledger_commit_p95_s(self) -> float:
        return 0.002


def test_what_held_a_run_up_in_its_last_moments_is_not_told_for_ever(running: RunFolder) -> None:
    """The cord was released, and room made, when its driver could look no more."""
    pull = {"actor": "ann", "reason": "it shouts", "evidence": None}
    cord = {"is_pulled": True, "pulled_by": "ann", "reason": "it shouts", "reasons": [pull]}
    running.update_state(cord=cord, disk="free space")

    def told() -> str:
        return describe_status(read_status(running.path), as_json=False)

    assert "it shouts" in told()
    assert "free space" in told()
    sink, queue = MemorySink(), Queue()
    journal = Journal(Recordings(running.recordings), MetricsHub([sink], lambda: 0.0))
    display = RunDisplay(Console(file=io.StringIO()), "demo-1")
    watch = Watch(parse_config(CONTENT, "test"), running, journal, display, PeakMemory())
    watch.show("starting")
    assert "it shouts" in told(), "nobody was asked yet"
    asyncio.run(watch.look(queue, list))  # type: ignore[arg-type]
    assert "it shouts" not in told()
    assert "free space" not in told()
    assert sink.alerts == []


def test_a_run_that_goes_on_has_had_its_peak_of_memory() -> None:
    with PeakMemory(interval_s=3600.0, peak_bytes=2**50) as memory:
        assert memory.peak_bytes == 2**50
