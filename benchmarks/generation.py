"""Tokens a second of a rollout actor, against vLLM's own `LLM.generate` on the same requests.

    python -m benchmarks.generation [--turns 7] [--requests 512] [--tokens 24 48]

A GPT-2 of 0.9 M weights, prompts of 8 tokens. Andon's way is a run's: the controller's fleet hands
requests, 16 a call, to a rollout actor, a Ray process with vLLM's `AsyncLLM`, and has rollouts
back. The other is `LLM.generate` in a process of its own, on the same engine arguments and sampling
parameters, with all requests in one call. Both have one thread an engine, and both a process for
the engine beside the one that asks it. They take turns on the same cores, one idle while the other
draws; figures are medians over the turns, after one that does not count. The table is Markdown.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from statistics import median
from typing import Any

import click

from actors.config import ResponseConfig, RolloutConfig
from actors.environment import set_engine_environment
from benchmarks.against_trl.task import write_model
from benchmarks.local_ray import local_ray
from benchmarks.rollout_fleet import endless_requests, rollout_fleet
from protocol.messages import RolloutRequest
from protocol.remote import Remote, spawn

WANTED = 0.9
"""Least share of vLLM's own tokens a second."""
CONFIG = RolloutConfig(num_actors=1, weight_transport="shared_memory")


class VllmAlone:
    """A process with vLLM's own `LLM`, on the arguments that a rollout actor gives its engine."""

    def __init__(self, model: str, config: RolloutConfig) -> None:
        """Start the engine."""
        set_engine_environment(os.environ, config)
        from vllm import LLM, EngineArgs

        from actors.vllm_engine import VllmEngine

        given = VllmEngine(Path(model), config, seed=1)._engine_args()
        plain = EngineArgs(model=given.model)
        values = {each.name: getattr(given, each.name) for each in fields(plain)}
        changed = {name: value for name, value in values.items() if value != getattr(plain, name)}
        self._llm = LLM(model=given.model, **changed)

    def generate(self, requests: Sequence[RolloutRequest]) -> int:
        """Draw a response for each; return how many tokens were drawn."""
        from vllm.inputs import tokens_input

        from actors.vllm_engine import sampling_params

        prompts = [tokens_input(list(each.prompt.token_ids)) for each in requests]
        params = sampling_params(requests[0].sampling, stop_token_ids=())
        outputs = self._llm.generate(prompts, params, use_tqdm=False)
        return sum(len(each.outputs[0].token_ids) for each in outputs)


async def paces(model: Path, num_requests: int, num_tokens: int, turns: int) -> dict[str, Any]:
    """Return tokens a second of both ways, a figure a turn."""
    response = ResponseConfig(max_tokens=num_tokens, cut_token="")
    alone: Remote[VllmAlone] = spawn(VllmAlone, "vLLM alone", {"num_cpus": 1})(str(model), CONFIG)
    some = endless_requests(response)
    async with rollout_fleet(model, response, CONFIG) as fleet:

        async def by_actor(requests: Sequence[RolloutRequest]) -> int:
            return sum(len(each.token_ids) for each in await fleet.generate(requests))

        async def by_vllm(requests: Sequence[RolloutRequest]) -> int:
            return await alone.ask(VllmAlone.generate, requests)

        ways: Mapping[str, Callable[[Sequence[RolloutRequest]], Awaitable[int]]] = {
            "vLLM alone": by_vllm,
            "rollout actor": by_actor,
        }
        found: dict[str, list[float]] = {name: [] for name in ways}
        for turn in range(turns + 1):
            for name, draw in ways.items():
                requests = some(num_requests)
                started = time.perf_counter()
                pace = await draw(requests) / (time.perf_counter() - started)
                click.echo(f"turn {turn}: {num_tokens} tokens, {name}: {pace:,.0f} tokens/s")
                if turn:
                    found[name].append(pace)
    return found


def row(num_tokens: int, found: Mapping[str, Sequence[float]]) -> str:
    """Return a line of the table: medians, and that of each turn's ratio."""
    alone, actor = found["vLLM alone"], found["rollout actor"]
    ratios = [ours / theirs for ours, theirs in zip(actor, alone, strict=True)]
    return (
        f"| {num_tokens} | {median(alone):,.0f} | {median(actor):,.0f} | {median(ratios):.2f} "
        f"({min(ratios):.2f} to {max(ratios):.2f}) | {WANTED} |"
    )


HEAD = """\
| tokens a response | vLLM alone, tokens/s | rollout actor, tokens/s | ratio | wanted |
| ---: | ---: | ---: | ---: | ---: |"""


def main() -> None:
    """Run from the command line; see the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--requests", type=int, default=512)
    parser.add_argument("--tokens", type=int, nargs="+", default=[24, 48])
    chosen = parser.parse_args()
    lines = [HEAD]
    with tempfile.TemporaryDirectory() as folder, local_ray():
        model = write_model(Path(folder) / "model")
        for num_tokens in chosen.tokens:
            found = asyncio.run(paces(model, chosen.requests, num_tokens, chosen.turns))
            lines.append(row(num_tokens, found))
    click.echo("\n".join(lines))


if __name__ == "__main__":
    main()
