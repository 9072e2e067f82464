"""A run whose coverage, latencies and win rate can be worked out by hand.

seq      who   said on                               at
1, 2     ann   q0; skips q1                          100, 110
3, 4     ann, cid   q2, asked of several             120, 130
5        bob   q3: held, as gold is there            140
6, 7     ann   q0 again (a repeat); gold, right      150, 160
                reward 1: refit at 7 on 1, 3 (the cap leaves out 4), announced at 200
                policy 1 on it, sampled at 230
                q4, q5 (validation) and a repeat made by policy 1
8        cid   q5: prefers ρ                         248
9        ann   q4                                    250
10 … 17  bob   gold, all right: 5 is held no more    260 … 267
                q6 made by policy 1
18       owner excludes cid                          280
                reward 2: warm at 18 on 5, 9 and 1 again, announced at 300
                policies 2 and 3 on it, sampled at 330 and 320
                q7 made by policy 2, q8 while policy 2 took over from 1
19       ann   q5: prefers π                         355
20       dan   q6: held                              360
"""

from __future__ import annotations

from dataclasses import replace

from label_queue.ledger.records import Ledger, Record
from protocol.fits import RewardVersion
from protocol.labels import ComparisonQuery, LabelEvent, PolicyProvenance
from tests.support.labels import (
    make_assignment,
    make_event,
    make_exclusion,
    make_provenance,
    make_query,
    make_reward,
)

FIRST_SAMPLES = {0: 50.0, 1: 230.0, 2: 330.0, 3: 320.0}
"""Unix seconds by policy version; an actor took version 3 before another was done with 2."""
COVERAGE = {
    "q4": 2 / 3,  # of 1, 3, 4: 1, 3
    "q5": 2 / 3,
    "q6": 1 / 3,  # of 1, 3, 4, 5, 8, 9: 1, 3
    "q7": 1.0,  # of 1, 3, 5, 9: all
    "q8": 1 / 2,  # its oldest response is policy 1's
}
LATENCIES = {1: 130.0, 3: 110.0, 5: 180.0, 9: 70.0}
"""Seconds by `seq`: 5 and 9 reached version 3 first."""
NUM_WAITING = 1
"""19; the others that no policy learned are skipped, gold, repeated, excluded or held."""


def _query(
    number: int, at: float, versions: tuple[int, ...] = (0, 0, 0, 0), **changes: object
) -> ComparisonQuery:
    return make_query(number, versions=versions, created_at=at, **changes)


def _reward(
    version: int, ledger_seq: int, kind: str, learned: tuple[int, ...], at: float
) -> RewardVersion:
    reward = make_reward(version, ledger_seq=ledger_seq, kind=kind, learned=learned)
    return replace(reward, announced_at=at)


def _policy(version: int, reward_version: int, at: float) -> PolicyProvenance:
    return replace(make_provenance(version, reward_version), created_at=at)


def _golds() -> list[ComparisonQuery]:
    """Gold that was there when bob and dan began, and not when ann and cid did."""
    return [
        _query(n, 135.0, purpose="gold", gold_answer=f"q{n}-a", labels_before=4)
        for n in range(20, 29)
    ]


def records(*, says_where: bool = True) -> list[Record]:
    """Return what the ledger holds, in the order it was written.

    Args:
        says_where: Whether queries say which label events came before them.
    """
    q = [
        _query(0, 60.0),
        _query(1, 61.0),
        _query(2, 62.0, purpose="overlap", num_wanted=2),
        _query(3, 63.0),
    ]
    golds = _golds()
    again = _query(30, 145.0, purpose="repeat", repeat_of="q0")
    by_first = [
        _query(4, 240.0, (1, 1, 1, 1)),
        _query(5, 245.0, (0, 1, 0, 1), purpose="validation"),
        _query(31, 246.0, (1, 1, 1, 1), purpose="repeat", repeat_of="q4"),
    ]
    sixth = _query(6, 270.0, (1, 1, 1, 1))
    by_second = [_query(7, 350.0, (2, 2, 2, 2)), _query(8, 351.0, (2, 1, 2, 2))]
    if says_where:
        q = [replace(each, ledger_seq=0) for each in q]
        by_first = [replace(each, ledger_seq=7) for each in by_first]
        sixth = replace(sixth, ledger_seq=17)
        by_second = [replace(each, ledger_seq=18) for each in by_second]
    return [
        _policy(0, 0, 50.0),
        *q,
        *_label(q[0], "ann", 100.0),
        *_label(q[1], "ann", 110.0, outcome="skip"),
        *_label(q[2], "ann", 120.0),
        *_label(q[2], "cid", 130.0, choice=1),
        *golds,
        *_label(q[3], "bob", 140.0),
        again,
        *_label(again, "ann", 150.0),
        *_label(golds[8], "ann", 160.0),
        _reward(1, 7, "refit", (1, 3), 200.0),
        _policy(1, 1, 210.0),
        *by_first,
        *_label(by_first[1], "cid", 248.0, choice=0),
        *_label(by_first[0], "ann", 250.0),
        *(record for i in range(8) for record in _label(golds[i], "bob", 260.0 + i)),
        sixth,
        replace(make_exclusion("cid"), received_at=280.0),
        _reward(2, 18, "warm", (1, 5, 9), 300.0),
        _policy(2, 2, 305.0),
        _policy(3, 2, 310.0),
        *by_second,
        *_label(by_first[1], "ann", 355.0, choice=1),
        *_label(sixth, "dan", 360.0),
    ]


def _label(query: ComparisonQuery, labeler: str, at: float, **changes: object) -> list[Record]:
    label: LabelEvent = make_event(query, labeler, received_at=at, **changes)  # type: ignore[arg-type]
    return [make_assignment(query, labeler), label]


def fill(ledger: Ledger, *, says_where: bool = True) -> list[Record]:
    """Write the run; return what stands in the ledger, label events with their numbers."""
    return ledger.write(records(says_where=says_where))
