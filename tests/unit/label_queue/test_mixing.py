"""Gold and repeats among a labeler's tasks, as the labeler and as the ledger see them."""

from __future__ import annotations

import json
import random
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from label_queue.config import GoldConfig, LabelsConfig, QualityConfig
from label_queue.folds.event_log import EventLog
from label_queue.labeling import mixing
from label_queue.labeling.mixing import draw_order
from label_queue.labeling.submissions import LabelAnswer, LabelSubmission
from label_queue.labeling.tasks import Task
from label_queue.ledger.records import Record
from label_queue.quality.gold_tasks import AskMoment, past_template
from label_queue.queue import LabelQueue
from protocol.distinct import is_comparison
from protocol.errors import InputError
from protocol.fits import RewardVersion
from protocol.labels import ComparisonQuery, LabelEvent
from tests.support.labels import (
    ManualClock,
    make_assignment,
    make_config,
    make_event,
    make_query,
    make_reward,
)
from tests.support.memory_ledger import MemoryLedger
from tests.support.metric_proofs import proves
from tests.unit.label_queue.conftest import MakeQueue
from tests.unit.label_queue.labeling import answer_orders


def gold_file(folder: Path, count: int) -> Path:
    path = folder / "gold.jsonl"
    tasks = [
        {"prompt": f"p{n}", "candidates": [f"best {n}", "b", "c", "d"], "answer": 0}
        for n in range(count)
    ]
    path.write_text("".join(json.dumps(task) + "\n" for task in tasks))
    return path


def config_with(**quality: object) -> LabelsConfig:
    return make_config(
        total=2_000, initial=2_000, ahead=40, quality=QualityConfig.model_validate(quality)
    )


def with_gold(folder: Path, count: int = 30, **gold: object) -> LabelsConfig:
    path = gold_file(folder, count)
    return config_with(gold={"path": path, **gold}, repeat_share=0.0)


async def take(queue: LabelQueue, labeler_id: str = "ann") -> Task:
    await answer_orders(queue)
    task = await queue.people.next_task(labeler_id, 0.0)
    assert task is not None, "nothing to label"
    return task


async def answer(
    queue: LabelQueue, task: Task, labeler_id: str = "ann", *, best: bool = True
) -> None:
    """Choose what says it is best, or something else; what is shown first where nothing does."""
    names = [c.candidate_id for c in task.candidates if c.text.startswith("best") == best]
    choice = names[0] if names else task.candidates[0].candidate_id
    [result] = await queue.people.submit(
        labeler_id,
        [LabelSubmission(assignment_id=task.assignment_id, outcome="choice", choice=choice)],
    )
    assert isinstance(result, LabelAnswer)


def asked_queries(ledger: MemoryLedger, labeler_id: str = "ann") -> list[ComparisonQuery]:
    """The queries of a labeler's tasks, in order."""
    queries = {query.query_id: query for query in ledger.queries()}
    return [queries[a.query_id] for a in ledger.assignments() if a.labeler_id == labeler_id]


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


async def test_a_gold_task_looks_like_any_other(
    make_queue: MakeQueue, ledger: MemoryLedger, tmp_path: Path
) -> None:
    queue = make_queue(with_gold(tmp_path, share_first=0.5))
    tasks = [await take(queue) for _ in range(20)]
    purposes = [query.purpose for query in asked_queries(ledger)]
    assert {"gold", "train"} <= set(purposes)
    shapes = set()
    for task in tasks:
        body = asdict(task)
        shapes.add(
            (
                tuple(sorted(body)),
                len(body["query_id"]),
                body["query_id"][14],
                task.kind,
                len(task.candidates),
                tuple(sorted({(c.candidate_id[:2], len(c.candidate_id)) for c in task.candidates})),
                task.lease_until,
                task.guideline_version,
            )
        )
    assert len(shapes) == 1
    known = {query.query_id for query in ledger.queries()}
    assert known.isdisjoint(task.query_id for task in tasks)
    assert len((await queue.people.held_tasks("ann")).tasks) == 20


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
    # cleared by the eighth gold task; all the others count at once
    assert counts[-1] == len(counts) - 8


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
    make_queue: MakeQueue, tmp_path: Path
) -> None:
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
    assert await queue.owner.reinstate("ann", "explained") == coming_back


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
    queue.state.doubts.unexplained = {"cid": 4.0, "dan": 3.99}
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
    """By gold alone: one wrong answer, of the seven that it takes."""
    config = with_gold(tmp_path, 400, first_tasks=0, share=0.2, share_first=0.2, share_doubted=0.8)
    queue = make_queue(config)
    standings, doubts = queue.state.history.standings, queue.state.doubts
    while standings["ann"].state == "probation":
        await answer(queue, await take(queue))
    while not doubts.holds("ann"):
        await answer(queue, await take(queue), best=False)
    assert standings["ann"].drift == pytest.approx(1.386, abs=0.01)
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


def replace_weights(version: RewardVersion, weights: dict[str, float]) -> RewardVersion:
    return replace(version, labeler_weights=tuple(sorted(weights.items())))


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
