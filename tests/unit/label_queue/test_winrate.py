"""The win rate as the label queue tells it."""

from __future__ import annotations

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
