from __future__ import annotations

import gzip
import hashlib
from collections.abc import AsyncIterator

import httpx
import pytest

from protocol.errors import InputError, NotFinite, ScoringFailed
from protocol.fits import RewardVersion
from protocol.messages import Score
from reward_service.http import build_http_app
from tests.support.reward import make_reward_version


class Backend:
    """Scores by counting words, with two heads; raises `error` instead if there is one."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.version: RewardVersion | None = make_reward_version(7)

    async def score(self, texts: list[str]) -> list[Score]:
        if self.error:
            raise self.error
        lengths = [float(len(text.split())) for text in texts]
        return [Score(value=n, heads=(n - 1, n + 1), reward_version=7) for n in lengths]

    async def served(self) -> RewardVersion | None:
        return self.version


@pytest.fixture
def backend() -> Backend:
    return Backend()


def client_of(backend: Backend, token: str | None = None) -> httpx.AsyncClient:
    app = build_http_app(
        score=backend.score,
        served=backend.served,
        token_digest=None if token is None else hashlib.sha256(token.encode()).hexdigest(),
    )
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8000")


@pytest.fixture
async def http(backend: Backend) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(backend) as client:
        yield client


async def test_takes_the_request_of_openrlhf_and_adds_the_version(http: httpx.AsyncClient) -> None:
    answer = await http.post(
        "/get_reward",
        json={"query": ["good soup", "soup"], "prompts": ["good", ""], "labels": ["x", None]},
    )
    assert answer.status_code == 200
    assert answer.json() == {
        "rewards": [2.0, 1.0],
        "scores": [2.0, 1.0],
        "extra_logs": {"head_0": [1.0, 0.0], "head_1": [3.0, 2.0]},
        "reward_version": 7,
    }


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "query"),
        ({"query": []}, "query"),
        ({"query": [""]}, "query"),
        ({"query": "good soup"}, "query"),
        ({"query": [3]}, "query"),
        ({"query": ["good"], "prompts": "good"}, "prompts"),
    ],
)
async def test_a_bad_field_is_named(
    http: httpx.AsyncClient, body: dict[str, object], field: str
) -> None:
    answer = await http.post("/get_reward", json=body)
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"][:2] == ["body", field]


LONG_NUMBER = b'{"query": ["good"], "labels": [' + b"9" * 5_000 + b"]}"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ('{"query": ["gut für Ärger"]}'.encode("latin-1"), "not UTF-8 (byte 17): send it as UTF-8"),
        (LONG_NUMBER, "a number has too many digits"),
        (b'{"query": ' + b"[" * 200_000, "too many levels"),
        (b"query=good", "not JSON: Expecting value"),
        (b'{"query": ["good"]', "not JSON: Expecting ',' delimiter"),
    ],
)
async def test_of_a_body_that_cannot_be_read_it_is_said_why(
    http: httpx.AsyncClient, content: bytes, why: str
) -> None:
    headers = {"Content-Type": "application/json; charset=utf-8"}
    answer = await http.post("/get_reward", content=content, headers=headers)
    assert answer.status_code == 422
    [fault] = answer.json()["detail"]
    assert fault["loc"][0] == "body"
    assert why in fault["msg"]


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded"])
async def test_a_body_of_another_type_is_said_to_be_that(
    http: httpx.AsyncClient, kind: str | None
) -> None:
    headers = {} if kind is None else {"Content-Type": kind}
    answer = await http.post("/get_reward", content=b'{"query": ["good"]}', headers=headers)
    assert answer.status_code == 422
    [fault] = answer.json()["detail"]
    assert fault["loc"] == ["header", "content-type"]
    assert "send the header 'Content-Type: application/json'" in fault["msg"]


async def test_a_body_that_is_compressed_is_said_to_be_that(http: httpx.AsyncClient) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    content = gzip.compress(b'{"query": ["good"]}')
    answer = await http.post("/get_reward", content=content, headers=headers)
    assert answer.status_code == 415
    assert "without Content-Encoding" in answer.json()["detail"]


@pytest.mark.parametrize("field", ["prompts", "labels"])
async def test_lists_of_other_lengths_are_refused(http: httpx.AsyncClient, field: str) -> None:
    answer = await http.post("/get_reward", json={"query": ["good"], field: ["a", "b"]})
    assert answer.status_code == 422
    assert f"{field} has 2 entries and query 1" in answer.json()["detail"][0]["msg"]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InputError("sequence 0 has 65 tokens"), 422),
        (ScoringFailed("no reward version is served yet"), 503),
        (NotFinite("reward version 7 scores sequence 0 as NaN"), 500),
    ],
)
async def test_errors_become_statuses(
    http: httpx.AsyncClient, backend: Backend, error: Exception, status: int
) -> None:
    backend.error = error
    answer = await http.post("/get_reward", json={"query": ["good"]})
    assert answer.status_code == status
    assert str(error) in answer.text


async def test_health_tells_the_version_or_that_there_is_none(
    http: httpx.AsyncClient, backend: Backend
) -> None:
    answer = await http.get("/health")
    assert (answer.status_code, answer.json()) == (200, {"reward_version": 7})
    backend.version = None
    answer = await http.get("/health")
    assert (answer.status_code, answer.json()) == (503, {"reward_version": None})


async def test_the_page_describes_the_routes(http: httpx.AsyncClient) -> None:
    assert (await http.get("/docs")).status_code == 200
    assert {"/get_reward", "/health"} <= (await http.get("/openapi.json")).json()["paths"].keys()


FACE = (
    *(("GET", "/health"), ("GET", "/docs"), ("GET", "/redoc"), ("GET", "/openapi.json")),
    *(("POST", "/get_reward"), ("GET", "/nowhere")),
)


@pytest.mark.parametrize(("method", "path"), FACE)
@pytest.mark.parametrize(
    "host", ["label.example.org", "rebound.evil.example:8000", "127.0.0.1.evil.example", ""]
)
async def test_it_is_not_there_for_another_host(
    http: httpx.AsyncClient, method: str, path: str, host: str
) -> None:
    answer = await http.request(method, path, json={"query": ["good"]}, headers={"Host": host})
    assert (answer.status_code, answer.json()) == (404, {"detail": "Not Found"})


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost:9000", "[::1]:8000"])
async def test_it_is_there_for_this_machine(http: httpx.AsyncClient, host: str) -> None:
    assert (await http.get("/health", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize(("method", "path"), FACE)
async def test_with_a_token_nothing_is_answered_without_it(
    backend: Backend, method: str, path: str
) -> None:
    async with client_of(backend, "secret") as client:
        for sent in (None, "Bearer wrong", "Bearer ", "Basic secret", "secret"):
            headers = {} if sent is None else {"Authorization": sent}
            answer = await client.request(method, path, json={"query": ["good"]}, headers=headers)
            assert answer.status_code == 401
            assert answer.headers["WWW-Authenticate"] == "Bearer"
            assert "tokens/_reward" in answer.json()["detail"]
        good = {"Authorization": "Bearer secret"}
        answer = await client.request(method, path, json={"query": ["good"]}, headers=good)
        assert answer.status_code == (404 if path == "/nowhere" else 200)
        elsewhere = {**good, "Host": "label.example.org"}
        assert (await client.request(method, path, headers=elsewhere)).status_code == 404


async def test_half_a_character_is_refused_and_not_a_failure(http: httpx.AsyncClient) -> None:
    answer = await http.post(
        "/get_reward",
        content=b'{"query": ["the \\ud83d soup"]}',
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body", "query", 0]
