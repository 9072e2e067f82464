"""Whoever runs a run hears that its labelers get nothing but errors, and why."""

from __future__ import annotations

import httpx
import pytest

from cluster.watching.intake_watch import PATIENCE_S, SHOWN_S, TITLE, TOLD_AGAIN_S, IntakeWatch
from label_queue.sides.intake_failures import IntakeFailures


class Surroundings(IntakeFailures):
    """A label queue's failures, an API's answers, a clock, and what was told and shown."""

    def __init__(self) -> None:
        self.failures: dict[str, int] = {}
        self.answer: httpx.Response | httpx.TransportError = httpx.Response(200)
        self.at = 0.0
        self.alerts: list[tuple[str, str]] = []
        self.shown: list[str] = []
        http = httpx.AsyncClient(transport=httpx.MockTransport(self._answer), base_url="http://run")
        self.watch = IntakeWatch(
            self, http, lambda *alert: self.alerts.append(alert), self.shown.append, lambda: self.at
        )

    async def take(self, told: int) -> tuple[int, dict[str, int]]:
        taken, self.failures = self.failures, {}
        return told + 1, taken

    def _answer(self, request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/api/v1/run"
        if isinstance(self.answer, httpx.TransportError):
            raise self.answer
        return self.answer


async def test_a_failure_is_told_once_and_shown_while_it_lasts() -> None:
    here = Surroundings()
    await here.watch.look()
    assert (here.alerts, here.shown) == ([], [])
    for _ in range(3):
        here.failures = {"GET /api/v1/tasks/next: ValidationError: run_id": 2}
        await here.watch.look()
    text = "GET /api/v1/tasks/next: ValidationError: run_id (2 times)"
    assert here.alerts == [(TITLE, text)]
    assert here.shown == [f"{TITLE}: {text}"] * 3
    here.at = SHOWN_S + 1
    await here.watch.look()
    assert here.shown[-1] == ""


async def test_a_failure_that_goes_on_is_told_again_after_a_while() -> None:
    here = Surroundings()
    for here.at in (0.0, TOLD_AGAIN_S - 1, TOLD_AGAIN_S):
        here.failures = {"it": 1}
        await here.watch.look()
    assert here.alerts == [(TITLE, "it")] * 2


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (httpx.Response(503), "status 503"),
        (httpx.ConnectError("refused"), "refused"),
        (httpx.ReadTimeout(""), "ReadTimeout"),
    ],
)
async def test_an_api_that_does_not_answer_is_told_when_patience_ends(
    answer: httpx.Response | httpx.TransportError, why: str
) -> None:
    here = Surroundings()
    here.answer = answer
    here.at = PATIENCE_S - 1
    await here.watch.look()
    assert here.alerts == []
    here.at = PATIENCE_S
    await here.watch.look()
    assert here.alerts == [(TITLE, f"no answer for 60 s: {why}")]


async def test_a_short_silence_is_forgotten() -> None:
    here = Surroundings()
    for here.at, here.answer in (
        (50.0, httpx.Response(503)),
        (55.0, httpx.Response(401)),
        (100.0, httpx.Response(503)),
    ):
        await here.watch.look()
    assert here.alerts == []
