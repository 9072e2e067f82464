"""The reward service as it runs: two real replicas on Ray Serve, by handle and over HTTP.

The tests share one service. Each takes the next reward versions for itself, so their order does
not matter.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from tenacity import (
    AsyncRetrying,
    retry_if_exception_type,
    retry_if_result,
    stop_after_delay,
    wait_fixed,
)

from protocol.errors import BundleCorrupt, InputError, ScoringFailed, SwapFailed
from protocol.fits import RewardVersion
from protocol.messages import Score
from protocol.remote import Remote, spawn
from reward_service.client import RewardClient
from reward_service.config import RewardServiceConfig
from tests.support.patience import PATIENCE_S
from tests.support.ports import free_port
from tests.support.reward import make_reward_model, make_reward_version
from tests.support.reward_service_contract import RewardServiceContract

if TYPE_CHECKING:
    from reward_service.shell import AnnouncerShell


CONFIG = RewardServiceConfig(
    replicas=2,
    max_batch_tokens=256,
    max_batch_size=16,
    max_ongoing_requests=64,
    heartbeat_timeout_s=8.0,
)
pytestmark = pytest.mark.filterwarnings(
    # Ray Serve declares its own models in a style that pydantic has deprecated.
    "ignore::pydantic.warnings.PydanticDeprecatedSince20"
)
VALIDATION = ((4, 5, 6), (7, 8))


class VersionSeries:
    """Writes reward versions 1, 2, …, each with heads of its own, and knows their scores."""

    def __init__(self, root: Path, reference: Path) -> None:
        self.root = root
        self.reference = reference
        self.last = 0

    def write(self) -> RewardVersion:
        from reward_service.bundle import write_bundle

        self.last += 1
        model = make_reward_model(self.reference, seed=self.last)
        return write_bundle(self.root, model, make_reward_version(self.last))

    def own_scores(self, version: int, sequences: list[tuple[int, ...]]) -> list[float]:
        """Score with a version's own model, in this process."""
        from reward_service.batching import score_sequences
        from reward_service.buckets import BatchLimits

        model = make_reward_model(self.reference, seed=version)
        limits = BatchLimits(max_tokens=4096, max_sequences=64)
        return [score.value for score in score_sequences(model, sequences, version, limits)]


@dataclass(frozen=True)
class Service:
    """A running service, and what a test needs to speak to it."""

    client: RewardClient
    announcer: Remote[AnnouncerShell]
    url: str
    series: VersionSeries

    async def replicas(self) -> dict[str, int]:
        """Return the live replicas and the version each serves."""
        from reward_service.shell import AnnouncerShell

        return await self.announcer.ask(AnnouncerShell.replicas)


