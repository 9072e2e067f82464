from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from cluster.json_lines import read_rows
from cluster.metrics.config import MetricsConfig
from cluster.metrics.names import AXES, CATALOGUE
from cluster.metrics.ray_sink import RaySink
from cluster.metrics.remote import RemoteSink
from cluster.metrics.shell import HUB_OPTIONS, MetricsShell
from cluster.metrics.wandb_sink import WandbSink
from protocol.errors import ResourceError
from protocol.ports import MetricSink
from protocol.remote import spawn
from tests.support.processes import name_of
from tests.support.recorded_wandb import RecordedWandb
from tests.support.sink_contract import KeepingSinkContract, MetricSinkContract, exercise
from tests.support.wandb_file import read_history, read_records
from tests.support.wandb_sinks import demo_sink


@pytest.fixture
def no_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Wandb finds no key and no server on this machine."""
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


def offline_file(folder: Path) -> Path:
    (path,) = folder.glob("wandb/offline-run-*/*.wandb")
    return path


@pytest.fixture
def records(tmp_path: Path, no_account: None) -> list[Any]:
    """What an offline run wrote."""
    exercise(demo_sink(tmp_path))
    # It writes the file, and not only what `finish` waited for.
    assert [child for child in psutil.Process().children() if "wandb" in name_of(child)] == []
    return read_records(offline_file(tmp_path))


class TestWandbSink(KeepingSinkContract, of=WandbSink):
    @pytest.fixture
    def sink(self, tmp_path: Path, no_account: None) -> WandbSink:
        self._folder = tmp_path
        return demo_sink(tmp_path)

    def kept(self, sink: MetricSink) -> list[dict[str, Any]]:
        return read_history(offline_file(self._folder))


class TestRaySink(MetricSinkContract, of=RaySink):
    @pytest.fixture
    def sink(self, ray_session: None) -> RaySink:
        return RaySink(run_id="demo")


def kinds(records: list[Any], kind: str) -> list[Any]:
    return [getattr(record, kind) for record in records if record.WhichOneof("record_type") == kind]


def test_wandb_offline_holds_axes_alert_and_summary(records: list[Any]) -> None:
    axes = {metric.name: metric.step_metric for metric in kinds(records, "metric")}
    expected = {name: metric.axis for name, metric in CATALOGUE.items() if name not in AXES}
    assert {name: axes[name] for name in expected} == expected
    (run,) = kinds(records, "run")
    assert (run.run_id, run.display_name) == ("demo-1-9f2c61d0", "demo-1")
    (alert,) = kinds(records, "alert")
    assert alert.title == "line stopped"
    updates = [item for summary in kinds(records, "summary") for item in summary.update]
    final = {item.key or "/".join(item.nested_key): item.value_json for item in updates}
    assert final["report/episodes"] == "256"
    assert "report/gold_final_mean" not in final


@pytest.mark.usefixtures("no_account")
def test_wandb_online_without_an_account_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match=r"set metrics\.wandb='offline'") as failure:
        demo_sink(tmp_path, mode="online")
    assert "\n" not in str(failure.value)


@pytest.mark.usefixtures("ray_session")
def test_rows_are_in_the_file_once_and_in_order_though_the_hub_is_killed(tmp_path: Path) -> None:
    import ray

    config = MetricsConfig(wandb="off", prometheus=True)
    start = spawn(MetricsShell, "the metrics hub", HUB_OPTIONS)
    hub = start(config, str(tmp_path), "demo", {}, 0.0)
    ray.get(hub.send(MetricsShell.open))
    sink = RemoteSink(hub)
    for step in range(600):
        sink.write({"policy/step": step, "time/wall_s": 0.5 * step, "policy/loss": 0.5})
        if step in (100, 350):
            ray.kill(hub.handle, no_restart=False)
        time.sleep(0.005)
    sink.alert("line stopped", "by a test")
    sink.summarize({"episodes": 512})
    sink.close()
    ray.kill(hub.handle)
    written = read_rows(tmp_path / "metrics.jsonl")
    assert [row["policy/step"] for row in written] == list(range(600))


@pytest.mark.usefixtures("ray_session")
def test_a_hub_that_is_killed_while_wandb_is_out_of_reach_takes_rows(tmp_path: Path) -> None:
    import ray

    with RecordedWandb() as server:
        options = {**HUB_OPTIONS, "runtime_env": {"env_vars": server.environment()}}
        start = spawn(MetricsShell, "the metrics hub", options)
        hub = start(MetricsConfig(wandb="online"), str(tmp_path), "demo", {}, 0.0)
        ray.get(hub.send(MetricsShell.open))
        sink = RemoteSink(hub)
        for step in range(10):
            if step == 5:
                sink.settle()
                server.refuses = True
                ray.kill(hub.handle, no_restart=False)
            sink.write({"policy/step": step, "time/wall_s": 0.5 * step, "policy/loss": 0.5})
        sink.alert("line stopped", "by a test")
        sink.close()
        ray.kill(hub.handle)
        (given,) = server.runs.values()
    assert [row["policy/step"] for row in given.rows if "policy/step" in row] in (
        [*range(number)] for number in range(6)
    )
    assert [row["policy/step"] for row in read_rows(tmp_path / "metrics.jsonl")] == [*range(10)]


@pytest.mark.usefixtures("ray_session")
def test_a_row_that_is_refused_is_told_of_and_the_next_are_written(tmp_path: Path) -> None:
    import ray

    start = spawn(MetricsShell, "the metrics hub", HUB_OPTIONS)
    hub = start(MetricsConfig(wandb="off"), str(tmp_path), "demo", {}, 0.0)
    ray.get(hub.send(MetricsShell.open))
    sink = RemoteSink(hub)

    def write_what_is_refused() -> None:
        sink.write({"no/such": 1.0})  # raises where the hub has answered by now
        sink.settle()

    with pytest.raises(ValueError, match="no/such"):
        write_what_is_refused()
    sink.write({"policy/step": 4, "policy/loss": 0.5})
    sink.close()
    ray.kill(hub.handle)
    (written,) = read_rows(tmp_path / "metrics.jsonl")
    assert written["policy/loss"] == 0.5
