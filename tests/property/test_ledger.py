"""The SQL ledger against the in-memory model, through whatever Hypothesis thinks of."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from label_queue.folds.dataset import build_dataset
from label_queue.ledger.opening import open_when_free
from label_queue.ledger.records import ConnectorOffset, LabelerToken, Record, TokenRevocation
from label_queue.ledger.sql import SqlLedger
from label_queue.ledger_place import LedgerPlace
from protocol.cord import CordEvent, Pulled, ReasonReleased, Released, RollbackOrdered, RolledBack
from protocol.fits import DatasetRules, RewardVersion
from protocol.labels import (
    Assignment,
    ComparisonQuery,
    LabelerEvent,
    LabelEvent,
    PolicyProvenance,
)
from tests.support.canonical_json import dataset_bytes
from tests.support.label_strategies import owner_events
from tests.support.labels import (
    make_assignment,
    make_cord_event,
    make_event,
    make_provenance,
    make_query,
    make_retraction,
    make_reward,
)
from tests.support.memory_ledger import MemoryLedger
from tests.support.postgres_server import PostgresServer

QUERIES = {query.query_id: query for query in (make_query(i) for i in range(3))}
LABELERS = ("ann", "bob")
TIMES = st.floats(0, 2e9)
KINDS: tuple[Any, ...] = (
    ComparisonQuery,
    Assignment,
    LabelEvent,
    LabelerToken,
    TokenRevocation,
    CordEvent,
    RewardVersion,
    PolicyProvenance,
    ConnectorOffset,
)

LABELS = st.builds(
    lambda number, labeler, revision, outcome, choice: make_event(
        QUERIES[f"q{number}"], labeler, revision=revision, outcome=outcome, choice=choice
    ),
    st.integers(0, 2),
    st.sampled_from(LABELERS),
    st.integers(0, 2),
    st.sampled_from(["choice", "tie", "skip"]),
    st.integers(0, 3),
) | st.builds(
    lambda number, labeler, revision: make_retraction(
        QUERIES[f"q{number}"], labeler, revision=revision
    ),
    st.integers(0, 2),
    st.sampled_from(LABELERS),
    st.integers(1, 2),
)
OWNER_EVENTS = owner_events(LABELERS, last_number=5, last_seq=10)
VERSIONS = st.builds(
    lambda version, seq, is_warm: make_reward(
        version, ledger_seq=seq, kind="warm" if is_warm else "refit"
    ),
    st.integers(1, 3),
    st.integers(0, 9),
    st.booleans(),
) | st.builds(
    lambda version, reward, parent: make_provenance(version, reward, restored_from=parent),
    st.integers(0, 3),
    st.integers(0, 3),
    st.none() | st.just(0),
)
CORD_AND_ACCESS = (
    st.builds(
        lambda kind, number, actor: make_cord_event(kind[0], number, actor=actor, **kind[1]),
        st.sampled_from(
            [
                (Pulled, {}),
                (Pulled, {"offered_rollback": 2}),
                (Released, {}),
                (ReasonReleased, {"pull_id": "cord:1"}),
                (RollbackOrdered, {"to_version": 1}),
                (RolledBack, {"restored_version": 1}),
            ]
        ),
        st.integers(0, 3),
        st.sampled_from(LABELERS),
    )
    | st.builds(
        lambda digest, labeler, kind: LabelerToken(
            token_sha256=digest, labeler_id=labeler, created_at=1.0, expires_at=None, kind=kind
        ),
        st.sampled_from("abc"),
        st.sampled_from(LABELERS),
        st.sampled_from(["token", "link", "session"]),
    )
    | st.builds(TokenRevocation, token_sha256=st.sampled_from("abc"), at=TIMES, reason=st.text())
    | st.builds(ConnectorOffset, connector=st.sampled_from("xy"), offset=st.text(), at=TIMES)
)
EVENTS = st.lists(LABELS | OWNER_EVENTS, max_size=6)


class LedgerMachine(RuleBasedStateMachine):
    """Both are given the same writes, duplicates included; one of them is stopped at times."""

    @initialize()
    def start(self) -> None:
        self.place = self.make_place()
        self.sql = SqlLedger.open(self.place, "run-1")
        self.model = MemoryLedger()
        self.datasets: dict[int, bytes] = {}

    def teardown(self) -> None:
        if hasattr(self, "sql"):
            self.sql.close()

    def make_place(self) -> LedgerPlace:
        raise NotImplementedError

    def write(self, records: list[Record]) -> None:
        assert self.sql.write(records) == self.model.write(records)

    @rule(events=EVENTS)
    def write_events(self, events: list[LabelEvent]) -> None:
        self.write(list(events))

    @rule(number=st.integers(0, 2), labeler=st.sampled_from(LABELERS))
    def ask(self, number: int, labeler: Literal["ann", "bob"]) -> None:
        query = QUERIES[f"q{number}"]
        self.write([query, make_assignment(query, labeler)])

    @rule(records=st.lists(VERSIONS | CORD_AND_ACCESS, max_size=4), events=EVENTS)
    def write_other_streams(self, records: list[Record], events: list[LabelEvent]) -> None:
        self.write([*records, *events, *records])

    @rule()
    def restart(self) -> None:
        self.sql.close()
        # A server gives a lock back in its own time.
        self.sql = open_when_free(self.place, "run-1")

    @invariant()
    def agree(self) -> None:
        if hasattr(self, "sql"):
            for kind in KINDS:
                assert self.sql.read(kind) == self.model.read(kind)

    @invariant()
    def past_datasets_never_change(self) -> None:
        if not hasattr(self, "sql"):
            return
        events = self.sql.events()
        for seq in range(len(events) + 1):
            now = dataset_bytes(build_dataset(QUERIES, events, seq, DatasetRules()))
            assert self.datasets.setdefault(seq, now) == now


class FileMachine(LedgerMachine):
    """Over files of a folder that is gone with the machine."""

    def make_place(self) -> LedgerPlace:
        self.folder = tempfile.TemporaryDirectory()
        return Path(self.folder.name) / "ledger.sqlite"

    def teardown(self) -> None:
        super().teardown()
        if hasattr(self, "folder"):
            self.folder.cleanup()


class ServerMachine(LedgerMachine):
    """Over schemas of a server's, whose backend is ended at times."""

    server: ClassVar[PostgresServer]

    def make_place(self) -> LedgerPlace:
        return self.server.new_schema()

    @rule(event=LABELS)
    def end_the_backend(self, event: LabelEvent) -> None:
        self.server.end_writers()
        self.write([event])


