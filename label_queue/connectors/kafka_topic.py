"""A Kafka topic of answers, one JSON object a message.

What a message says is in `jsonl_lines`; one that says nothing to us is refused alone. All
partitions are read. Only messages of one partition have an order, so answers that change each
other need one key, or times.

The offset is, for each partition, that of the next message. It is in the ledger alone, in the
transaction of the labels: partitions are assigned here, not by a group, and nothing is committed to
the brokers. Where what the offset names is not kept any more, messages were lost unread, which is
kept like an answer that cannot be read; where it is beyond the end, the topic is another, and the
partition is read from its beginning.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from label_queue.connector_config import KafkaConfig
from label_queue.connectors.jsonl_lines import Line
from label_queue.connectors.one_way import OneWay, task_line
from label_queue.connectors.port import Annotation, Deletion, OutsideTask, Sweep, Unreadable
from label_queue.connectors.stream_messages import check_tls_files, gap, read_message
from protocol.errors import AndonError, ConfigError, InputError, MissingError, TransientError
from protocol.logs import logger_of

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError, Message, Producer

READ_S = 0.1
"""How long a sweep waits for messages; it ends at once when it has a whole batch."""
RECONNECT_MS = 2_000
"""Longest pause of the library's own between two tries to connect."""
MAX_QUEUED_KIB = 16_384
"""What the library reads ahead of us, in KiB."""
MAX_TASK_BYTES = 100_000_000
"""No limit of ours: a topic has its own."""
REFUSALS = frozenset(
    {
        "_AUTHENTICATION",
        "CLUSTER_AUTHORIZATION_FAILED",
        "GROUP_AUTHORIZATION_FAILED",
        "SASL_AUTHENTICATION_FAILED",
        "TOPIC_AUTHORIZATION_FAILED",
        "UNSUPPORTED_SASL_MECHANISM",
    }
)
UNKNOWN_TOPICS = frozenset({"UNKNOWN_TOPIC_OR_PART", "_UNKNOWN_PARTITION", "_UNKNOWN_TOPIC"})
UNTRUSTED = frozenset({"_SSL"})
NOT_KEPT = "_AUTO_OFFSET_RESET"
TOO_LARGE = "MSG_SIZE_TOO_LARGE"


class _Offset(Line):
    """How far a topic was read."""

    next: dict[str, int]
    """Offset of the next message, by partition."""


