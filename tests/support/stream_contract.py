"""What every stream of answers promises, whoever the broker is."""

from __future__ import annotations

import pytest

from label_queue.connectors.port import Sweep
from label_queue.connectors.stream_messages import MAX_MESSAGE_BYTES
from label_queue.ledger.records import DeadLetter
from protocol.errors import Unauthenticated
from tests.support.contract import Contract
from tests.support.labels import make_query
from tests.support.memory_ledger import MemoryLedger
from tests.support.outside import choices, shown
from tests.support.streams import NUM_QUERIES, NewReader, Stream, StreamReader

NUM_MANY = 250


def answer(query: int = 0, letter: str = "a", **changes: object) -> dict[str, object]:
    return {
        "labeler": "ann",
        "query_id": f"q{query}",
        "outcome": "choice",
        "choice": letter,
        **changes,
    }


BAD_MESSAGES: list[tuple[bytes | dict[str, object], str, str]] = [
    (b'{"labeler": "ann", "query_id": "q0", "outc', "", "not JSON"),
    (b"", "", "not JSON"),
    (b"\xff\xfe", "", "not UTF-8"),
    (b"[" * 50_000, "", "too many levels"),
    (answer(updated_at="2026-02-30"), "updated_at", "day is out of range"),
    (answer(updated_at="9999-12-31T23:59:59-01:00"), "updated_at", "no time of the years"),
    (answer(submitted_at=1e300), "submitted_at", "less than"),
    (answer(colour="red"), "colour", "not permitted"),
    (answer(comment="x" * MAX_MESSAGE_BYTES), "", f"over {MAX_MESSAGE_BYTES} bytes"),
    (answer(query=9), "query_id", "asked no query 'q9'"),
    (answer(letter="z"), "choice", "not a response of this task"),
]


