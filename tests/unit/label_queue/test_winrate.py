"""The win rate as the label queue tells it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.labels import make_config
from tests.support.messages import make_policy
from tests.support.metric_proofs import proves
from tests.unit.label_queue.conftest import MakeQueue
from tests.unit.label_queue.labeling import answer_orders, label, reference_rollouts


@proves("policy/winrate_vs_reference")
async def test_winrate_counts_validation_labels_that_prefer_the_policy(
    make_queue: MakeQueue,
) -> None:
    queue = make_queue(make_config(validation_share=0.9))
    await queue.policy_loop.add_reference(reference_rollouts(20))
    await queue.policy_loop.set_progress(0, make_policy(1))
    await answer_orders(queue, version=1)
    await label(queue, 12)
    winrate = await queue.policy_loop.winrate()
    assert winrate.num_labels == pytest.approx(0.9 * 12, abs=1)
    assert 0.0 <= winrate.low < winrate.rate <= 1.0
    assert (await queue.policy_loop.winrate(last=5)).num_labels == 5
    assert (await queue.policy_loop.online_stats())["policy/winrate_vs_reference"] == winrate.rate


@proves("policy/winrate_recent")
async def test_the_recent_winrate_is_of_the_newest_hundred_votes(make_queue: MakeQueue) -> None:
    queue = make_queue(make_config(total=400, initial=150, validation_share=0.99, refits=1))
    await queue.policy_loop.add_reference(reference_rollouts(200))
    await queue.policy_loop.set_progress(0, make_policy(1))
    await answer_orders(queue, version=1)
    await label(queue, 147)
    votes = queue.state.figures.validation_votes()
    assert len(votes) > 110
    wins = [vote.is_win for vote in votes[-100:]]
    stats = await queue.policy_loop.online_stats()
    assert stats["policy/winrate_recent"] == sum(wins) / 100
    assert stats["policy/winrate_recent"] != stats["policy/winrate_vs_reference"]


async def test_after_a_rollback_votes_are_of_the_policy_as_it_is_now(make_queue: MakeQueue) -> None:
    """What guards and the recent rate look at; the rate of the whole run keeps all."""
    queue = make_queue(make_config(validation_share=0.9))
    loop = queue.policy_loop
    await loop.add_reference(reference_rollouts(20))
    await loop.set_progress(0, make_policy(1))
    await answer_orders(queue, version=1)
    await label(queue, 12)
    before = await loop.validation_votes()
    assert len(before) >= 10
    assert {each.policy_versions for each in before} == {(1,)}
    await loop.set_progress(0, replace(make_policy(2), restored_from=0))
    assert await loop.validation_votes() == ()
    assert await loop.lost_votes(4) == ()
    assert (await loop.winrate(last=5)).num_labels == 0
    assert (await loop.winrate()).num_labels == len(before)
    stats = await loop.online_stats()
    assert "policy/winrate_recent" not in stats
    assert "policy/winrate_vs_reference" in stats
