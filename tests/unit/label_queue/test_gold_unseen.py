"""Nothing but its text tells a gold task from any other, to whoever is asked it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
from scipy.stats import rankdata

from label_queue.queue import LabelQueue
from label_queue.schedule import LabelSchedule
from tests.support.labels import ManualClock
from tests.support.memory_ledger import MemoryLedger
from tests.unit.label_queue.conftest import MakeQueue
from tests.unit.label_queue.gold_tasks import answer, asked_queries, take, with_gold


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


def told(value: object, name: str = "") -> Iterator[tuple[str, float]]:
    """Every number that a task tells, texts left out: of ids each character, by its place."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key not in ("text", "messages"):
                yield from told(item, f"{name}.{key}")
    elif isinstance(value, list | tuple):
        yield f"{name} count", float(len(value))
        for place, item in enumerate(value):
            yield from told(item, f"{name}[{place}]")
    elif isinstance(value, str):
        yield f"{name} length", float(len(value))
        for place, letter in enumerate(value):
            yield f"{name}[{place}]", float(ord(letter))
    elif value is not None:
        assert isinstance(value, int | float), f"{name} tells something that nobody looked at"
        yield name, float(value)


def ids_of(clock: ManualClock) -> Callable[[], str]:
    """Ids ordered by time as the queue's own are, the same at every run of a test."""
    rng = random.Random(8)
    return lambda: str(UUID(f"{round(1e3 * clock.now):012x}7{rng.getrandbits(76):019x}"))


@pytest.mark.parametrize("purpose", ["gold", "repeat"])
async def test_no_number_of_a_task_tells_what_it_is_for(
    ledger: MemoryLedger, tmp_path: Path, clock: ManualClock, purpose: str
) -> None:
    """An adversary who answers gold rightly and the rest wrongly has the texts to go by."""
    shares = {"share_first": 0.25, "share": 0.25, "share_doubted": 0.25}
    config = with_gold(tmp_path, 400, repeat_share=0.25, **shares)
    queue = LabelQueue(
        ledger,
        config,
        LabelSchedule.of(config, num_episodes=100, mode="online"),
        run_id="run-1",
        seed=1,
        clock=clock,
        new_id=ids_of(clock),
    )
    rows: list[dict[str, float]] = []
    for _ in range(800):
        clock.now += 7.0
        task = await take(queue)
        rows.append(dict(told({**asdict(task), "lease_until": task.lease_until - clock.now})))
        await answer(queue, task)
    is_it = np.array([query.purpose == purpose for query in asked_queries(ledger)])
    assert 100 < is_it.sum() < 300
    names = sorted(rows[0])
    assert {tuple(sorted(row)) for row in rows} == {tuple(names)}
    seen = np.array([[row[name] for name in names] for row in rows])
    few, many = int(is_it.sum()), int((~is_it).sum())
    spread = np.sqrt(few * many * (few + many + 1) / 12.0)  # of Mann and Whitney's U
    for name, column in zip(names, seen.T, strict=True):
        rank_sum = rankdata(column)[is_it].sum() - few * (few + 1) / 2
        surprise = (rank_sum - few * many / 2) / spread
        assert abs(surprise) < 4.5, f"{name} is another where the task is {purpose}"
    await queue.close()
