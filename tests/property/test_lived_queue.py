"""Whatever all sides do, and whenever it is started again: a label queue's state is its ledger's.

What lives is what a start from the ledger makes, and a start from a snapshot; and what trains is
what the pure function of the ledger says; and nobody has two assignments of one query.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from label_queue.config import LabelsConfig
from label_queue.folds.dataset import build_dataset
from label_queue.ledger.opening import open_when_free
from label_queue.ledger.records import Ledger
from label_queue.quality_config import GoldConfig, QualityConfig
from protocol.fits import DatasetRules
from tests.support.held_folds import lasting
from tests.support.labels import make_config
from tests.support.lived_queue import LivedQueue
from tests.support.memory_ledger import MemoryLedger
from tests.support.postgres_server import PostgresServer

OFTEN = ("ask", "work", "work", "answer_late", "sweep", "hold", "wait")
SELDOM = (
    *("fit", "step", "roll_back", "cord", "let_go", "beat", "look"),
    *("exclude", "reinstate", "undo", "make_gold", "write_gold", "edit_gold", "decide_gold"),
)


def config_in(folder: Path, *, has_gold: bool, mixed: float, expiry_s: float) -> LabelsConfig:
    """A run in which little gold decides, and much is asked again."""
    gold = folder / "gold.jsonl"
    tasks = [{"prompt": f"p{n}", "candidates": ["a", "b", "c", "d"], "answer": n} for n in range(4)]
    gold.write_text("".join(json.dumps(task) + "\n" for task in tasks))
    return make_config(
        total=400,
        ahead=6,
        validation_share=mixed,
        overlap_share=mixed,
        overlap_labelers=3,
        query_expiry_s=expiry_s,
        quality=QualityConfig(
            repeat_share=0.2,
            repeat_after=1,
            weigh_reliability=False,
            good_run_length=20,
            fair_run_length=5,
            gold=GoldConfig(path=gold if has_gold else None, share=0.3, share_first=0.4),
        ),
    )


class LivedQueueMachine(RuleBasedStateMachine):
    """Acts of all sides; at times it is compared, or started again."""

    @initialize(
        has_gold=st.booleans(),
        mixed=st.sampled_from([0.0, 0.3]),
        expiry_s=st.sampled_from([50.0, 3_600.0]),
        seed=st.integers(0, 2**20),
    )
    def start(self, has_gold: bool, mixed: float, expiry_s: float, seed: int) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.runner = asyncio.Runner()
        folder = Path(self.folder.name)
        open_ledger = self.ledger_in(folder)
        config = config_in(folder, has_gold=has_gold, mixed=mixed, expiry_s=expiry_s)
        self.quality = config.quality
        self.lived = LivedQueue(open_ledger, config, folder, seed)
        self.runner.run(self.lived.begin())

    def teardown(self) -> None:
        if hasattr(self, "lived"):
            self.compare()
            self.runner.run(self.lived.queue.close())
            self.runner.close()
            self.folder.cleanup()

    def ledger_in(self, folder: Path) -> Callable[[], Ledger]:
        """Return what opens the ledger, in each of its lives."""
        raise NotImplementedError

    @rule(acts=st.lists(st.sampled_from(OFTEN), min_size=3, max_size=8))
    def go_on(self, acts: list[str]) -> None:
        for act in acts:
            self.runner.run(self.lived.do(act))

    @rule(acts=st.lists(st.sampled_from(SELDOM), min_size=1, max_size=4))
    def decide(self, acts: list[str]) -> None:
        for act in acts:
            self.runner.run(self.lived.do(act))

    @precondition(lambda self: self.lived.state.history.last_seq > 0)
    @rule()
    def keep(self) -> None:
        self.runner.run(self.lived.keep())

    @rule()
    def restart(self) -> None:
        before = lasting(self.lived.state)
        self.runner.run(self.lived.restart())
        assert lasting(self.lived.state) == before

    @rule()
    def compare(self) -> None:
        state = self.lived.state
        live = lasting(state)
        assert self.lived.held_by_a_start(snapshot=False) == live
        assert self.lived.held_by_a_start(snapshot=True) == live
        events, last = self.lived.ledger.events(), state.history.last_seq
        dataset = build_dataset(state.board.queries, events, last, DatasetRules(), self.quality)
        table = state.history.table()
        trained = sorted(table.stands[table.training_set()].tolist())
        assert trained == [each.seq for each in dataset]
        assert state.history.num_preferences == len(dataset)
        assert len(set(self.lived.given())) == len(self.lived.given())


class MemoryMachine(LivedQueueMachine):
    """Over the model of a ledger, which is as quick as can be."""

    def ledger_in(self, folder: Path) -> Callable[[], Ledger]:
        ledger = MemoryLedger()
        return lambda: ledger


class FileMachine(LivedQueueMachine):
    """Over a file."""

    def ledger_in(self, folder: Path) -> Callable[[], Ledger]:
        return lambda: open_when_free(folder / "ledger.sqlite", "run-1")


class ServerMachine(LivedQueueMachine):
    """Over a server's schema."""

    server: ClassVar[PostgresServer]

    def ledger_in(self, folder: Path) -> Callable[[], Ledger]:
        place = self.server.new_schema()
        return lambda: open_when_free(place, "run-1")


@pytest.fixture(scope="session")
def _server(postgres: PostgresServer) -> None:
    ServerMachine.server = postgres


TestLivedQueue = MemoryMachine.TestCase
TestLivedQueue.settings = settings(max_examples=8, stateful_step_count=20, deadline=None)
TestLivedQueueOverAFile = FileMachine.TestCase
TestLivedQueueOverAFile.settings = settings(max_examples=2, stateful_step_count=12, deadline=None)
TestLivedQueueOverAServer = pytest.mark.usefixtures("_server")(ServerMachine.TestCase)
TestLivedQueueOverAServer.settings = settings(max_examples=2, stateful_step_count=10, deadline=None)
