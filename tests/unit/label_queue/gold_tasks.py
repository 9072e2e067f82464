"""A label queue with gold, and labelers who answer it rightly or wrongly."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from label_queue.config import LabelsConfig
from label_queue.labeling.submissions import LabelAnswer, LabelSubmission
from label_queue.labeling.tasks import Task
from label_queue.quality_config import QualityConfig
from label_queue.queue import LabelQueue
from protocol.labels import ComparisonQuery
from tests.support.labels import make_assignment, make_config, make_event, make_query
from tests.support.memory_ledger import MemoryLedger
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


def with_gold(
    folder: Path, count: int = 30, *, repeat_share: float = 0.0, **gold: object
) -> LabelsConfig:
    path = gold_file(folder, count)
    return config_with(gold={"path": path, **gold}, repeat_share=repeat_share)


def crowd(ledger: MemoryLedger, count: int = 800) -> None:
    """Let bob have labelled so much that little of it all is anybody else's."""
    for number in range(10_000, 10_000 + count):
        query = make_query(number)
        event = replace(make_event(query, "bob"), seq=0)
        ledger.write([query, make_assignment(query, "bob"), event])


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
