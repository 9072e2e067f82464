"""Sampling ρ before a run: proved, whole, for validation and for the reward's scale."""

from __future__ import annotations

from collections import Counter

import pytest

from cluster.loops.scoring import scored_sequence
from protocol.errors import InputError, ProbeMismatch
from protocol.messages import PolicyVersion
from tests.support.controller_world import World, small_config
from tests.support.parts import FakeActor
from tests.unit.cluster.conftest import MakeWorld


async def test_actors_prove_the_starting_policy_before_it_is_sampled(world: World) -> None:
    async def differs(policy: PolicyVersion) -> float:
        raise ProbeMismatch(f"version {policy.version}")

    world.actors[1].load_policy = differs  # type: ignore[method-assign]
    with pytest.raises(ProbeMismatch, match="version 0"):
        await world.controller().draw_reference()
    assert world.actors[0].requests == []


async def test_validation_of_many_candidates_has_half_of_them_from_the_reference(
    make_world: MakeWorld,
) -> None:
    world = make_world(config=small_config(labels={"num_candidates": 6}))
    await world.controller().draw_reference()

    drawn = Counter(rollout.prompt.prompt_id for rollout in world.labels.reference)
    assert set(drawn.values()) == {3}


async def test_a_starting_policy_that_never_ends_a_response_is_refused(
    make_world: MakeWorld,
) -> None:
    world = make_world(FakeActor(is_complete=lambda _: False))
    with pytest.raises(InputError, match="never ended its responses"):
        await world.controller().draw_reference()


async def test_the_first_draws_of_the_reference_are_told_from_the_redrawn(
    make_world: MakeWorld,
) -> None:
    world = make_world(FakeActor(is_complete=lambda request: int(request.rollout_id[2:]) % 3 > 0))
    controller = world.controller()
    await controller.draw_reference()
    draws = controller.drafter.first_reference_draws
    assert len({(rollout.prompt.prompt_id, rollout.rollout_id) for rollout in draws}) == len(draws)
    assert {rollout.is_complete for rollout in draws} == {True, False}
    assert len(draws) == len(world.labels.reference)


async def test_reference_samples_normalise_the_reward_and_wait_for_validation(world: World) -> None:
    drawn = await world.controller().draw_reference()
    sequences = [scored_sequence(each) for each in drawn]

    # The prompt's three tokens and the three kept of the response.
    assert sequences[0] == (1, 2, 3, 4, 11, 6)
    assert len(sequences) >= 6
    assert len(world.labels.reference) == len(sequences)
    assert {rollout.purpose for rollout in world.labels.reference} == {"reference"}


async def test_people_are_asked_to_compare_the_policy_with_the_reference(
    make_world: MakeWorld,
) -> None:
    world = make_world(config=small_config(labels={"validation_share": 0.3}))
    controller = world.controller()
    await controller.draw_reference()
    await controller.run()

    validation = [query for query in world.people.queries if query.purpose == "validation"]
    assert validation
    for query in validation:
        of_reference = [each for each in query.candidates if "ρ" in each.text]
        assert len(of_reference) == len(query.candidates) / 2 == 2