class KafkaConnector(OneWay):
    """The `Connector` port over one Kafka topic.

    The library blocks, so it is asked in threads, one at a time.
    """

    def __init__(self, config: KafkaConfig, password: str | None, *, run_id: str) -> None:
        """Connect to nothing yet.

        Raises MissingError where confluent-kafka or a file of TLS's is not there.
        """
        check_kafka(config)
        self._config = config
        self._settings = _settings(config, password)
        self._run_id = run_id
        self._log = logger_of("connector", connector=config.name)
        self._turn = threading.Lock()
        self._consumer: Consumer | None = None
        self._producer: Producer | None = None
        self._next: dict[int, int] | None = None
        """Offset of the next message by assigned partition; None: they are to be assigned anew."""
        self._said = ""
        """The kind of the newest error that the library told by itself."""

    @property
    def name(self) -> str:
        """Unique in the run."""
        return self._config.name

    async def sweep(self, offset: str | None) -> Sweep:
        """Read the messages from `offset` on; see `Connector.sweep`."""
        return await asyncio.to_thread(self._locked, self._sweep, offset)

    async def push(self, tasks: Sequence[OutsideTask]) -> None:
        """Send tasks to their topic, if there is one; see `Connector.push`."""
        if self._config.tasks_topic is not None:
            await asyncio.to_thread(self._locked, self._send, self._config.tasks_topic, tasks)

    async def close(self) -> None:
        """Let go of connections. May be called twice."""
        await asyncio.to_thread(self._locked, self._close)

    def _locked(self, do: Any, *arguments: Any) -> Any:
        """Do something in its turn: a thread whose call was cancelled goes on to its end."""
        with self._turn:
            return do(*arguments)

    def _sweep(self, offset: str | None) -> Sweep:
        from confluent_kafka import KafkaException

        wanted = {} if offset is None else _Offset.model_validate_json(offset).next
        start = {int(partition): position for partition, position in wanted.items()}
        assigned, self._next = self._next, None
        try:
            if self._consumer is None:
                self._consumer = self._open_consumer()
            next_of, begun, gaps = self._assign(self._consumer, start, assigned)
            batch = self._consumer.consume(self._config.batch_size, timeout=READ_S)
        except KafkaException as error:
            raise self._error(error.args[0], self._config.topic) from None
        answers = self._read(next_of, batch)
        if len(answers) == len(batch):
            self._next = next_of
        following = {str(partition): position for partition, position in next_of.items()}
        return Sweep(
            answers=(*gaps, *answers),
            begun=frozenset(map(str, begun)),
            offset=_Offset(next=following).model_dump_json(),
            tasks=None,
            has_more=bool(batch),
        )

    def _assign(
        self, consumer: Consumer, start: dict[int, int], assigned: dict[int, int] | None
    ) -> tuple[dict[int, int], list[int], list[Unreadable]]:
        """See to it that what is read next is what the ledger says.

        Returns the offset of the next message by partition, the partitions that are begun again,
        and what was lost before it. Raises KafkaException or UserError.
        """
        from confluent_kafka import TopicPartition

        topic = self._config.topic
        partitions = self._partitions(consumer)
        if assigned is not None and assigned.keys() == partitions and assigned == start:
            return assigned, [], []
        found, begun, gaps = dict[int, int](), list[int](), list[Unreadable]()
        for partition in sorted(partitions):
            low, high = consumer.get_watermark_offsets(
                TopicPartition(topic, partition), timeout=self._config.timeout_s
            )
            position = start.get(partition, low)
            if position < low:
                gaps.append(gap(f"{topic}/{partition}@{position - 1}", low - position))
            if position > high:
                begun.append(partition)
            found[partition] = position if low <= position <= high else low
        consumer.assign([TopicPartition(topic, *each) for each in found.items()])
        return found, begun, gaps

    def _partitions(self, consumer: Consumer) -> set[int]:
        """Return the topic's partitions, which may become more; raises as `_assign`."""
        topic = self._config.topic
        told = consumer.list_topics(topic, timeout=self._config.timeout_s).topics[topic]
        if told.error is not None:
            raise self._error(told.error, topic)
        return set(told.partitions)

    def _read(
        self, next_of: dict[int, int], batch: Sequence[Message]
    ) -> list[Annotation | Deletion | Unreadable]:
        """Return what messages say, and count them in the offsets of the next ones.

        Raises UserError or TransientError where there is nothing but errors.
        """
        answers = []
        errors = []
        for message in batch:
            error, partition, offset = message.error(), message.partition(), message.offset()
            if error is not None:
                errors.append(error)
                continue
            assert partition is not None
            assert offset is not None
            place = f"{message.topic()}/{partition}@{offset}"
            answers.append(read_message(message.value(), place, str(partition)))
            next_of[partition] = offset + 1
        # Where what was asked for is not kept any more, the next sweep looks for what is.
        errors = [error for error in errors if error.name() != NOT_KEPT]
        if errors and not answers:
            raise self._error(errors[0], self._config.topic)
        return answers

    def _send(self, topic: str, tasks: Sequence[OutsideTask]) -> None:
        from confluent_kafka import KafkaException

        failed: list[KafkaError] = []

        def delivered(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                failed.append(error)

        if self._producer is None:
            self._producer = self._open_producer()
        for task in tasks:
            line = json.dumps(task_line(task, run_id=self._run_id), ensure_ascii=False)
            key = task.query.query_id.encode()
            try:
                self._producer.produce(topic, line.encode(), key, on_delivery=delivered)
            except KafkaException as error:
                failed.append(error.args[0])
        self._producer.flush()
        grave = [error for error in failed if error.name() != TOO_LARGE]
        if len(grave) < len(failed):
            # To fail for it would hold up all other tasks for ever.
            self._log.warning("tasks larger than their topic takes", count=len(failed) - len(grave))
        if grave:
            raise self._error(grave[0], topic)

    def _open_consumer(self) -> Consumer:
        from confluent_kafka import Consumer

        return Consumer(
            {
                **self._settings,
                "error_cb": self._listen,
                "group.id": self._config.group,
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                # Where to go on is the ledger's to say.
                "auto.offset.reset": "error",
                "allow.auto.create.topics": False,
                "queued.max.messages.kbytes": MAX_QUEUED_KIB,
            }
        )

    def _open_producer(self) -> Producer:
        from confluent_kafka import Producer

        return Producer(
            {
                **self._settings,
                "error_cb": self._listen,
                "message.max.bytes": MAX_TASK_BYTES,
                "message.timeout.ms": int(1000 * self._config.timeout_s),
            }
        )

    def _listen(self, error: KafkaError) -> None:
        """Hear what the library tells by itself: why it cannot connect, above all."""
        name = error.name()
        if self._said not in REFUSALS | UNTRUSTED or name in REFUSALS | UNTRUSTED:
            self._said = name

    def _error(self, error: KafkaError, topic: str) -> AndonError:
        """Return what is raised for an error of the library's, without its words.

        A reader must be assigned anew after it: it is polled here, which may take a message.
        """
        client = self._producer if topic == self._config.tasks_topic else self._consumer
        if client is not None:
            client.poll(0)  # has `_listen` hear what was told meanwhile
        kind = error.name()
        if self._said in REFUSALS | UNTRUSTED:
            kind = self._said
        self._said = ""
        if kind in UNKNOWN_TOPICS:
            return InputError(
                f"{self.name}: there is no topic {topic!r}: make it, or mend its name"
            )
        if kind in REFUSALS:
            return ConfigError(
                f"{self.name}: the brokers refuse this user, or what is to be done there ({kind}): "
                "check sasl, username, password_env and the user's rights"
            )
        if kind in UNTRUSTED:
            return ConfigError(
                f"{self.name}: TLS failed ({kind}): check tls, ca_path, certificate_path and "
                "key_path"
            )
        return TransientError(f"{self.name}: the brokers do not answer ({kind})")

    def _close(self) -> None:
        if self._consumer is not None:
            self._consumer.close()
        self._consumer = self._producer = self._next = None


def check_kafka(config: KafkaConfig) -> None:
    """Raise MissingError where confluent-kafka or a file of TLS's is not there."""
    try:
        import confluent_kafka  # noqa: F401
    except ImportError as error:
        raise MissingError(
            "labels from Kafka need confluent-kafka, which is not installed: "
            "`pip install 'andon[kafka]'`"
        ) from error
    check_tls_files(config)


def _settings(config: KafkaConfig, password: str | None) -> dict[str, Any]:
    """Return what reader and sender have in common, in the library's words."""
    security = ("sasl_" if config.sasl else "") + ("ssl" if config.tls else "plaintext")
    optional = {
        "sasl.mechanism": config.sasl,
        "sasl.username": config.username,
        "sasl.password": password,
        "ssl.ca.location": config.ca_path,
        "ssl.certificate.location": config.certificate_path,
        "ssl.key.location": config.key_path,
    }
    return {
        "bootstrap.servers": ",".join(config.brokers),
        "client.id": "andon",
        "security.protocol": security,
        "reconnect.backoff.max.ms": RECONNECT_MS,
        # It prints to the standard error what `_listen` hears.
        "log_level": 0,
        **{name: str(value) for name, value in optional.items() if value is not None},
    }
