"""`andon inspect`: who waits for what, of a run that goes on, hangs, is dead or has ended."""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cluster.cli import main
from cluster.commands.exit_codes import EXIT_FAILED, EXIT_USER_ERROR
from cluster.loops.activity import LoopState
from cluster.loops.staleness import RolloutState
from cluster.run_folder import RunFolder
from cluster.watching import inspector as module
from cluster.watching.inspected import describe, inspect
from cluster.watching.inspector import Inspector
from cluster.watching.picture import Picture, read_picture
from protocol.errors import ActorDied, ResourceError

LOOP_STATE = LoopState(
    learner="labels",
    learner_for_s=3.0,
    is_learning=True,
    has_reward=True,
    fit="refit",
    is_cord_pulled=False,
)
ROLLOUTS = Counter({RolloutState.WAITING: 40, RolloutState.BEING_DRAWN: 8})
LATEST = {"policy/version": 7.0, "policy/episodes": 224.0}


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Part:
    """Answers, raises or hangs, as it is told to."""

    def __init__(self, answer: Mapping[str, Any]) -> None:
        self.answer = answer
        self.error: Exception | None = None
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def ask(self) -> Mapping[str, Any]:
        await self.may_answer.wait()
        if self.error is not None:
            raise self.error
        return self.answer


@pytest.fixture
def folder(running: RunFolder) -> RunFolder:
    running.update_state(activity="training")
    return running


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def parts() -> dict[str, Part]:
    replicas = {"abcdefghij": {"version": 3, "heard_s": 0.4}, "k": {"version": 2, "heard_s": 9.0}}
    return {
        "rollout-0": Part({"policy_version": 6, "num_in_flight": 30}),
        "reward service": Part({"announced": 3, "replicas": replicas}),
        "label queue": Part(
            {
                "labels/counted": 40,
                "labels/scheduled": 44,
                "labels/outstanding": 12,
                "labelers/active": 3,
            }
        ),
    }


@pytest.fixture
def inspector(folder: RunFolder, clock: Clock, parts: dict[str, Part]) -> Inspector:
    made = Inspector(
        folder.inspection,
        loop_state=lambda: LOOP_STATE,
        rollouts=lambda: ROLLOUTS,
        latest=lambda: LATEST,
        trouble=lambda: "",
        now=clock,
    )
    made.listen_to("rollout-0", "actor", parts["rollout-0"].ask)
    made.listen_to("reward service", "rewards", parts["reward service"].ask)
    made.listen_to("label queue", "labels", parts["label queue"].ask)
    return made


async def look(inspector: Inspector, monkeypatch: pytest.MonkeyPatch, turns: int = 20) -> None:
    """Let the inspector look a few times; no look waits for the clock on the wall."""
    monkeypatch.setattr(module, "INTERVAL_S", 0.0)
    watching = asyncio.create_task(inspector.watch())
    for _ in range(turns):
        await asyncio.sleep(0)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


