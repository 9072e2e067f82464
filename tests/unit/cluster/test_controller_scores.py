"""Which score every rollout of a batch has, and what becomes of those that have none."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from protocol.errors import ScoringFailed
from protocol.messages import Score
from tests.support.controller_world import BATCH, ONE_REFIT, World, small_config
from tests.support.one_thread import settle
from tests.support.parts import FakeActor, FakeRewardService
from tests.unit.cluster.conftest import MakeWorld

pytestmark = pytest.mark.timeout(60)


async def test_a_batch_is_one_reward_version_and_says_what_it_learned(world: World) -> None:
    await world.controller().run()

    ledger_seqs = [request.ledger_seq for request in world.trainer.requests]
    assert ledger_seqs[0] >= 10
    assert len(ledger_seqs) > 1
    for batch in world.learner.batches:
        assert {s.score.reward_version for s in batch.rollouts} == {batch.reward_version}
        assert batch.learned_through == ledger_seqs[batch.reward_version - 1]


async def test_queries_get_complete_responses_only(make_world: MakeWorld) -> None:
    # Every third response misses its cut; those are drawn again.
    seen = iter(range(10**6))
    world = make_world(FakeActor(is_complete=lambda _: next(seen) % 3 != 0))

    await world.controller().run()

    assert len(world.labels.drafts) == len(world.people.queries) >= 38
    for draft in world.labels.drafts:
        assert len(draft.rollouts) == 4
        assert all(rollout.is_complete for rollout in draft.rollouts)


async def test_an_incomplete_response_is_trained_on_with_the_fixed_score(
    make_world: MakeWorld,
) -> None:
    world = make_world(FakeActor(is_complete=lambda request: request.purpose == "query"))

    await world.controller().run()

    values = {s.score.value for b in world.learner.batches for s in b.rollouts}
    assert values == {-1.0}


async def test_a_rollout_without_a_score_is_replaced_never_zero(world: World) -> None:
    world.service = FakeRewardService(failures=1)

    await world.controller().run()

    assert len(world.learner.batches) == 5
    assert {s.score.value for b in world.learner.batches for s in b.rollouts} == {0.1}
    assert world.num_dropped > 0


async def test_a_batch_that_cannot_be_scored_anew_is_replaced(make_world: MakeWorld) -> None:
    world = make_world(config=small_config(labels=ONE_REFIT))
    score = world.service.score
    calls: list[int] = []

    async def one_is_older_and_is_refused(sequences: Sequence[Sequence[int]]) -> list[Score]:
        calls.append(len(sequences))
        if len(sequences) == 1:
            raise ScoringFailed("no replica answered")
        first, *others = await score(sequences)
        return [replace(first, reward_version=0) if len(calls) == 1 else first, *others]

    world.service.score = one_is_older_and_is_refused  # type: ignore[method-assign]
    await asyncio.wait_for(world.controller().run(), 5)

    assert calls.count(1) == 1
    assert [batch.step for batch in world.learner.batches] == [0, 1, 2, 3, 4]
    assert world.num_dropped == BATCH


async def test_an_order_whose_drafts_cannot_be_scored_is_left_unanswered_and_comes_again(
    make_world: MakeWorld,
) -> None:
    # Drafts are scored where the queue chooses among them, from the first reward on.
    choosy = {**ONE_REFIT, "selector": "disagreement", "selector_pool": 3}
    world = make_world(config=small_config(labels=choosy), labelers=())
    score = world.service.score
    refused: list[int] = []

    async def queries_are_refused_once(sequences: Sequence[Sequence[int]]) -> list[Score]:
        is_of_queries = max(token for sequence in sequences for token in sequence) > 9
        if is_of_queries and not refused:
            refused.append(len(sequences))
            raise ScoringFailed("no replica answered")
        return await score(sequences)

    world.service.score = queries_are_refused_once  # type: ignore[method-assign]
    running = asyncio.ensure_future(world.controller().run())
    await world.people.label(14)  # all that were asked for before the first reward
    await settle()
    # l(8) + ahead of them are wanted after the step that was taken; drafts have 4 candidates each.
    assert refused == [(20 + 4 - 14) * 3 * 4]
    assert len(world.learner.batches) == 1
    assert len(world.people.queries) == 14

    world.people.clock.now += world.config.labels.order_timeout_s
    world.people.keep_labeling()
    await world.labels.tell_activity("waiting for labels")  # the queue looks at the time
    await asyncio.wait_for(running, 5)

    assert len(world.learner.batches) == 5
    assert len(world.people.queries) >= 38
    assert world.num_dropped == refused[0]
