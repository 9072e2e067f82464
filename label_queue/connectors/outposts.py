"""All connectors of a run: made of its config, started and stopped with its label queue."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Self, assert_never

import httpx

from label_queue.config import LabelsConfig
from label_queue.connector_config import (
    ArgillaConfig,
    ConnectorConfig,
    HttpSection,
    JsonlConfig,
    KafkaConfig,
    LabelStudioConfig,
    RedisConfig,
    StreamSection,
)
from label_queue.connectors.argilla import ArgillaConnector
from label_queue.connectors.ingest import OutsideLabels
from label_queue.connectors.jsonl_tail import JsonlConnector
from label_queue.connectors.kafka_topic import KafkaConnector, check_kafka
from label_queue.connectors.label_studio import LabelStudioConnector
from label_queue.connectors.port import Connector
from label_queue.connectors.redis_stream import RedisConnector, check_redis, open_redis
from label_queue.connectors.runner import ConnectorRunner
from label_queue.connectors.secrets import check_secrets, read_secret
from label_queue.connectors.tool_client import ToolClient
from label_queue.connectors.webhooks import SecretHeader, StandardWebhook
from label_queue.http_client import open_client
from label_queue.outside import ConnectorHealth, unknown_connector
from label_queue.queue import LabelQueue

OpenHttp = Callable[[HttpSection, dict[str, str]], httpx.AsyncClient]


def open_http(config: HttpSection, headers: dict[str, str]) -> httpx.AsyncClient:
    """Return a client of a tool's API that sends these headers with every request.

    Raises ConfigError where the environment's proxies are no good for it.
    """
    return open_client(httpx.AsyncClient, config.url, headers=headers, timeout=config.timeout_s)


def check_tools(configs: Sequence[ConnectorConfig]) -> None:
    """Raise UserError for the first tool that this machine is not fit for.

    ConfigError where the environment lacks or garbles a secret or a proxy, MissingError for a
    package or a file. For a check before anything starts, where the label queue runs on the same
    machine.
    """
    check_secrets(configs)
    for config in configs:
        if isinstance(config, HttpSection):
            open_http(config, {})  # opens no connection, and so leaves nothing to close
        elif isinstance(config, RedisConfig):
            check_redis(config)
        elif isinstance(config, KafkaConfig):
            check_kafka(config)


def make_connector(
    config: ConnectorConfig,
    *,
    run_id: str,
    clock: Callable[[], float],
    jitter: random.Random,
    open_http: OpenHttp = open_http,
) -> Connector:
    """Return the connector of a config.

    Raises ConfigError where an environment variable that it names is empty, MissingError where a
    package or file that it needs is not there.
    """
    if isinstance(config, JsonlConfig):
        return JsonlConnector(config, run_id=run_id)
    if isinstance(config, StreamSection):
        return _make_stream(config, run_id=run_id)
    token = read_secret(config.token_env, config.name)
    secret = None
    if config.hook_secret_env is not None:
        secret = read_secret(config.hook_secret_env, config.name)
    if isinstance(config, LabelStudioConfig):
        client = open_http(config, {"Authorization": f"Token {token}"})
        tool = ToolClient(config, client, sleep=asyncio.sleep, jitter=jitter)
        return LabelStudioConnector(config, tool, SecretHeader(secret), run_id=run_id)
    if isinstance(config, ArgillaConfig):
        client = open_http(config, {"X-Argilla-Api-Key": token})
        tool = ToolClient(config, client, sleep=asyncio.sleep, jitter=jitter)
        return ArgillaConnector(config, tool, StandardWebhook(secret, clock), run_id=run_id)
    assert_never(config)


def _make_stream(config: RedisConfig | KafkaConfig, *, run_id: str) -> Connector:
    """Return the connector of a message broker; raises as `make_connector`."""
    password = None
    if config.password_env is not None:
        password = read_secret(config.password_env, config.name)
    if isinstance(config, RedisConfig):
        return RedisConnector(config, open_redis(config, password), run_id=run_id)
    return KafkaConnector(config, password, run_id=run_id)


class Outposts:
    """The runners of all connectors."""

    def __init__(
        self,
        configs: Sequence[ConnectorConfig],
        labels: OutsideLabels,
        *,
        run_id: str,
        clock: Callable[[], float],
        jitter: random.Random,
        open_http: OpenHttp = open_http,
    ) -> None:
        """Make all connectors. Raises as `make_connector`; nothing is asked of any tool yet."""
        self.labels = labels
        self._runners: dict[str, ConnectorRunner] = {}
        for config in configs:
            connector = make_connector(
                config, run_id=run_id, clock=clock, jitter=jitter, open_http=open_http
            )
            self._runners[config.name] = ConnectorRunner(
                config,
                connector,
                labels,
                clock=clock,
                sleep=asyncio.sleep,
                wait=wait_for,
                jitter=jitter,
            )
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    def of(cls, queue: LabelQueue, config: LabelsConfig, *, run_id: str) -> Self:
        """Stand before a run's label queue, which shows from now on how it goes here.

        Raises ConfigError.
        """
        labels = OutsideLabels(
            queue.state,
            queue.commits,
            config.connectors,
            limits=config.intake,
            guideline_version=config.guideline_version,
            clock=queue.clock,
            new_id=queue.new_id,
        )
        outposts = cls(
            config.connectors,
            labels,
            run_id=run_id,
            clock=queue.clock,
            jitter=random.Random(run_id),
        )
        queue.state.outside = outposts
        return outposts

    def start(self) -> None:
        """Let all run, on the running event loop. Idempotent."""
        if not self._tasks:
            self._tasks = [asyncio.create_task(each.run()) for each in self._runners.values()]

    def runner(self, connector: str) -> ConnectorRunner:
        """Return the runner of a connector. Raises UnknownTask where there is none of that name."""
        runner = self._runners.get(connector)
        if runner is None:
            raise unknown_connector(connector)
        return runner

    async def knock(self, connector: str, headers: Mapping[str, str]) -> None:
        """Refuse a webhook whose headers alone show that it is none; errors as in `ring`."""
        self.runner(connector).connector.check_hook_headers(headers)

    async def ring(self, connector: str, headers: Mapping[str, str], body: bytes) -> bool:
        """Take a webhook: ask for a sweep, and return whether it was news.

        Raises UnknownTask for an unknown connector, Unauthenticated for a webhook without proof.
        """
        runner = self.runner(connector)
        is_news = runner.connector.check_hook(headers, body)
        if is_news:
            runner.ring()
        return is_news

    def health(self) -> tuple[ConnectorHealth, ...]:
        """Return how it stands with each tool."""
        return tuple(runner.health for runner in self._runners.values())

    def stats(self) -> dict[str, float]:
        """Return the metrics on the axis `labels/seq`; none without connectors."""
        if not self._runners:
            return {}
        health = self.health()
        totals = self.labels.totals.values()
        return {
            "labels/connectors_failing": float(sum(each.is_failing for each in health)),
            "labels/connector_failures": float(
                sum(each.num_failures for each in self._runners.values())
            ),
            "labels/connector_stale": float(sum(counts.stale for counts in totals)),
            "labels/connector_refused": float(sum(counts.refused for counts in totals)),
        }

    async def close(self) -> None:
        """Stop all and let go of their connections. What was ingested stays. Idempotent."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with suppress(asyncio.CancelledError):
                await task
        self._tasks = []
        for runner in self._runners.values():
            await runner.connector.close()


async def wait_for(event: asyncio.Event, seconds: float) -> None:
    """Return when the event is set or the seconds are over."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):  # Python 3.11's `wait_for` may forget a `cancel`
            await event.wait()