async def test_a_run_that_goes_on_says_who_waits_for_what(
    inspector: Inspector, folder: RunFolder, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await look(inspector, monkeypatch)
    inspector.write()
    found = inspect(folder.path, now=clock.now + 0.4)
    assert found.is_well
    assert describe(found).splitlines() == [
        f"{folder.path}: waiting for labels; last heard 0 s ago",
        "  learner         waits for labels, from the labelers, for 3 s; policy v7, 224 episodes",
        "  reward trainer  fits (refit), for 0 s",
        "  rollouts        8 being drawn · 40 waiting",
        "  rollout-0       holds policy v6, v7 is yet to be loaded; draws 30 requests; "
        "heard 0 s ago",
        "  reward service  v3 announced, served by abcdefgh v3 (0 s ago), k v2 (9 s ago); "
        "1 yet to take it; heard 0 s ago",
        "  label queue     40 labels count of 44 wanted by now; 12 answers are asked for, of "
        "3 active labelers; heard 0 s ago",
        "  cord            free",
    ]


async def test_a_part_that_hangs_keeps_nobody_else_from_being_heard(
    inspector: Inspector,
    folder: RunFolder,
    clock: Clock,
    parts: dict[str, Part],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await look(inspector, monkeypatch)
    parts["rollout-0"].may_answer.clear()
    await look(inspector, monkeypatch)
    clock.now += 30.0
    await look(inspector, monkeypatch)
    picture = inspector.picture()
    assert picture.parts["rollout-0"].heard_at == 1_000.0
    assert picture.parts["label queue"].heard_at == 1_030.0
    inspector.write()
    told = describe(inspect(folder.path, now=clock.now))
    assert "draws 30 requests; SILENT: asked 30 s ago, heard 30 s ago" in told


async def test_a_question_that_is_not_answered_is_given_up_and_asked_again(
    inspector: Inspector, parts: dict[str, Part], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", 0.0)
    parts["rollout-0"].may_answer.clear()
    await look(inspector, monkeypatch, turns=60)
    part = inspector.picture().parts["rollout-0"]
    assert (part.error, part.asked_at) == ("no answer within 0 s", 1_000.0)


async def test_the_last_error_of_a_part_is_kept_and_ends_nothing(
    inspector: Inspector,
    folder: RunFolder,
    clock: Clock,
    parts: dict[str, Part],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parts["label queue"].error = ActorDied("the label queue died: \x1b[2J")
    await look(inspector, monkeypatch)
    parts["label queue"].error = None
    await look(inspector, monkeypatch)
    inspector.write()
    told = describe(inspect(folder.path, now=clock.now + 4.0)).splitlines()[-1]
    assert (
        told == "  error           label queue, 4 s ago: ActorDied: the label queue died: \\x1b[2J"
    )


def test_a_disk_that_refuses_ends_no_run(
    inspector: Inspector, folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise ResourceError("the disk is full")

    monkeypatch.setattr(module, "write_json", refuse)
    inspector.write()
    assert not folder.inspection.exists()


def andon(*arguments: str) -> Result:
    return CliRunner().invoke(main, ("inspect", *arguments))


def test_a_silent_run_is_told_from_one_that_goes_on(
    inspector: Inspector, folder: RunFolder, clock: Clock
) -> None:
    inspector.write()
    assert inspect(folder.path, now=clock.now + 4.0).is_well
    silent = inspect(folder.path, now=clock.now + 12.0)
    assert not silent.is_well
    assert describe(silent).splitlines()[0] == (
        f"{folder.path}: silent: process {os.getpid()} is there and says nothing; last heard 12 s "
        "ago. What it did then:"
    )
    assert andon(str(folder.path)).exit_code == EXIT_FAILED


def test_a_run_that_is_being_stopped_is_not_called_silent(
    inspector: Inspector, folder: RunFolder, clock: Clock
) -> None:
    folder.update_state(activity="saving the policy")
    inspector.end()
    found = inspect(folder.path, now=clock.now + 60.0)
    assert found.is_well
    assert "its loops have ended (saving the policy); last heard 60 s ago" in describe(found)
    assert not inspect(folder.path, now=clock.now + 200.0).is_well


def test_a_dead_run_is_told_with_the_last_it_said(inspector: Inspector, folder: RunFolder) -> None:
    inspector.write()
    folder.update_state(pid=2**31 - 1)
    result = andon(str(folder.path))
    assert result.exit_code == EXIT_FAILED
    assert "dead: its process is gone without a word; last heard " in result.output
    assert "waits for labels" in result.output


@pytest.mark.parametrize(("state", "code"), [("finished", 0), ("stopped", 0), ("failed", 1)])
def test_an_ended_run_is_told_as_it_stood(
    inspector: Inspector, folder: RunFolder, state: str, code: int
) -> None:
    inspector.write()
    folder.update_state(state=state, **({"error": "NotFinite: a loss"} if code else {}))
    result = andon(str(folder.path))
    assert result.exit_code == code
    assert f"{folder.path}: {state}; last heard " in result.output
    assert ("error           the run: NotFinite: a loss" in result.output) == bool(code)


def test_a_run_that_only_starts_says_at_what_it_is(folder: RunFolder) -> None:
    folder.update_state(state="starting", activity="starting actors")
    result = andon(str(folder.path))
    assert result.exit_code == 0
    assert result.output.splitlines() == [
        f"{folder.path}: starting (starting actors); its loops have not begun to tell",
        "  cord            free",
    ]


def test_a_pulled_cord_names_who_pulled_it(folder: RunFolder) -> None:
    folder.update_state(cord={"is_pulled": True, "pulled_by": "ann", "reason": "it shouts"})
    assert "  cord            pulled by ann: it shouts" in andon(str(folder.path)).output


def test_json_holds_all_of_it(inspector: Inspector, folder: RunFolder) -> None:
    inspector.write()
    told = json.loads(andon(str(folder.path), "--json").output)
    assert told["run"]["mode"] == "online"
    assert Picture.model_validate(told["picture"]) == read_picture(folder.inspection)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [("{", "file: Invalid JSON"), ('{"format": 2}', "format: is 2, this is 1"), ("[]", "file: ")],
)
def test_a_garbled_picture_is_said_to_be(folder: RunFolder, content: str, complaint: str) -> None:
    folder.inspection.write_text(content)
    result = andon(str(folder.path))
    assert result.exit_code == EXIT_USER_ERROR
    assert complaint in result.output
    assert "put back what the run wrote" in result.output


def test_an_answer_that_lacks_what_is_read_of_it_is_said_to(
    inspector: Inspector, folder: RunFolder
) -> None:
    inspector.write()
    written = json.loads(folder.inspection.read_text())
    name = next(name for name, part in written["parts"].items() if part["kind"] == "actor")
    written["parts"][name] |= {"heard_at": 1.0, "answer": {}}
    folder.inspection.write_text(json.dumps(written))
    result = andon(str(folder.path))
    assert result.exit_code == EXIT_USER_ERROR
    assert "put back what the run wrote" in result.output


def test_no_run_no_inspection(tmp_path: Path) -> None:
    result = andon(str(tmp_path))
    assert result.exit_code == EXIT_USER_ERROR
    assert "holds no run" in result.output
