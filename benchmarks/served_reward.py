"""A reward service and its HTTP face on a Ray of their own, for what is measured of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import ray
from ray import serve

from cluster.starting.ports import free_port, url_of
from cluster.starting.serve_share import start_serve
from protocol.remote import spawn
from reward_service.bundle import write_bundle
from reward_service.client import RewardClient
from reward_service.config import RewardServiceConfig
from reward_service.face import FACE_OPTIONS, RewardFace
from reward_service.reward_model import RewardModel
from reward_service.shell import build_reward_app, connect, start_announcer
from tests.support.reward import make_reward_version

HOST = "127.0.0.1"
ANNOUNCER = "reward-announcer"
"""Name of the announcer's actor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedReward:
    """A running service."""

    client: RewardClient
    """By handle, as the policy loop has it."""
    url: str
    """Address of the HTTP face."""


@contextmanager
def served_reward(
    model: RewardModel, reference: Path, config: RewardServiceConfig
) -> Iterator[ServedReward]:
    """Start Ray, Serve, the service with a model, and its face; end all of it.

    Args:
        model: What scores.
        reference: The folder of its reference policy, for the tokenizer.
        config: The service's.
    """
    version = write_bundle(reference.parent / "reward", model, make_reward_version(1))
    ray.init(
        "local",
        include_dashboard=False,
        _node_ip_address=HOST,
        num_cpus=8,
        log_to_driver=False,
    )
    try:
        start_serve()
        announcer = start_announcer(ANNOUNCER, config, version)
        app = build_reward_app(
            announcer=announcer,
            policy_path=reference,
            validation=[(3, 4, 5)],
            config=config,
            actor_options={"num_cpus": 1},
        )
        replicas, port = serve.run(app, name="reward", route_prefix=None), free_port(HOST, 0)
        face = spawn(RewardFace, "the reward's face", FACE_OPTIONS)(
            replicas, ANNOUNCER, config, host=HOST, port=port
        )
        asyncio.run(face.ask(RewardFace.ready))
        client = connect(replicas, announcer, config, seed=0)
        yield ServedReward(client=client, url=url_of(HOST, port))
        serve.shutdown()
    finally:
        ray.shutdown()
