"""Who is shown the list of runs, and what is said of one that cannot be asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.fronted import fronted, make_run

AT = "https://label.example.org"
FACE = "http://127.0.0.1:8001"


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    make_run(tmp_path, "run-a", url=FACE, pages_url=f"{AT}/run-a", activity="<training>")
    make_run(tmp_path, "run-b", state="stopped", stop_reason="enough", pages_url=f"{AT}/run-b")
    make_run(tmp_path, "run-c", url=FACE, pages_url=FACE)
    make_run(tmp_path, "run-d", state="finished", pages_url=f"{AT}/run-d")
    make_run(tmp_path, "run-e").state.write_text("{")
    return tmp_path


async def test_this_machine_is_shown_what_runs_there_are_and_how_they_are(runs: Path) -> None:
    async with fronted(runs) as client:
        page = await client.get("/")
    assert page.status_code == 200
    assert f'<a href="{AT}/run-a/">run-a</a>' in page.text
    assert "&lt;training&gt;" in page.text
    assert "script-src" not in page.headers["content-security-policy"]
    assert "href" not in page.text.partition("run-b")[2]
    for words in ("stopped", "enough", "set cluster.public_url", "run-e"):
        assert words in page.text


async def test_there_may_be_no_runs(tmp_path: Path) -> None:
    async with fronted(tmp_path) as client:
        assert "There are none." in (await client.get("/")).text


@pytest.mark.parametrize(
    "headers",
    [{"Host": "label.example.org"}, {"X-Forwarded-For": "192.0.2.7"}, {"Host": "evil.example"}],
)
async def test_others_are_shown_it_only_where_that_is_asked_for(
    runs: Path, headers: dict[str, str]
) -> None:
    async with fronted(runs) as client:
        assert (await client.get("/", headers=headers)).status_code == 404
    async with fronted(runs, lists_to_all=True) as client:
        page = await client.get("/", headers=headers)
    assert page.status_code == 200
    assert f'<a href="{AT}/run-a/">run-a</a>' in page.text
    assert "training" not in page.text
    assert "enough" not in page.text
    assert "run-e" not in page.text


async def test_where_others_come_without_a_proxy_nobody_is_this_machine(runs: Path) -> None:
    async with fronted(runs, is_wide=True) as client:
        assert (await client.get("/")).status_code == 404


@pytest.mark.parametrize(("run", "error"), [("run-b", "ResourceError"), ("run-d", "QueueClosed")])
async def test_a_page_learns_whether_a_run_may_come_back(runs: Path, run: str, error: str) -> None:
    async with fronted(runs) as client:
        answer = await client.post(f"/{run}/api/v1/labels", json={})
        page = await client.get(f"/{run}/")
    assert (answer.status_code, answer.json()["error"]) == (503, error)
    assert answer.json()["message"].startswith(f"{run} is ")
    assert page.status_code == 503
    assert page.text.endswith("nothing was stored\n")


async def test_a_path_of_nobody_s_is_no_answer_of_a_run(runs: Path) -> None:
    async with fronted(runs) as client:
        answer = await client.post("/run-x/api/v1/labels", json={})
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/plain")
