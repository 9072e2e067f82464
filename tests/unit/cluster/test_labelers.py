"""Minding the simulated labelers' processes; here stand-ins that end as they are told."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cluster.config import SimulatedLabeler
from cluster.run_folder import RunFolder
from cluster.starting.labelers import SimulatedLabelers
from cluster.supervision.config import RestartsConfig
from cluster.supervision.restarts import Restarts
from protocol.errors import LabelerFailed, TooManyRestarts


def stand_in(program: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-S", "-c", program])


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 -- a process tells of nothing
        await asyncio.sleep(0.01)


async def test_one_labeler_that_fails_is_told_while_the_others_work(tmp_path: Path) -> None:
    labelers = SimulatedLabelers((), "reviews", "http://127.0.0.1:1", RunFolder(tmp_path))
    with labelers:
        works = stand_in("import time; time.sleep(60)")
        labelers._processes |= {"ann": works, "ben": stand_in("raise SystemExit(3)")}
        with pytest.raises(
            LabelerFailed, match=r"labeler ben ended with code 3: no word; see .*ben"
        ):
            await asyncio.wait_for(labelers.watch(), 30)
        assert works.poll() is None
    assert works.poll() is not None


def test_labelers_that_were_started_end_when_a_later_one_cannot_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder(tmp_path)
    folder.logs.mkdir()
    profiles = [SimulatedLabeler(name="ann"), SimulatedLabeler(name="ben")]
    started = [stand_in("import time; time.sleep(60)")]
    waiting = iter(started)

    def start(*_: object, **__: object) -> subprocess.Popen[bytes]:
        for process in waiting:
            return process
        raise OSError("no more processes")

    monkeypatch.setattr(subprocess, "Popen", start)
    with (
        pytest.raises(OSError, match="no more processes"),
        SimulatedLabelers(profiles, "reviews", "http://127.0.0.1:1", folder),
    ):
        pass
    assert started[0].poll() is not None


async def test_labelers_that_are_done_are_no_error(tmp_path: Path) -> None:
    labelers = SimulatedLabelers((), "reviews", "http://127.0.0.1:1", RunFolder(tmp_path))
    with labelers:
        labelers._processes["ann"] = stand_in("pass")
        await asyncio.wait_for(labelers.watch(), 30)


async def test_a_labeler_that_gives_up_ends_the_run_with_its_last_word(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "-run")
    folder.write_token("ann", "secret")
    (tmp_path / "-run" / "tokens" / "ann").unlink()
    with SimulatedLabelers(
        [SimulatedLabeler(name="ann")], "reviews", "http://127.0.0.1:1", folder
    ) as labelers:
        with pytest.raises(LabelerFailed) as told:
            await asyncio.wait_for(labelers.watch(), 60)
        assert labelers.num_acknowledged() == 0
    token = tmp_path / "-run" / "tokens" / "ann"
    assert str(told.value) == (
        f"simulated labeler ann ended with code 2: error: no such token file: {token} is not a "
        f"file; see --token-file; see {folder.logs}/labeler-ann.log"
    )


async def test_a_labeler_that_is_killed_is_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder.create(tmp_path / "run")
    told: list[str] = []
    restarts = Restarts(
        RestartsConfig(max_restarts=2, first_pause_s=0.01),
        lambda part, cause: told.append(f"{part}: {cause}"),
    )
    with SimulatedLabelers((), "reviews", "http://127.0.0.1:1", folder, restarts) as labelers:
        labelers._profiles = [SimulatedLabeler(name="ann")]
        works = "import time; time.sleep(60)"
        lives = [stand_in(works), stand_in(works), stand_in("pass")]
        waiting = iter(lives)
        monkeypatch.setattr(labelers, "_start", lambda _: next(waiting))
        labelers._processes["ann"] = next(waiting)
        watching = asyncio.create_task(labelers.watch())
        for life in lives[:2]:
            life.kill()
            await until(lambda life=life: labelers._processes["ann"] is not life)  # type: ignore[misc]
        await asyncio.wait_for(watching, 30)
    log = folder.logs / "labeler-ann.log"
    line = f"simulated labeler ann: simulated labeler ann was ended by signal 9; see {log}"
    assert told == [line, line]


async def test_a_labeler_that_is_killed_too_often_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    restarts = Restarts(RestartsConfig(max_restarts=1, first_pause_s=0.01))
    killed = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    folder = RunFolder(tmp_path)
    with SimulatedLabelers((), "reviews", "http://127.0.0.1:1", folder, restarts) as labelers:
        labelers._profiles = [SimulatedLabeler(name="ann")]
        monkeypatch.setattr(labelers, "_start", lambda _: stand_in(killed))
        labelers._processes["ann"] = stand_in(killed)
        with pytest.raises(TooManyRestarts, match=r"signal 9; .* was started again 1 times"):
            await asyncio.wait_for(labelers.watch(), 30)


async def test_labelers_that_are_told_to_end_are_no_error(tmp_path: Path) -> None:
    labelers = SimulatedLabelers((), "reviews", "http://127.0.0.1:1", RunFolder(tmp_path))
    with labelers:
        # Ended by the signal, as one that had no time to ask for it.
        labelers._processes["ann"] = stand_in("import time; time.sleep(60)")
        watching = asyncio.create_task(labelers.watch())
        await asyncio.sleep(0)
        await labelers.stop()
        await asyncio.wait_for(watching, 30)
    assert labelers._processes["ann"].returncode not in (None, 0)
