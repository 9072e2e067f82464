"""Who is asked more gold, as the labeler, the owner and the ledger see it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from label_queue.quality import doubt, reliability
from protocol.fits import RewardVersion
from tests.support.estimators import judged_by
from tests.support.labels import (
    make_assignment,
    make_config,
    make_event,
    make_query,
    make_reward,
)
from tests.support.memory_ledger import MemoryLedger
from tests.support.metric_proofs import proves
from tests.unit.label_queue.conftest import MakeQueue
from tests.unit.label_queue.gold_tasks import (
    answer,
    asked_queries,
    config_with,
    crowd,
    take,
    with_gold,
)
from tests.unit.label_queue.labeling import answer_orders, label


def replace_weights(version: RewardVersion, weights: dict[str, float]) -> RewardVersion:
    return replace(version, labeler_weights=tuple(sorted(weights.items())))


def gold_shares(ledger: MemoryLedger, *names: str, since: int = 0) -> list[float]:
    """The share of gold in the tasks of some people, from each one's task `since` on."""
    purposes = [[each.purpose for each in asked_queries(ledger, name)[since:]] for name in names]
    return [own.count("gold") / len(own) for own in purposes]


@proves("labelers/doubted")
async def test_doubt_asks_more_gold_and_nothing_else(
    make_queue: MakeQueue, ledger: MemoryLedger, tmp_path: Path
) -> None:
    config = with_gold(tmp_path, 200, first_tasks=0, share=0.1, share_first=0.1, share_doubted=0.3)
    queue = make_queue(config)
    unreliable = replace_weights(make_reward(1, ledger_seq=0), {"ann": 0.1, "bob": 0.9})
    await queue.policy_loop.reward_served(unreliable)
    queue.state.doubts.newest = {"cid": [(10_000, 4.0)], "dan": [(10_000, 3.99)]}
    people = ("ann", "bob", "cid", "dan")
    for name in people:
        for _ in range(160):
            await answer(queue, await take(queue, name), name)
    of_ann, of_bob, of_cid, of_dan = gold_shares(ledger, *people)
    assert [of_ann, of_cid] == pytest.approx([0.3, 0.3], abs=0.09)
    assert [of_bob, of_dan] == pytest.approx([0.1, 0.1], abs=0.07)
    assert queue.state.doubts.doubted() == ["ann", "cid"]
    stats = await queue.policy_loop.stats()
    assert (stats["labelers/doubted"], stats["labelers/suspended"]) == (2, 0)
    rows = (await queue.owner.overview()).labelers
    assert {row.labeler_id: row.is_doubted for row in rows if row.labeler_id in people} == {
        "ann": True,
        "bob": False,
        "cid": True,
        "dan": False,
    }


async def test_who_turns_is_asked_more_gold_long_before_they_are_suspended(
    make_queue: MakeQueue, ledger: MemoryLedger, tmp_path: Path
) -> None:
    """By gold alone: one wrong answer, of the five that it takes."""
    crowd(ledger)
    config = with_gold(tmp_path, 400, first_tasks=0, share=0.2, share_first=0.2, share_doubted=0.8)
    queue = make_queue(config)
    standings, doubts = queue.state.history.standings, queue.state.doubts
    while standings["ann"].state == "probation":
        await answer(queue, await take(queue))
    while not doubts.holds("ann"):
        await answer(queue, await take(queue), best=False)
    assert standings["ann"].gold_against == pytest.approx(1.771, abs=0.01)  # of four candidates
    doubted = len(asked_queries(ledger))
    while (task := await queue.people.next_task("ann", 0.0)) is not None:
        await answer(queue, task, best=False)
        await answer_orders(queue)
    assert standings["ann"].state == "suspended"
    assert gold_shares(ledger, "ann", since=doubted)[0] > 0.5
    assert doubts.doubted() == []  # of those who are given tasks


async def test_repeats_answered_otherwise_are_part_of_the_doubt(
    make_queue: MakeQueue, ledger: MemoryLedger
) -> None:
    query, other = make_query(0), make_query(1)
    again = [
        make_query(n, purpose="repeat", repeat_of=of.query_id) for n, of in ((2, query), (3, other))
    ]
    asked = [query, other, *again]
    choices = [0, 0, 1, 0]
    for each, choice in zip(asked, choices, strict=True):
        event = replace(make_event(each, choice=choice), seq=0)
        ledger.write([each, make_assignment(each), event])
    doubts = make_queue(config_with()).state.doubts
    # Of four log(0.75/0.1867) − log(0.8133/0.25) = 1.3907 − 1.1798
    assert doubts.nats("ann") == pytest.approx(0.2109, abs=1e-3)
    assert doubts.nats("nobody") == 0.0


async def test_who_was_given_a_second_chance_is_doubted_by_their_gold_like_everybody(
    make_queue: MakeQueue, tmp_path: Path
) -> None:
    queue = make_queue(with_gold(tmp_path, 400, share_first=0.9, share=0.9))
    standings, doubts = queue.state.history.standings, queue.state.doubts
    while standings["ann"].state == "probation":
        await answer(queue, await take(queue), best=False)
    assert standings["ann"].state == "suspended"
    await queue.owner.reinstate("ann", "a bad day")
    assert standings["ann"].gold_against == 0.0
    assert not doubts.holds("ann")
    while standings["ann"].gold_against == 0.0:
        await answer(queue, await take(queue), best=False)
    assert doubts.holds("ann")


@pytest.mark.parametrize("gold", [{"share": 0.0, "share_first": 0.0}, None])
async def test_where_no_gold_is_asked_nobody_is_in_doubt(
    make_queue: MakeQueue, ledger: MemoryLedger, tmp_path: Path, gold: dict[str, float] | None
) -> None:
    queue = make_queue(config_with() if gold is None else with_gold(tmp_path, 20, **gold))
    for _ in range(20):
        await answer(queue, await take(queue))
    queue.state.doubts.newest = {"ann": [(10_000, 100.0)]}
    queue.state.doubts.reliability = {"ann": 0.1}
    assert queue.state.doubts.nats("ann") == pytest.approx(100.0)
    assert not queue.state.doubts.holds("ann")
    for _ in range(20):
        await answer(queue, await take(queue))
    assert "gold" not in {query.purpose for query in asked_queries(ledger)}


async def test_each_fit_says_what_everybodys_newest_answers_are_worth(
    make_queue: MakeQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those beyond the answers by which a labeler's reliability is judged."""
    monkeypatch.setattr(reliability, "MAX_JUDGED", 5)
    monkeypatch.setattr(doubt, "NUM_NEWEST", 8)
    queue = make_queue(make_config(total=400, initial=40, ahead=40, validation_share=0.0))
    await answer_orders(queue)
    for name in ("ann", "bob"):
        await label(queue, 20, name)
    refit = await queue.policy_loop.next_refit()
    assert {name for name, _ in refit.labeler_weights} == {"ann", "bob"}
    of_ann = [each.seq for each in queue.state.history.submits_of("ann")]
    assert [seq for seq, _ in queue.state.doubts.newest["ann"]] == of_ann[-8:]
    assert len(set(judged_by([*queue.state.history.submits_of("ann")]))) == 5
