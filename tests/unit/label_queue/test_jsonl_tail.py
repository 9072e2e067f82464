"""A file that grows: whole lines once each, over restart, rotation and truncation."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from label_queue.connectors import jsonl_tail
from label_queue.connectors.ingest import IngestCounts
from label_queue.ledger.records import DeadLetter
from protocol.errors import Unauthenticated
from protocol.messages import ChatMessage
from tests.support.labels import make_query
from tests.unit.label_queue.tail import NAME, Tail, line, shown


@pytest.fixture
async def tail(tmp_path: Path) -> Tail:
    tail = Tail(tmp_path)
    await tail.run.ask(*(make_query(i) for i in range(3)))
    return tail


async def test_lines_become_labels_and_a_partial_one_waits(tail: Tail) -> None:
    assert await tail.turn() == IngestCounts()
    tail.write(line(0))
    tail.write(line(1, labeler="b"), end="")
    assert await tail.turn() == IngestCounts(new=1)
    tail.write("", end="")
    assert await tail.turn() == IngestCounts()
    tail.path.write_text(tail.path.read_text().removesuffix('""') + "\n")
    assert await tail.turn() == IngestCounts(new=1)
    assert tail.choices() == {
        (f"{NAME}:ann", "q0"): shown("a", 0),
        ("bob", "q1"): shown("a", 1),
    }


async def test_a_restart_loses_and_doubles_nothing(tail: Tail) -> None:
    tail.write(line(0))
    await tail.turn()
    tail.restart()
    tail.write(line(1), line(0))
    # The line that came twice is the same answer again.
    assert await tail.turn() == IngestCounts(new=1, duplicate=1)
    tail.restart()
    assert await tail.turn() == IngestCounts()


async def test_lines_that_were_read_but_not_written_down_are_read_again(tail: Tail) -> None:
    tail.write(line(0))
    tail.ledger.is_full = True
    await tail.turn()
    assert tail.state.startswith("failing: memory: labels cannot be stored")
    tail.ledger.is_full = False
    tail.restart()
    assert await tail.turn() == IngestCounts(new=1)


async def test_a_truncated_file_is_read_from_its_beginning(tail: Tail) -> None:
    tail.write(line(0), line(1))
    await tail.turn()
    tail.path.write_text("")
    tail.write(line(2))
    assert await tail.turn() == IngestCounts(new=1)
    # Also where it has grown past the old offset meanwhile.
    tail.path.write_text("")
    tail.write(line(0), line(1), line(2), line(0, "b"))
    assert await tail.turn() == IngestCounts(revised=1, duplicate=3)


async def test_a_rotated_file_is_read_to_its_end_before_the_new_one(tail: Tail) -> None:
    tail.write(line(0))
    await tail.turn()
    tail.write(line(1))
    tail.path.rename(tail.path.with_name("answers.jsonl.1"))
    assert await tail.turn() == IngestCounts(new=1)
    tail.write(line(2))
    assert await tail.turn() == IngestCounts(new=1)
    assert len(tail.choices()) == 3


async def test_what_was_rotated_while_nobody_read_is_read_in_its_turn(tail: Tail) -> None:
    tail.write(line(0, "a"))
    await tail.turn()
    second, first = (tail.path.with_name(f"answers.jsonl.{number}") for number in (2, 1))
    tail.write(line(0, "b"))
    tail.path.rename(second)
    tail.write(line(1, "b"), line(0, "c"))
    tail.path.rename(first)
    tail.path.with_name("answers.jsonl.old").write_text(json.dumps(line(2)) + "\n")
    tail.write(line(0, "d"))
    for number, path in enumerate((second, first, tail.path)):
        os.utime(path, ns=(number, number))
    assert await tail.turn() == IngestCounts(new=1, revised=3)
    assert tail.choices() == {
        (f"{NAME}:ann", "q0"): shown("d"),
        (f"{NAME}:ann", "q1"): shown("b", 1),
    }
    assert await tail.turn() == IngestCounts()


async def test_a_rotated_file_that_is_gone_loses_only_its_own_rest(tail: Tail) -> None:
    tail.write(line(0))
    await tail.turn()
    other = tail.path.with_name("new")
    other.write_text(json.dumps(line(1)) + "\n")
    other.replace(tail.path)
    assert await tail.turn() == IngestCounts(new=1)


async def test_an_id_names_an_answer_that_may_change_or_go(tail: Tail) -> None:
    tail.write(line(0, id="17"), line(0, "b", id="17"))
    assert await tail.turn() == IngestCounts(new=1, revised=1)
    assert tail.choices() == {(f"{NAME}:ann", "q0"): shown("b")}
    tail.write({"id": "17", "deleted": True}, line(0, "c", id="17"))
    assert await tail.turn() == IngestCounts(retracted=1, revised=1)
    tail.write({"id": "17", "deleted": True})
    assert await tail.turn() == IngestCounts(retracted=1)
    assert tail.choices() == {}


async def test_a_time_of_update_decides_where_lines_give_one(tail: Tail) -> None:
    new = line(0, "b", id="1", updated_at="2026-01-01T02:00:00+01:00")
    old = line(0, "a", id="1", updated_at="2026-01-01T00:59:59Z")
    tail.write(new, old)
    assert await tail.turn() == IngestCounts(new=1, stale=1)
    assert tail.choices() == {(f"{NAME}:ann", "q0"): shown("b")}


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        ([], ""),
        (line(colour="red"), "colour"),
        (line(labeler="a b"), "labeler"),
        (line(strength="much"), "strength"),
        (line(updated_at="yesterday"), "updated_at"),
        (line(updated_at="0001-01-01T00:00:00+01:00"), "updated_at"),
        (line(updated_at="9999-12-31T23:59:59-01:00"), "updated_at"),
        (line(updated_at="2026-02-30"), "updated_at"),
        (line(submitted_at=1e300), "submitted_at"),
        (line(active_ms=10**400), "active_ms"),
        (line(strength=10**30), "strength"),
        (line(spans=[["a", 10**30, 10**31, "good"]]), "spans.0"),
        (line(comment="\ud800"), ""),
        (line(comment="x" * 4_001), "comment"),
        ({"x" * 5_000: 1, **line()}, "x" * 200),
        ({"id": 3, "deleted": True}, "id"),
        ({"deleted": "yes", **line()}, "deleted"),
        ({"deleted": False, "id": "3"}, "labeler"),
        (line(query=9), "query_id"),
        (line(id="a\0b"), "id"),
        (line(query_id="q\0"), "query_id"),
        (line(letter="z"), "choice"),
    ],
)
async def test_a_bad_line_is_kept_as_a_copy_and_the_next_one_counts(
    tail: Tail, bad: object, field: str
) -> None:
    tail.write(bad, line(1))
    assert await tail.turn() == IngestCounts(new=1, refused=1)
    [letter] = tail.ledger.read(DeadLetter)
    assert letter.field == field


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"[" * 100_000, "too many levels"),
        (b'{"a": ' * 5_000 + b"1" + b"}" * 5_000, "too many levels"),
        (b'{"labeler": "ann", "labeler": "bob"}', "'labeler' is given twice"),
        (b'{"comment": NaN}', "NaN is not JSON"),
        (b'{"comment": "\xff"}', "not UTF-8"),
        (b"\x00" * 50, "not JSON"),
        (b'{"active_ms": %s}' % (b"1" * 5_000), "limit"),
        ('{"labeler": "ann"}'.encode("utf-16-be"), "not "),
    ],
    ids=["lists", "objects", "doubled", "nan", "bytes", "nul", "digits", "utf-16"],
)
async def test_what_is_no_json_is_refused_alone(tail: Tail, raw: bytes, why: str) -> None:
    good = json.dumps(line(0)).encode()
    tail.path.write_bytes(b"\n".join([good, raw, json.dumps(line(1)).encode(), b""]))
    assert await tail.turn() == IngestCounts(new=2, refused=1)
    assert await tail.turn() == IngestCounts()
    [letter] = tail.ledger.read(DeadLetter)
    assert why in letter.message
    assert len(letter.payload) <= 4_096


async def test_a_byte_order_mark_is_no_part_of_a_line(tail: Tail) -> None:
    lines = [b"\xef\xbb\xbf" + json.dumps(line(n)).encode() + b"\r\n" for n in range(2)]
    tail.path.write_bytes(b"".join(lines) + b"\xef\xbb\xbf\n")
    assert await tail.turn() == IngestCounts(new=2)


async def test_the_word_deleted_deletes_nothing(tail: Tail) -> None:
    tail.write(line(0, comment="deleted"), line(1, comment='"deleted": true'))
    tail.write(line(2, id="7", deleted=False))
    assert await tail.turn() == IngestCounts(new=3)
    tail.write({"id": "7", "deleted": True})
    assert await tail.turn() == IngestCounts(retracted=1)


async def test_early_years_stay_in_order(tail: Tail) -> None:
    tail.write(line(0, "a", id="1", updated_at="0999-01-01T00:00:00Z"))
    tail.write(line(0, "b", id="1", updated_at="1000-01-01T00:00:00Z"))
    tail.write(line(0, "c", id="1", updated_at="0998-01-01T00:00:00Z"))
    assert await tail.turn() == IngestCounts(new=1, revised=1, stale=1)


async def test_what_is_no_text_is_refused_too(tail: Tail) -> None:
    tail.path.write_bytes(b"\xff\xfe\n\n" + json.dumps(line(0)).encode() + b"\r\n")
    assert await tail.turn() == IngestCounts(new=1, refused=1)


async def test_a_line_that_is_too_long_is_passed_over_in_pieces(
    tail: Tail, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("label_queue.connectors.jsonl_tail.MAX_READ_BYTES", 200)
    tail.write(line(0), line(1), line(2))
    assert await tail.turn() == IngestCounts(new=3)
    tail.path.write_text("x" * 700)
    assert await tail.turn() == IngestCounts(refused=1)
    assert await tail.turn() == IngestCounts()
    [letter] = tail.ledger.read(DeadLetter)
    assert letter.message == "the line is over 200 bytes: shorten it"
    tail.restart()
    with tail.path.open("a") as file:
        file.write("x" * 150 + "\n")
    tail.write(line(0, "b"), {"x": "y" * 300}, line(1, "b"), line(2, "b"))
    assert await tail.turn() == IngestCounts(revised=3, refused=1)
    assert await tail.turn() == IngestCounts()
    assert tail.state == "ok"


async def test_tasks_are_appended_once(tail: Tail) -> None:
    await tail.turn()
    tail.restart()
    await tail.turn()
    assert tail.config.tasks_path is not None
    tasks = [json.loads(text) for text in tail.config.tasks_path.read_text().splitlines()]
    assert [task["query_id"] for task in tasks] == ["q0", "q1", "q2"]
    assert tasks[0] == {
        "run_id": "run-1",
        "query_id": "q0",
        "kind": "best_of_k",
        "prompt": "the soup was",
        "responses": {letter: f"text of {shown(letter)}" for letter in "abcd"},
    }


async def test_a_task_that_a_crash_cut_short_is_written_again(tail: Tail) -> None:
    await tail.turn()
    path = tail.config.tasks_path
    assert path is not None
    path.write_bytes(path.read_bytes()[:-20])
    tail.restart()
    assert await tail.turn() == IngestCounts()
    assert await tail.turn() == IngestCounts(refused=1)
    assert tail.state == "ok"
    *whole, cut, again = path.read_text().splitlines()
    assert [json.loads(text)["query_id"] for text in [*whole, again]] == ["q0", "q1", "q2"]
    assert json.loads(again)["responses"].items() >= {"d": f"text of {shown('d', 2)}"}.items()
    assert again.startswith(cut)
    tail.restart()
    await tail.turn()
    assert len(path.read_text().splitlines()) == 4


async def test_the_tasks_are_read_on_and_not_again(
    tail: Tail, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[bytes] = []
    validate = jsonl_tail._TaskLine.model_validate_json

    def noted(line: bytes) -> jsonl_tail._TaskLine:
        read.append(line)
        return validate(line)

    monkeypatch.setattr(jsonl_tail._TaskLine, "model_validate_json", noted)
    path = tail.config.tasks_path
    assert path is not None
    await tail.turn()
    await tail.turn()
    await tail.run.ask(make_query(3))
    for _ in range(3):
        await tail.turn()
    assert [json.loads(line)["query_id"] for line in read] == ["q0", "q1", "q2", "q3"]
    # A file that was taken away or emptied holds no tasks: they are written there.
    for take in (path.unlink, lambda: path.write_bytes(b"")):
        take()
        await tail.turn()
        tail.run.clock.now += 1_000.0
        await tail.turn()
        again = [json.loads(line)["query_id"] for line in path.read_text().splitlines()]
        assert again == ["q0", "q1", "q2", "q3"]
        await tail.turn()
        assert len(path.read_text().splitlines()) == 4


async def test_a_chat_goes_out_with_its_roles(tail: Tail) -> None:
    turns = (
        ChatMessage(role="system", content="Be brief."),
        ChatMessage(role="user", content="Hi"),
    )
    await tail.run.ask(make_query(7, prompt_text="", prompt_messages=turns))
    await tail.turn()
    assert tail.config.tasks_path is not None
    task = json.loads(tail.config.tasks_path.read_text().splitlines()[-1])
    assert task["prompt"] == "system: Be brief.\n\nuser: Hi"
    assert task["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
    ]


async def test_a_file_has_no_webhooks(tail: Tail) -> None:
    with pytest.raises(Unauthenticated):
        await tail.outposts.ring(NAME, {}, b"")
