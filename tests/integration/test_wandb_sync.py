"""One run in wandb over stops, kills and resumes: as it lies offline, and as `wandb sync` sends it.

The real wandb and its real command, to a stand-in for its server on loopback.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from errno import ENOSPC
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import wandb

from cluster.json_lines import read_rows
from cluster.metrics import wandb_sink
from cluster.metrics.hub import MetricsHub
from cluster.metrics.jsonl_sink import JsonlSink
from cluster.metrics.names import AXES, CATALOGUE
from cluster.metrics.wandb_sink import WandbSink
from cluster.run_folder import RunFolder
from cluster.starting.lost_work import set_aside
from tests.support.metrics_writer import kill_service
from tests.support.patience import PATIENCE_S
from tests.support.recorded_wandb import RecordedWandb, StoredRun
from tests.support.wandb_file import read_history, read_records
from tests.support.wandb_sinks import demo_sink

NUM_STEPS = 400
"""Of one start: enough that wandb writes some blocks of its log before it is killed."""
ENDS = ("close", "kill", "service", "kill", "close")


@pytest.fixture
def server() -> Iterator[RecordedWandb]:
    with RecordedWandb() as server:
        yield server


def write(
    folder: Path,
    mode: str,
    first: int,
    end: str,
    environment: dict[str, str],
    begin_s: float | None = None,
) -> None:
    begin_s = first / 4 if begin_s is None else begin_s
    arguments = [str(folder), mode, str(first), str(NUM_STEPS), end, str(begin_s)]
    ended = subprocess.run(
        [sys.executable, "-m", "tests.support.metrics_writer", *arguments],
        env={**os.environ, **environment},
        check=False,
    )
    assert ended.returncode == (-signal.SIGKILL if end == "kill" else 0)


def sync(server: RecordedWandb, folder: Path) -> str:
    """Run the command that a run ends with."""
    ended = subprocess.run(
        ["sh", "-c", f"wandb sync {folder}/wandb/offline-run-*"],
        cwd=folder.parent,  # where it keeps a log of its own
        env={**os.environ, **server.environment(), "PATH": path_with_wandb()},
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE_S,
    )
    assert server.refused == []
    return ended.stdout + ended.stderr


def path_with_wandb() -> str:
    return f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was stopped, killed, lost its wandb, was killed again and ended."""
    folder = tmp_path_factory.mktemp("runs") / "demo-1"
    for start, end in enumerate(ENDS):
        write(folder, "offline", start * NUM_STEPS, end, {"WANDB_BASE_URL": "http://127.0.0.1:9"})
    return folder


@pytest.fixture
def folder(interrupted: Path, tmp_path: Path) -> Path:
    """A copy, to sync."""
    return Path(shutil.copytree(interrupted, tmp_path / "demo-1", symlinks=True))


def only_run(server: RecordedWandb) -> StoredRun:
    (run,) = server.runs.values()
    return run


def truth(folder: Path) -> list[dict[str, Any]]:
    return read_rows(folder / "metrics.jsonl")


def logged(folder: Path) -> list[dict[str, Any]]:
    logs = sorted(folder.glob("wandb/offline-run-*/*.wandb"))
    return [row for log in logs for row in read_history(log)]


