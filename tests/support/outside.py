"""A ledger, its fold and the connectors before it: what a label queue gives an outside tool."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import count

import httpx

from label_queue.config import IntakeConfig
from label_queue.connector_config import ConnectorConfig, ConnectorSection, HttpSection
from label_queue.connectors.ingest import IngestCounts, OutsideLabels
from label_queue.connectors.outposts import Outposts
from label_queue.connectors.translation import outside_task
from label_queue.folds.dataset import current_labels
from label_queue.ledger.group_commit import GroupCommit
from label_queue.ledger.records import Ledger
from label_queue.schedule import LabelSchedule
from label_queue.state import LabelState
from protocol.labels import AnswerEvent, ComparisonQuery
from tests.support.labels import ManualClock, make_config, make_query


class OutsideRun:
    """One life of a label queue's outside part over a ledger; another one is a restart."""

    def __init__(
        self,
        ledger: Ledger,
        connectors: Sequence[ConnectorSection],
        clock: ManualClock,
        limits: IntakeConfig | None = None,
    ) -> None:
        config = make_config()
        self.ledger = ledger
        self.clock = clock
        self.state = LabelState(
            config, LabelSchedule.of(config, num_episodes=100, mode="online"), clock
        )
        self.state.load(ledger)
        self.commits = GroupCommit(ledger, self.state.apply)
        numbers = count(len(self.state.board.assignments))
        self.labels = OutsideLabels(
            self.state,
            self.commits,
            connectors,
            limits=limits or config.intake,
            guideline_version="1",
            clock=clock,
            new_id=lambda: f"assignment-{next(numbers)}",
        )

    async def ask(self, *queries: ComparisonQuery) -> None:
        """Make open queries."""
        await self.commits.write(queries)

    def outposts(self, configs: Sequence[ConnectorConfig]) -> Outposts:
        """Return the connectors of configs, over loopback without a proxy."""
        return Outposts(
            configs,
            self.labels,
            run_id="run-1",
            clock=self.clock,
            jitter=random.Random(0),
            open_http=open_loopback,
        )

    def current_labels(self) -> dict[tuple[str, str], AnswerEvent]:
        """Return the current labels, by (labeler, query)."""
        labels = current_labels(self.ledger.events()).values()
        return {(label.labeler_id, label.query_id): label for label in labels}

    def total(self, connector: str) -> IngestCounts:
        """Return what became of all answers so far."""
        return self.labels.totals[connector]


async def turn(connector: str, outposts: Outposts, *, fails: bool = False) -> None:
    """One turn of a connector's loop, which a test need not wait for."""
    await outposts.runner(connector).turn()
    [health] = outposts.health()
    assert health.state.startswith("failing: ") == fails, health.state


def choices(run: OutsideRun) -> dict[tuple[str, str], str | None]:
    """Return what was chosen in the current labels, by (labeler, query)."""
    return {label: event.choice for label, event in run.current_labels().items()}


def shown(connector: str, letter: str, query: int) -> str:
    """Return the candidate that stands under a letter in the connector's task of a query."""
    return outside_task(connector, make_query(query)).order["abcd".index(letter)]


def open_loopback(config: HttpSection, headers: dict[str, str]) -> httpx.AsyncClient:
    """A client that no proxy of the environment gets between."""
    return httpx.AsyncClient(
        base_url=config.url, headers=headers, timeout=config.timeout_s, trust_env=False
    )
