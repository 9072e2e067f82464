"""The rollout actor on Ray: environment, engine, worker, and nothing else."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

from actors.config import ResponseConfig, RolloutConfig
from actors.environment import set_engine_environment
from actors.worker import RolloutWorker
from protocol.folders import FoldersHere
from protocol.messages import (
    ActorStats,
    PolicyVersion,
    Rollout,
    RolloutRequest,
)
from protocol.ports import OpenStore
from protocol.remote import check_gpus_are_seen, own_gpus


class RolloutActorShell:
    """An async Ray actor with one vLLM engine (see `protocol.ports.RolloutActor`).

    When its process is killed, so is the engine's.
    """

    def __init__(
        self,
        actor_id: str,
        policy_path: str,
        response: ResponseConfig,
        config: RolloutConfig,
        seed: int,
        open_store: OpenStore = FoldersHere,
        rests: bool = False,
        beside_cache: int | None = None,
    ) -> None:
        """Take the settings; `start` does the work.

        Args:
            actor_id: E.g. "rollout-0".
            policy_path: A Hugging Face folder: ρ, policy version 0.
            response: Where responses end.
            config: Of the rollout actors.
            seed: Of draws without a seed of their own; no two actors may share it.
            open_store: How this actor reaches the policy's folder.
            rests: Whether it will be asked to rest.
            beside_cache: Bytes of a shared device, as the engine takes it.
        """
        set_engine_environment(os.environ, config)
        from actors.vllm_engine import VllmEngine

        engine = VllmEngine(
            Path(policy_path),
            config,
            seed=seed,
            open_store=open_store,
            rests=rests,
            beside_cache=beside_cache,
        )
        self._worker = RolloutWorker(
            actor_id,
            engine,
            response,
            config,
            clock=time.time,
        )

    async def start(self) -> None:
        """Start the engine: blocks for about half a minute; again: nothing. Raises UserError."""
        import torch

        is_seen = torch.cuda.is_available()
        check_gpus_are_seen("a rollout actor", "cluster.gpus_per_actor", is_seen=is_seen)
        await self._worker.start()

    async def generate(self, requests: Sequence[RolloutRequest]) -> list[Rollout]:
        """Draw one response a request, in order. Blocks no other call; may be called twice."""
        return await self._worker.generate(requests)

    async def load_policy(self, policy: PolicyVersion) -> float:
        """Take new weights in flight and prove them; return the probe's largest difference.

        Blocks no other call; may be called twice.

        Raises:
            MissingError: The learner no longer publishes this version, or is gone with it.
            EngineDied: It went as the engine took it up.
        """
        return await self._worker.load_policy(policy)

    async def rest(self) -> None:
        """Give the device's memory back until the next `load_policy`. May be called twice."""
        await self._worker.rest()

    async def gpus(self) -> list[str]:
        """Return the GPUs that Ray has given this actor. May be called twice."""
        return own_gpus()

    async def stats(self) -> ActorStats:
        """Return what the actor did since it started. May be called twice."""
        return self._worker.stats()

    async def stop(self) -> None:
        """End the engine and its process; blocks until they are gone. May be called twice."""
        await self._worker.stop()
