"""HTTP to an outside tool: what is tried again, how long is waited, and what is said of it."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator

import httpx
import pytest

from label_queue.connector_config import LabelStudioConfig
from label_queue.connectors.tool_client import ToolClient
from protocol.errors import ConfigError, InputError, MissingError, TransientError

Answer = httpx.Response | httpx.TransportError


class Tool:
    """Gives its answers one by one, the last for ever; notes the pauses between them."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.num_requests = 0
        self.slept: list[float] = []

    def handle(self, request: httpx.Request) -> httpx.Response:
        answer = self.answers[min(self.num_requests, len(self.answers) - 1)]
        self.num_requests += 1
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


@pytest.fixture
def tool() -> Tool:
    return Tool()


@pytest.fixture
async def client(tool: Tool) -> AsyncIterator[ToolClient]:
    config = LabelStudioConfig(
        kind="label_studio", url="http://127.0.0.1:1", token_env="TOKEN", project_id=1
    )
    http = httpx.AsyncClient(transport=httpx.MockTransport(tool.handle), base_url=config.url)
    client = ToolClient(config, http, sleep=tool.sleep, jitter=random.Random(1))
    yield client
    await client.close()


def busy(status: int, asked: str | None = None) -> httpx.Response:
    return httpx.Response(status, headers={} if asked is None else {"Retry-After": asked})


async def test_a_busy_tool_is_given_up_after_four_tries_with_growing_pauses(
    tool: Tool, client: ToolClient
) -> None:
    tool.answers = [busy(500), httpx.ReadError("lost"), busy(502), busy(504)]
    with pytest.raises(TransientError) as caught:
        await client.send("GET", "/api/x")
    assert str(caught.value) == "label_studio: GET /api/x: status 504, 4 times"
    assert tool.num_requests == 4
    assert [0.5 * n <= s <= n for n, s in zip((1, 2, 4), tool.slept, strict=True)] == [True] * 3


async def test_the_pause_is_what_the_tool_asks_for_within_reason(
    tool: Tool, client: ToolClient
) -> None:
    tool.answers = [busy(429, "7.5"), busy(503, "900"), busy(429, "nan"), httpx.Response(200)]
    assert (await client.send("GET", "/")).status_code == 200
    assert tool.slept[:2] == [7.5, 30.0]
    assert 2.0 <= tool.slept[2] <= 4.0


@pytest.mark.parametrize("asked", ["Fri, 31 Dec 1999 23:59:59 GMT", "-5", "inf", "nan", "", None])
async def test_what_is_no_number_of_seconds_asks_for_none(
    tool: Tool, client: ToolClient, asked: str | None
) -> None:
    tool.answers = [busy(503, asked), httpx.Response(200)]
    await client.send("GET", "/")
    assert 0.5 <= tool.slept[0] <= 1.0


@pytest.mark.parametrize("answer", [busy(429), busy(503), httpx.ConnectError("refused")])
async def test_what_was_surely_not_begun_is_sent_again(
    tool: Tool, client: ToolClient, answer: Answer
) -> None:
    tool.answers = [answer, httpx.Response(201)]
    assert (await client.send("POST", "/", may_repeat=False)).status_code == 201
    assert tool.num_requests == 2


@pytest.mark.parametrize(
    ("answer", "why"),
    [(busy(500), "status 500"), (busy(504), "status 504"), (httpx.ReadError("lost"), "ReadError")],
)
async def test_what_may_have_been_done_is_not_sent_twice(
    tool: Tool, client: ToolClient, answer: Answer, why: str
) -> None:
    tool.answers = [answer]
    with pytest.raises(TransientError, match=rf"^label_studio: POST /: {why}$"):
        await client.send("POST", "/", may_repeat=False)
    assert (tool.num_requests, tool.slept) == (1, [])


@pytest.mark.parametrize(
    ("status", "error"),
    [(301, ConfigError), (401, ConfigError), (404, MissingError), (422, InputError)],
)
async def test_a_refusal_is_not_tried_again(
    tool: Tool, client: ToolClient, status: int, error: type[Exception]
) -> None:
    tool.answers = [httpx.Response(status)]
    with pytest.raises(error):
        await client.send("GET", "/")
    assert tool.num_requests == 1
