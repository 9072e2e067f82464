"""The simulated labeler against a scripted intake: what it sends, counts, retries and gives up."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from label_queue.simulated.__main__ import main
from label_queue.simulated.client import SimulatedLabeler
from label_queue.simulated.config import LabelerProfile
from label_queue.simulated.gold.reviews import ReviewsGold
from protocol.errors import Unauthenticated

GOOD, BAD = "good-one", "bad-one"


def task(number: int, kind: str = "best_of_k") -> dict[str, Any]:
    candidates = [
        {"candidate_id": BAD, "text": "awful . i hated the soup ."},
        {"candidate_id": GOOD, "text": "excellent . i loved the soup ."},
    ]
    return {
        "assignment_id": f"a-{number}",
        "query_id": f"q-{number}",
        "run_id": "demo-1",
        "kind": kind,
        "prompt": {"text": "the soup was"},
        "candidates": candidates,
        "lease_until": 1e9,
        "guideline_version": "1",
    }


class ScriptedIntake:
    """Hands out `num_tasks` tasks, then closes the run; `faults` spoil requests in turn."""

    def __init__(self, num_tasks: int, *, kind: str = "best_of_k") -> None:
        self.num_tasks = num_tasks
        self.kind = kind
        self.faults: list[httpx.Response | Exception] = []
        self.label_statuses: dict[str, int] = {}
        self.claimed = 0
        self.labels: dict[str, dict[str, Any]] = {}
        self.posts = 0
        self.num_on_disk = 0
        """Labels of this labeler's that are on disk, as it is told."""

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        assert request.headers["authorization"] == "Bearer secret"
        if request.url.path == "/api/v1/labels":
            return self._label(json.loads(request.content))
        if self.faults:
            return self._fault()
        if request.url.path == "/api/v1/me":
            return httpx.Response(200, json={"labeler_id": "ann", "labels": self.num_on_disk})
        if request.url.path == "/api/v1/run":
            return httpx.Response(200, json=self._run())
        assert request.url.path == "/api/v1/tasks/next"
        assert float(request.url.params["wait_s"]) > 0
        if self.claimed == self.num_tasks:
            return httpx.Response(204)
        self.claimed += 1
        return httpx.Response(200, json=task(self.claimed, self.kind))

    def _fault(self) -> httpx.Response:
        fault = self.faults.pop(0)
        if isinstance(fault, Exception):
            raise fault
        return fault

    def _label(self, body: dict[str, Any]) -> httpx.Response:
        self.posts += 1
        name = body["assignment_id"]
        if status := self.label_statuses.get(name):
            return httpx.Response(status, json={"error": "InvalidLabel", "message": "no"})
        # Idempotent: the same body again gets the same answer.
        assert self.labels.setdefault(name, body) == body
        if self.faults:
            return self._fault()
        return httpx.Response(200, json={"event_id": f"{name}:0", "seq": 1, "received_at": 0.0})

    def _run(self) -> dict[str, Any]:
        return {
            "run_id": "demo-1",
            "kind": self.kind,
            "guideline_version": "1",
            "labels_total": 9,
            "labels_scheduled": 9,
            "is_closed": self.claimed == self.num_tasks,
        }


def _only_file(path: Path) -> dict[str, int]:
    """Read a report, and see that no draft of it was left behind."""
    assert list(path.parent.iterdir()) == [path]
    report: dict[str, int] = json.loads(path.read_text())
    return report


Labeling = Callable[..., Awaitable[dict[str, int]]]


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def label(tmp_path: Path, waits: list[float]) -> Labeling:
    """Runs a labeler against an intake to its end and returns the report it left."""

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    async def run(
        intake: ScriptedIntake,
        *,
        stop: asyncio.Event | None = None,
        goes_on: bool = False,
        **profile: Any,
    ) -> dict[str, int]:
        path = tmp_path / "report.json"
        if not goes_on:
            path.unlink(missing_ok=True)
        async with httpx.AsyncClient(
            transport=httpx.MockTransport(intake),
            base_url="http://intake",
            headers={"authorization": "Bearer secret"},
        ) as http:
            labeler = SimulatedLabeler(
                http=http,
                profile=LabelerProfile(**{"beta": 1e6, **profile}),
                gold=ReviewsGold(),
                report_path=path,
                sleep=sleep,
                patience_s=20.0,
            )
            await labeler.work(stop or asyncio.Event())
        return _only_file(path)

    return run


async def test_a_rational_labeler_names_the_best_until_the_run_closes(
    label: Labeling, waits: list[float]
) -> None:
    intake = ScriptedIntake(3)
    report = await label(intake, seconds_per_label=2.0)
    assert report == {"acknowledged": 3, "skipped": 0, "refused": 0, "retried": 0}
    for body in intake.labels.values():
        assert body["outcome"] == "choice"
        assert body["choice"] == GOOD
        assert body["run_id"] == "demo-1"
        assert "ranking" not in body
        assert 1000 <= body["active_ms"] <= 3000
    assert waits == [body["active_ms"] / 1000 for body in intake.labels.values()]


