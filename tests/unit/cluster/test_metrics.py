from __future__ import annotations

import json
import math
import re
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from pydantic import ValidationError

from cluster.json_lines import read_rows
from cluster.metrics.config import MetricsConfig
from cluster.metrics.hub import MetricsHub, open_hub, unique_id
from cluster.metrics.jsonl_sink import JsonlSink, read_metrics
from cluster.metrics.names import AXES, CATALOGUE, checked
from cluster.metrics.ray_sink import gauge_name
from protocol.errors import InputError, NotFinite, ResourceError
from protocol.ports import MetricSink
from tests.support.memory_sink import MemorySink
from tests.support.sink_contract import KeepingSinkContract
from tests.support.wandb_sinks import demo_sink

ROOT = Path(__file__).resolve().parents[3]


class TestMemorySink(KeepingSinkContract, of=MemorySink):
    @pytest.fixture
    def sink(self) -> MemorySink:
        return MemorySink()

    def kept(self, sink: MetricSink) -> list[dict[str, float | int | str]]:
        assert isinstance(sink, MemorySink)
        assert sink.is_closed
        return sink.rows


class TestJsonlSink(KeepingSinkContract, of=JsonlSink):
    @pytest.fixture
    def sink(self, tmp_path: Path) -> JsonlSink:
        self._path = tmp_path / "run" / "metrics.jsonl"
        return JsonlSink(self._path)

    def kept(self, sink: MetricSink) -> list[dict[str, object]]:
        return read_rows(self._path)


class TestMetricsHub(KeepingSinkContract, of=MetricsHub):
    @pytest.fixture
    def sink(self) -> MetricsHub:
        self._behind = MemorySink()
        return MetricsHub([self._behind], wall_s=lambda: 0.0)

    def kept(self, sink: MetricSink) -> list[dict[str, float | int | str]]:
        return self._behind.rows


def test_the_memory_sink_keeps_what_is_said_to_people() -> None:
    sink = MemorySink()
    sink.alert("line stopped", "the KL is above three times its target")
    sink.summarize({"episodes": 256, "gold_final_mean": None})
    assert sink.alerts == [("line stopped", "the KL is above three times its target")]
    assert sink.summary == {"episodes": 256, "gold_final_mean": None}


