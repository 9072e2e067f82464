"""What can be told of a run from outside, and asking it to stop."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import psutil
import pytest

from cluster.process_start import mark_of
from cluster.run_folder import RunFolder
from cluster.watching import status
from cluster.watching.status import describe, has_driver, read_status
from protocol.cord import Pulled
from protocol.errors import InputError, MissingError, ResourceError
from tests.support.clock_set_back import set_clock_back
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


def test_a_run_goes_on_whatever_becomes_of_the_clock(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.update_state(pid_mark=mark_of(os.getpid()))
    set_clock_back(monkeypatch, 3600.0)
    assert psutil.Process().create_time() < folder.read_state()["pid_started_at"] - 3599
    assert read_status(folder.path)["state"] == "running"


def test_a_mark_tells_a_run_s_process_from_one_that_took_its_number_later(
    folder: RunFolder,
) -> None:
    boot, pid, ticks = mark_of(os.getpid()).split()
    for another in (f"{boot} {pid} {int(ticks) - 1}", f"another-{boot} {pid} {ticks}"):
        folder.update_state(pid_mark=another)
        assert read_status(folder.path)["state"] == "dead"
    folder.update_state(pid_mark=f"{boot} {int(pid) + 1} {ticks}")  # an older version went on since
    assert read_status(folder.path)["state"] == "running"


def test_a_run_on_another_host_is_taken_at_its_word(folder: RunFolder) -> None:
    folder.update_state(host="elsewhere", pid_started_at=0.0)
    assert read_status(folder.path)["state"] == "running"


def test_a_run_that_was_last_elsewhere_is_gone_on_with_only_where_that_is_said_to_be_no_more(
    folder: RunFolder,
) -> None:
    assert has_driver(folder.path, unseen_is_gone=True)  # it is seen
    folder.update_state(host="elsewhere", pid_started_at=0.0)
    with pytest.raises(ResourceError, match=r"was last on elsewhere.* give --driver-is-gone"):
        has_driver(folder.path, unseen_is_gone=False)
    assert not has_driver(folder.path, unseen_is_gone=True)
    folder.update_state(state="stopped")
    assert not has_driver(folder.path, unseen_is_gone=False)


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


def test_where_people_label_is_the_public_address(folder: RunFolder) -> None:
    folder.update_state(pages_url="https://label.example.org/run-a")
    line = f"  labelling         https://label.example.org/run-a/ (andon label {folder.path})"
    assert line in describe(read_status(folder.path), as_json=False).splitlines()


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
        f"  to go on          andon resume {folder.path}",
    ]


@pytest.mark.parametrize("field", ["error", "stop_reason"])
def test_why_a_run_ended_is_one_line_of_plain_text(folder: RunFolder, field: str) -> None:
    """A part's error quotes what it was answered, and Ray's are coloured and of many lines."""
    said = "ActorDied: \x1b[36mray::learner\x1b[39m\n  reward            v9\x1b]0;all is well\x07"
    folder.update_state(state="stopped", **{field: said})
    lines = describe(read_status(folder.path), as_json=False).splitlines()
    assert lines[1:-1] == [
        r"  reason            ActorDied: \x1b[36mray::learner\x1b[39m\n"
        r"  reward            v9\x1b]0;all is well\x07"
    ]


def test_what_a_run_does_now_is_plain_text(folder: RunFolder) -> None:
    folder.update_state(activity="waits for\x1b[2J labels")
    line = r"  now               waits for\x1b[2J labels"
    assert line in describe(read_status(folder.path), as_json=False).splitlines()


def test_of_a_dead_run_it_is_said_when_it_was_last_heard_and_what_to_do(folder: RunFolder) -> None:
    folder.update_state(pid_started_at=0.0)
    folder.inspection.write_text("{}")
    heard = time.mktime((2026, 11, 26, 13, 45, 12, 0, 0, -1))
    os.utime(folder.state, (heard - 60, heard - 60))
    os.utime(folder.inspection, (heard, heard))
    assert describe(read_status(folder.path), as_json=False).splitlines()[:2] == [
        f"{folder.path}: dead (online, seed 1)",
        f"  reason            its driver (process {os.getpid()}) died; last heard at "
        f"2026-11-26 13:45:12; andon resume {folder.path} goes on from its last checkpoint",
    ]


def test_a_status_as_json_is_the_status(folder: RunFolder) -> None:
    found = read_status(folder.path)
    assert json.loads(describe(found, as_json=True)) == found


def test_where_the_rewards_face_is_is_said_while_it_is_there(folder: RunFolder) -> None:
    folder.update_state(reward_url="http://127.0.0.1:8001/reward")
    said = "  reward over HTTP  http://127.0.0.1:8001/reward/get_reward"
    assert said in describe(read_status(folder.path), as_json=False).splitlines()
    folder.update_state(state="finished")
    assert said not in describe(read_status(folder.path), as_json=False)


@pytest.mark.parametrize(
    ("reasons", "field"), [([{}], "cord.reasons.0.actor"), ("because", "cord.reasons")]
)
def test_reasons_of_the_cord_that_are_none_are_named(
    folder: RunFolder, reasons: object, field: str
) -> None:
    cord = {"is_pulled": True, "pulled_by": "ann", "reason": "it swears", "reasons": reasons}
    folder.update_state(cord=cord)
    with pytest.raises(InputError, match=field):
        read_status(folder.path)


@pytest.mark.parametrize("changes", [{"state": "starting"}, {"pid_started_at": 0.0}])
def test_addresses_of_a_life_before_are_not_said(
    folder: RunFolder, changes: dict[str, object]
) -> None:
    """Another run may listen there by now: of one that is dead, or is being resumed."""
    at = "http://127.0.0.1:8000"
    folder.update_state(url=at, pages_url=at, reward_url="http://127.0.0.1:8001")
    assert at in describe(read_status(folder.path), as_json=False)
    folder.update_state(**changes)
    assert "http://" not in describe(read_status(folder.path), as_json=False)
