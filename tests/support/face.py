"""The labelling face over a real queue and a real ledger, as an ASGI application.

The queue lives in whatever event loop the application is served in: it is made at the lifespan's
start, and closed at its end. Its tasks are there from the start; ann may label, olga is the owner.
"""

from __future__ import annotations

from pathlib import Path

from starlette.types import ASGIApp, Receive, Scope, Send

from label_queue.config import IntakeConfig, LabelsConfig
from label_queue.intake.app import build_app
from label_queue.ledger.records import Role
from label_queue.ledger.sql import SqlLedger
from label_queue.queue import LabelQueue
from label_queue.schedule import LabelSchedule
from tests.support.labels import make_drafts
from tests.support.messages import make_policy

PEOPLE: dict[str, Role] = {"ann": "labeler", "bob": "labeler", "olga": "owner"}


class Face:
    """The whole face; `tokens` of ann, bob and olga are known once it has started."""

    def __init__(self, ledger_path: Path, config: LabelsConfig) -> None:
        self.tokens: dict[str, str] = {}
        self.assignments: dict[str, tuple[str, ...]] = {}
        """Candidate ids shown, by assignment of ann's."""
        self.queries: dict[str, tuple[str, ...]] = {}
        """Candidate ids by query, of those asked."""
        self._path = ledger_path
        self._config = config
        self._queue: LabelQueue | None = None
        self._app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        else:
            assert self._app is not None, "the lifespan comes first"
            await self._app(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        await self._start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        assert self._queue is not None
        await self._queue.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def _start(self) -> None:
        config = self._config
        queue = LabelQueue(
            SqlLedger.open(self._path, "run-1"),
            config,
            LabelSchedule.of(config, num_episodes=100, mode="offline"),
            run_id="run-1",
            seed=1,
        )
        self.tokens = {
            name: await queue.owner.add_labeler(name, role) for name, role in PEOPLE.items()
        }
        await queue.policy_loop.set_progress(1, make_policy(version=1, episodes=1))
        while orders := await queue.policy_loop.next_orders(0.0):
            for order in orders:
                await queue.policy_loop.offer(order.order_id, make_drafts(order))
        reader = SqlLedger.open_to_read(self._path)
        for query in reader.queries():
            self.queries[query.query_id] = tuple(each.candidate_id for each in query.candidates)
        reader.close()
        for _ in range(config.lease.max_open // 2):
            task = await queue.people.next_task("ann", 0.0)
            assert task is not None, "there are enough queries"
            self.assignments[task.assignment_id] = tuple(
                each.candidate_id for each in task.candidates
            )
        self._queue = queue
        self._app = build_app(queue, config.intake)


def quick_limits() -> IntakeConfig:
    """Limits under which nobody waits and nobody is too fast."""
    return IntakeConfig(requests_per_s=1e6, request_burst=1_000_000, max_wait_s=0.01)