async def test_rankings_ties_and_skips_are_sent_as_such(label: Labeling) -> None:
    ranking = ScriptedIntake(1, kind="ranking")
    await label(ranking)
    assert ranking.labels["a-1"]["ranking"] == [GOOD, BAD]
    tie = ScriptedIntake(1)
    await label(tie, eps_equal=100)
    assert tie.labels["a-1"]["outcome"] == "tie"
    assert "choice" not in tie.labels["a-1"]
    skip = ScriptedIntake(2)
    report = await label(skip, eps_skip=1)
    assert report == {"acknowledged": 2, "skipped": 2, "refused": 0, "retried": 0}


async def test_lost_answers_and_busy_servers_are_retried_and_count_once(
    label: Labeling, waits: list[float]
) -> None:
    intake = ScriptedIntake(1)
    intake.faults = [
        httpx.ConnectError("not up yet"),
        httpx.Response(404),
        httpx.Response(503, headers={"retry-after": "Fri, 31 Dec 1999 23:59:59 GMT"}),
        httpx.Response(429, headers={"retry-after": "7.5"}),
    ]
    lost: list[httpx.Response | Exception] = [httpx.ReadError("cut"), httpx.Response(502)]

    async def label_then_lose_the_answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/v1/labels" and lost:
            intake.faults = [lost.pop(0)]
        return await intake(request)

    report = await label(label_then_lose_the_answer, seconds_per_label=0)
    assert intake.posts == 3
    assert len(intake.labels) == 1
    assert report == {"acknowledged": 1, "skipped": 0, "refused": 0, "retried": 6}
    assert waits[3] == 7.5
    assert all(0 < wait <= 5 for wait in waits[:3])


async def test_a_full_disk_is_waited_for_however_long(label: Labeling, waits: list[float]) -> None:
    intake = ScriptedIntake(1)
    intake.faults = [httpx.Response(507, headers={"retry-after": "5"}) for _ in range(100)]
    report = await label(intake, seconds_per_label=0)
    assert report == {"acknowledged": 1, "skipped": 0, "refused": 0, "retried": 100}
    assert sum(waits) > 400


async def test_refused_answers_are_counted_and_do_not_stop_the_work(label: Labeling) -> None:
    intake = ScriptedIntake(3)
    intake.label_statuses = {"a-1": 422, "a-2": 409}
    report = await label(intake)
    assert report == {"acknowledged": 1, "skipped": 0, "refused": 2, "retried": 0}


async def test_a_server_that_stays_away_ends_the_work(label: Labeling, waits: list[float]) -> None:
    intake = ScriptedIntake(9)
    intake.faults = [httpx.ConnectError("gone")] * 100
    report = await label(intake)
    assert report["acknowledged"] == 0
    assert report["retried"] == len(waits)
    assert 20 <= sum(waits) < 26


async def test_a_run_that_is_gone_ends_the_work(label: Labeling) -> None:
    intake = ScriptedIntake(9)
    intake.faults = [httpx.Response(410)]
    assert (await label(intake))["retried"] == 0


async def test_an_unknown_token_is_an_error(label: Labeling) -> None:
    intake = ScriptedIntake(9)
    intake.faults = [httpx.Response(401)]
    with pytest.raises(Unauthenticated, match="--token-file"):
        await label(intake)