@pytest.fixture(scope="module")
def service(
    ray_session: None, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    import ray
    from ray import serve

    from reward_service.face import FACE_OPTIONS, RewardFace
    from reward_service.shell import build_reward_app, connect, start_announcer

    serve.start(proxy_location="Disabled")
    announcer = start_announcer("reward-announcer", CONFIG)
    app = build_reward_app(
        announcer=announcer,
        policy_path=tiny_model,
        validation=VALIDATION,
        config=CONFIG,
        actor_options={"num_cpus": 0.1},
    )
    handle = serve.run(app, name="reward", route_prefix=None)
    port = free_port()
    face = spawn(RewardFace, "the reward's face", FACE_OPTIONS)(
        handle, "reward-announcer", CONFIG, host="127.0.0.1", port=port
    )
    asyncio.run(face.ask(RewardFace.ready))
    url = f"http://127.0.0.1:{port}"
    # A service that has no version yet says so.
    assert httpx.get(f"{url}/health", timeout=PATIENCE_S).status_code == 503
    series = VersionSeries(tmp_path_factory.mktemp("run") / "reward", tiny_model)
    client = connect(handle, announcer, CONFIG, seed=0)
    asyncio.run(client.swap(series.write()))
    yield Service(client=client, announcer=announcer, url=url, series=series)
    asyncio.run(face.ask(RewardFace.stop))
    ray.kill(face.handle)
    serve.delete("reward")
    ray.kill(announcer.handle)
    serve.shutdown()


class TestRewardService(RewardServiceContract, of=RewardClient):
    @pytest.fixture
    def scorer(self, service: Service) -> RewardClient:
        return service.client

    @pytest.fixture
    def announced(self, service: Service) -> Iterator[RewardVersion]:
        return iter(service.series.write, None)


async def test_every_replica_serves_what_was_swapped_in(service: Service) -> None:
    version = service.series.write()
    await service.client.swap(version)
    assert set((await service.replicas()).values()) == {version.version}


async def test_no_request_fails_while_five_versions_are_swapped_in(service: Service) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(service.series.reference)
    texts = ["the soup was good", "my tea tasted very cold .", "fish"]
    words = [tuple(ids) for ids in tokenizer(texts)["input_ids"]]
    sequences = [tuple(range(4, 4 + n)) for n in range(1, 33)]
    by_handle: list[list[Score]] = []
    over_http: list[dict[str, Any]] = []
    answered = {"handle": asyncio.Event(), "http": asyncio.Event()}
    done = asyncio.Event()
    first = service.series.last

    async def keep_scoring() -> None:
        while not done.is_set():
            by_handle.append(await service.client.score(sequences))
            answered["handle"].set()

    async def keep_posting(http: httpx.AsyncClient) -> None:
        while not done.is_set():
            answer = await http.post(f"{service.url}/get_reward", json={"query": texts})
            answer.raise_for_status()
            over_http.append(answer.json())
            answered["http"].set()

    async with (
        httpx.AsyncClient(timeout=PATIENCE_S, trust_env=False) as http,
        asyncio.TaskGroup() as load,
    ):
        for _ in range(2):
            load.create_task(keep_scoring())
            load.create_task(keep_posting(http))
        for _ in range(5):
            await service.client.swap(await asyncio.to_thread(service.series.write))
            for event in answered.values():
                event.clear()
                await event.wait()
        done.set()

    last = service.series.last
    expected = {v: service.series.own_scores(v, sequences) for v in range(first, last + 1)}
    for scores in by_handle:
        (version,) = {score.reward_version for score in scores}
        assert [s.value for s in scores] == pytest.approx(expected[version], abs=1e-4)
    expected = {v: service.series.own_scores(v, words) for v in range(first, last + 1)}
    for answer in over_http:
        assert answer["rewards"] == pytest.approx(expected[answer["reward_version"]], abs=1e-4)
        assert answer["extra_logs"]["head_0"] == answer["scores"] == answer["rewards"]
    assert {answer["reward_version"] for answer in over_http} >= {first + 1, last}


async def test_bad_requests_are_refused_by_name(service: Service) -> None:
    with pytest.raises(InputError, match="has 65 tokens, over the reward model's context of 64"):
        await service.client.score([(4,), (5,) * 65])
    with pytest.raises(InputError, match="token id outside 0"):
        await service.client.score([(99,)])

    async with httpx.AsyncClient(timeout=PATIENCE_S, trust_env=False) as http:
        too_long = await http.post(f"{service.url}/get_reward", json={"query": ["the " * 65]})
        assert too_long.status_code == 422
        assert "context of 64" in too_long.json()["detail"][0]["msg"]
        misspelt = await http.post(f"{service.url}/get_reward", json={"queries": ["the"]})
        assert misspelt.status_code == 422
        assert misspelt.json()["detail"][0]["loc"] == ["body", "query"]
        health = await http.get(f"{service.url}/health")
        assert health.json() == {"reward_version": service.series.last}
        page = await http.get(f"{service.url}/openapi.json")
        assert "/get_reward" in page.json()["paths"]


async def test_what_cannot_be_scored_costs_nobody_who_asked_at_the_same_time(
    service: Service,
) -> None:
    texts = ["the soup was lovely", "the " * 65, "tea", "\ufffd " * 70, "bed was fresh"] * 8
    url = f"{service.url}/get_reward"
    async with httpx.AsyncClient(timeout=PATIENCE_S, trust_env=False) as http:
        answers = await asyncio.gather(*(http.post(url, json={"query": [t]}) for t in texts))
    assert [answer.status_code for answer in answers] == [200, 422, 200, 422, 200] * 8
    rewards = {
        text: answer.json().get("rewards") for text, answer in zip(texts, answers, strict=True)
    }
    alone = [rewards[text] for text in ("the soup was lovely", "tea", "bed was fresh")]
    async with httpx.AsyncClient(timeout=PATIENCE_S, trust_env=False) as http:
        again = await http.post(
            url, json={"query": ["the soup was lovely", "tea", "bed was fresh"]}
        )
    assert again.json()["rewards"] == pytest.approx([one[0] for one in alone], abs=1e-4)


async def test_its_face_is_not_there_for_other_hosts(service: Service) -> None:
    async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE_S) as http:
        assert (await http.get(f"{service.url}/health")).status_code == 200
        away = await http.get(f"{service.url}/health", headers={"Host": "label.example.org"})
    assert away.status_code == 404


