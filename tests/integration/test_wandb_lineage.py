"""A run's artifacts in wandb: as they lie offline, as they are synced, and as they come online.

The real wandb and its real command, to a stand-in for its server on loopback.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console

from cluster.cli import main
from cluster.metrics.lineage_folder import LineageFolder
from cluster.report.in_wandb import show_lineage_in_wandb
from cluster.report.records import read_run
from cluster.run import _report
from cluster.run_folder import RunFolder
from cluster.watching.closing_words import closing_words
from tests.support.kept_models import keep_checkpoint, save_final, synthetic_lineage
from tests.support.lineage import upstream
from tests.support.patience import PATIENCE_S
from tests.support.recorded_wandb import RecordedWandb
from tests.support.synthetic_run import LABELERS
from tests.support.wandb_file import read_records
from tests.support.wandb_here import in_wandbs_place

NOWHERE = {"WANDB_BASE_URL": "http://127.0.0.1:9"}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[RecordedWandb]:
    """The stand-in, which this process takes for wandb's server."""
    with in_wandbs_place(monkeypatch) as server:
        yield server


@dataclass
class Short:
    """A short run as its log has it; artifacts by collection and digest, outputs with aliases."""

    run_id: str
    job_type: str
    group: str
    inputs: list[tuple[str, str]]
    outputs: list[tuple[str, str, tuple[str, ...]]]


def short_runs(folder: RunFolder) -> list[Short]:
    """Return the short runs in the order in which they are synced."""
    found = []
    for log in sorted(folder.lineage.glob("wandb/offline-run-*/*.wandb")):
        records = read_records(log)
        (run,) = (each.run for each in records if each.HasField("run"))
        artifacts = [each.artifact for each in records if each.HasField("artifact")]
        assert {each.run_id for each in artifacts} == {run.run_id}
        assert all(each.user_created == each.use_after_commit for each in artifacts)
        inputs = [(each.name, each.digest) for each in artifacts if each.use_after_commit]
        outputs = [
            (each.name, each.digest, tuple(sorted(each.aliases)))
            for each in artifacts
            if not each.use_after_commit
        ]
        found.append(Short(run.run_id, run.job_type, run.run_group, inputs, outputs))
    return found


def give(folder: RunFolder) -> int:
    return show_lineage_in_wandb(read_run(folder.path), folder)


def described(folder: RunFolder) -> LineageFolder:
    return LineageFolder.begin(folder.lineage)


def wandb_id(folder: RunFolder) -> str:
    found = described(folder).given().wandb_id
    assert found is not None
    return found


def in_wandb(folder: RunFolder, name: str) -> str:
    """Return a described artifact by its collection and alias there."""
    kind, _, number = name.partition("-")
    return f"{wandb_id(folder)}-{kind}:{'seq' if kind == 'ledger' else 'version'}-{number}"


def upstream_of(folder: RunFolder, name: str) -> set[str]:
    """Return what is upstream of an artifact by the run's folder, as wandb names it."""
    return {in_wandb(folder, each) for each in upstream(described(folder), name)}


