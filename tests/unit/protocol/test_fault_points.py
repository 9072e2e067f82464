"""A plan breaks what it names, when it says, and alike every time; no plan breaks nothing."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import pytest

from protocol import fault_points
from protocol.errors import ActorDied
from protocol.fault_points import VARIABLE, Fault, FaultPlan, planned, reach, reached

ROOT = Path(__file__).parents[3]
POINTS = {
    *("ledger.before_commit", "ledger.after_commit", "ledger.acknowledge", "intake.reply"),
    *("reward_fit.learned", "reward_fit.published"),
    "checkpoint.learner_kept",
    "snapshot.block",
    "snapshot.before_replace",
}
"""Those named in the code; beside them every method of a side."""


def plan(*faults: Fault, seed: int = 0) -> FaultPlan:
    return FaultPlan(seed=seed, faults=faults)


class Calls:
    """Counts calls, and answers with their number."""

    def __init__(self) -> None:
        self.made: list[str] = []

    async def __call__(self, name: str = "call") -> int:
        self.made.append(name)
        await asyncio.sleep(0)
        return len(self.made)


async def test_without_a_plan_nothing_happens() -> None:
    calls = Calls()
    reach("a")
    await reached("a")
    assert await fault_points.call("a", calls) == 1


async def test_a_fault_comes_at_its_passage_and_at_its_point_alone() -> None:
    with planned(plan(Fault(point="ledger.*", action="lose_answer", at=2))):
        reach("ledger.a")
        reach("other")
        reach("other")
        with pytest.raises(ActorDied, match=r"ledger\.a"):
            reach("ledger.a")
        reach("ledger.a")
        await reached("ledger.b")
        with pytest.raises(ActorDied, match=r"ledger\.b"):
            await reached("ledger.b")
    reach("ledger.a")


async def test_a_lost_request_is_not_made_and_a_lost_answer_was() -> None:
    calls = Calls()
    lose_request = Fault(point="a", action="lose_request", at=1)
    lose_answer = Fault(point="a", action="lose_answer", at=2)
    with planned(plan(lose_request, lose_answer)):
        with pytest.raises(ActorDied, match="request"):
            await fault_points.call("a", calls)
        assert calls.made == []
        with pytest.raises(ActorDied, match="answer"):
            await fault_points.call("a", calls)
        assert calls.made == ["call"]
        assert await fault_points.call("a", calls) == 2


async def test_a_duplicate_is_made_twice_and_the_second_answer_counts() -> None:
    with planned(plan(Fault(point="a", action="duplicate"))):
        assert await fault_points.call("a", Calls()) == 2


async def test_a_call_out_of_order_lets_the_next_go_first() -> None:
    calls = Calls()
    with planned(plan(Fault(point="a", action="reorder", at=1, delay_s=60))):
        await asyncio.gather(
            fault_points.call("a", lambda: calls("first")),
            fault_points.call("a", lambda: calls("second")),
        )
    assert calls.made == ["second", "first"]


async def test_a_call_out_of_order_that_no_other_follows_is_made_all_the_same() -> None:
    calls = Calls()
    with planned(plan(Fault(point="a", action="reorder", delay_s=0.01))):
        assert await fault_points.call("a", calls) == 1


def lost_of(seed: int) -> list[int]:
    lost = []
    with planned(plan(Fault(point="a", action="lose_request", chance=0.3), seed=seed)):
        for number in range(200):
            try:
                reach("a")
            except ActorDied:
                lost.append(number)
    return lost


def test_chance_is_of_the_seed_alone() -> None:
    assert lost_of(1) == lost_of(1) != lost_of(2)
    assert 30 < len(lost_of(1)) < 90


def test_a_plan_reaches_another_process_by_its_environment() -> None:
    text = plan(Fault(point="here", action="kill", at=2)).to_json()
    code = "from protocol.fault_points import reach; reach('here'); print('once'); reach('here')"
    done = subprocess.run(
        [sys.executable, "-u", "-c", code],
        env={"PYTHONPATH": str(ROOT), VARIABLE: text},
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (-9, b"once\n")
    assert b"on purpose" in done.stderr


def test_a_garbled_plan_is_refused() -> None:
    with pytest.raises(ValueError, match="'explode' is none of kill, delay"):
        FaultPlan.from_json('{"faults": [{"point": "a", "action": "explode"}]}')
    with pytest.raises(ValueError, match=r"chance in \[0, 1\]"):
        FaultPlan.from_json('{"faults": [{"point": "a", "action": "kill", "chance": 2}]}')
    with pytest.raises(TypeError, match="pint"):
        FaultPlan.from_json('{"faults": [{"pint": "a", "action": "kill"}]}')


def test_a_plan_comes_back_from_its_json() -> None:
    before = plan(Fault(point="a", action="delay", at=2, chance=0.5, delay_s=1.0), seed=7)
    assert FaultPlan.from_json(before.to_json()) == before


def test_the_points_in_the_code_are_those_that_plans_may_name() -> None:
    found = set()
    for package in ("protocol", "label_queue", "reward_service", "learners", "actors", "cluster"):
        for path in (ROOT / package).rglob("*.py"):
            if path.name != "fault_points.py":
                found |= set(re.findall(r"reach(?:ed)?\(\s*\"([^\"]+)\"", path.read_text("utf-8")))
    assert found == POINTS
