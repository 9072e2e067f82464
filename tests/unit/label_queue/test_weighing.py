"""Reliabilities in a process of their own: the same, and no more work than there is news."""

from __future__ import annotations

import io
import signal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from label_queue.fitting.weighing import WeighingThread
from label_queue.fitting.weighing_process import Change, WeighingProcess
from label_queue.fitting.weighing_worker import Judged, serve
from label_queue.folds.dataset import as_comparisons
from label_queue.folds.view import LedgerView
from label_queue.ledger.records import Ledger, Record
from label_queue.ledger.sql import SqlLedger
from label_queue.quality import reliability
from label_queue.quality.reliability import Judgement, reliabilities
from protocol.errors import QueueClosed
from tests.support.estimators import judged_by
from tests.support.labels import make_event, make_query
from tests.support.memory_ledger import MemoryLedger

QUERIES = {f"q{n}": make_query(n) for n in range(40)}
GOLD = {"ann": (9, 1), "bob": (2, 8)}
PEOPLE = ("ann", "bob", "cid")


def records() -> list[Record]:
    events = [
        make_event(query, PEOPLE[number % 3], choice=number % 4)
        for number, query in enumerate(QUERIES.values())
    ]
    return [*QUERIES.values(), *events]


def all_labels(ledger: Ledger) -> tuple[LedgerView, list[int]]:
    """A ledger, and the numbers of its labels."""
    view = LedgerView.of(ledger)
    return view, [event.seq for event in view.events]


class Watched(MemoryLedger):
    """A ledger that counts the records read from it."""

    def __init__(self) -> None:
        super().__init__()
        self.num_found = 0

    def find(self, kind: Any, keys: Any) -> dict[str, Any]:
        self.num_found += len(keys)
        return super().find(kind, keys)

    def at(self, kind: Any, places: Any) -> list[Any]:
        self.num_found += len(places)
        return super().at(kind, places)


def test_the_worker_reads_what_has_come_and_nothing_else() -> None:
    ledger = Watched()
    ledger.write(records())
    judged, seqs = Judged(ledger), all_labels(ledger)[1]
    judged.take(Change(come=seqs[:30]))
    assert ledger.num_found == 60  # thirty labels, and their queries
    judged.take(Change(come=seqs[30:33], gone=seqs[:2]))
    assert ledger.num_found == 66
    assert set(judged.judgement(GOLD).reliability) == set(PEOPLE)
    assert ledger.num_found == 66


async def test_a_question_is_answered_as_this_process_would() -> None:
    ledger = MemoryLedger()
    ledger.write(records())
    view, seqs = all_labels(ledger)
    said = io.BytesIO()
    lines = [
        Change(come=seqs),
        Change(gold=GOLD),
        Change(gone=seqs[:10], gold=GOLD),
    ]
    serve(ledger, [msgspec.json.encode(line) for line in lines], said)
    found = [msgspec.json.decode(line, type=Judgement) for line in said.getvalue().splitlines()]
    thread = WeighingThread()
    assert found == [
        await thread.weigh(view, seqs, GOLD),
        await thread.weigh(view, seqs[10:], GOLD),
    ]


async def test_one_that_is_lost_is_started_anew(tmp_path: Path) -> None:
    ledger = SqlLedger.open(tmp_path / "ledger.sqlite", "run-1")
    ledger.write(records())
    view, seqs = all_labels(ledger)
    wanted = await WeighingThread().weigh(view, seqs, GOLD)
    process = WeighingProcess(tmp_path / "ledger.sqlite")
    assert await process.weigh(view, seqs, GOLD) == wanted
    first = process._worker
    assert first is not None
    first.kill()
    await first.wait()
    assert await process.weigh(view, seqs, GOLD) == wanted
    assert process._worker is not first
    await process.close()
    await process.close()
    ledger.close()


async def test_one_that_hangs_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    ledger = SqlLedger.open(tmp_path / "ledger.sqlite", "run-1")
    ledger.write(records())
    view, seqs = all_labels(ledger)
    process = WeighingProcess(tmp_path / "ledger.sqlite")
    await process.weigh(view, seqs, GOLD)
    assert process._worker is not None
    process._worker.send_signal(signal.SIGSTOP)
    process._patience_s = 0.05  # which no new process answers in either
    wanted = await WeighingThread().weigh(view, seqs[1:], GOLD)
    assert await process.weigh(view, seqs[1:], GOLD) == wanted
    assert process._worker is None
    ledger.close()


async def test_who_waits_while_it_is_closed_hears_so(tmp_path: Path) -> None:
    ledger = MemoryLedger()
    ledger.write(records())
    process = WeighingProcess(tmp_path / "ledger.sqlite")

    async def closed(*_: object) -> Judgement:
        await process.close()
        raise EOFError("it has ended")

    process._ask = closed  # type: ignore[method-assign, assignment]
    with pytest.raises(QueueClosed):
        await process.weigh(*all_labels(ledger), GOLD)
    assert process._worker is None


async def test_where_there_is_no_process_to_be_had_this_one_does_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = MemoryLedger()
    ledger.write(records())
    view, seqs = all_labels(ledger)

    async def refuse(*_: object, **__: object) -> None:
        raise OSError("no process to be had")

    monkeypatch.setattr("asyncio.create_subprocess_exec", refuse)
    process = WeighingProcess(tmp_path / "ledger.sqlite")
    wanted = await WeighingThread().weigh(view, seqs, GOLD)
    assert await process.weigh(view, seqs, GOLD) == wanted


def test_only_what_changed_is_told(tmp_path: Path) -> None:
    ledger = MemoryLedger()
    ledger.write(records())
    seqs = all_labels(ledger)[1]
    process = WeighingProcess(tmp_path / "ledger.sqlite")
    [first] = process._changes(set(seqs[:30]))
    assert (first.come, first.gone) == (seqs[:30], [])
    gone, come = process._changes(set(seqs[2:31]))
    assert (gone.gone, come.come) == (seqs[:2], [seqs[30]])
    assert list(process._changes(set(seqs[2:31]))) == []


# --- by which labels ------------------------------------------------------------------------------


def test_nobody_is_judged_by_more_labels_than_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reliability, "MAX_JUDGED", 5)
    given = [make_event(query, "ann") for query in QUERIES.values()]
    few = [make_event(query, "bob") for query in list(QUERIES.values())[:4]]
    drawn = judged_by([*given, *few])
    assert [each.labeler_id for each in drawn] == ["ann"] * 5 + ["bob"] * 4
    assert judged_by(drawn) == drawn
    assert judged_by([*few, *given])[4:] == drawn[:5]  # whoever else there is


def test_who_shared_queries_is_judged_by_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reliability, "MAX_JUDGED", 5)
    drawn = judged_by([make_event(q, name) for q in QUERIES.values() for name in ("ann", "bob")])
    of_ann = [each.query_id for each in drawn if each.labeler_id == "ann"]
    assert of_ann == [each.query_id for each in drawn if each.labeler_id == "bob"]
    assert len(of_ann) == 5


def test_of_what_is_drawn_the_reliabilities_are_those_of_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reliability, "MAX_JUDGED", 5)
    labels = [
        make_event(q, n, choice=i % 4) for i, q in enumerate(QUERIES.values()) for n in PEOPLE
    ]
    whole = reliabilities(as_comparisons(QUERIES, labels))
    assert whole == reliabilities(as_comparisons(QUERIES, judged_by(labels)))