def sync(folder: RunFolder, server: RecordedWandb) -> None:
    """Give the commands that the run ends with, as they are."""
    folder.report.mkdir(exist_ok=True)
    if not (folder.report / "summary.json").exists():
        (folder.report / "summary.json").write_text("{}")
    words = closing_words(folder, folder.report / "index.html").splitlines()
    commands = [line.strip().partition(" ")[2].strip() for line in words if "wandb sync" in line]
    assert commands
    for command in commands:
        subprocess.run(
            ["bash", "-c", command],
            cwd=folder.path.parent,
            env={
                **os.environ,
                **server.environment(),
                "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            },
            check=True,
            capture_output=True,
            timeout=PATIENCE_S,
        )
    assert server.refused == []


def offline(path: Path, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> RunFolder:
    """Write a run of two checkpoints, and give its artifacts offline."""
    for name, value in NOWHERE.items():
        monkeypatch.setenv(name, value)
    folder = synthetic_lineage(path, checkpoints=(2, 4), bundles=(2,), final=4, **changes)
    assert give(folder) > 0
    return folder


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run whose artifacts were given offline; nobody changes its folder."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        return offline(tmp_path_factory.mktemp("given") / "synthetic", monkeypatch)


def test_offline_each_artifact_has_a_run_that_made_it_of_what_it_was_made_of(
    given: RunFolder,
) -> None:
    lineage, runs = described(given), short_runs(given)
    made = [each for each in lineage.artifacts if each.kind != "ledger"]
    assert [each.run_id for each in runs] == [
        f"{wandb_id(given)}-{each.place:06d}-{each.name}" for each in made
    ]
    jobs = {"reward": "fit", "checkpoint": "train", "policy": "save"}
    assert [each.job_type for each in runs] == [jobs[each.kind] for each in made]
    assert len({each.group for each in runs}) == 1
    digests: dict[str, tuple[str, str]] = {}
    for artifact, short in zip(made, runs, strict=True):
        ((collection, digest, aliases),) = short.outputs
        assert collection == f"{wandb_id(given)}-{artifact.kind}"
        final = ["final"] if artifact.kind == "policy" else []
        assert sorted(aliases) == sorted([*final, "latest", f"version-{artifact.number}"])
        digests[artifact.name] = (collection, digest)
        for name, used in zip(artifact.uses, short.inputs, strict=True):
            # Named by the digest that it was made under, which is how the server finds it.
            assert used == digests.setdefault(name, used)
            assert used[0] == f"{wandb_id(given)}-{name.partition('-')[0]}"
    assert len(set(digests.values())) == len(digests)


def test_offline_what_is_large_is_named_and_what_is_small_lies_in_the_run_s_folder(
    given: RunFolder,
) -> None:
    for log in given.lineage.glob("wandb/offline-run-*/*.wandb"):
        for record in read_records(log):
            for entry in record.artifact.manifest.contents:
                is_ours = Path(entry.local_path).parent == given.lineage.resolve()
                assert is_ours == (entry.path in ("ledger.json", "reward.json", *KINDS))
                assert bool(entry.ref) is not is_ours


KINDS = ("checkpoint.json", "policy.json")


def test_synced_later_the_graph_says_which_labels_made_a_policy(
    server: RecordedWandb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = offline(tmp_path / "synthetic", monkeypatch)
    sync(folder, server)
    for name in ("checkpoint-2", "checkpoint-4", "policy-4"):
        asked = in_wandb(folder, name).partition(":")
        assert server.upstream(asked[0], asked[2]) == upstream_of(folder, name)
    assert upstream_of(folder, "checkpoint-2") < upstream_of(folder, "checkpoint-4")
    lineage = described(folder)
    assert len(server.stored) == len(lineage.artifacts)
    for stored in server.stored.values():
        kind = stored.collection.rpartition("-")[2]
        sent = stored.files.pop(f"{kind}.json")
        assert sent == json.loads(lineage.file(f"{kind}-{sent['number']}").read_text())
        assert stored.files == {}  # of models nothing was sent
        assert stored.metadata == lineage[f"{kind}-{sent['number']}"].facts
        assert set(stored.manifest["contents"]) == {
            f"{kind}.json",
            *(each["path"] for each in sent["references"]),
        }
    latest = {stored.collection for stored in server.stored.values() if "latest" in stored.aliases}
    assert len(latest) == 4


def test_over_stops_resumes_and_kills_no_artifact_is_there_twice(
    server: RecordedWandb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = offline(tmp_path / "synthetic", monkeypatch)
    first = len(short_runs(folder))
    sync(folder, server)
    assert give(folder) == 0
    (folder.rewards / "v000002" / "model.safetensors").unlink()  # retired by now
    keep_checkpoint(folder, 6)
    save_final(folder, 6)
    given = (folder.lineage / "given.json").read_bytes()
    added = give(folder)
    assert len(short_runs(folder)) == first + added
    (folder.lineage / "given.json").write_bytes(given)  # killed before that was noted
    assert give(folder) == added
    sync(folder, server)
    lineage = described(folder)
    assert len(server.stored) == len(lineage.artifacts)
    assert {each.made_by for each in server.stored.values()} - {None} == {
        f"{wandb_id(folder)}-{each.place:06d}-{each.name}"
        for each in lineage.artifacts
        if each.kind != "ledger"
    }
    asked = in_wandb(folder, "policy-6").partition(":")
    assert server.upstream(asked[0], asked[2]) == upstream_of(folder, "policy-6")
    (final,) = [each for each in server.stored.values() if "final" in each.aliases]
    assert final.aliases == {"final", "latest", "version-6"}


def test_online_the_graph_is_the_same(
    server: RecordedWandb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = synthetic_lineage(
        tmp_path / "synthetic", checkpoints=(2, 4), bundles=(2,), final=4, wandb="online"
    )
    num_given = give(folder)
    assert server.refused == []
    lineage = described(folder)
    assert num_given == len([each for each in lineage.artifacts if each.kind != "ledger"])
    assert len(server.stored) == len(lineage.artifacts)
    for name in ("checkpoint-2", "checkpoint-4", "policy-4"):
        asked = in_wandb(folder, name).partition(":")
        assert server.upstream(asked[0], asked[2]) == upstream_of(folder, name)
    assert give(folder) == 0
    groups = {run.group for run in server.runs.values()}
    assert len(groups) == 1
    assert {run.job_type for run in server.runs.values()} == {"fit", "train", "save"}
    assert all(run.rows == [] for run in server.runs.values())


@pytest.mark.parametrize("with_text", [False, True])
def test_text_leaves_the_machine_only_if_the_config_says_so(
    server: RecordedWandb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_text: bool
) -> None:
    folder = offline(tmp_path / "synthetic", monkeypatch, wandb_text=with_text)
    sync(folder, server)
    sent = "".join(str(each.body) for each in server.received)
    view = read_run(folder.path).label_side.view()
    texts = {each.prompt_text for each in view.queries.values()}
    texts |= {each.text for query in view.queries.values() for each in query.candidates}
    found = [text for text in texts if text in sent]
    assert bool(found) is with_text
    assert all((f"'{name}'" in sent or f'"{name}"' in sent) is with_text for name in LABELERS)


def test_a_run_of_a_sweep_has_its_artifacts_beside_the_sweep_s_run(
    server: RecordedWandb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = synthetic_lineage(tmp_path / "synthetic", checkpoints=(2,), final=None, wandb="online")
    for name, value in {
        "WANDB_SWEEP_ID": "ab12cd34",
        "WANDB_RUN_ID": "chosen-1",
        "WANDB_PROJECT": "tastes",
    }.items():
        monkeypatch.setenv(name, value)
    assert give(folder) > 0
    assert "chosen-1" not in server.runs
    assert all(name.startswith("chosen-1-") for name in server.runs)
    assert {run.project for run in server.runs.values()} == {"tastes"}
    assert os.environ["WANDB_SWEEP_ID"] == "ab12cd34"


def test_a_server_that_refuses_artifacts_ends_nothing_and_is_told_of_once(
    server: RecordedWandb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = synthetic_lineage(tmp_path / "synthetic", checkpoints=(2,), final=None, wandb="online")
    told = StringIO()
    server.refuses_artifacts = True
    _report(folder, Console(file=told, width=200), is_shown=True)
    assert told.getvalue().count("artifacts are not in wandb") == 1
    assert "wandb has 0 of" in told.getvalue()
    assert "`andon report RUN --wandb` gives it the others" in told.getvalue()
    assert "the report is not in wandb" not in told.getvalue()
    server.refuses_artifacts = False
    asked = CliRunner().invoke(main, ["report", "--wandb", str(folder.path)])
    assert asked.exit_code == 0, asked.output
    assert "more in wandb" in asked.output
    asked = CliRunner().invoke(main, ["report", "--wandb", str(folder.path)])
    assert "more in wandb" not in asked.output


def test_without_being_asked_for_there_are_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = synthetic_lineage(tmp_path / "synthetic", wandb_artifacts=False)
    assert give(folder) == 0
    assert not folder.lineage.exists()
