"""Which runs a front finds, and below which path."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cluster.front.places import FRESH_S, Places, see
from tests.support.fronted import make_run

AT = "https://label.example.org"
FACE = "http://127.0.0.1:8001"


def test_the_path_at_which_people_find_a_run_leads_to_its_face(tmp_path: Path) -> None:
    make_run(tmp_path, "run-a", url=FACE, pages_url=f"{AT}/run-a")
    make_run(tmp_path, "run-ab", url="http://127.0.0.1:8002", pages_url=f"{AT}/run-a/b")
    sight = see([tmp_path])
    found = {
        path: None if (place := sight.at(path)) is None else place.name
        for path in ("/run-a", "/run-a/", "/run-a/api", "/run-a/b", "/run-a/b/c", "/run-ab", "/")
    }
    assert found == {
        **dict.fromkeys(("/run-a", "/run-a/", "/run-a/api"), "run-a"),
        **dict.fromkeys(("/run-a/b", "/run-a/b/c"), "run-ab"),
        **dict.fromkeys(("/run-ab", "/"), None),
    }
    assert (way := sight.at("/run-a/x")) is not None
    assert (way.face, way.why_not) == (FACE, "")


@pytest.mark.parametrize(
    ("state", "why_not", "words"),
    [
        ({"state": "starting", "activity": "preparing"}, "is starting", "preparing"),
        ({"state": "finished"}, "is finished", ""),
        ({"state": "stopped", "stop_reason": "enough"}, "is stopped", "enough"),
        ({"state": "failed", "error": "no room"}, "is failed", "no room"),
        (
            {"host": "elsewhere", "activity": "training"},
            "is on another machine",
            "on elsewhere, where its pages are; training",
        ),
        ({"url": None}, "is starting", ""),
    ],
)
def test_a_run_that_is_not_to_be_asked_has_no_face(
    tmp_path: Path, state: dict[str, object], why_not: str, words: str
) -> None:
    make_run(tmp_path, "run-a", **{"url": FACE, "pages_url": f"{AT}/run-a", **state})
    place = see([tmp_path]).at("/run-a/")
    assert place is not None
    assert (place.face, place.why_not, place.words) == (None, why_not, words)


def test_what_listens_where_a_dead_run_s_face_was_is_not_asked(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-S", "-c", "pass"])
    gone.wait()
    make_run(tmp_path, "run-a", url=FACE, pages_url=f"{AT}/run-a", pid=gone.pid)
    place = see([tmp_path]).at("/run-a/")
    assert place is not None
    assert (place.face, place.why_not) == (None, "is dead")
    assert "andon resume" in place.words


def test_of_runs_with_one_path_the_one_that_goes_on_has_it_and_two_have_it_not(
    tmp_path: Path,
) -> None:
    said = {"url": FACE, "pages_url": f"{AT}/labels"}
    make_run(tmp_path, "run-a", **said, started_at=3_000.0, state="finished")
    make_run(tmp_path, "run-b", **said, started_at=1_000.0)
    place = see([tmp_path]).at("/labels/")
    assert place is not None
    assert (place.name, place.face) == ("run-b", FACE)
    make_run(tmp_path, "run-c", **said)
    place = see([tmp_path]).at("/labels/")
    assert place is not None
    assert (place.face, place.why_not) == (None, "shares its path with another run")


def test_what_cannot_be_read_keeps_nobody_from_the_others(tmp_path: Path) -> None:
    make_run(tmp_path, "run-a", url=FACE, pages_url=f"{AT}/run-a")
    make_run(tmp_path, "run-b").state.write_text("{")
    make_run(tmp_path, "run-c", pages_url="https://[")
    (tmp_path / "notes").mkdir()
    sight = see([tmp_path / "nowhere", tmp_path])
    assert [each.name for each in sight.places] == ["run-a"]
    assert ["run-b" in sight.unread[0], "run-c" in sight.unread[1]] == [True, True]
    assert len(sight.unread) == 2


async def test_it_is_read_anew_after_a_second(tmp_path: Path) -> None:
    now = 0.0
    places = Places([tmp_path], clock=lambda: now)
    assert not (await places.now()).places
    make_run(tmp_path, "run-a", url=FACE, pages_url=f"{AT}/run-a")
    assert not (await places.now()).places
    now = FRESH_S
    assert [each.name for each in (await places.now()).places] == ["run-a"]
