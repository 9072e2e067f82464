"""The figures of labelling, worked out by hand from a ledger of eight labels.

query  purpose     made at   label by   received   says
q0     overlap     1 000     ann        1 010      candidate a, shown first
                             bob        1 020      candidate b, shown second; then revised to a
q1     overlap     1 000     ann        1 030      candidate c, shown third
                             bob        1 031      a tie; then retracted
q2     train       1 020     ann        1 050      "both bad"
q3     train       1 030     bob        1 090      a skip
g      gold (a)    1 040     ann        1 091      candidate a: right
h      gold (a)    1 040     bob        1 092      candidate b: wrong

The owner has vouched for both. Two more queries nobody has answered: one wants
three labelers, the other is gold. The present is 1 100.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from label_queue.labeling.submissions import LabelSubmission
from label_queue.quality_config import QualityConfig
from tests.support.labels import (
    ManualClock,
    make_assignment,
    make_config,
    make_event,
    make_query,
    make_reinstatement,
    make_retraction,
)
from tests.support.memory_ledger import MemoryLedger
from tests.support.metric_proofs import proves
from tests.unit.label_queue.conftest import MakeQueue
from tests.unit.label_queue.labeling import answer_orders, label, submit

NOW = 1_100.0


def fill(ledger: MemoryLedger) -> None:
    for number, labeler in enumerate(("ann", "bob")):
        ledger.write([make_reinstatement(labeler, number=number)])
    made = {0: 1_000.0, 1: 1_000.0, 2: 1_020.0, 3: 1_030.0, 4: 1_040.0, 5: 1_040.0}
    purposes = {0: "overlap", 1: "overlap", 4: "gold", 5: "gold"}
    queries = {
        number: make_query(
            number,
            created_at=at,
            purpose=purposes.get(number, "train"),
            num_wanted=2 if purposes.get(number) == "overlap" else 1,
            gold_answer=f"q{number}-a" if purposes.get(number) == "gold" else None,
        )
        for number, at in made.items()
    }
    given = (
        (0, "ann", 1_010.0, {"choice": 0}),
        (0, "bob", 1_020.0, {"choice": 1}),
        (1, "ann", 1_030.0, {"choice": 2}),
        (1, "bob", 1_031.0, {"outcome": "tie"}),
        (2, "ann", 1_050.0, {"outcome": "both_bad"}),
        (3, "bob", 1_090.0, {"outcome": "skip"}),
        (4, "ann", 1_091.0, {"choice": 0}),
        (5, "bob", 1_092.0, {"choice": 1}),
    )
    for number, labeler, at, said in given:
        query = queries[number]
        event = make_event(query, labeler, received_at=at, **said)
        ledger.write([query, make_assignment(query, labeler), event])
    ledger.write([make_query(6, num_wanted=3), make_query(7, purpose="gold", gold_answer="q7-a")])
    ledger.write(
        [
            make_event(queries[0], "bob", revision=1, choice=0, received_at=1_093.0),
            make_retraction(queries[1], "bob", revision=1, received_at=1_094.0),
        ]
    )


@pytest.fixture
async def stats(
    make_queue: MakeQueue, ledger: MemoryLedger, clock: ManualClock
) -> dict[str, float]:
    fill(ledger)
    queue = make_queue(make_config(quality=QualityConfig(repeat_share=0.0)))
    clock.now = NOW
    return await queue.policy_loop.stats()


@proves("labels/accepted", "labels/received", "labels/retracted", "labels/counted")
async def test_what_came_and_what_of_it_counts(stats: dict[str, float]) -> None:
    assert (stats["labels/received"], stats["labels/accepted"]) == (8, 8)
    assert stats["labels/retracted"] == 1
    # q0 twice and q1 once: not "both bad", skip, gold, nor what was taken back.
    assert stats["labels/counted"] == 3


@proves("labels/scheduled", "labels/deficit", "labels/outstanding")
async def test_what_is_wanted(stats: dict[str, float]) -> None:
    assert stats["labels/scheduled"] == 10
    assert stats["labels/deficit"] == 10 - 3
    assert stats["labels/outstanding"] == 3


@proves("labels/latency_p50", "labels/latency_p95")
async def test_latency_is_from_the_making_of_the_query_gold_left_out(
    stats: dict[str, float],
) -> None:
    # 10, 20, 30, 31, 30 and 60 s.
    assert stats["labels/latency_p50"] == 30.0
    assert stats["labels/latency_p95"] == pytest.approx(31 + 0.75 * 29)


@proves("labels/rate_per_min")
async def test_the_rate_leaves_out_gold(stats: dict[str, float]) -> None:
    # After 1 040: q2 and q3, not the two answers to gold.
    assert stats["labels/rate_per_min"] == 2


@proves("labels/tie_rate", "labels/skip_rate", "labels/both_bad_rate", "labelers/max_share")
async def test_shares_are_of_the_asked_labels_as_they_stand(stats: dict[str, float]) -> None:
    # Five stand: a, a, c, "both bad", skip; of ann three.
    assert stats["labels/tie_rate"] == 0.0
    assert stats["labels/skip_rate"] == pytest.approx(1 / 5)
    assert stats["labels/both_bad_rate"] == pytest.approx(1 / 5)
    assert stats["labelers/max_share"] == pytest.approx(3 / 5)


@proves("labels/first_position_rate")
async def test_the_first_position_is_of_choices_as_they_stand(stats: dict[str, float]) -> None:
    assert stats["labels/first_position_rate"] == pytest.approx(2 / 3)


@proves("labels/agreement_alpha")
async def test_agreement_is_of_queries_that_several_answered(
    make_queue: MakeQueue, ledger: MemoryLedger
) -> None:
    for number, choices in enumerate([(0, 0), (0, 1), (1, 1)]):
        query = make_query(number, purpose="overlap", num_wanted=2)
        for labeler, choice in zip(("ann", "bob"), choices, strict=True):
            event = make_event(query, labeler, choice=choice)
            ledger.write([query, make_assignment(query, labeler), event])
    # Three of each among six; one pair differs: 1 − 5·2/(36 − 9 − 9).
    assert (await make_queue().policy_loop.stats())["labels/agreement_alpha"] == pytest.approx(
        1 - 10 / 18
    )


@proves("labels/gold_accuracy", "labelers/median_gold_accuracy")
async def test_gold_accuracy_of_all_and_of_the_labelers(stats: dict[str, float]) -> None:
    assert stats["labels/gold_accuracy"] == 0.5
    # Beta(8 + 1, 2) and Beta(8, 2 + 1): 9/11 and 8/11, half of their sum.
    assert stats["labelers/median_gold_accuracy"] == pytest.approx(17 / 22)


@proves("labels/duplicate", "labels/rejected")
async def test_what_was_sent_again_or_refused_is_received_too(
    make_queue: MakeQueue, clock: ManualClock
) -> None:
    queue = make_queue()
    await answer_orders(queue)
    await label(queue, 2)
    task = await queue.people.next_task("ann", 0.0)
    assert task is not None
    answer = LabelSubmission(
        assignment_id=task.assignment_id, choice=task.candidates[0].candidate_id, outcome="choice"
    )
    other = replace(answer, choice=task.candidates[1].candidate_id)
    for submission in (answer, answer, other):
        clock.now += 1.0
        await submit(queue, submission)
    stats = await queue.policy_loop.stats()
    counts = {name: stats[f"labels/{name}"] for name in ("accepted", "duplicate", "rejected")}
    assert counts == {"accepted": 3, "duplicate": 1, "rejected": 1}
    assert stats["labels/received"] == 5


@proves("labelers/questioned")
async def test_of_whom_much_comes_and_against_whom_drift_speaks_is_counted_by_themselves(
    make_queue: MakeQueue, ledger: MemoryLedger
) -> None:
    gold = [make_query(n, purpose="gold", gold_answer=f"q{n}-a") for n in range(30)]
    ledger.write(list(gold))
    for number, query in enumerate(gold):
        event = make_event(query, "ann", choice=0 if number < 10 else 1)
        ledger.write([make_assignment(query, "ann"), event])
    stats = await make_queue().policy_loop.stats()
    assert (stats["labelers/questioned"], stats["labelers/suspended"]) == (1, 0)


@proves("labelers/probation", "labelers/suspended")
async def test_labelers_on_probation_and_suspended_are_counted(
    make_queue: MakeQueue, ledger: MemoryLedger
) -> None:
    gold = [make_query(n, purpose="gold", gold_answer=f"q{n}-a") for n in range(12)]
    ledger.write(list(gold))
    for query in gold:
        event = make_event(query, "bad", choice=1)
        ledger.write([make_assignment(query, "bad"), event])
    ledger.write([make_assignment(gold[0], "new"), make_event(gold[0], "new", choice=0)])
    stats = await make_queue().policy_loop.stats()
    assert (stats["labelers/probation"], stats["labelers/suspended"]) == (1, 1)
