"""The rollout actor on a local Ray: one actor, which a test after the others kills."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from actors.config import ResponseConfig, RolloutConfig
from actors.shell import RolloutActorShell
from cluster.starting.remote import RemoteActor
from protocol.errors import EngineDied, MissingError
from protocol.messages import (
    PolicyVersion,
    Probe,
    Prompt,
    RolloutRequest,
    Sampling,
)
from protocol.remote import Remote, spawn
from tests.support.patience import PATIENCE_S
from tests.support.processes import own_processes
from tests.support.rollout_actor_contract import RolloutActorContract
from tests.support.stored import stored_weights

CONFIG = RolloutConfig(kv_cache_gib=0.0625, weight_transport="object_store")
PROBE_TOKENS = tuple(range(4, 36))
VERSIONS = itertools.count(10)
"""That the tests which share the actor load."""


@pytest.fixture(scope="module")
def actor(ray_session: None, tiny_model: Path) -> Iterator[Remote[RolloutActorShell]]:
    import ray

    shell = spawn(RolloutActorShell, "the rollout actor", {"num_cpus": 1})(
        "rollout-0", str(tiny_model), ResponseConfig(), CONFIG, 1
    )
    ray.get(shell.send(RolloutActorShell.start))
    yield shell
    ray.kill(shell.handle)


def requests(count: int) -> list[RolloutRequest]:
    return [
        RolloutRequest(
            rollout_id=f"t-{number}",
            prompt=Prompt(prompt_id=f"p-{number}", text="", token_ids=(5, 6, 7)),
            purpose="train",
            sampling=Sampling(temperature=1.0, max_tokens=24),
        )
        for number in range(count)
    ]


class Owner:
    """Puts what it is given into Ray's object store, where it stays as long as this actor lives."""

    def put(self, content: bytes) -> list[object]:
        import ray

        return [ray.put(content)]


def policy_of(
    model_folder: Path, version: int, put: Callable[[bytes], object] | None = None
) -> PolicyVersion:
    """Announce the model's own weights, put into Ray's object store, as a new version."""
    import ray
    import torch
    from safetensors.torch import save
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(model_folder).eval()
    content = save({name: tensor.clone() for name, tensor in model.state_dict().items()})
    sequence = torch.tensor(PROBE_TOKENS)
    with torch.no_grad():
        logprobs = model(sequence[None]).logits[0, :-1].log_softmax(-1)
    return PolicyVersion(
        version=version,
        episodes=0,
        weights=stored_weights(content, put=put or ray.put),
        probe=Probe(
            token_ids=PROBE_TOKENS,
            logprobs=tuple(logprobs.gather(1, sequence[1:, None])[:, 0].tolist()),
        ),
        reward_version=0,
        learned_through=0,
    )


async def test_generates_loads_and_counts(
    actor: Remote[RolloutActorShell], tiny_model: Path
) -> None:
    first = await actor.ask(RolloutActorShell.generate, requests(4))
    assert [rollout.policy_versions for rollout in first] == [(0,) * 24] * 4
    assert await actor.ask(RolloutActorShell.load_policy, policy_of(tiny_model, 2)) < 1e-4
    assert await actor.ask(RolloutActorShell.generate, requests(4)) == first
    stats = await actor.ask(RolloutActorShell.stats)
    assert (stats.policy_version, stats.num_loads, stats.num_rollouts) == (2, 1, 4)


class TestRemoteActor(RolloutActorContract, of=RemoteActor):
    @pytest.fixture
    def actor(self, actor: Remote[RolloutActorShell], tiny_model: Path) -> RemoteActor:
        self._model = tiny_model
        return RemoteActor(actor)

    @pytest.fixture
    def versions(self) -> Iterator[int]:
        return VERSIONS

    def policy(self, version: int) -> PolicyVersion:
        return policy_of(self._model, version)


async def test_weights_that_went_with_their_learner_are_told_as_gone(
    actor: Remote[RolloutActorShell], tiny_model: Path
) -> None:
    """The last that the actor is asked: where they go midway, its engine is of no use."""
    import ray

    owner = spawn(Owner, "the learner", {"num_cpus": 0})()
    policy = policy_of(tiny_model, 5, lambda content: ray.get(owner.send(Owner.put, content))[0])
    ray.kill(owner.handle)

    async def load_until_it_is_heard_of() -> None:
        while True:
            newer = replace(policy, version=next(VERSIONS))
            await actor.ask(RolloutActorShell.load_policy, newer)

    gone = r"no longer holds policy version \d+ \(Owner|policy version \d+ went as rollout-0 took"
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises((MissingError, EngineDied), match=gone):
            await load_until_it_is_heard_of()


def test_a_killed_actor_leaves_no_engine_behind(actor: Remote[RolloutActorShell]) -> None:
    [shell] = own_processes("ray::RolloutActorShell")
    engine = shell.children(recursive=True)
    assert engine
    shell.kill()
    _, left = psutil.wait_procs(engine, timeout=30)
    assert left == []


async def test_a_users_mistake_keeps_its_type_over_ray(ray_session: None, tmp_path: Path) -> None:
    import ray

    shell = spawn(RolloutActorShell, "the rollout actor", {"num_cpus": 1})(
        "rollout-1", str(tmp_path / "nowhere"), ResponseConfig(), CONFIG, 1
    )
    with pytest.raises(MissingError, match="nowhere"):
        await shell.ask(RolloutActorShell.start)
    ray.kill(shell.handle)
