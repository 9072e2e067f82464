"""What can be told of a run from outside, and asking it to stop."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from cluster.run_folder import RunFolder
from cluster.watching import status
from cluster.watching.status import describe, read_status, request_stop
from protocol.errors import MissingError, ResourceError
from protocol.labels import Pulled
from tests.support.labels import make_cord


@pytest.fixture
def folder(running: RunFolder) -> RunFolder:
    running.update_state(url="http://127.0.0.1:8000")
    return running


def test_status_has_the_last_value_of_every_metric(folder: RunFolder) -> None:
    folder.metrics.write_text(
        '{"policy/step": 1, "reward/score_mean": 0.25}\n'
        '{"labels/accepted": 300}\n'
        '{"policy/step": 2}\n'
        '{"policy/step": 3, "reward/sc'  # being written
    )
    found = read_status(folder.path)
    assert found["state"] == "running"
    assert found["metrics"] == {
        "policy/step": 2,
        "reward/score_mean": 0.25,
        "labels/accepted": 300,
    }


def test_a_run_that_has_written_no_metrics_has_a_status(folder: RunFolder) -> None:
    assert read_status(folder.path)["metrics"] == {}


def test_no_run_no_status(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="holds no run"):
        read_status(tmp_path)


def test_a_run_whose_process_is_gone_is_dead(folder: RunFolder) -> None:
    gone = subprocess.Popen([sys.executable, "-S", "-c", "pass"])
    gone.wait()
    folder.update_state(pid=gone.pid)
    assert read_status(folder.path)["state"] == "dead"


def test_a_process_that_took_the_run_s_number_later_is_not_the_run(folder: RunFolder) -> None:
    folder.update_state(pid_started_at=psutil.Process().create_time() - 3600)
    assert read_status(folder.path)["state"] == "dead"


def test_a_run_on_another_host_is_taken_at_its_word(folder: RunFolder) -> None:
    folder.update_state(host="elsewhere", pid_started_at=0.0)
    assert read_status(folder.path)["state"] == "running"


@pytest.mark.parametrize("state", status.ENDED)
def test_a_run_that_said_how_it_ended_is_not_dead(folder: RunFolder, state: str) -> None:
    folder.update_state(state=state, pid_started_at=0.0)
    assert read_status(folder.path)["state"] == state


def test_a_status_in_words_says_what_is_known(folder: RunFolder) -> None:
    folder.metrics.write_text(
        '{"policy/episodes": 1280, "reward/score_mean": 0.5, "kl/reference_mean": 6.254}\n'
    )
    assert describe(read_status(folder.path), as_json=False).splitlines() == [
        f"{folder.path}: running (online, seed 1)",
        f"  labelling         http://127.0.0.1:8000/ (andon label {folder.path})",
        "  episodes          1280",
        "  score             +0.50",
        "  KL to reference   6.25",
    ]


def test_a_pulled_cord_is_said_with_its_reason_as_plain_text(folder: RunFolder) -> None:
    cord = {"is_pulled": True, "pulled_by": "ann", "reason": "it shouts\n\x1b[2Jat me"}
    folder.update_state(cord=cord)
    line = "  cord              pulled by ann: it shouts \\x1b[2Jat me"
    assert line in describe(read_status(folder.path), as_json=False).splitlines()


def test_every_reason_of_a_pulled_cord_is_said_with_its_evidence(folder: RunFolder) -> None:
    seen = "guards/0001-kl_sign.json"
    pulls = (
        Pulled(event_id="c1", actor="ann", reason="typo", at=1.0),
        Pulled(
            event_id="c2", actor="guard", reason="KL is −1", at=2.0, guard="kl_sign", evidence=seen
        ),
    )
    folder.update_state(cord=asdict(make_cord(*pulls)))
    lines = describe(read_status(folder.path), as_json=False).splitlines()
    assert "  cord              pulled by ann: typo" in lines
    assert f"  cord              pulled by guard kl_sign: KL is −1 (see {seen})" in lines


def test_an_ended_run_says_why_and_offers_no_labelling(folder: RunFolder) -> None:
    folder.update_state(state="failed", error="NotFinite: loss is nan")
    assert describe(read_status(folder.path), as_json=False).splitlines() == [
        f"{folder.path}: failed (online, seed 1)",
        "  reason            NotFinite: loss is nan",
    ]


def test_a_status_as_json_is_the_status(folder: RunFolder) -> None:
    found = read_status(folder.path)
    assert json.loads(describe(found, as_json=True)) == found


def test_a_run_that_has_ended_is_not_asked_to_stop(folder: RunFolder) -> None:
    folder.update_state(state="finished")
    assert request_stop(folder.path, "enough", 60) == f"{folder.path}: already finished"
    assert folder.stop_requested() is None


class Clock:
    """Time that passes only while somebody sleeps; the run stops after `stops_after_s`."""

    def __init__(self, folder: RunFolder, stops_after_s: float) -> None:
        self.now = 0.0
        self._folder = folder
        self._stops_after_s = stops_after_s

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.now >= self._stops_after_s:
            assert self._folder.stop_requested() == "enough"
            self._folder.update_state(state="stopped")


def set_clock(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    here = SimpleNamespace(monotonic=clock.monotonic, sleep=clock.sleep)
    monkeypatch.setattr(status, "time", here)


def test_a_stop_waits_until_the_run_has_ended(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(folder, stops_after_s=3.0)
    set_clock(monkeypatch, clock)
    assert request_stop(folder.path, "enough", 60) == f"{folder.path}: stopped"
    assert clock.now == 3.0


def test_a_run_that_does_not_stop_in_time_is_told_with_the_mend(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_clock(monkeypatch, Clock(folder, stops_after_s=61.0))
    with pytest.raises(ResourceError, match=r"had not ended after 60 s: see .*--timeout") as told:
        request_stop(folder.path, "enough", 60)
    assert "\n" not in str(told.value)
    assert folder.stop_requested() == "enough"