@pytest.fixture(scope="session")
def _server(postgres: PostgresServer) -> None:
    ServerMachine.server = postgres


TestLedgerInAFile = FileMachine.TestCase
TestLedgerInAFile.settings = settings(max_examples=25, stateful_step_count=12, deadline=None)
TestLedgerOnAServer = pytest.mark.usefixtures("_server")(ServerMachine.TestCase)
TestLedgerOnAServer.settings = settings(max_examples=8, stateful_step_count=10, deadline=None)


@settings(deadline=None)
@given(EVENTS)
def test_excluding_a_labeler_leaves_the_dataset_they_never_touched(
    events: list[LabelEvent],
) -> None:
    stored = MemoryLedger()
    stored.write(events)
    everything = stored.events()
    without = [e for e in everything if isinstance(e, LabelerEvent) and e.labeler_id != "bob"]
    rules = DatasetRules(excluded_labelers=("bob",))
    assert dataset_bytes(build_dataset(QUERIES, everything, 99, rules)) == dataset_bytes(
        build_dataset(QUERIES, without, 99, DatasetRules())
    )


@settings(deadline=None)
@given(EVENTS, st.randoms())
def test_deliveries_twice_over_build_the_same_dataset(
    events: list[LabelEvent], rng: object
) -> None:
    once, twice = MemoryLedger(), MemoryLedger()
    once.write(events)
    for event in events:
        twice.write([event, event])
    twice.write(events)
    assert twice.events() == once.events()