async def test_a_version_that_fails_its_proof_leaves_the_old_one_live(service: Service) -> None:
    live = service.series.last
    with pytest.raises(BundleCorrupt, match="announced was"):
        await service.client.swap(replace(service.series.write(), sha256="0" * 64))
    (score,) = await service.client.score([(4, 5)])
    assert score.reward_version == live
    await service.client.swap(service.series.write())
    (score,) = await service.client.score([(4, 5)])
    assert score.reward_version == live + 2


async def test_what_no_replica_was_ready_for_is_told_and_costs_none_of_them(
    service: Service,
) -> None:
    live, replicas = service.series.last, await service.replicas()
    with pytest.raises(SwapFailed, match=r"version \d+: OSError: .*File name too long"):
        await service.client.swap(replace(service.series.write(), path="/" + "a" * 300))
    (score,) = await service.client.score([(4, 5)])
    assert score.reward_version == live
    await service.client.swap(service.series.write())
    # The same ones: none was replaced. One that was silent too long, on a busy machine, comes back.
    again = AsyncRetrying(
        retry=retry_if_result(lambda found: found != dict.fromkeys(replicas, live + 2)),
        wait=wait_fixed(0.1),
        stop=stop_after_delay(PATIENCE_S),
    )
    await again(service.replicas)


async def test_a_lost_replica_is_forgotten_and_replaced(service: Service) -> None:
    import ray

    live = service.series.last
    victim = next(iter(await service.replicas()))
    (name,) = [
        actor["name"]
        for actor in ray.util.list_named_actors(all_namespaces=True)
        if victim in actor["name"]
    ]
    ray.kill(ray.get_actor(name, namespace="serve"), no_restart=True)

    for _ in range(10):
        scores = await service.client.score([(4, 5), (6, 7, 8)])
        assert {score.reward_version for score in scores} == {live}
    await service.client.swap(service.series.write())  # waits for the dead one to be forgotten
    assert victim not in await service.replicas()
    scores = await service.client.score([(4, 5), (6, 7, 8)])
    assert {score.reward_version for score in scores} == {live + 1}


async def test_a_version_outlives_all_that_serve_and_announce_it(service: Service) -> None:
    import ray

    version = service.series.write()
    await service.client.swap(version)
    lost = await service.replicas()
    ray.kill(service.announcer.handle, no_restart=False)
    for actor in ray.util.list_named_actors(all_namespaces=True):
        if any(replica in actor["name"] for replica in lost):
            ray.kill(ray.get_actor(actor["name"], namespace="serve"), no_restart=True)

    scores = await score_once_there(service, [(4, 5), (6, 7, 8)])
    assert {score.reward_version for score in scores} == {version.version}
    assert set((await service.replicas()).values()) == {version.version}


async def score_once_there(service: Service, sequences: list[tuple[int, ...]]) -> list[Score]:
    """Score once there are replicas that answer at all."""
    again = AsyncRetrying(
        retry=retry_if_exception_type(ScoringFailed),
        wait=wait_fixed(0.5),
        stop=stop_after_delay(PATIENCE_S),
        reraise=True,
    )
    return await again(service.client.score, sequences)
