"""A Kafka topic: what all streams promise, on librdkafka's mock, and what is Kafka's own."""

from __future__ import annotations

import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError
from structlog.testing import capture_logs

from label_queue.connectors import kafka_topic
from label_queue.connectors.kafka_topic import KafkaConnector
from label_queue.ledger.records import DeadLetter
from protocol.errors import ConfigError
from tests.support.kafka_cluster import KafkaCluster, kafka_cluster
from tests.support.labels import make_query
from tests.support.proxies import make_certificate
from tests.support.stream_contract import StreamContract, answer
from tests.support.streams import KafkaTopic, NewReader, Stream, StreamReader, is_answering

BROKERS = os.environ.get("ANDON_KAFKA_BROKERS", "")
MOCK, REAL = "mock", "real"
SECRET = "hush-0f3a"
VARIABLE = "KAFKA_PASSWORD"


@pytest.fixture(scope="module")
def cluster() -> Iterator[KafkaCluster]:
    with kafka_cluster() as cluster:
        yield cluster


@pytest.fixture(params=[MOCK, REAL] if BROKERS else [MOCK])
def stream(request: pytest.FixtureRequest, cluster: KafkaCluster) -> KafkaTopic:
    if request.param == MOCK:
        return KafkaTopic(cluster.address, cluster)
    assert is_answering(BROKERS), f"ANDON_KAFKA_BROKERS: {BROKERS} does not answer"
    return KafkaTopic(BROKERS, None)


@pytest.fixture
def mortal(cluster: KafkaCluster) -> Stream:
    return KafkaTopic(cluster.address, cluster)


class TestKafka(StreamContract, of=KafkaConnector):
    pass


async def test_a_topic_that_is_not_there_is_named(readers: NewReader, stream: KafkaTopic) -> None:
    reader = await readers(stream, topic="nowhere")
    await reader.turn()
    assert reader.state == "failing: kafka: there is no topic 'nowhere': make it, or mend its name"


async def test_a_message_without_content_is_refused_alone(
    readers: NewReader, stream: KafkaTopic
) -> None:
    reader = await readers(stream)
    stream.send(answer(0), None, answer(1))
    await reader.read(new=2, refused=1)
    [letter] = reader.ledger.read(DeadLetter)
    assert letter.message.startswith(f"the message at {stream.topic}/")
    assert "is empty" in letter.message


async def test_what_is_assigned_stays_so_while_the_ledger_agrees(
    readers: NewReader, stream: KafkaTopic, monkeypatch: pytest.MonkeyPatch
) -> None:
    assigned = []
    assign = KafkaConnector._assign

    def noted(self: KafkaConnector, *arguments: object) -> object:
        before = arguments[2]
        after = assign(self, *arguments)  # type: ignore[arg-type]
        assigned.append(after[0] is not before)
        return after

    monkeypatch.setattr(KafkaConnector, "_assign", noted)
    reader = await readers(stream)
    stream.send(answer(0))
    await reader.read(new=1)
    stream.send(answer(1))
    await reader.read(new=1)
    assert assigned[0]
    assert not any(assigned[1:])


async def test_messages_that_come_while_tasks_cannot_be_sent_are_all_read(
    readers: NewReader, stream: KafkaTopic, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: KafkaConnector, topic: str, tasks: object) -> None:
        time.sleep(0.1)  # the library reads ahead meanwhile
        raise self._error(KafkaError(KafkaError._MSG_TIMED_OUT), topic)

    monkeypatch.setattr(KafkaConnector, "_send", fail)
    reader = await readers(stream, batch_size=1)
    stream.send(*(answer(0, labeler=f"l{number}") for number in range(6)))
    await reader.read(new=6)
    assert reader.state == "failing: kafka: the brokers do not answer (_MSG_TIMED_OUT)"


async def test_a_task_that_is_too_large_holds_up_no_other(
    readers: NewReader, stream: KafkaTopic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_topic, "MAX_TASK_BYTES", 1_000)
    reader = await readers(stream)
    await reader.run.ask(make_query(3, prompt_text="x" * 2_000))
    with capture_logs() as logs:
        for _ in range(2):
            await reader.turn()
    assert reader.state == "ok"
    assert [task["query_id"] for task in stream.tasks()] == ["q0", "q1", "q2"]
    told = [log for log in logs if log["event"] == "tasks larger than their topic takes"]
    assert [log["count"] for log in told] == [1]


async def test_a_broker_that_is_not_there_is_told(readers: NewReader, stream: KafkaTopic) -> None:
    reader = await readers(stream, brokers=["127.0.0.1:1"], timeout_s=1.0)
    await reader.turn()
    assert reader.state == "failing: kafka: the brokers do not answer (_TRANSPORT)"


class TlsListener:
    """Shakes hands with whoever comes, asks for a certificate, and says no more."""

    def __init__(self, folder: Path) -> None:
        make_certificate(folder, "localhost")
        self.certificate, self.key = folder / "fullchain.pem", folder / "privkey.pem"
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(self.certificate, self.key)
        self._context.load_verify_locations(self.certificate)
        self._context.verify_mode = ssl.CERT_REQUIRED
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.num_shaken = 0
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return  # it was closed
            with connection, suppress(OSError):
                connection.settimeout(5.0)
                with self._context.wrap_socket(connection, server_side=True) as shaken:
                    shaken.recv(1)
                    self.num_shaken += 1

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


async def test_tls_checks_the_broker_and_shows_our_certificate(
    readers: NewReader, stream: KafkaTopic, tmp_path: Path
) -> None:
    listener = TlsListener(tmp_path)
    settings: dict[str, Any] = {
        "brokers": [f"localhost:{listener.port}"],
        "tls": True,
        "timeout_s": 2.0,
    }
    paths: dict[str, Any] = {
        "ca_path": listener.certificate,
        "certificate_path": listener.certificate,
        "key_path": listener.key,
    }
    believes_nobody = await readers(stream, **settings)
    await believes_nobody.turn()
    assert believes_nobody.state.startswith("failing: kafka: TLS failed (_SSL): check tls, ca_path")
    assert listener.num_shaken == 0
    await believes_nobody.close()
    reader = await readers(stream, **settings, **paths)
    await reader.turn()
    assert "do not answer" in reader.state
    await reader.close()
    listener.close()
    assert listener.num_shaken > 0


async def test_a_password_comes_from_the_environment_and_is_never_told(
    readers: NewReader, stream: KafkaTopic, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes: dict[str, Any] = {
        "sasl": "SCRAM-SHA-256",
        "username": "ann",
        "password_env": VARIABLE,
        "timeout_s": 2.0,
    }
    with pytest.raises(ConfigError, match=f"the environment variable {VARIABLE} is empty"):
        StreamReader(stream, **changes)
    monkeypatch.setenv(VARIABLE, SECRET)
    with capture_logs() as logs:
        reader = await readers(stream, **changes)
        await reader.turn()  # the mock knows no such user
    connector = reader.outposts.runner("kafka").connector
    told = (reader.state, reader.config, connector, logs)
    assert reader.state.startswith("failing: kafka: ")
    assert SECRET not in repr(told)
