"""The report of a run in wandb: offline, then sent to the stand-in by `wandb sync`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cluster.cli import main
from cluster.report.records import read_run
from cluster.report.tables import report_tables
from cluster.report.write import pictures_of
from cluster.run_folder import RunFolder
from tests.support.patience import PATIENCE_S
from tests.support.recorded_wandb import RecordedWandb, StoredRun
from tests.support.synthetic_run import LABELERS, SyntheticRun
from tests.support.wandb_file import read_history, read_records


@pytest.fixture
def server() -> Iterator[RecordedWandb]:
    with RecordedWandb() as server:
        yield server


def synthetic(path: Path, *, with_text: bool) -> Path:
    run = SyntheticRun(path)
    changes = {"wandb": "offline", "wandb_text": with_text}
    metrics = run.config.metrics.model_copy(update=changes)
    run.config = run.config.model_copy(update={"metrics": metrics})
    return run.write()


def sent(server: RecordedWandb, folder: Path) -> StoredRun:
    """Report, as the end of a run does, and sync; return what the server has."""
    told = CliRunner().invoke(main, ["report", "--wandb", str(folder)])
    assert told.exit_code == 0, told.output
    subprocess.run(
        [Path(sys.executable).with_name("wandb"), "sync", *folder.glob("wandb/offline-run-*")],
        cwd=folder.parent,
        env={**os.environ, **server.environment()},
        check=True,
        capture_output=True,
        timeout=PATIENCE_S,
    )
    assert server.refused == []
    (run,) = server.runs.values()
    return run


def table(run: StoredRun, name: str) -> dict[str, Any]:
    found: dict[str, Any] = run.files[run.summary[f"report/{name}"]["path"]]
    return found


def artifact_files(folder: Path, name: str, ending: str) -> set[int]:
    """Return the sizes of an artifact's files, as wandb's log lists them."""
    (log,) = folder.glob("wandb/offline-run-*/*.wandb")
    return {
        entry.size
        for record in read_records(log)
        if record.HasField("artifact") and name in record.artifact.name
        for entry in record.artifact.manifest.contents
        if entry.path.endswith(ending)
    }


@pytest.mark.parametrize("with_text", [False, True])
def test_pictures_tables_and_histograms_arrive_and_text_only_if_allowed(
    server: RecordedWandb, tmp_path: Path, with_text: bool
) -> None:
    folder = synthetic(tmp_path / "synthetic", with_text=with_text)
    run = sent(server, folder)
    records = read_run(folder)
    tables = report_tables(records, with_text=with_text)
    assert ("before_and_after" in tables) is with_text
    for name, expected in tables.items():
        assert table(run, name)["columns"] == list(expected.columns)
        assert table(run, name)["data"] == [list(row) for row in expected.rows]
    assert [row[0] for row in table(run, "pictures")["data"]] == [
        caption for *_, caption in pictures_of(records)
    ]
    drawn = {path.stat().st_size for path in (folder / "report").glob("*.png")}
    assert artifact_files(folder, "reportpictures", ".png") == drawn
    assert sum(run.summary["report/score_histogram"]["values"]) > 0
    assert {each["artifactTypeName"] for each in server.artifacts} == {"run_table"}
    everything = json.dumps([str(each.body) for each in server.received])
    texts = {text for each in records.trained for text in (each.text, each.prompt)}
    found = [text for text in texts if text in everything]
    assert bool(found) is with_text, found
    named = {row[0] for row in table(run, "labelers")["data"]}
    assert (named == set(LABELERS)) is with_text


def test_it_takes_no_step_and_the_rows_of_a_killed_run_come_with_it(
    server: RecordedWandb, tmp_path: Path
) -> None:
    folder = synthetic(tmp_path / "synthetic", with_text=False)
    assert not list(folder.glob("wandb/*"))
    run = sent(server, folder)
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert run.given() == rows
    CliRunner().invoke(main, ["report", "--wandb", str(folder)])
    logs = sorted(folder.glob("wandb/offline-run-*/*.wandb"))
    assert [len(read_history(log)) for log in logs] == [len(rows), 0]


def test_a_run_that_goes_on_is_left_alone(tmp_path: Path) -> None:
    import psutil

    folder = RunFolder(synthetic(tmp_path / "synthetic", with_text=False))
    here = psutil.Process()
    folder.update_state(
        state="running", pid=here.pid, pid_started_at=here.create_time(), host=os.uname().nodename
    )
    told = CliRunner().invoke(main, ["report", "--wandb", str(folder.path)])
    assert told.exit_code == 2
    assert "is going on and writes to wandb itself; stop it first: andon stop" in told.output
    assert not list(folder.path.glob("wandb/*"))
