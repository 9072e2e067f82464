"""A stream of answers that tests write to, and a run that reads it."""

from __future__ import annotations

import itertools
import json
import time
from abc import ABC, abstractmethod
from typing import Any, Protocol

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from label_queue.connector_config import ConnectorConfig, KafkaConfig, RedisConfig
from label_queue.connectors.ingest import IngestCounts
from label_queue.connectors.outposts import Outposts
from label_queue.ledger.records import Ledger
from tests.support.kafka_cluster import KafkaCluster
from tests.support.labels import ManualClock, make_query
from tests.support.memory_ledger import MemoryLedger
from tests.support.outside import OutsideRun
from tests.support.patience import PATIENCE_S
from tests.support.redis_server import RedisServer

PARTITIONS = 3
NUM_QUERIES = 3
"""Open queries of a run that reads a stream: "q0" and so on."""
SETTLING_TURNS = 2
"""Turns after the last expected message in which no more may come."""


class Stream(ABC):
    """What a test can do to a stream of answers, and to the tasks beside it."""

    name: str

    @abstractmethod
    def config(self, **changes: object) -> ConnectorConfig:
        """Return the config of a connector that reads it."""

    @abstractmethod
    def send(self, *messages: object, key: str = "k") -> None:
        """Append messages, bytes as they are, all else as JSON; of one key, in their order."""

    @abstractmethod
    def tasks(self) -> list[dict[str, Any]]:
        """Return all tasks that were sent, oldest first."""

    @abstractmethod
    def delete_oldest(self, count: int) -> None:
        """Let go of the oldest messages of key "k"."""

    @abstractmethod
    def beyond_end(self) -> str:
        """Return an offset that the stream has not come to."""

    @abstractmethod
    def knows_offsets(self) -> bool:
        """Return whether the broker keeps an offset of ours."""

    @abstractmethod
    def kill(self) -> None:
        """Let the broker go away. It keeps what it holds."""

    @abstractmethod
    def start(self) -> None:
        """Let it come back."""


def as_bytes(message: object) -> bytes:
    return message if isinstance(message, bytes) else json.dumps(message).encode()


class RedisStream(Stream):
    """Streams of a Redis server; each has keys of its own."""

    name = "redis"
    _numbers = itertools.count()

    def __init__(self, server: RedisServer) -> None:
        self.server = server
        number = next(self._numbers)
        self.key, self.tasks_key = f"labels-{number}", f"tasks-{number}"

    @property
    def client(self) -> Any:
        return self.server.client

    def config(self, **changes: object) -> RedisConfig:
        values = {
            "kind": "redis",
            "url": self.server.url,
            "stream": self.key,
            "tasks_stream": self.tasks_key,
        }
        return RedisConfig.model_validate({**values, **changes})

    def send(self, *messages: object, key: str = "k") -> None:
        for message in messages:
            self.client.xadd(self.key, {"label": as_bytes(message)})

    def tasks(self) -> list[dict[str, Any]]:
        return [json.loads(fields[b"task"]) for _, fields in self.client.xrange(self.tasks_key)]

    def delete_oldest(self, count: int) -> None:
        self.client.xtrim(self.key, maxlen=self.client.xlen(self.key) - count, approximate=False)

    def beyond_end(self) -> str:
        return json.dumps({"id": "99999999999999-0"})

    def knows_offsets(self) -> bool:
        return bool(self.client.xinfo_groups(self.key))

    def kill(self) -> None:
        self.server.kill()

    def start(self) -> None:
        self.server.start()


