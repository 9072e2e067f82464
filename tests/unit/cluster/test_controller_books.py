"""A run whose prompts are made of its responses: each node once, from the leaves to the root."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from cluster.config import RunConfig
from protocol.labels import QueryDraft
from protocol.messages import ExperienceBatch, Prompt, Rollout, RolloutRequest
from protocol.text_tree import TextNode
from tests.support.controller_world import BATCH, World, small_config
from tests.support.parts import FakeActor
from tests.support.present import present
from tests.support.small_books import small_books
from tests.unit.cluster.conftest import MakeWorld
from tests.unit.cluster.test_controller_resume import resume, run_until, start


class Writer(FakeActor):
    """Names its prompt in every response, so that it can be told what is made of which."""

    async def generate(self, requests: Sequence[RolloutRequest]) -> list[Rollout]:
        drawn = await super().generate(requests)
        return [replace(each, text=f"<{each.prompt.prompt_id}>{each.text}") for each in drawn]


def of_books(world: World) -> World:
    world.new_prompts = small_books
    return world


def make_books_world(make_world: MakeWorld, lag: int) -> World:
    return of_books(make_world(Writer(), config=small_config(max_policy_lag=lag)))


def trained(batches: Sequence[ExperienceBatch]) -> list[Rollout]:
    return [scored.rollout for batch in batches for scored in batch.rollouts]


def node_of(prompt: Prompt) -> TextNode:
    return present(prompt.node)


def check_made_of_children(rollouts: Sequence[Rollout]) -> int:
    """Assert that upper prompts are the children's newest responses; return how many there are."""
    written: dict[tuple[str, tuple[int, ...]], str] = {}
    num_upper = 0
    for rollout in rollouts:
        node = node_of(rollout.prompt)
        if node.height:
            below = [
                written[node.document_id, (*node.path, step)]
                for step in range(1, node.num_children + 1)
            ]
            assert rollout.prompt.text == "\n".join(below) + " TL;DR:"
            num_upper += 1
        written[node.document_id, node.path] = rollout.text.strip()
    return num_upper


@pytest.mark.parametrize("lag", [0, 1, 3])
async def test_prompts_above_are_made_of_what_was_trained_on_below(
    make_world: MakeWorld, lag: int
) -> None:
    world = make_books_world(make_world, lag)
    await start(world)
    rollouts = trained(world.learner.batches)
    names = [rollout.prompt.prompt_id for rollout in rollouts]
    assert len(set(names)) == len(names) == 5 * BATCH
    assert check_made_of_children(rollouts) > (8 if lag < 2 else 2)


async def test_in_lock_step_each_step_s_nodes_are_those_that_the_one_before_made_ready(
    make_world: MakeWorld,
) -> None:
    world = make_books_world(make_world, 0)
    await start(world)
    first, second, third = (
        [each.rollout.prompt.prompt_id for each in batch.rollouts]
        for batch in world.learner.batches[:3]
    )
    assert first == [f"b{book}-0/{a}.{b}" for book in (0, 1) for a in (1, 2) for b in (1, 2)]
    assert second[:4] == ["b0-0/1", "b0-0/2", "b1-0/1", "b1-0/2"]
    assert second[4:] == ["b2-0/1.1", "b2-0/1.2", "b2-0/2.1", "b2-0/2.2"]
    assert third[:4] == ["b0-0/root", "b1-0/root", "b2-0/1", "b2-0/2"]


@pytest.mark.parametrize("died_at", [1, 2, 3, 4])
async def test_in_lock_step_a_resumed_run_trains_on_what_one_that_did_not_die_does(
    make_world: MakeWorld, tmp_path: Path, died_at: int
) -> None:
    (elsewhere := tmp_path / "whole").mkdir()
    whole = of_books(World(elsewhere, actors=[Writer()], config=small_config(max_policy_lag=0)))
    await start(whole)
    await whole.close()
    world = make_books_world(make_world, 0)
    await run_until(world, died_at)
    first = world.learner.batches
    await resume(world, Writer())
    kept = present(world.resumed)
    again = trained([*first[: kept.policy_version], *world.learner.batches])
    assert [each.prompt for each in again] == [
        each.prompt for each in trained(whole.learner.batches)
    ]
    assert check_made_of_children(again) > 8


@pytest.mark.parametrize("lag", [1, 3])
@pytest.mark.parametrize("died_at", [2, 3, 4])
async def test_a_resumed_run_trains_on_no_node_twice_and_loses_none(
    make_world: MakeWorld, died_at: int, lag: int
) -> None:
    world = make_books_world(make_world, lag)
    await run_until(world, died_at)
    first = world.learner.batches
    await resume(world, Writer())
    kept = present(world.resumed)
    again = trained([*first[: kept.policy_version], *world.learner.batches])
    names = [each.prompt.prompt_id for each in again]
    assert len(set(names)) == len(names) == 5 * BATCH
    check_made_of_children(again)


def asked(drafts: Sequence[QueryDraft]) -> list[Prompt]:
    return [draft.prompt for draft in drafts if draft.rollouts[0].purpose == "query"]


async def test_people_are_asked_about_nodes_of_all_heights(make_world: MakeWorld) -> None:
    world = make_books_world(make_world, 1)
    await start(world)
    assert {node_of(prompt).height for prompt in asked(world.labels.drafts)} == {0, 1, 2}
    for draft in world.labels.drafts:
        if node_of(draft.prompt).height:
            assert "<b" in draft.prompt.text


async def test_samples_of_the_reference_policy_are_of_more_than_leaves(
    make_world: MakeWorld,
) -> None:
    world = of_books(make_world(Writer(), config=with_samples(40)))
    rollouts = await world.controller().draw_reference()
    heights = [node_of(each.prompt).height for each in rollouts]
    assert len(rollouts) == 40
    assert {0, 1, 2} == set(heights)


def with_samples(count: int) -> RunConfig:
    config = small_config()
    return config.model_copy(
        update={
            "reward_model": config.reward_model.model_copy(
                update={"num_normalisation_samples": count}
            )
        }
    )
