"""A snapshot of the folds is used where it is one of this ledger, and passed over where not."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from label_queue.ledger.lookup import Lookup
from label_queue.ledger.sql import SqlLedger
from label_queue.queue import LabelQueue
from label_queue.snapshot import file as snapshot_file
from label_queue.snapshot.file import Places
from label_queue.snapshot.folding import NOWHERE
from label_queue.snapshot.writer import fill
from protocol.labels import Submitted
from tests.support.held_folds import held_by
from tests.support.labels import (
    ManualClock,
    make_appointment,
    make_assignment,
    make_event,
    make_exclusion,
    make_query,
    make_reinstatement,
)
from tests.support.ledger_stores import LedgerStore
from tests.support.snapshots import CONFIG, SCHEDULE, assert_passed_over, folded, labelled, order


def test_a_start_goes_on_from_it(ledger_store: LedgerStore, ledger: SqlLedger, path: Path) -> None:
    places = fill(order(ledger_store.place, path))
    assert places == Places(queries=10, assignments=13, label_events=10)
    ledger.write([*labelled(10, 7), make_exclusion("bob", from_seq=4)])
    state, used, said = folded(ledger, path)
    assert (used, said) == (places, [])
    assert held_by(state) == held_by(folded(ledger, None)[0])
    again = fill(order(ledger_store.place, path))
    assert again is not None
    assert again.label_events == 18


def test_judges_and_what_they_hold_are_in_it(
    ledger_store: LedgerStore, ledger: SqlLedger, path: Path
) -> None:
    validation = [
        make_query(each, purpose="validation", versions=(0, 0, 1, 1)) for each in (20, 21)
    ]
    ledger.write([make_appointment("dot"), *validation])
    ledger.write([make_assignment(each, "dot") for each in validation])
    ledger.write([make_event(validation[0], "dot")])
    places = fill(order(ledger_store.place, path))
    state, used, _ = folded(ledger, path)
    assert used == places
    assert state.judges == {"dot"}
    assert [each.query_id for each, _ in state.board.leased_by("dot", 1_100.0)] == ["q21"]
    assert state.board.pick("dot", 1_100.0) is None
    assert held_by(state) == held_by(folded(ledger, None)[0])


def test_a_task_of_somebody_excluded_and_taken_in_again_is_theirs_either_way(
    ledger_store: LedgerStore, ledger: SqlLedger, path: Path
) -> None:
    """What is read first, the task or the exclusion, depends on how far the snapshot goes."""
    asked, other = make_query(20, num_wanted=2), make_query(21)
    ledger.write([asked, make_assignment(asked, "dot", lease_until=2_000.0)])
    ledger.write([make_exclusion("dot", from_seq=0), make_reinstatement("dot")])
    fill(order(ledger_store.place, path))
    ledger.write([other, make_assignment(other, "ann"), make_event(other)])
    state = folded(ledger, path)[0]
    assert [each.query_id for each, _ in state.board.leased_by("dot", 1_100.0)] == ["q20"]
    assert held_by(state) == held_by(folded(ledger, None)[0])


def test_what_the_figures_look_back_on_is_read_together_at_the_start(
    ledger_store: LedgerStore,
    ledger: SqlLedger,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(order(ledger_store.place, path))
    finds: list[int] = []
    find = Lookup.find

    def counted(lookup: Lookup, kind: object, keys: Sequence[str]) -> Mapping[str, object]:
        finds.append(len(keys))
        return find(lookup, kind, keys)

    monkeypatch.setattr(Lookup, "find", counted)
    state = folded(ledger, path)[0]
    assert finds == [10, 10]
    finds.clear()
    state.stats(2_000.0, 10)
    assert finds == []


def test_only_queries_that_are_open_or_new_are_read(
    ledger_store: LedgerStore, ledger: SqlLedger, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("label_queue.state.RECENT", 0)
    ledger.write([make_query(11, purpose="train", num_wanted=1), make_assignment(make_query(11))])
    ledger.write([make_event(make_query(11))])  # and nothing is open of it
    fill(order(ledger_store.place, path))
    read: list[str] = []
    find = SqlLedger.find

    def counted(self: SqlLedger, kind: object, keys: Collection[str]) -> dict[str, object]:
        read.extend(keys)
        return find(self, kind, keys)

    monkeypatch.setattr(SqlLedger, "find", counted)
    board = folded(ledger, path)[0].board
    assert read == [query.query_id for query in board.open_queries(0.0)]
    assert board.queries["q11"] == make_query(11, purpose="train", num_wanted=1)
    assert read[-1] == "q11"


def test_a_queue_that_starts_from_it_asks_and_fits_as_one_that_does_not(
    ledger_store: LedgerStore, ledger: SqlLedger, path: Path
) -> None:
    async def offered(snapshot: Path | None) -> tuple[object, ...]:
        queue = LabelQueue(
            SqlLedger.open_to_read(ledger_store.place),
            CONFIG,
            SCHEDULE,
            run_id="run-1",
            seed=1,
            clock=ManualClock(),
            new_id=iter(map(str, range(10**6))).__next__,
            snapshot=snapshot,
        )
        orders = await queue.policy_loop.next_orders(0.0)
        fit = await queue.policy_loop.next_refit()
        await queue.close()
        return queue.num_kept, orders, fit

    fill(order(ledger_store.place, path))
    with_it, without = asyncio.run(offered(path)), asyncio.run(offered(None))
    assert (with_it[0], without[0]) == (10, 0)
    assert with_it[1:] == without[1:]


def test_none_is_no_error(ledger: SqlLedger, path: Path) -> None:
    assert_passed_over(ledger, path, "there is none")


def test_one_that_may_not_be_read_is_no_error(ledger: SqlLedger, path: Path) -> None:
    path.mkdir()
    assert_passed_over(ledger, path, "cannot be read")


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.9, 0.999])
def test_a_torn_one_is_passed_over(
    ledger_store: LedgerStore, ledger: SqlLedger, path: Path, share: float
) -> None:
    fill(order(ledger_store.place, path))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    assert_passed_over(ledger, path, "it is")


def test_one_with_another_byte_is_passed_over(
    ledger_store: LedgerStore, ledger: SqlLedger, path: Path
) -> None:
    fill(order(ledger_store.place, path))
    held = bytearray(path.read_bytes())
    held[-5] ^= 1
    path.write_bytes(held)
    assert_passed_over(ledger, path, "torn")


def with_header(path: Path, **changes: object) -> None:
    """Say something else in a snapshot's first line."""
    line, _, folds = path.read_bytes().partition(b"\n")
    header = msgspec.json.decode(line) | changes
    path.write_bytes(msgspec.json.encode(header) + b"\n" + folds)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"version": 1}, "of the form 'andon folds' 1"),
        ({"format": "a cake"}, "of the form 'a cake'"),
        ({"code": "0" * 64}, "another version of Andon"),
        ({"settings": "0" * 64}, "other settings"),
        ({"places": {"queries": 3}}, "not as Andon writes it"),
        ({"ledger": "0" * 64}, "the ledger is another"),
        ({"places": {"queries": 11, "assignments": 13, "label_events": 10}}, "fewer queries"),
    ],
)
def test_one_of_something_else_is_passed_over(
    ledger_store: LedgerStore,
    ledger: SqlLedger,
    path: Path,
    changes: dict[str, object],
    why: str,
) -> None:
    fill(order(ledger_store.place, path))
    with_header(path, **changes)
    assert_passed_over(ledger, path, why)


