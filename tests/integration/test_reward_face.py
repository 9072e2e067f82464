"""The reward's HTTP face over replicas that are no processes: what crosses together, and errors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from protocol.errors import InputError, ScoringFailed
from protocol.gathering import Gathered, Outcome
from protocol.messages import Score
from reward_service.config import RewardServiceConfig
from tests.support.patience import PATIENCE_S
from tests.support.ports import free_port
from tests.support.reward import make_reward_version

pytestmark = [
    # Serve's own, when it is imported.
    pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince20"),
]


class FakeReplicas:
    """Serve's handle: answers, once it may, with each text's length; keeps what messages held."""

    def __init__(self) -> None:
        self.messages: list[list[list[str]]] = []
        self.came = asyncio.Semaphore(0)
        self.may_answer = asyncio.Event()
        self.error: Exception | None = None
        self.score_texts = SimpleNamespace(remote=self._score)

    def _score(self, requests: list[list[str]]) -> Awaitable[list[Outcome]]:
        self.messages.append(requests)
        self.came.release()
        return self._answer(requests)

    async def _answer(self, requests: list[list[str]]) -> list[Outcome]:
        await self.may_answer.wait()
        if self.error is not None:
            raise self.error
        return [
            Outcome(error=InputError("too long: shorten it"))
            if "endless" in texts
            else Outcome(
                answer=[Score(value=len(t), heads=(1.0,), reward_version=7) for t in texts]
            )
            for texts in requests
        ]


class Noting(Gathered[list[str]]):
    """Says of each request that it has come."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.came = asyncio.Semaphore(0)

    async def ask(self, item: list[str]) -> Any:
        self.came.release()
        return await super().ask(item)


class FakeAnnouncer:
    async def ask(self, *_: object) -> object:
        return make_reward_version(7)


@asynccontextmanager
async def facing(
    replicas: FakeReplicas, **config: Any
) -> AsyncIterator[tuple[Noting, httpx.AsyncClient]]:
    """Yield what gathers the requests to a face that listens, and a client of it."""
    from reward_service import face as module

    settings, port = RewardServiceConfig.model_validate(config), free_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "named", lambda *_: FakeAnnouncer())
        patch.setattr(module, "Gathered", Noting)
        face = module.RewardFace(replicas, "announcer", settings, host="127.0.0.1", port=port)
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_S, trust_env=False
    ) as http:
        assert isinstance(face._gathered, Noting)
        await face.ready()
        yield face._gathered, http
    await face.stop()
    await face.stop()  # a call may come twice


async def test_what_comes_while_replicas_score_crosses_together_and_each_has_its_own_answer() -> (
    None
):
    replicas = FakeReplicas()
    async with facing(replicas, max_batch_size=4, max_ongoing_requests=8) as (gathered, http):

        def ask(text: str) -> asyncio.Task[httpx.Response]:
            return asyncio.create_task(http.post("/get_reward", json={"query": [text]}))

        asked = []
        for text in ("a", "bb"):  # one replica is sent two messages, each as it comes
            asked.append(ask(text))
            await gathered.came.acquire()
            await replicas.came.acquire()
        asked += map(ask, ("ccc", "dddd", "endless", "eeeee", "ffffff"))
        for _ in range(5):
            await gathered.came.acquire()
        replicas.may_answer.set()
        answers = await asyncio.gather(*asked)
    assert [len(message) for message in replicas.messages] == [1, 1, 4, 1]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 200, 422, 200, 200]
    rewards = [answer.json()["rewards"] for answer in answers if answer.status_code == 200]
    assert rewards == [[1], [2], [3], [4], [5], [6]]


async def test_a_replica_that_is_gone_is_to_be_asked_again_and_then_there_is_another() -> None:
    replicas = FakeReplicas()
    replicas.may_answer.set()
    async with facing(replicas) as (_, http):
        replicas.error = ScoringFailed("the reward service did not answer: it died")
        lost = await http.post("/get_reward", json={"query": ["a"]})
        assert (lost.status_code, lost.headers["Retry-After"]) == (503, "1")
        assert "it died" in lost.json()["detail"]  # and not that it took too long
        replicas.error = None
        assert (await http.post("/get_reward", json={"query": ["a"]})).json()["rewards"] == [1]


async def test_replicas_that_say_nothing_hold_up_nobody_for_ever() -> None:
    replicas = FakeReplicas()
    async with facing(replicas, timeout_s=0.05) as (_, http):
        for _ in range(3):  # more than may be on their way
            silent = await http.post("/get_reward", json={"query": ["a"]})
            assert silent.status_code == 503
            assert "no reward replica answered in 0.05 s" in silent.json()["detail"]
        assert (await http.get("/health")).json() == {"reward_version": 7}