class StreamContract(Contract):
    """Subclasses give a `stream`; its broker may be broken only where there is a `mortal` one."""

    @pytest.fixture
    async def reader(self, readers: NewReader, stream: Stream) -> StreamReader:
        return await readers(stream)

    async def test_messages_become_labels_in_their_order(self, reader: StreamReader) -> None:
        reader.stream.send(answer(0), answer(1, "b", labeler="ben"))
        await reader.read(new=2)
        reader.stream.send(answer(0, "c"), answer(1, id="17"))
        await reader.read(new=1, revised=1)
        reader.stream.send({"id": "17", "deleted": True})
        await reader.read(retracted=1)
        name = reader.stream.name
        assert choices(reader.run) == {
            (f"{name}:ann", "q0"): shown(name, "c", 0),
            (f"{name}:ben", "q1"): shown(name, "b", 1),
        }
        assert reader.state == "ok"

    async def test_a_restart_goes_on_from_the_ledger_and_from_nowhere_else(
        self, reader: StreamReader
    ) -> None:
        reader.stream.send(answer(0), answer(1))
        await reader.read(new=2)
        await reader.restart()
        await reader.read()
        reader.stream.send(answer(2))
        await reader.restart()
        await reader.read(new=1)
        assert not reader.stream.knows_offsets()

    async def test_what_was_read_but_not_written_down_is_read_again(
        self, readers: NewReader, stream: Stream
    ) -> None:
        ledger = MemoryLedger()
        reader = await readers(stream, ledger=ledger)
        stream.send(answer(0))
        for restarts in (False, True):
            ledger.is_full = True
            while not reader.state.startswith("failing: memory: labels cannot be stored"):
                await reader.turn()
            ledger.is_full = False
            if restarts:
                await reader.restart()
        await reader.read(new=1)

    async def test_batches_follow_one_another_to_the_end(
        self, readers: NewReader, stream: Stream
    ) -> None:
        reader = await readers(stream, batch_size=20)
        for number in range(NUM_MANY):
            stream.send(answer(number % NUM_QUERIES, labeler=f"l{number}"), key=str(number))
        await reader.read(new=NUM_MANY)
        assert len(reader.run.current_labels()) == NUM_MANY

    @pytest.mark.parametrize(("bad", "field", "why"), BAD_MESSAGES)
    async def test_a_bad_message_is_kept_with_its_reason_and_the_next_one_counts(
        self, reader: StreamReader, bad: object, field: str, why: str
    ) -> None:
        reader.stream.send(answer(0), bad, answer(1))
        await reader.read(new=2, refused=1)
        [letter] = reader.ledger.read(DeadLetter)
        assert letter.field == field
        assert why in letter.message
        assert reader.state == "ok"

    async def test_what_was_deleted_unread_is_told_and_what_follows_counts(
        self, readers: NewReader, mortal: Stream
    ) -> None:
        reader = await readers(mortal)
        mortal.send(answer(0))
        await reader.read(new=1)
        await reader.close()  # one that is there fetches ahead, and may have what is deleted then
        mortal.send(answer(1), answer(2))
        mortal.delete_oldest(2)
        await reader.restart()
        await reader.read(new=1, refused=1)
        [letter] = reader.ledger.read(DeadLetter)
        assert "up to 1 messages" in letter.message
        assert {query for _, query in reader.run.current_labels()} == {"q0", "q2"}
        await reader.restart()
        await reader.read()

    async def test_a_stream_that_begins_after_old_messages_were_deleted_lost_none(
        self, readers: NewReader, mortal: Stream
    ) -> None:
        mortal.send(answer(0), answer(1))
        mortal.delete_oldest(1)
        reader = await readers(mortal)
        await reader.read(new=1)

    async def test_another_stream_is_read_from_its_beginning(self, reader: StreamReader) -> None:
        reader.stream.send(answer(0))
        await reader.read(new=1)
        await reader.run.labels.ingest(reader.config.name, Sweep(offset=reader.stream.beyond_end()))
        reader.stream.send(answer(1))
        await reader.restart()
        await reader.read(new=1, duplicate=1)

    async def test_what_a_stream_that_was_made_anew_says_again_has_no_effect(
        self, reader: StreamReader
    ) -> None:
        name, gone = reader.stream.name, {"id": "17", "deleted": True}
        reader.stream.send(answer(0, id="17"), gone, answer(0, "b", id="17"))
        await reader.read(new=1, retracted=1, revised=1)
        for restarts in (True, False):
            await reader.run.labels.ingest(
                reader.config.name, Sweep(offset=reader.stream.beyond_end())
            )
            if restarts:
                await reader.restart()
            await reader.read(duplicate=3)
            assert choices(reader.run) == {(f"{name}:ann", "q0"): shown(name, "b", 0)}
        reader.stream.send(gone)
        await reader.read(retracted=1)

    async def test_an_answer_that_is_sent_twice_is_one(self, reader: StreamReader) -> None:
        reader.stream.send(answer(0), answer(0, "b"), answer(0))
        await reader.read(new=1, revised=1, duplicate=1)

    async def test_a_broker_that_goes_away_is_told_and_read_on_when_it_is_back(
        self, readers: NewReader, mortal: Stream
    ) -> None:
        reader = await readers(mortal, timeout_s=1.0)
        mortal.send(answer(0))
        await reader.read(new=1)
        mortal.kill()
        pauses = [await reader.turn() for _ in range(3)]
        assert reader.state.startswith(f"failing: {mortal.name}: the ")
        assert "not answer" in reader.state
        assert pauses[0] < pauses[2]
        await reader.restart()
        await reader.turn()
        assert "not answer" in reader.state
        mortal.start()
        mortal.send(answer(1))
        await reader.read(new=1)
        assert reader.state == "ok"

    async def test_tasks_are_sent_once_in_a_life(self, reader: StreamReader) -> None:
        for _ in range(3):
            await reader.turn()
        sent = reader.stream.tasks()
        assert [task["query_id"] for task in sent] == ["q0", "q1", "q2"]
        name = reader.stream.name
        assert sent[0] == {
            "run_id": "run-1",
            "query_id": "q0",
            "kind": "best_of_k",
            "prompt": "the soup was",
            "responses": {letter: f"text of {shown(name, letter, 0)}" for letter in "abcd"},
        }
        await reader.run.ask(make_query(3))
        await reader.turn()
        assert [task["query_id"] for task in reader.stream.tasks()] == ["q0", "q1", "q2", "q3"]

    async def test_tasks_are_kept_back_where_no_stream_is_named_for_them(
        self, readers: NewReader, stream: Stream
    ) -> None:
        name = "tasks_stream" if stream.name == "redis" else "tasks_topic"
        reader = await readers(stream, **{name: None})
        await reader.turn()
        assert stream.tasks() == []

    async def test_there_are_no_webhooks(self, reader: StreamReader) -> None:
        with pytest.raises(Unauthenticated):
            await reader.outposts.ring(reader.config.name, {}, b"")

    async def test_it_may_be_closed_twice_and_before_it_began(self, reader: StreamReader) -> None:
        await reader.close()
        await reader.close()
