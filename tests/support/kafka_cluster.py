"""librdkafka's own mock cluster: Kafka's protocol over loopback, in the memory of this process.

Kafka's own broker is neither in Debian nor on PyPI. The mock is what librdkafka's tests run on; its
C interface is public (`rdkafka_mock.h`), and the library lies in confluent-kafka's wheel. With
ANDON_KAFKA_BROKERS=HOST:PORT the tests that break no broker are run on a real one too.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import confluent_kafka

BROKER = 1
"""The one broker's number."""
PRODUCER = 0
"""`RD_KAFKA_PRODUCER`: of the handle that the cluster hangs on."""
ERROR_BYTES = 512


def _library() -> ctypes.CDLL:
    wheel = Path(confluent_kafka.__file__).parent.with_name("confluent_kafka.libs")
    [path] = wheel.glob("librdkafka-*.so*")
    library = ctypes.CDLL(str(path))
    pointer, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int32
    functions: dict[str, tuple[object, ...]] = {
        "rd_kafka_new": (pointer, ctypes.c_int, pointer, text, ctypes.c_size_t),
        "rd_kafka_destroy": (None, pointer),
        "rd_kafka_set_log_level": (None, pointer, ctypes.c_int),
        "rd_kafka_mock_cluster_new": (pointer, pointer, ctypes.c_int),
        "rd_kafka_mock_cluster_destroy": (None, pointer),
        "rd_kafka_mock_cluster_bootstraps": (text, pointer),
        "rd_kafka_mock_topic_create": (ctypes.c_int, pointer, text, ctypes.c_int, ctypes.c_int),
        "rd_kafka_mock_broker_set_down": (ctypes.c_int, pointer, number),
        "rd_kafka_mock_broker_set_up": (ctypes.c_int, pointer, number),
        "rd_kafka_mock_partition_delete_records": (
            *(ctypes.c_int, pointer, text, number, ctypes.c_int64),
        ),
    }
    for name, (result, *arguments) in functions.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


class KafkaCluster:
    """One broker."""

    def __init__(self) -> None:
        self._library = _library()
        why = ctypes.create_string_buffer(ERROR_BYTES)
        self._handle = self._library.rd_kafka_new(PRODUCER, None, why, ERROR_BYTES)
        assert self._handle, why.value
        self._library.rd_kafka_set_log_level(self._handle, 0)
        self._cluster = self._library.rd_kafka_mock_cluster_new(self._handle, 1)
        assert self._cluster
        bootstraps: bytes = self._library.rd_kafka_mock_cluster_bootstraps(self._cluster)
        self.address = bootstraps.decode()
        """HOST:PORT of its broker."""

    def make_topic(self, topic: str, partitions: int) -> None:
        """Make a topic."""
        self._do("rd_kafka_mock_topic_create", topic.encode(), partitions, 1)

    def kill(self) -> None:
        """Have the broker close its connections and listen no longer; it keeps what it holds."""
        self._do("rd_kafka_mock_broker_set_down", BROKER)

    def start(self) -> None:
        """Have it listen again."""
        self._do("rd_kafka_mock_broker_set_up", BROKER)

    def delete_before(self, topic: str, partition: int, offset: int) -> None:
        """Let go of a partition's first messages, as a broker does with old ones."""
        self._do("rd_kafka_mock_partition_delete_records", topic.encode(), partition, offset)

    def _do(self, function: str, *arguments: object) -> None:
        failed = getattr(self._library, function)(self._cluster, *arguments)
        assert failed == 0, f"{function}: {failed}"

    def close(self) -> None:
        """End it."""
        self._library.rd_kafka_mock_cluster_destroy(self._cluster)
        self._library.rd_kafka_destroy(self._handle)


@contextmanager
def kafka_cluster() -> Iterator[KafkaCluster]:
    """Start a cluster, and end it at the end."""
    cluster = KafkaCluster()
    try:
        yield cluster
    finally:
        cluster.close()