def test_jsonl_sink_cuts_a_torn_line_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"time/wall_s": 1}\n{"time/wal')
    assert read_rows(path) == [{"time/wall_s": 1}]
    sink = JsonlSink(path)
    sink.write({"time/wall_s": 2})
    sink.close()
    assert read_rows(path) == [{"time/wall_s": 1}, {"time/wall_s": 2}]


@pytest.mark.parametrize(
    "value", ["NaN", "-Infinity", "1e999", "9" * 400, "true", "null", '"0.5"', "[1]"]
)
def test_what_is_no_finite_number_is_not_read(tmp_path: Path, value: str) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"time/wall_s": 1}\n{"time/wall_s": ' + value + "}\n")
    with pytest.raises(InputError, match=r"line 2: time/wall_s: want a finite number, got .*put"):
        read_metrics(path)


def test_a_run_without_metrics_has_no_rows(tmp_path: Path) -> None:
    assert read_rows(tmp_path / "metrics.jsonl") == []


def test_hub_stamps_wall_time_and_keeps_the_senders_own() -> None:
    sink = MemorySink()
    hub = MetricsHub([sink], wall_s=lambda: 7.5)
    hub.write({"policy/step": 3, "policy/loss": 0.5})
    hub.write({"time/wall_s": 2.0, "throughput/learner_idle": 0.25})
    assert sink.rows == [
        {"time/wall_s": 7.5, "policy/step": 3, "policy/loss": 0.5},
        {"time/wall_s": 2.0, "throughput/learner_idle": 0.25},
    ]


def test_a_bad_row_reaches_no_sink() -> None:
    sink = MemorySink()
    hub = MetricsHub([sink], wall_s=lambda: 0.0)
    with pytest.raises(ValueError, match="unknown metric"):
        hub.write({"policy/step": 3, "policy/lost": 0.5})
    assert sink.rows == []


def test_the_file_is_written_first_and_closed_last() -> None:
    order: list[str] = []

    class Noted(MemorySink):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

        def write(self, row: object) -> None:
            order.append(f"write {self.name}")

        def close(self) -> None:
            order.append(f"close {self.name}")

    hub = MetricsHub([Noted("file"), Noted("wandb")], wall_s=lambda: 0.0)
    hub.write({"policy/step": 0, "policy/loss": 1.0})
    hub.close()
    assert order == ["write file", "write wandb", "close wandb", "close file"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"policy/step": 1}, "one step axis"),
        ({"policy/step": 1, "policy/loss": 1.0, "labels/received": 3}, "one step axis"),
        ({"policy/loss": 1.0}, "must carry its step 'policy/step'"),
        ({"policy/step": 1, "policy/loss": "low"}, "must be a number"),
        ({"policy/step": 1, "policy/Loss": 1.0}, "unknown metric 'policy/Loss'"),
    ],
)
def test_rows_that_do_not_fit_are_rejected(row: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        checked(row)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_an_error(value: float) -> None:
    with pytest.raises(NotFinite, match="policy/loss"):
        checked({"policy/step": 1, "policy/loss": value})


def test_prefixes_of_one_axis_may_share_a_row() -> None:
    assert checked({"policy/step": 1, "policy/loss": 0.1, "kl/target": 8.0}) == "policy/step"


def test_every_name_has_an_axis_that_exists() -> None:
    assert {metric.axis for metric in CATALOGUE.values()} == set(AXES)
    assert all(name.count("/") == 1 for name in CATALOGUE)


def test_gauge_names_are_distinct_and_without_slash() -> None:
    names = {gauge_name(name) for name in CATALOGUE}
    assert len(names) == len(CATALOGUE)
    assert "andon_kl_reference_mean" in names


def test_the_documented_names_are_the_catalogue() -> None:
    lines = (ROOT / "docs" / "METRICS.md").read_text().splitlines()
    documented = {line.split("`")[1] for line in lines if line.startswith("| `")}
    assert documented == set(CATALOGUE)


def test_wandb_is_imported_only_when_asked_for(tmp_path: Path) -> None:
    hub = open_hub(
        MetricsConfig(wandb="off"),
        folder=tmp_path,
        run_id="demo",
        run_config={},
        began_at=100.0,
        now=lambda: 107.5,
    )
    hub.write({"policy/step": 0, "policy/loss": 1.0})
    hub.close()
    row = json.loads((tmp_path / "metrics.jsonl").read_text())
    assert row == {"policy/step": 0, "policy/loss": 1.0, "time/wall_s": 7.5}
    check = "import sys, cluster.metrics.hub; sys.exit('wandb' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def test_the_hub_is_given_sinks_by_their_port() -> None:
    sinks: list[MetricSink] = [MemorySink()]
    assert MetricsHub(sinks, wall_s=lambda: 0.0) is not None


def test_two_runs_of_one_name_have_two_wandb_ids(tmp_path: Path) -> None:
    ids = {
        unique_id("demo-1", folder, began_at)
        for folder in (tmp_path / "a" / "demo-1", tmp_path / "b" / "demo-1")
        for began_at in (100.0, 100.5)
    }
    assert len(ids) == 4
    assert all(re.fullmatch("demo-1-[0-9a-f]{8}", found) for found in ids)
    assert unique_id("demo-1", tmp_path, 100.0) == unique_id("demo-1", tmp_path, 100.0)


@pytest.mark.parametrize(
    "name", ["team/rlhf", "a\\b", "a#b", "a?b", "a%b", "a:b", "a\nb", " ", "", "p" * 129]
)
def test_a_project_that_wandb_does_not_take_is_refused_by_name(name: str) -> None:
    with pytest.raises(ValidationError, match=r"wandb_project\n.*(wandb takes no|at most 128)"):
        MetricsConfig(wandb_project=name)


@pytest.mark.parametrize("name", ["andon", "süß 2", "p" * 128, "a.b-c_d!"])
def test_other_projects_wandb_takes_as_well(name: str) -> None:
    import wandb

    assert MetricsConfig(wandb_project=name).wandb_project == name
    assert wandb.Settings(project=name).project == name


def test_what_wandb_refuses_is_not_put_down_to_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import wandb

    wandb.teardown()  # or it goes by the environment that a test before this one had
    monkeypatch.setenv("WANDB_MODE", "sometimes")
    with pytest.raises(ResourceError) as told:
        demo_sink(tmp_path)
    assert "wandb refuses its settings" in str(told.value)
    assert "mode" in str(told.value)
    assert "network" not in str(told.value)


def test_offline_is_not_told_to_go_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import wandb

    def refuse(**_: object) -> None:
        raise wandb.errors.UsageError("no such\nthing")

    monkeypatch.setattr(wandb, "init", refuse)
    with pytest.raises(ResourceError) as told:
        demo_sink(tmp_path)
    assert str(told.value) == (
        "wandb could not start offline (no such thing); mend that, or set metrics.wandb='off'"
    )


def test_wandb_is_sought_behind_the_proxy_where_one_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    import wandb

    from cluster.metrics.wandb_sink import check_online

    settings = SimpleNamespace(settings=SimpleNamespace(base_url="https://wandb.invalid"))
    monkeypatch.setattr(wandb, "setup", lambda: settings)
    monkeypatch.setattr(wandb, "teardown", lambda: None)
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        at = f"127.0.0.1:{proxy.getsockname()[1]}"
        monkeypatch.setenv("https_proxy", f"http://me:secret@{at}/")
        check_online()
    with pytest.raises(ResourceError) as told:
        check_online()
    assert f"({at}, the proxy before https://wandb.invalid, cannot be reached)" in str(told.value)
    monkeypatch.setenv("no_proxy", "wandb.invalid")
    with pytest.raises(ResourceError, match=r"\(wandb\.invalid cannot be reached\)"):
        check_online()


def test_wandb_is_sought_where_the_environment_says_now(monkeypatch: pytest.MonkeyPatch) -> None:
    import wandb

    from cluster.metrics.wandb_sink import check_online

    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:1")
    wandb.setup(wandb.Settings(mode="disabled"))
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:2")
    with pytest.raises(ResourceError, match=r"\(127\.0\.0\.1:2 cannot be reached\)"):
        check_online()
