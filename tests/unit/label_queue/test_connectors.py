"""The loop around a connector, and what a config may say."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from pydantic import ValidationError

from label_queue.config import LabelsConfig
from label_queue.connector_config import JsonlConfig
from label_queue.connectors.ingest import IngestCounts
from label_queue.connectors.moments import moment, unix_seconds
from label_queue.connectors.outposts import Outposts, wait_for
from label_queue.connectors.port import OutsideTask, Sweep
from label_queue.connectors.runner import ConnectorRunner
from label_queue.connectors.secrets import check_secrets
from label_queue.queue import LabelQueue
from label_queue.schedule import LabelSchedule
from protocol.errors import ConfigError, TransientError, Unauthenticated, UnknownTask
from tests.support.labels import ManualClock, make_config, make_query
from tests.support.memory_ledger import MemoryLedger
from tests.support.outside import OutsideRun

CONFIG = JsonlConfig(kind="jsonl", path=Path("unused.jsonl"), sweep_s=60.0, ring_s=2.0)


class Tool:
    """Fails as often as told; shows what was pushed only when told to."""

    name = "jsonl"

    def __init__(self) -> None:
        self.failures: list[Exception] = []
        self.shown: dict[str, str] = {}
        self.pushed: list[str] = []
        self.num_sweeps = 0
        self.is_closed = False

    async def sweep(self, offset: str | None) -> Sweep:
        self.num_sweeps += 1
        if self.failures:
            raise self.failures.pop(0)
        return Sweep(tasks=self.shown)

    async def push(self, tasks: Sequence[OutsideTask]) -> None:
        self.pushed += [task.query.query_id for task in tasks]

    async def withdraw(self, task_ids: Sequence[str]) -> None:
        raise AssertionError("a file has nothing to withdraw")

    def check_hook_headers(self, headers: Mapping[str, str]) -> None:
        self.check_hook(headers, b"")

    def check_hook(self, headers: Mapping[str, str], body: bytes) -> bool:
        return True

    async def close(self) -> None:
        self.is_closed = True


class Waits:
    """Time that passes at once and is written down."""

    def __init__(self, ends_after: int) -> None:
        self.slept: list[float] = []
        self.rung: list[tuple[bool, float]] = []
        self._ends_after = ends_after
        self.ended = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    async def wait(self, event: asyncio.Event, seconds: float) -> None:
        self.rung.append((event.is_set(), seconds))
        if len(self.rung) == self._ends_after:
            self.ended.set()
            await asyncio.Event().wait()


@pytest.fixture
def tool() -> Tool:
    return Tool()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


async def make_runner(tool: Tool, clock: ManualClock, waits: Waits) -> ConnectorRunner:
    run = OutsideRun(MemoryLedger(), [CONFIG], clock)
    await run.ask(make_query(0))
    return ConnectorRunner(
        CONFIG,
        tool,
        run.labels,
        clock=clock,
        sleep=waits.sleep,
        wait=waits.wait,
        jitter=random.Random(1),
    )


async def turn_until_ended(runner: ConnectorRunner, waits: Waits) -> None:
    task = asyncio.create_task(runner.run())
    await waits.ended.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_it_turns_every_sweep_and_spares_the_tool(tool: Tool, clock: ManualClock) -> None:
    waits = Waits(ends_after=2)
    runner = await make_runner(tool, clock, waits)
    runner.ring()
    await turn_until_ended(runner, waits)
    assert waits.slept == [2.0, 2.0]
    # Rung before the sweep: that sweep has answered it.
    assert waits.rung == [(False, 58.0), (False, 58.0)]
    assert tool.num_sweeps == 2


async def test_failures_never_end_it_and_pauses_grow(tool: Tool, clock: ManualClock) -> None:
    tool.failures = [TransientError("busy"), KeyError("bug"), TransientError("busy")]
    waits = Waits(ends_after=4)
    runner = await make_runner(tool, clock, waits)
    await turn_until_ended(runner, waits)
    assert runner.num_failures == 3
    assert runner.num_sweeps == 1
    assert runner.health.state == "ok"
    assert runner.health.last_sweep_at == clock.now
    lower = [2.5, 5.0, 10.0]
    assert all(a <= pause <= 2 * a for a, pause in zip(lower, waits.slept[:3], strict=True))
    assert waits.slept[3] == 2.0
    assert [seconds for _, seconds in waits.rung] == [0.0, 0.0, 0.0, 58.0]


async def test_a_failure_is_shown_with_its_reason(tool: Tool, clock: ManualClock) -> None:
    runner = await make_runner(tool, clock, Waits(1))
    assert runner.health.state == "starting"
    tool.failures = [TransientError("jsonl: it is busy"), RuntimeError()]
    await runner.turn()
    assert runner.health.state == "failing: jsonl: it is busy"
    await runner.turn()
    assert runner.health.state == "failing: RuntimeError"


async def test_backoff_has_an_end(tool: Tool, clock: ManualClock) -> None:
    runner = await make_runner(tool, clock, Waits(1))
    tool.failures = [TransientError("busy")] * 50
    pauses = [await runner.turn() for _ in range(50)]
    assert 300.0 <= pauses[-1] <= 600.0


async def test_what_was_pushed_is_pushed_again_only_when_it_stays_unseen(
    tool: Tool, clock: ManualClock
) -> None:
    runner = await make_runner(tool, clock, Waits(1))
    await runner.turn()
    clock.now += 299.0
    await runner.turn()
    assert tool.pushed == ["q0"]
    clock.now += 2.0
    await runner.turn()
    assert tool.pushed == ["q0", "q0"]
    tool.shown = {"q0": "1"}
    clock.now += 1000.0
    await runner.turn()
    assert tool.pushed == ["q0", "q0"]


async def test_outposts_start_and_end_with_the_run(tmp_path: Path) -> None:
    config = JsonlConfig(kind="jsonl", path=tmp_path / "a.jsonl", ring_s=0.0)
    run = OutsideRun(MemoryLedger(), [config], ManualClock())
    await run.ask(make_query(0))
    outposts = run.outposts([config])
    config.path.write_text(
        '{"labeler": "ann", "query_id": "q0", "outcome": "tie"}\n', encoding="utf-8"
    )
    outposts.start()
    outposts.start()
    await run.state.change.wait(10.0)
    assert list(run.current_labels()) == [("jsonl:ann", "q0")]
    await outposts.close()
    await outposts.close()


async def test_waiting_ends_at_the_bell_or_with_the_time() -> None:
    bell = asyncio.Event()
    await wait_for(bell, 0.0)
    bell.set()
    await wait_for(bell, 60.0)


LABEL_STUDIO = {
    "kind": "label_studio",
    "url": "http://127.0.0.1:8080/",
    "token_env": "TOKEN",
    "project_id": 3,
}


def test_a_config_names_its_connectors() -> None:
    config = make_config(connectors=[LABEL_STUDIO, {"kind": "jsonl", "path": "a.jsonl"}])
    assert [connector.name for connector in config.connectors] == ["label_studio", "jsonl"]
    assert config.connectors[0].sweep_s == 60.0
    assert config.connectors[0].model_dump()["url"] == "http://127.0.0.1:8080"
    assert LabelsConfig.model_validate(config.model_dump()) == config


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"url": "127.0.0.1:8080"}, "want http://HOST"),
        ({"url": f"http://{'h' * 64}.example"}, "want http://HOST"),
        ({"url": "http://me:secret@host"}, "take user, password"),
        ({"url": "http://host/?token=secret"}, "take user, password"),
        ({"url": "http://host:99999"}, "Port out of range"),
        ({"token": "secret"}, "token"),
        ({"token_env": "not a name"}, "token_env"),
        ({"kind": "prodigy"}, "label_studio"),
        ({"name": "Label Studio"}, "name"),
        ({"project_id": 0}, "project_id"),
        ({"labelers": {"7": "two words"}}, "labelers.7"),
        ({"sweep_s": 0}, "sweep_s"),
    ],
)
def test_a_bad_connector_is_refused_by_name(changes: dict[str, object], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        make_config(connectors=[{**LABEL_STUDIO, **changes}])


def test_two_connectors_need_two_names() -> None:
    with pytest.raises(ValidationError, match="two are named 'label_studio'"):
        make_config(connectors=[LABEL_STUDIO, {**LABEL_STUDIO, "project_id": 4}])


def test_times_are_compared_as_text() -> None:
    assert moment("2026-01-01T00:00:00Z") == "2026-01-01T00:00:00.000000Z"
    assert moment("2026-01-01T00:00:00") == "2026-01-01T00:00:00.000000Z"
    assert moment("2026-01-01T01:30:00.5+01:00") == "2026-01-01T00:30:00.500000Z"
    assert unix_seconds("1970-01-01T00:01:00") == 60.0
    with pytest.raises(ValueError, match="yesterday"):
        moment("yesterday")


async def test_a_label_queue_reads_its_connectors_and_rings(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    connector = {"kind": "jsonl", "path": path, "ring_s": 0.0}
    config = make_config(initial=1, connectors=[connector])
    ledger = MemoryLedger()
    ledger.write([make_query(0)])
    schedule = LabelSchedule.of(config, num_episodes=100, mode="online")
    queue = LabelQueue(ledger, config, schedule, run_id="run-1", seed=1, clock=ManualClock())
    outposts = Outposts.of(queue, config, run_id="run-1")
    path.write_text('{"labeler": "ann", "query_id": "q0", "outcome": "tie"}\n', encoding="utf-8")

    outposts.start()
    await queue.policy_loop.wait_until_allowed(0)  # for the one label
    [health] = (await queue.owner.overview()).connectors
    assert health.name == "jsonl"
    assert (await queue.policy_loop.stats())["labels/connectors_failing"] == 0.0
    with pytest.raises(Unauthenticated):
        await outposts.ring("jsonl", {}, b"")
    with pytest.raises(UnknownTask):
        await outposts.ring("elsewhere", {}, b"")
    assert await outposts.labels.ingest("jsonl", Sweep()) == IngestCounts()
    await outposts.close()
    await queue.close()


def test_secrets_that_are_missing_are_named_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = make_config(connectors=[{**LABEL_STUDIO, "hook_secret_env": "HOOK"}])
    monkeypatch.delenv("TOKEN", raising=False)
    with pytest.raises(ConfigError, match="the environment variable TOKEN is empty"):
        check_secrets(config.connectors)
    monkeypatch.setenv("TOKEN", "t")
    monkeypatch.setenv("HOOK", " ")
    with pytest.raises(ConfigError, match="the environment variable HOOK is empty"):
        check_secrets(config.connectors)
    monkeypatch.setenv("HOOK", "h")
    check_secrets(config.connectors)