class KafkaTopic(Stream):
    """Topics of a Kafka cluster; each stream has its own.

    Args:
        address: HOST:PORT of a broker.
        cluster: The mock behind it; None: a real one, which tests do not break.
    """

    name = "kafka"
    _numbers = itertools.count()

    def __init__(self, address: str, cluster: KafkaCluster | None) -> None:
        self._address = address
        self._cluster = cluster
        names = f"{time.time_ns()}-{next(self._numbers)}"
        self.topic, self.tasks_topic = f"labels-{names}", f"tasks-{names}"
        for topic, partitions in ((self.topic, PARTITIONS), (self.tasks_topic, 1)):
            make_topic(address, topic, partitions, cluster)
        self._producer = Producer({"bootstrap.servers": address, "log_level": 0})
        self._last = (0, 0)
        """Partition and offset of the message of key "k" that was sent last."""

    def config(self, **changes: object) -> KafkaConfig:
        values = {
            "kind": "kafka",
            "brokers": [self._address],
            "topic": self.topic,
            "tasks_topic": self.tasks_topic,
            "timeout_s": 5.0,
        }
        return KafkaConfig.model_validate({**values, **changes})

    def send(self, *messages: object, key: str = "k") -> None:
        def delivered(error: object, message: Any) -> None:
            assert error is None, error
            if key == "k":
                self._last = message.partition(), message.offset()

        for message in messages:
            value = None if message is None else as_bytes(message)
            self._producer.produce(self.topic, value, key.encode(), on_delivery=delivered)
        assert self._producer.flush(PATIENCE_S) == 0

    def tasks(self) -> list[dict[str, Any]]:
        consumer = self._consumer()
        partition = TopicPartition(self.tasks_topic, 0)
        _, high = consumer.get_watermark_offsets(partition, timeout=PATIENCE_S)
        consumer.assign([TopicPartition(self.tasks_topic, 0, 0)])
        found = consumer.consume(high, timeout=PATIENCE_S) if high else []
        consumer.close()
        return [json.loads(message.value() or b"") for message in found]

    def delete_oldest(self, count: int) -> None:
        assert self._cluster is not None
        partition, last = self._last
        consumer = self._consumer()
        low, _ = consumer.get_watermark_offsets(
            TopicPartition(self.topic, partition), timeout=PATIENCE_S
        )
        consumer.close()
        assert low + count <= last + 1
        self._cluster.delete_before(self.topic, partition, low + count)

    def beyond_end(self) -> str:
        return json.dumps({"next": {str(partition): 10_000 for partition in range(PARTITIONS)}})

    def knows_offsets(self) -> bool:
        consumer = self._consumer()
        partitions = [TopicPartition(self.topic, partition) for partition in range(PARTITIONS)]
        found = consumer.committed(partitions, timeout=PATIENCE_S)
        consumer.close()
        return any(each.offset >= 0 for each in found)

    def kill(self) -> None:
        assert self._cluster is not None
        self._cluster.kill()

    def start(self) -> None:
        assert self._cluster is not None
        self._cluster.start()

    def _consumer(self) -> Consumer:
        return Consumer({"bootstrap.servers": self._address, "group.id": "andon", "log_level": 0})


def make_topic(address: str, topic: str, partitions: int, cluster: KafkaCluster | None) -> None:
    """Make a topic of one replica."""
    from confluent_kafka.admin import AdminClient
    from confluent_kafka.cimpl import NewTopic

    if cluster is not None:
        cluster.make_topic(topic, partitions)
        return
    admin = AdminClient({"bootstrap.servers": address})
    made = admin.create_topics([NewTopic(topic, num_partitions=partitions, replication_factor=1)])
    made[topic].result(PATIENCE_S)


class StreamReader:
    """A run that reads a stream, and can be started again."""

    def __init__(self, stream: Stream, ledger: Ledger | None = None, **changes: Any) -> None:
        self.stream = stream
        self.config = stream.config(**changes)
        self.ledger = ledger or MemoryLedger()
        self._live()

    def _live(self) -> None:
        self.run = OutsideRun(self.ledger, [self.config], ManualClock())
        self.outposts: Outposts = self.run.outposts([self.config])

    async def ask(self) -> None:
        await self.run.ask(*(make_query(number) for number in range(NUM_QUERIES)))

    async def restart(self) -> None:
        await self.outposts.close()
        self._live()

    async def turn(self) -> float:
        return await self.outposts.runner(self.config.name).turn()

    async def read(self, **expected: int) -> None:
        """Turn until so many answers more have come, and see that there are no others."""
        before = self.run.total(self.config.name).as_dict()
        num_before = sum(before.values())
        until = time.monotonic() + PATIENCE_S
        wanted = IngestCounts(**expected)
        while sum(self.total().values()) - num_before < sum(wanted.as_dict().values()):
            assert time.monotonic() < until, (self.total(), self.state)
            await self.turn()
        for _ in range(SETTLING_TURNS):
            await self.turn()
        came = {name: count - before[name] for name, count in self.total().items()}
        assert IngestCounts(**came) == wanted

    def total(self) -> dict[str, int]:
        return self.run.total(self.config.name).as_dict()

    @property
    def state(self) -> str:
        [health] = self.outposts.health()
        return health.state

    async def close(self) -> None:
        await self.outposts.close()


class NewReader(Protocol):
    """Makes a reader of a stream, which is closed with the test; `changes` are of its config."""

    async def __call__(
        self, stream: Stream, *, ledger: Ledger | None = None, **changes: Any
    ) -> StreamReader: ...


def is_answering(address: str) -> bool:
    """Return whether a Kafka broker answers."""
    consumer = Consumer({"bootstrap.servers": address, "group.id": "andon", "log_level": 0})
    try:
        consumer.list_topics(timeout=10.0)
    except KafkaException:
        return False
    finally:
        consumer.close()
    return True