async def test_told_to_stop_it_brings_its_answer_to_an_end(label: Labeling) -> None:
    stop = asyncio.Event()
    intake = ScriptedIntake(9)

    async def stop_while_submitting(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/v1/labels":
            stop.set()
            await asyncio.wait_for(stop.wait(), 1)
        return await intake(request)

    report = await label(stop_while_submitting, stop=stop)
    assert report["acknowledged"] == len(intake.labels) == 1


async def test_told_to_stop_it_does_not_try_for_long(label: Labeling, waits: list[float]) -> None:
    stop = asyncio.Event()
    intake = ScriptedIntake(9)

    async def stop_and_break(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/v1/labels":
            stop.set()
            raise httpx.ConnectError("gone")
        return await intake(request)

    report = await label(stop_and_break, stop=stop, seconds_per_label=0)
    assert report["acknowledged"] == 0
    assert 5 <= sum(waits) < 11


async def test_cancelled_it_leaves_no_request_on_its_way(label: Labeling) -> None:
    asked, ended = asyncio.Event(), asyncio.Event()

    async def never_answers(request: httpx.Request) -> httpx.Response:
        asked.set()
        try:
            return await asyncio.Future()
        finally:
            ended.set()

    working = asyncio.ensure_future(label(never_answers))
    await asyncio.wait_for(asked.wait(), 10)
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    assert ended.is_set()


async def test_told_to_stop_it_leaves_an_idle_wait(label: Labeling) -> None:
    stop = asyncio.Event()

    async def never_a_task(request: httpx.Request) -> httpx.Response:
        stop.set()
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    assert (await label(never_a_task, stop=stop))["acknowledged"] == 0


@pytest.mark.parametrize(
    ("on_disk", "counted"),
    [
        pytest.param(5, 5 + 2, id="all in the report"),
        pytest.param(6, 6 + 2, id="the last acknowledged, or under way, when it was killed"),
        pytest.param(4, 5 + 2, id="one that was acknowledged is lost, and that must show"),
    ],
)
async def test_one_that_was_killed_goes_on_with_its_count(
    label: Labeling, tmp_path: Path, on_disk: int, counted: int
) -> None:
    before = {"acknowledged": 5, "skipped": 2, "refused": 1, "retried": 3}
    (tmp_path / "report.json").write_text(json.dumps(before))
    intake = ScriptedIntake(2)
    intake.num_on_disk = on_disk
    report = await label(intake, goes_on=True)
    assert report == {**before, "acknowledged": counted}


async def test_one_that_goes_on_does_not_err_as_it_did_before(
    label: Labeling, tmp_path: Path
) -> None:
    """Its mistakes are drawn by another stream, else each restart would bring the same ones."""
    first, again = ScriptedIntake(40), ScriptedIntake(40)
    await label(first, beta=0.2)
    assert json.loads((tmp_path / "report.json").read_text())["acknowledged"] == 40
    again.num_on_disk = 40
    await label(again, goes_on=True, beta=0.2)
    said = [[body["choice"] for body in intake.labels.values()] for intake in (first, again)]
    assert said[0] != said[1]


async def test_the_same_seed_gives_the_same_answers_whatever_the_network_does(
    label: Labeling,
) -> None:
    calm, rough = ScriptedIntake(20), ScriptedIntake(20)
    rough.faults = [httpx.ConnectError("gone")] * 4
    await label(calm, beta=0, seed=4)
    await label(rough, beta=0, seed=4)
    assert calm.labels == rough.labels


@pytest.mark.parametrize(
    ("profile", "token", "says"),
    [
        ('{"beta": -1}', "secret", "--profile: beta"),
        ('{"speed": 1}', "secret", "--profile: speed"),
        ("beta", "secret", "--profile: it"),
        ("{}", " ", "no labeler token"),
        ("{}", None, "no such token file"),
    ],
)
def test_bad_arguments_are_one_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    profile: str,
    token: str | None,
    says: str,
) -> None:
    token_path = tmp_path / "token"
    if token is not None:
        token_path.write_text(token)
    arguments = ["--url", "http://127.0.0.1:9", "--token-file", str(token_path)]
    arguments += ["--profile", profile, "--report", str(tmp_path / "report.json")]
    assert main(arguments) == 2
    printed = capsys.readouterr().err
    assert says in printed
    assert printed.count("\n") == 1


async def test_words_are_marked_by_what_the_gold_score_loses_without_them(label: Labeling) -> None:
    intake = ScriptedIntake(1)
    await label(intake, marks=1.0)
    texts = {each["candidate_id"]: each["text"] for each in task(1)["candidates"]}
    marked = {
        (texts[span["candidate_id"]][span["start"] : span["end"]], span["mark"])
        for span in intake.labels["a-1"]["spans"]
    }
    assert marked == {("awful", "bad"), ("hated", "bad"), ("excellent", "good"), ("loved", "good")}


async def test_a_labeler_who_prefers_the_worst_marks_the_other_way_round(label: Labeling) -> None:
    intake = ScriptedIntake(1)
    await label(intake, marks=1.0, is_adversarial=True)
    marks = {(span["candidate_id"], span["mark"]) for span in intake.labels["a-1"]["spans"]}
    assert marks == {(BAD, "good"), (GOOD, "bad")}


async def test_who_marks_chooses_as_before_and_who_passes_marks_nothing(label: Labeling) -> None:
    noisy = {"beta": 0.3, "eps_mistake": 0.3, "seed": 5}
    plain, marking, passing = ScriptedIntake(12), ScriptedIntake(12), ScriptedIntake(1)
    await label(plain, **noisy)
    await label(marking, **noisy, marks=0.5)
    await label(passing, eps_skip=1.0, marks=1.0)
    assert all("spans" not in body for body in plain.labels.values())
    counts = {len(body.pop("spans", ())) for body in marking.labels.values()}
    assert len(counts) > 1, "some words are marked, and some are not"
    assert marking.labels == plain.labels
    assert "spans" not in passing.labels["a-1"]
