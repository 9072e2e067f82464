"""A Redis stream: what all streams promise, on a real server, and what is Redis's own."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from label_queue.connectors.redis_stream import RedisConnector
from label_queue.ledger.records import DeadLetter
from protocol.errors import ConfigError, MissingError
from tests.support.ports import free_port
from tests.support.proxies import make_certificate
from tests.support.redis_server import RedisServer, redis_server
from tests.support.stream_contract import StreamContract, answer
from tests.support.streams import NewReader, RedisStream, Stream, StreamReader

SECRET = "hush-0f3a"
VARIABLE = "REDIS_PASSWORD"


@pytest.fixture
def stream(redis: RedisServer) -> RedisStream:
    return RedisStream(redis)


@pytest.fixture
def mortal(stream: RedisStream) -> Stream:
    return stream


class TestRedis(StreamContract, of=RedisConnector):
    pass


async def test_an_entry_with_a_field_of_another_name_is_refused_alone(
    readers: NewReader,
    stream: RedisStream,
) -> None:
    reader = await readers(stream)
    stream.client.xadd(stream.key, {"label": b"{}", "trace": "1"})
    stream.client.xadd(stream.key, {"answer": b"{}"})
    stream.send(answer(0))
    await reader.read(new=1, refused=2)
    letters = reader.ledger.read(DeadLetter)
    assert [letter.field for letter in letters] == ["trace", "answer"]
    assert f"{stream.key}@" in letters[0].message


async def test_a_stream_that_was_made_anew_is_read_from_its_beginning(
    readers: NewReader, stream: RedisStream
) -> None:
    reader = await readers(stream)
    stream.send(answer(0), answer(1))
    await reader.read(new=2)
    stream.client.delete(stream.key)
    await reader.read()
    # Its clock is behind: the ids tell.
    stream.client.xadd(stream.key, {"label": b'{"id": "1", "deleted": true}'}, id="1-1")
    await reader.read(duplicate=1)
    stream.send(answer(2))
    await reader.read(new=1)
    # Its ids go on, and it holds fewer: the count tells.
    [*_, (last, _)] = stream.client.xrange(stream.key)
    stream.client.delete(stream.key)
    stream.client.xadd(stream.key, {"label": b'{"id": "1", "deleted": true}'}, id=last)
    await reader.read(duplicate=1)


async def test_one_made_anew_with_more_than_before_is_read_from_its_beginning(
    readers: NewReader, stream: RedisStream
) -> None:
    gone = {"id": "17", "deleted": True}
    messages = (answer(0, id="17"), gone, answer(0, "b", id="17"))
    reader = await readers(stream, batch_size=2)
    stream.send(*messages)
    await reader.read(new=1, retracted=1, revised=1)
    stream.client.delete(stream.key)
    stream.send(*messages, answer(1), answer(2), answer(1, labeler="ben"))
    await reader.read(duplicate=3, new=3)
    # What was read is let go of, with what was not: it is the same stream.
    stream.send(answer(2, labeler="ben"), answer(0, labeler="ben"))
    stream.delete_oldest(7)
    await reader.read(new=1, refused=1)
    [letter] = reader.ledger.read(DeadLetter)
    assert "up to 1 messages" in letter.message


async def test_one_deleted_from_the_middle_before_it_was_read_is_told(
    readers: NewReader, stream: RedisStream
) -> None:
    reader = await readers(stream, batch_size=2)
    stream.send(answer(0))
    await reader.read(new=1)
    stream.send(answer(1), answer(2), answer(0, labeler="ben"))
    [(second, _)] = stream.client.xrange(stream.key)[2:3]
    stream.client.xdel(stream.key, second)
    await reader.read(new=2, refused=1)
    # What was read before is nobody's loss.
    stream.client.xtrim(stream.key, maxlen=0)
    await reader.read()
    await reader.restart()
    await reader.read()


async def test_the_tasks_stream_lets_go_of_old_ones(
    readers: NewReader, stream: RedisStream
) -> None:
    reader = await readers(stream, max_tasks=1)
    await reader.turn()
    # Redis trims by whole nodes of 100.
    assert len(stream.tasks()) == 3
    for _ in range(100):
        stream.client.xadd(stream.tasks_key, {"task": b"{}"})
    await reader.restart()
    await reader.turn()
    assert len(stream.tasks()) < 103


async def test_a_key_that_is_no_stream_is_named(readers: NewReader, stream: RedisStream) -> None:
    stream.client.set(stream.key, "text")
    reader = await readers(stream)
    await reader.turn()
    assert reader.state.startswith("failing: redis: the server refuses (WRONGTYPE): is it Redis 5")


async def test_a_user_who_may_not_read_the_stream_is_told(
    readers: NewReader, stream: RedisStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, SECRET)
    stream.client.acl_setuser("guest", enabled=True, passwords=[f"+{SECRET}"], commands=["+ping"])
    reader = await readers(stream, username="guest", password_env=VARIABLE)
    await reader.turn()
    assert reader.state.startswith("failing: redis: the server refuses this user")
    # What docs/connectors.md has the owner grant.
    rights = ["+xread", "+xinfo|stream", "+xadd", "+multi", "+exec"]
    stream.client.acl_setuser(
        "guest", enabled=True, commands=rights, keys=[stream.key, stream.tasks_key]
    )
    stream.send(answer(0))
    await reader.read(new=1)
    assert [task["query_id"] for task in stream.tasks()] == ["q1", "q2"]
    stream.client.acl_deluser("guest")


async def test_a_password_comes_from_the_environment_and_is_never_told(
    readers: NewReader, stream: RedisStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes: dict[str, Any] = {"username": "secretive", "password_env": VARIABLE}
    with pytest.raises(ConfigError, match=f"the environment variable {VARIABLE} is empty"):
        StreamReader(stream, **changes)
    stream.client.acl_setuser(
        "secretive", enabled=True, passwords=[f"+{SECRET}"], commands=["+@all"], keys=["*"]
    )
    told = []
    with capture_logs() as logs:
        for password in (SECRET, f"not {SECRET}"):
            monkeypatch.setenv(VARIABLE, password)
            reader = await readers(stream, **changes)
            await reader.turn()
            connector = reader.outposts.runner("redis").connector
            told += [reader.state, repr(reader.config), repr(connector), repr(vars(connector))]
    assert told[0] == "ok"
    assert told[4].startswith("failing: redis: the server refuses this user")
    assert SECRET not in repr(told)
    assert SECRET not in repr(logs)
    stream.client.acl_deluser("secretive")


async def test_a_port_where_something_else_answers_is_told(
    readers: NewReader, stream: RedisStream
) -> None:
    def answer_otherwise(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(1)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer_otherwise, args=(listener,))
        thread.start()
        url = f"redis://127.0.0.1:{listener.getsockname()[1]}"
        reader = await readers(stream, url=url, timeout_s=5.0)
        await reader.turn()
        thread.join()
    assert reader.state.startswith("failing: redis: the server ")


@pytest.fixture
def with_tls(redis: RedisServer, tmp_path: Path) -> Iterator[tuple[RedisStream, dict[str, Any]]]:
    """A server that asks for a certificate, and what a config needs to reach it."""
    make_certificate(tmp_path, "localhost")
    certificate, key, port = tmp_path / "fullchain.pem", tmp_path / "privkey.pem", free_port()
    options = (
        *("--tls-port", str(port), "--tls-cert-file", str(certificate)),
        *("--tls-key-file", str(key), "--tls-ca-cert-file", str(certificate)),
    )
    with redis_server(redis.program, *options) as server:
        paths = {"ca_path": certificate, "certificate_path": certificate, "key_path": key}
        yield RedisStream(server), {"url": f"rediss://localhost:{port}/0", **paths}


async def test_tls_checks_the_server_and_shows_our_certificate(
    readers: NewReader, with_tls: tuple[RedisStream, dict[str, Any]], tmp_path: Path
) -> None:
    stream, settings = with_tls
    stream.send(answer(0))
    reader = await readers(stream, **settings)
    await reader.read(new=1)

    believes_nobody = await readers(stream, **{**settings, "ca_path": None})
    await believes_nobody.turn()
    assert "(SSLCertVerificationError)" in believes_nobody.state

    without = {**settings, "certificate_path": None, "key_path": None}
    shows_nothing = await readers(stream, **without)
    await shows_nothing.turn()
    assert shows_nothing.state.startswith("failing: redis: the server does not answer")

    other_name = {**settings, "url": str(settings["url"]).replace("localhost", "127.0.0.1")}
    elsewhere = await readers(stream, **other_name)
    await elsewhere.turn()
    assert "(SSLCertVerificationError)" in elsewhere.state

    with pytest.raises(MissingError, match="ca_path: no file"):
        StreamReader(stream, **{**settings, "ca_path": tmp_path / "nowhere.pem"})
