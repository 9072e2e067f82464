"""Gold and repeats among a labeler's tasks, as the labeler and as the ledger see them."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from label_queue.folds.event_log import EventLog
from label_queue.labeling import mixing
from label_queue.labeling.mixing import draw_order
from label_queue.ledger.records import Record
from label_queue.quality.gold_tasks import AskMoment, past_template
from label_queue.quality_config import GoldConfig, QualityConfig
from protocol.distinct import is_comparison
from protocol.errors import InputError
from protocol.labels import LabelEvent
from tests.support.labels import (
    ManualClock,
    make_assignment,
    make_config,
    make_event,
    make_query,
)
from tests.support.memory_ledger import MemoryLedger
from tests.unit.label_queue.conftest import MakeQueue
from tests.unit.label_queue.gold_tasks import (
    answer,
    asked_queries,
    config_with,
    crowd,
    take,
    with_gold,
)
from tests.unit.label_queue.labeling import answer_orders


async def test_a_quarter_of_the_first_tasks_is_gold_then_a_twentieth(
    make_queue: MakeQueue, ledger: MemoryLedger, tmp_path: Path
) -> None:
    queue = make_queue(with_gold(tmp_path, 200))
    for name in ("ann", "bob", "cid", "dan", "eve", "fay"):
        for _ in range(100):
            await answer(queue, await take(queue, name), name)
    first, later = [], []
    for name in ("ann", "bob", "cid", "dan", "eve", "fay"):
        purposes = [query.purpose for query in asked_queries(ledger, name)]
        first += purposes[:40]
        later += purposes[40:]
    assert first.count("gold") / len(first) == pytest.approx(0.25, abs=0.07)
    assert later.count("gold") / len(later) == pytest.approx(0.05, abs=0.035)


async def test_nobody_sees_a_gold_task_twice_before_all_were_seen(
    make_queue: MakeQueue, ledger: MemoryLedger, tmp_path: Path
) -> None:
    queue = make_queue(with_gold(tmp_path, 5, share_first=0.9, first_tasks=1_000))
    for _ in range(16):
        await answer(queue, await take(queue))
    shown = [q.repeat_of for q in asked_queries(ledger) if q.purpose == "gold"]
    assert len(set(shown[:5])) == 5
    assert len(set(shown[5:10])) == 5
    # After a restart it goes on where it was.
    queue = make_queue(with_gold(tmp_path, 5, share_first=0.9, first_tasks=1_000))
    while len(shown) % 5:
        await answer(queue, await take(queue))
        shown = [q.repeat_of for q in asked_queries(ledger) if q.purpose == "gold"]
    assert len(set(shown[-5:])) == 5


async def test_gold_takes_the_place_of_a_task_and_never_fills_a_gap(
    make_queue: MakeQueue, ledger: MemoryLedger, tmp_path: Path
) -> None:
    queue = make_queue(with_gold(tmp_path, share_first=0.99))
    assert await queue.people.next_task("ann", 0.0) is None
    assert ledger.assignments() == []


async def test_gold_neither_trains_nor_counts(make_queue: MakeQueue, tmp_path: Path) -> None:
    queue = make_queue(with_gold(tmp_path, share_first=0.9, first_tasks=1_000))
    for _ in range(30):
        await answer(queue, await take(queue))
    stats = await queue.policy_loop.stats()
    received = (await queue.owner.overview()).progress.labels_received
    assert 0 < received < 15
    assert stats["labels/accepted"] == 30
    assert stats["labels/gold_accuracy"] == 1.0
    assert stats["labelers/probation"] == 0


async def test_nothing_told_of_the_run_moves_by_what_an_answer_was_for(
    make_queue: MakeQueue, tmp_path: Path
) -> None:
    queue = make_queue(with_gold(tmp_path, share_first=0.5))
    told = await queue.people.run_info("ann")
    purposes = set()
    for _ in range(12):
        task = await take(queue)
        assert await queue.people.run_info("ann") == told
        await answer(queue, task)
        assert await queue.people.run_info("ann") == told
        assignment = queue.state.board.assignments[task.assignment_id]
        purposes.add(queue.state.board.queries[assignment.query_id].purpose)
    assert {"gold", "train"} <= purposes


async def test_probation_labels_count_once_they_are_cleared(
    make_queue: MakeQueue, tmp_path: Path
) -> None:
    queue = make_queue(with_gold(tmp_path, share_first=0.4))
    counts: list[int] = []
    while not counts or counts[-1] == 0:
        await answer(queue, await take(queue))
        counts.append((await queue.owner.overview()).progress.labels_received)
    stats = await queue.policy_loop.stats()
    assert stats["labelers/probation"] == 0
    # cleared by the fourth gold task of four candidates; all the others count at once
    assert counts[-1] == len(counts) - 4


async def test_who_fails_gold_waits_like_everybody_without_a_task(
    make_queue: MakeQueue, tmp_path: Path
) -> None:
    queue = make_queue(with_gold(tmp_path, share_first=0.5))
    await answer_orders(queue)
    given = 0
    while (task := await queue.people.next_task("ann", 0.0)) is not None:
        await answer(queue, task, best=False)
        await answer_orders(queue)
        given += 1
    assert 4 <= given < 40
    assert (await queue.policy_loop.stats())["labelers/suspended"] == 1
    assert (await queue.owner.overview()).progress.labels_received == 0
    assert await queue.people.next_task("bob", 0.0) is not None


async def test_what_reinstating_the_suspended_would_change_is_shown_and_not_an_exclusion(
    make_queue: MakeQueue, ledger: MemoryLedger, tmp_path: Path
) -> None:
    crowd(ledger)
    queue = make_queue(with_gold(tmp_path, 60, share_first=0.5, share=0.5))
    history = queue.state.history
    while history.standings["ann"].state == "probation":
        await answer(queue, await take(queue))
    while (task := await queue.people.next_task("ann", 0.0)) is not None:
        await answer(queue, task, best=False)
        await answer_orders(queue)
    assert history.standings["ann"].state == "suspended"
    leaving = await queue.owner.preview_exclusion("ann", 0, "exclude")
    coming_back = await queue.owner.preview_exclusion("ann", 0, "reinstate")
    assert leaving.labels_returning == coming_back.labels_leaving == 0
    assert coming_back.labels_returning > 0
    done = await queue.owner.reinstate("ann", "explained")
    assert replace(done, undoable=None) == coming_back


async def test_repeats_are_own_queries_in_another_order_once_each(
    make_queue: MakeQueue, ledger: MemoryLedger
) -> None:
    config = make_config(
        total=400,
        ahead=40,
        kind="pair",
        num_candidates=2,
        quality=QualityConfig(repeat_share=0.4),
    )
    queue = make_queue(config)
    for _ in range(60):
        await answer(queue, await take(queue))
    asked = asked_queries(ledger)
    places = {query.query_id: place for place, query in enumerate(asked)}
    repeats = [query for query in asked if query.purpose == "repeat"]
    assert len(repeats) > 10
    assert len({query.repeat_of for query in repeats}) == len(repeats)
    orders = {}
    for assignment, query in zip(ledger.assignments(), asked, strict=True):
        index = {c.candidate_id: i for i, c in enumerate(query.candidates)}
        orders[query.query_id] = [index[name] for name in assignment.shown_order]
    for repeat in repeats:
        assert repeat.repeat_of is not None
        assert places[repeat.query_id] - places[repeat.repeat_of] > 10
        assert orders[repeat.query_id] == orders[repeat.repeat_of][::-1]


@pytest.mark.parametrize("num_preferences", [400, 1])
async def test_of_hundreds_of_answers_few_are_looked_at_for_a_repeat_and_one_that_fits_is_found(
    make_queue: MakeQueue,
    ledger: MemoryLedger,
    monkeypatch: pytest.MonkeyPatch,
    num_preferences: int,
) -> None:
    for number in range(400):
        query = make_query(number)
        is_skip = number >= num_preferences
        event = make_event(query, outcome="skip", choice=None) if is_skip else make_event(query)
        ledger.write([query, make_assignment(query), replace(event, seq=0)])
    state = make_queue(config_with()).state
    looked_at: list[int] = []
    of = EventLog.of

    def looked(events: EventLog, seq: int) -> LabelEvent:
        looked_at.append(seq)
        return of(events, seq)

    monkeypatch.setattr(EventLog, "of", looked)
    config = QualityConfig(
        gold=GoldConfig(share_first=0.0, share=0.0, share_doubted=0.0),
        repeat_share=0.99,
        repeat_after=5,
    )
    mixer = mixing.TaskMixer(
        state.board, state.history, config, rng=random.Random(1), new_id=lambda: "again"
    )
    found = [mixer.draw("ann", 1.0, is_doubted=False) for _ in range(20)]
    asked = [query.repeat_of for query in found if query is not None]
    assert len(asked) >= 18
    if num_preferences == 1:
        assert set(asked) == {make_query(0).query_id}
    else:
        assert len(set(asked)) > 15
        assert len(looked_at) == len(asked)


async def test_a_bad_gold_file_ends_the_start(
    make_queue: MakeQueue, tmp_path: Path, clock: ManualClock
) -> None:
    path = tmp_path / "gold.jsonl"
    path.write_text('{"prompt": "p", "candidates": ["a", "b"], "answer": 0}\n')
    with pytest.raises(InputError, match=r"gold\.jsonl, line 1: candidates: want 4"):
        make_queue(config_with(gold=GoldConfig(path=path).model_dump()))


def test_an_order_drawn_is_the_one_its_seed_gives() -> None:
    query = make_query()
    seed, shown = draw_order(query, random.Random(1))
    again = [candidate.candidate_id for candidate in query.candidates]
    random.Random(seed).shuffle(again)
    assert shown == tuple(again)


def test_a_pair_shown_again_is_flipped() -> None:
    query = make_query(versions=(1, 1))
    rng = random.Random(1)
    for _ in range(20):
        _, shown = draw_order(query, rng, (0, 1))
        assert shown == ("q0-b", "q0-a")


async def test_neither_gold_nor_a_repeat_asks_what_is_no_comparison(
    make_queue: MakeQueue, ledger: MemoryLedger
) -> None:
    older = make_query(0)
    a, b, c, d = older.candidates
    older = replace(older, candidates=(a, replace(b, text=f"{a.text} "), c, d))
    template = past_template(older, "q0-c", AskMoment(now=1.0, labels=0))
    answered: list[Record] = [make_assignment(older), make_event(older)]
    ledger.write([older, template, *answered])
    queue = make_queue(
        config_with(gold={"share_first": 0.5, "share": 0.5}, repeat_share=0.4, repeat_after=1)
    )
    for _ in range(10):
        await answer(queue, await take(queue))
    asked = [query for query in ledger.queries() if query.purpose in ("gold", "repeat")]
    assert all(is_comparison(query.candidates) for query in asked if query != template)
    assert [query.purpose for query in asked].count("repeat") > 0
