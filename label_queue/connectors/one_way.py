"""What files and message brokers have in common: they are read, and written to, and that is all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from label_queue.connectors.port import OutsideTask
from protocol.chat import as_mappings
from protocol.errors import Unauthenticated


class OneWay:
    """The part of the `Connector` port that needs a tool with an API, where there is none."""

    async def withdraw(self, task_ids: Sequence[str]) -> None:
        """Do nothing: a task that was written stays, and its answer counts whenever it comes."""

    def check_hook_headers(self, headers: Mapping[str, str]) -> None:
        """Raise Unauthenticated: there are no webhooks."""
        self.check_hook(headers, b"")

    def check_hook(self, headers: Mapping[str, str], body: bytes) -> bool:
        """Raise Unauthenticated: there are no webhooks."""
        raise Unauthenticated("no webhooks here: what is new is found by itself")


def task_line(task: OutsideTask, *, run_id: str) -> dict[str, object]:
    """Return a task as one JSON object."""
    messages = as_mappings(task.query.prompt_messages)
    return {
        "run_id": run_id,
        "query_id": task.query.query_id,
        "kind": task.query.kind,
        "prompt": task.prompt,
        **({"messages": messages} if messages else {}),
        "responses": task.texts,
    }
