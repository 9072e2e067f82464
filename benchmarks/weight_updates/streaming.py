"""The rollout actor's engine and worker, whose tokens are seen when they come."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median

from actors.config import ResponseConfig, RolloutConfig
from actors.environment import set_engine_environment
from actors.worker import RolloutWorker
from protocol.messages import PolicyVersion

PROMPT = tuple(range(4, 12))
NUM_STREAMS = 8
BEFORE = 8
"""Tokens of each response that come before a version is handed over."""


@dataclass(frozen=True, slots=True)
class Stream:
    """A response."""

    moments: Sequence[float]
    """[T], when each token came, seconds."""
    versions: Sequence[int]
    """[T], the policy version that each was drawn under."""

    @property
    def step_s(self) -> float:
        """Median seconds between two tokens of one version."""
        return median(later - earlier for earlier, later, is_swap in self._gaps() if not is_swap)

    @property
    def pause_s(self) -> float:
        """Seconds between the last token of a version and the first of the next, less a step.

        Raises:
            ValueError: All tokens are of one version.
        """
        swaps = [later - earlier for earlier, later, is_swap in self._gaps() if is_swap]
        if not swaps:
            raise ValueError("the version came when the response had ended: make it longer")
        return max(swaps) - self.step_s

    def _gaps(self) -> list[tuple[float, float, bool]]:
        return [
            (earlier, later, old != new)
            for (earlier, later), (old, new) in zip(
                pairwise(self.moments), pairwise(self.versions), strict=True
            )
        ]


@dataclass(frozen=True, slots=True)
class Uptake:
    """A version taken up by an engine that was at work."""

    seconds: float
    """From the announcement to the proof: bytes checked, loaded, the probe agreed."""
    pause_s: float
    """How long no token came, more than a step's time."""
    step_s: float
    """A step's time."""


class StreamingActor:
    """A Ray actor with the product's worker and engine, as its rollout actor has them."""

    def __init__(self, policy: str, config: RolloutConfig) -> None:
        """Take the settings; `start` does the work."""
        set_engine_environment(os.environ, config)
        from actors.vllm_engine import VllmEngine

        self._engine = VllmEngine(Path(policy), config, seed=1)
        self._worker = RolloutWorker(
            "rollout-0", self._engine, ResponseConfig(), config, clock=time.time
        )

    async def start(self) -> None:
        """Start the engine."""
        await self._worker.start()

    async def take(self, policy: PolicyVersion, num_tokens: int) -> Uptake:
        """Load a version while responses of so many tokens are drawn."""
        begun = asyncio.Event()
        streams = [
            asyncio.create_task(self._stream(f"{policy.version}-{number}", num_tokens, begun))
            for number in range(NUM_STREAMS)
        ]
        await begun.wait()
        started = time.perf_counter()
        await self._worker.load_policy(policy)
        seconds = time.perf_counter() - started
        drawn = await asyncio.gather(*streams)
        return Uptake(
            seconds=seconds,
            pause_s=median(each.pause_s for each in drawn),
            step_s=median(each.step_s for each in drawn),
        )

    async def stop(self) -> None:
        """End the engine."""
        await self._worker.stop()

    async def _stream(self, request_id: str, num_tokens: int, begun: asyncio.Event) -> Stream:
        from vllm import SamplingParams
        from vllm.inputs import tokens_input
        from vllm.sampling_params import RequestOutputKind

        params = SamplingParams(
            max_tokens=num_tokens,
            ignore_eos=True,
            logprobs=0,
            flat_logprobs=True,
            detokenize=False,
            output_kind=RequestOutputKind.DELTA,
        )
        llm = self._engine._running
        moments: list[float] = []
        versions: list[int] = []
        async for output in llm.generate(tokens_input(list(PROMPT)), params, request_id):
            [completion] = output.outputs
            moments += [time.perf_counter()] * len(completion.token_ids)
            if len(moments) >= BEFORE:
                begun.set()
            for span in completion.weight_versions or ():
                versions += [int(span.version)] * (span.end - span.start)
        return Stream(moments, versions)
