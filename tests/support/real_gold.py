"""Gold in a real label queue: who is asked it, how it is answered, and what a restart must find."""

from __future__ import annotations

from typing import Any

from label_queue.config import LabelsConfig
from label_queue.labeling.submissions import LabelSubmission
from label_queue.labeling.tasks import Task
from label_queue.oversight.gold_rows import GoldRow
from label_queue.quality.gold_tasks import GoldTask
from label_queue.quality_config import QualityConfig
from label_queue.queue import LabelQueue
from protocol.labels import ComparisonQuery, GoldMade, GoldRetired, LabelEvent
from tests.support.canonical_json import dataset_bytes
from tests.support.labels import make_config
from tests.support.memory_ledger import MemoryLedger

SOUP = GoldTask(prompt="the soup was", candidates=("warm", "cold", "wet", "there"), answer=0)


def config_with(share_first: float = 0.99, **gold: object) -> LabelsConfig:
    """A queue that begins with gold for that share of its tasks, and never repeats one."""
    quality = QualityConfig.model_validate(
        {"gold": {"share_first": share_first, **gold}, "repeat_share": 0.0}
    )
    return make_config(total=2_000, initial=2_000, ahead=40, quality=quality)


def gold_events(ledger: MemoryLedger) -> list[LabelEvent]:
    """What was decided about gold, in order."""
    return [event for event in ledger.events() if isinstance(event, GoldMade | GoldRetired)]


def query_of(queue: LabelQueue, task: Task) -> ComparisonQuery:
    """Return what a task asks about, with what its labeler is not told."""
    board = queue.state.board
    return board.queries[board.assignments[task.assignment_id].query_id]


async def take(queue: LabelQueue, labeler_id: str = "ann") -> Task:
    """Take the next task, which must be there."""
    task = await queue.people.next_task(labeler_id, 0.0)
    assert task is not None
    return task


async def take_gold(queue: LabelQueue, labeler_id: str = "ann") -> Task:
    """Take tasks until one is gold."""
    for _ in range(30):
        task = await take(queue, labeler_id)
        if query_of(queue, task).purpose == "gold":
            return task
    raise AssertionError("no gold among thirty tasks")


async def answer(
    queue: LabelQueue, task: Task, labeler_id: str, *, right: bool, **more: Any
) -> None:
    """Choose the answer of gold, or of another query its first candidate; or else a wrong one."""
    query = query_of(queue, task)
    choices = [each.candidate_id for each in query.candidates]
    best = query.gold_answer or choices[0]
    wrong = next(name for name in choices if name != best)
    await queue.people.submit(
        labeler_id,
        [
            LabelSubmission(
                assignment_id=task.assignment_id,
                outcome="choice",
                choice=best if right else wrong,
                **more,
            )
        ],
    )


def told(queue: LabelQueue, gold_id: str) -> GoldRow:
    """Return what the owner is told of one."""
    return next(each for each in shown(queue) if each.gold_id == gold_id)


def shown(queue: LabelQueue, is_asked: bool | None = None) -> tuple[GoldRow, ...]:
    """Return what the owner is shown: all, or those that are asked or are not."""
    return queue.owner._gold.page(offset=0, limit=100, is_asked=is_asked).gold


def is_same(queue: LabelQueue, other: LabelQueue) -> None:
    """Assert that a queue and one restarted on its ledger have the same present."""
    live, again = queue.state, other.state
    assert live.history.training_rows() == again.history.training_rows()
    names = {name for name, _ in live.history.standings.items()} | {"newcomer"}
    for name in names:
        assert live.history.standings[name] == again.history.standings[name]
    assert shown(queue) == shown(other)
    seq = live.history.last_seq
    quality = QualityConfig()
    views = [dataset_bytes(each.view().dataset(seq, quality)) for each in (live, again)]
    assert views[0] == views[1]