def test_one_of_another_ledger_is_passed_over(
    ledger_store: LedgerStore, ledger: SqlLedger, path: Path
) -> None:
    """Also of one that has as much in it, and differs in one label."""
    other = SqlLedger.open(ledger_store.another(), "run-1")
    records = list(labelled(0, 10))
    [place] = [n for n, e in enumerate(records) if isinstance(e, Submitted) and e.query_id == "q4"]
    event = records[place]
    assert isinstance(event, Submitted)
    records[place] = replace(event, active_ms=9)
    other.write(records)
    fill(order(ledger_store.place, path))
    assert_passed_over(other, path, "the ledger is another")
    other.close()


def test_labelers_judged_otherwise_are_folded_anew(
    ledger_store: LedgerStore, ledger: SqlLedger, path: Path
) -> None:
    fill(order(ledger_store.place, path))
    quality = CONFIG.quality.model_copy(update={"fast_tokens_per_s": 3.0})
    _, places, said = folded(ledger, path, CONFIG.model_copy(update={"quality": quality}))
    assert places == NOWHERE
    assert said == ["it is of other settings of labels.quality"]


def test_any_change_of_the_code_that_folds_is_another_code(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Also of a module that keeps nothing itself, as the rule by which gold is judged."""
    copies = [Path(shutil.copytree(root, tmp_path / root.name)) for root in snapshot_file.CODE]
    monkeypatch.setattr(snapshot_file, "CODE", copies)
    before = snapshot_file.code_digest.__wrapped__()
    judges = tmp_path / "label_queue" / "quality" / "gold.py"
    judges.write_bytes(judges.read_bytes() + b"# otherwise\n")
    assert snapshot_file.code_digest.__wrapped__() != before