def test_offline_logs_together_hold_each_row_once_and_in_order(interrupted: Path) -> None:
    logs = sorted(interrupted.glob("wandb/offline-run-*/*.wandb"))
    assert len(logs) == len(ENDS) + 1  # wandb was started again within the third
    assert logged(interrupted) == truth(interrupted)
    assert len(truth(interrupted)) == len(ENDS) * (NUM_STEPS + NUM_STEPS // 10)
    for log in logs:
        records = [each for each in read_records(log) if each.HasField("run")]
        assert [(each.run.run_id, each.run.resume) for each in records] == [
            (records[0].run.run_id, True)
        ]


def test_sync_sends_all_logs_as_one_run(server: RecordedWandb, folder: Path) -> None:
    said = sync(server, folder)
    assert "ERROR" not in said
    run = only_run(server)
    assert run.given() == truth(folder)
    assert run.steps() == list(range(len(run.rows)))
    assert run.exits[-1] == 0
    assert {run.config[name]["value"] for name in ("seed",)} == {1}
    assert run.config["first"]["value"] == (len(ENDS) - 1) * NUM_STEPS
    assert run.summary["report/episodes"] == len(ENDS) * NUM_STEPS
    assert run.summary["policy/step"] == len(ENDS) * NUM_STEPS - 1
    assert [alert["title"] for alert in run.alerts] == ["line stopped"] * 3
    assert axes_of(run) == {name: each.axis for name, each in CATALOGUE.items() if name not in AXES}


def axes_of(run: StoredRun) -> dict[str, str]:
    """Return the axis of each metric: "1" is its name, "5" the axis' place in the list, from 1."""
    defined = run.config["_wandb"]["value"]["m"]
    return {each["1"]: defined[each["5"] - 1]["1"] for each in defined if "5" in each}


def test_sync_after_each_stop_sends_the_same(server: RecordedWandb, tmp_path: Path) -> None:
    folder = tmp_path / "demo-1"
    for start, end in enumerate(("close", "kill", "close")):
        write(folder, "offline", start * NUM_STEPS, end, server.environment())
        if end == "close":
            sync(server, folder)
    run = only_run(server)
    assert run.given() == truth(folder)
    assert run.steps() == list(range(len(run.rows)))
    assert "No runs to sync" in sync(server, folder)
    assert run.given() == truth(folder)


def lose_and_go_on(folder: Path, mode: str, environment: dict[str, str]) -> None:
    """Write rows, be killed, go on from a checkpoint far back, twice, and end."""
    write(folder, mode, 0, "kill", environment)
    kept_up_to = NUM_STEPS // 2
    for turn, end in enumerate(("kill", "close"), start=1):
        assert set_aside(RunFolder(folder), kept_up_to) > NUM_STEPS // 3
        write(folder, mode, kept_up_to + 1, end, environment, turn * 1_000.0)
        kept_up_to += NUM_STEPS // 2


def test_rows_of_steps_that_were_lost_are_not_sent(server: RecordedWandb, tmp_path: Path) -> None:
    folder = tmp_path / "demo-1"
    lose_and_go_on(folder, "offline", server.environment())
    sync(server, folder)
    run = only_run(server)
    assert run.given() == truth(folder)
    assert run.steps() == list(range(len(run.rows)))
    steps = [row["policy/step"] for row in run.rows if "policy/step" in row]
    assert steps == list(range(2 * NUM_STEPS + 1))


def test_online_lost_rows_may_stay_and_each_that_was_kept_is_there_once(
    server: RecordedWandb, tmp_path: Path
) -> None:
    folder = tmp_path / "demo-1"
    lose_and_go_on(folder, "online", server.environment())
    kept = truth(folder)
    assert [row for row in only_run(server).given() if row in kept] == kept


def test_logs_that_were_cleaned_away_are_not_written_again(
    server: RecordedWandb, tmp_path: Path
) -> None:
    folder = tmp_path / "demo-1"
    write(folder, "offline", 0, "close", server.environment())
    sync(server, folder)
    (log,) = folder.glob("wandb/offline-run-*")
    shutil.rmtree(log)
    write(folder, "offline", NUM_STEPS, "close", server.environment())
    sync(server, folder)
    assert only_run(server).given() == truth(folder)


def test_a_run_of_a_sweep_keeps_its_id_though_its_logs_were_cleaned_away(
    server: RecordedWandb, tmp_path: Path
) -> None:
    folder, elsewhere = tmp_path / "demo-1", tmp_path / "moved" / "demo-1"
    of_sweep = {"WANDB_SWEEP_ID": "S", "WANDB_RUN_ID": "chosen-1"}
    write(folder, "offline", 0, "close", {**server.environment(), **of_sweep})
    sync(server, folder)
    clean = ["wandb", "clean", "--force", "--min-hours", "0"]
    environment = {**os.environ, "PATH": path_with_wandb()}
    subprocess.run(clean, cwd=folder, env=environment, check=True)
    assert list(folder.glob("wandb/offline-run-*")) == []
    elsewhere.parent.mkdir()
    folder.rename(elsewhere)
    write(elsewhere, "offline", NUM_STEPS, "close", server.environment())
    sync(server, elsewhere)
    assert list(server.runs) == ["chosen-1"]
    assert only_run(server).given() == truth(elsewhere)


def test_a_run_without_wandb_is_there_in_whole_once_it_is_resumed_with_it(
    server: RecordedWandb, tmp_path: Path
) -> None:
    folder = tmp_path / "demo-1"
    for start, mode in enumerate(("off", "offline")):
        write(folder, mode, start * NUM_STEPS, "close", server.environment())
    sync(server, folder)
    assert only_run(server).given() == truth(folder)


def test_online_too_each_row_is_there_once(server: RecordedWandb, tmp_path: Path) -> None:
    folder = tmp_path / "demo-1"
    for start, end in enumerate(("close", "kill", "service", "close")):
        write(folder, "online", start * NUM_STEPS, end, server.environment())
    run = only_run(server)
    assert run.given() == truth(folder)
    assert run.steps() == list(range(len(run.rows)))
    assert server.refused == []


def open_sink(folder: Path, mode: Any, clock: list[float]) -> WandbSink:
    return demo_sink(folder, mode=mode, run_config={}, now=lambda: clock[0])


def row(step: int) -> dict[str, float]:
    return {"policy/step": step, "time/wall_s": float(step), "policy/loss": 0.5}


def test_while_wandb_does_not_start_again_nothing_raises_and_no_row_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    clock = [0.0]
    sink = open_sink(tmp_path, "offline", clock)
    hub = MetricsHub([JsonlSink(tmp_path / "metrics.jsonl"), sink], lambda: 0.0)
    hub.write(row(0))
    kill_service()
    attempts = []

    def refuse(*_: object, **__: object) -> None:
        attempts.append(clock[0])
        raise failures[len(attempts) - 1]

    failures = (wandb.errors.CommError("not now"), OSError(ENOSPC, "No space left on device"))
    with monkeypatch.context() as patch:
        patch.setattr(wandb, "init", refuse)
        for step in (1, 2, 3):
            hub.write(row(step))
            hub.alert("line stopped", "by a test")
        patch.setattr(wandb_sink, "make_whole", refuse)
        clock[0] = wandb_sink.PAUSE_S
        hub.write(row(4))
        assert attempts == [0.0, wandb_sink.PAUSE_S]
    clock[0] = 2 * wandb_sink.PAUSE_S
    hub.write(row(5))
    hub.close()
    assert logged(tmp_path) == [row(step) for step in range(6)]


def test_a_hub_that_starts_again_without_wandb_keeps_all_rows_until_that_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    file, clock = JsonlSink(tmp_path / "metrics.jsonl"), [0.0]
    MetricsHub([file, open_sink(tmp_path, "offline", clock)], lambda: 0.0).write(row(0))
    kill_service()
    with monkeypatch.context() as patch:
        refusal = wandb.errors.CommError("not now")
        patch.setattr(wandb, "init", Mock(side_effect=refusal))
        sink = demo_sink(tmp_path, run_config={}, now=lambda: clock[0], must_start=False)
        hub = MetricsHub([file, sink], lambda: 0.0)
        hub.write(row(1))
        hub.alert("line stopped", "by a test")
    clock[0] = wandb_sink.PAUSE_S
    hub.write(row(2))
    hub.close()
    assert logged(tmp_path) == [row(step) for step in range(3)]


def test_rows_that_wandb_had_in_memory_as_it_died_for_good_come_with_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    file = tmp_path / "metrics.jsonl"
    hub = MetricsHub([JsonlSink(file), open_sink(tmp_path, "offline", [0.0])], lambda: 0.0)
    hub.write(row(0))
    hub.write(row(1))
    kill_service()
    with monkeypatch.context() as patch:
        patch.setattr(wandb, "init", Mock(side_effect=wandb.errors.CommError("not now")))
        hub.write(row(2))
        hub.close()
    again = MetricsHub([JsonlSink(file), open_sink(tmp_path, "offline", [0.0])], lambda: 0.0)
    again.write(row(3))
    again.close()
    assert logged(tmp_path) == [row(step) for step in range(4)]


def test_wandb_that_dies_as_the_run_ends_has_all_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    sink = open_sink(tmp_path, "offline", [0.0])
    hub = MetricsHub([JsonlSink(tmp_path / "metrics.jsonl"), sink], lambda: 0.0)
    for step in range(3):
        hub.write(row(step))
    kill_service()
    hub.summarize({"episodes": 3})
    kill_service()
    hub.close()
    assert logged(tmp_path) == [row(step) for step in range(3)]


def test_a_server_that_falls_silent_does_not_keep_the_run_from_ending(
    server: RecordedWandb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(wandb_sink, "FINISH_TIMEOUT_S", 2.0)
    sink = open_sink(tmp_path, "online", [0.0])
    server.silent.set()
    sink.write(row(0))
    sink.close()
    assert only_run(server).rows == []
