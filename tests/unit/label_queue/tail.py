"""A run that reads a file which grows, and what stands in it."""

from __future__ import annotations

import json
from pathlib import Path

from label_queue.connector_config import JsonlConfig
from label_queue.connectors.ingest import IngestCounts
from label_queue.connectors.outposts import Outposts
from label_queue.connectors.translation import outside_task
from tests.support.labels import ManualClock, make_query
from tests.support.memory_ledger import MemoryLedger
from tests.support.outside import OutsideRun

NAME = "jsonl"


class Tail:
    """A run that reads one file, and can be started again."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "answers.jsonl"
        self.config = JsonlConfig(
            kind="jsonl", path=self.path, tasks_path=folder / "tasks.jsonl", labelers={"b": "bob"}
        )
        self.ledger = MemoryLedger()
        self.restart()

    def restart(self) -> None:
        self.run = OutsideRun(self.ledger, [self.config], ManualClock())
        self.outposts: Outposts = self.run.outposts([self.config])

    async def turn(self) -> IngestCounts:
        """Read what there is; return what became of it."""
        before = self.run.total(NAME).as_dict()
        pause_s = await self.outposts.runner(NAME).turn()
        while pause_s == 0.0:
            pause_s = await self.outposts.runner(NAME).turn()
        after = self.run.total(NAME).as_dict()
        return IngestCounts(**{name: after[name] - before[name] for name in after})

    def write(self, *lines: object, end: str = "\n") -> None:
        with self.path.open("a") as file:
            file.writelines(json.dumps(line) + end for line in lines)

    def replace(self, *lines: object) -> None:
        """Put another file in its place."""
        other = self.path.with_name("new")
        other.write_text("".join(json.dumps(line) + "\n" for line in lines))
        other.replace(self.path)

    def choices(self) -> dict[tuple[str, str], str | None]:
        return {label: event.choice for label, event in self.run.current_labels().items()}

    @property
    def state(self) -> str:
        [health] = self.outposts.health()
        return health.state


def line(query: int = 0, letter: str = "a", **changes: object) -> dict[str, object]:
    return {
        "labeler": "ann",
        "query_id": f"q{query}",
        "outcome": "choice",
        "choice": letter,
        **changes,
    }


def shown(letter: str, query: int = 0) -> str:
    return outside_task(NAME, make_query(query)).order["abcd".index(letter)]
