"""What to change so that a run fits: keys of its config and values, tried by planning anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from cluster.config import RunConfig
from cluster.planning.plan import Plan

MOST_CHANGES = 6
"""Changes that are proposed together at most."""

Proposal = Mapping[str, object]
"""Values by key, which belong together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """Changes in the order they were found, and whether the run fits with all of them."""

    changes: tuple[Proposal, ...]
    suffices: bool


def advise(run: RunConfig, plan: Plan, replan: Callable[[RunConfig], Plan]) -> Advice:
    """Return what to change; nothing where all fits.

    Of the proposals for the first thing that is wrong the first is taken with which all fits, else
    the one that leaves the least too much; then the rest is looked at again.

    Args:
        run: The config that was planned.
        plan: Its plan.
        replan: Plans another config for the same machine.
    """
    taken: list[Proposal] = []
    while plan.problems and len(taken) < MOST_CHANGES:
        best: tuple[int, Proposal, RunConfig, Plan] | None = None
        for proposal in _proposals(run, plan):
            changed = _changed(run, proposal)
            if changed is None:
                continue
            new = replan(changed)
            if best is None or _excess(new) < best[0]:
                best = (_excess(new), proposal, changed, new)
            if new.fits:
                break
        if best is None or best[0] >= _excess(plan):
            break
        _, proposal, run, plan = best
        taken.append(proposal)
    return Advice(changes=tuple(taken), suffices=plan.fits)


def _excess(plan: Plan) -> int:
    return sum(each.excess for each in plan.problems)


def _proposals(run: RunConfig, plan: Plan) -> Iterator[Proposal]:
    """Give what may mend the first problem, the cheapest first."""
    problem = plan.problems[0]
    for part in problem.parts:
        yield from _OF_PART[part](run)


def _of_engine(section: str) -> Callable[[RunConfig], Iterator[Proposal]]:
    def proposals(run: RunConfig) -> Iterator[Proposal]:
        config: Any = getattr(run, section)
        if not config.gradient_checkpointing:
            yield {f"{section}.gradient_checkpointing": True}
        if config.dtype == "float32":
            yield {f"{section}.dtype": "bfloat16"}
        if config.num_ranks > 1 and config.zero_stage < 3:
            yield {f"{section}.zero_stage": 3}
        for rows in dict.fromkeys((config.micro_batch_size // 2, config.micro_batch_size // 4, 1)):
            if 0 < rows < config.micro_batch_size:
                yield {f"{section}.micro_batch_size": rows}
        if config.micro_batch_tokens is not None:
            yield {f"{section}.micro_batch_tokens": config.micro_batch_tokens // 2}
        if section == "learner" and run.ppo.critic == "separate":
            yield {"ppo.critic": "shared"}
        if not config.offload_optimizer and run.cluster.gpus_per_learner_rank:
            yield {
                f"{section}.optimizer": "cpu_adam",
                f"{section}.offload_optimizer": True,
                f"{section}.zero_stage": max(2, config.zero_stage),
            }
        yield {f"{section}.num_ranks": 2 * config.num_ranks, f"{section}.zero_stage": 3}

    return proposals


def _of_actor(run: RunConfig) -> Iterator[Proposal]:
    config = run.rollouts
    if config.dtype == "float32":
        yield {"rollouts.dtype": "bfloat16"}
    share = config.gpu_memory_utilization
    if config.kv_cache_gib == 0:
        for less in (0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1):
            if less < share:
                yield {"rollouts.gpu_memory_utilization": less}
    else:
        yield {"rollouts.kv_cache_gib": config.kv_cache_gib / 2}
    if config.num_actors > 1:
        yield {"rollouts.num_actors": config.num_actors - 1}
    if run.cluster.gpus_per_actor >= 1:
        split = 2 * config.tensor_parallel_size
        yield {"rollouts.tensor_parallel_size": split, "cluster.gpus_per_actor": split}


def _of_cache(run: RunConfig) -> Iterator[Proposal]:
    config = run.rollouts
    if config.kv_cache_gib:
        yield {"rollouts.kv_cache_gib": 2 * config.kv_cache_gib}
        yield {"rollouts.kv_cache_gib": 8 * config.kv_cache_gib}
    else:
        for more in (0.3, 0.5, 0.7, 0.9):
            if more > config.gpu_memory_utilization:
                yield {"rollouts.gpu_memory_utilization": more}
    for tokens in (8192, 4096, 2048, 1024):
        if config.max_model_len is None or tokens < config.max_model_len:
            yield {"rollouts.max_model_len": tokens}
    if config.dtype == "float32":
        yield {"rollouts.dtype": "bfloat16"}


def _of_replica(run: RunConfig) -> Iterator[Proposal]:
    config = run.reward_service
    if config.dtype == "float32":
        yield {"reward_service.dtype": "bfloat16"}
    if config.max_batch_tokens > 2048:
        yield {"reward_service.max_batch_tokens": 2048}
    if config.replicas > 1:
        yield {"reward_service.replicas": config.replicas - 1}
    if run.cluster.gpus_per_reward_replica:
        yield {"cluster.gpus_per_reward_replica": 0.0}


def _of_transport(run: RunConfig) -> Iterator[Proposal]:
    yield {"rollouts.weight_transport": "shared_memory"}
    yield {"cluster.object_store_gib": 2 * run.cluster.object_store_gib}


def _of_host(run: RunConfig) -> Iterator[Proposal]:
    if run.run.max_policy_lag > 1:
        yield {"run.max_policy_lag": 1}
    for section in ("learner", "reward_trainer"):
        config: Any = getattr(run, section)
        if config.offload_optimizer:
            yield {f"{section}.offload_optimizer": False}
        if config.dtype == "float32":
            yield {f"{section}.dtype": "bfloat16"}
    if run.rollouts.num_actors > 1:
        yield {"rollouts.num_actors": run.rollouts.num_actors - 1}
    if run.reward_service.replicas > 1:
        yield {"reward_service.replicas": run.reward_service.replicas - 1}


def _of_disk(run: RunConfig) -> Iterator[Proposal]:
    if run.reward_service.keep_versions is None:
        yield {"reward_service.keep_versions": 8}
    if run.learner.checkpoint.keep > 3:
        yield {"learner.checkpoint.keep": 3}
    if (run.reward_service.keep_versions or 0) > 3:
        yield {"reward_service.keep_versions": 3}


_OF_PART: Mapping[str, Callable[[RunConfig], Iterator[Proposal]]] = {
    "learner": _of_engine("learner"),
    "reward trainer": _of_engine("reward_trainer"),
    "rollout actor": _of_actor,
    "KV cache": _of_cache,
    "reward replica": _of_replica,
    "transport": _of_transport,
    "host": _of_host,
    "disk": _of_disk,
}


def _changed(run: RunConfig, proposal: Proposal) -> RunConfig | None:
    """Return a config with some values changed; None where it would be none."""
    content = run.model_dump(mode="json", exclude_none=True)
    for key, value in proposal.items():
        *sections, last = key.split(".")
        place = content
        for section in sections:
            place = place.setdefault(section, {})
        place[last] = value
    try:
        return RunConfig.model_validate(content)
    except ValidationError:
        return None
