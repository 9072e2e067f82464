"""Where connectors read and write: no two of them at one place, and none ever under another name.

The letters of a task are in an order of the connector's own, drawn from its name, and so its
answers can be read by nobody else. Nothing is recorded when a task goes out, so that order cannot
change for a run that is under way. Labelers and events have the name in their ids, too.

It is checked before a run starts, and not as its config is read: that of one which is over is read
for its report, whatever stands in it.
"""

from __future__ import annotations

import os.path
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import assert_never
from urllib.parse import urlsplit

from label_queue.connector_config import (
    ArgillaConfig,
    ConnectorConfig,
    JsonlConfig,
    KafkaConfig,
    LabelStudioConfig,
    RedisConfig,
)
from protocol.errors import ConfigError

USUAL_PORTS = {"http": 80, "https": 443, "redis": 6379, "rediss": 6379}
WITHOUT_TLS = {"https": "http", "rediss": "redis"}
WHOLE = ("project_id", "dataset_id")
"""Settings of places that are read whole: what is missing there was deleted."""
ANSWERS_ALONE = ("path", "stream", "topic")
"""Settings of places to which nothing is written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A project, dataset, file, stream or topic of a connector's."""

    key: str
    """The setting that names it, e.g. "tasks_path"."""
    at: frozenset[tuple[str, ...]]
    """What it is known by; brokers of one cluster have several addresses."""
    shown: str
    """What it is, for people."""
    holds_tasks: bool
    """Whether tasks go there; False: answers alone come from there."""

    def is_the_same_as(self, other: Place) -> bool:
        """Say whether two are one, as far as their addresses tell."""
        return bool(self.at & other.at)


def places_of(config: ConnectorConfig) -> tuple[Place, ...]:
    """Return all places where a connector reads or writes."""
    urls, names = _reached(config)
    servers = [_server(url) for url in urls] or [()]
    where = f" at {', '.join(urls)}" if urls else ""
    return tuple(
        Place(
            key=key,
            at=frozenset((*server, name) for server in servers),
            shown=f"{name}{where}",
            holds_tasks=key not in ANSWERS_ALONE,
        )
        for key, name in names.items()
        if name
    )


def refuse_shared_places(connectors: Sequence[ConnectorConfig]) -> None:
    """Raise ConfigError if two connectors read or write at one place, naming both and the keys.

    One that finds the other's tasks there makes none of its own, and takes the answers to them by
    its own order of the letters; and what both read counts twice.
    """
    for one, other in combinations(connectors, 2):
        for ours in places_of(one):
            for theirs in filter(ours.is_the_same_as, places_of(other)):
                raise ConfigError(
                    f"labels.connectors: {ours.key} of {one.name!r} and {theirs.key} of "
                    f"{other.name!r} are both {theirs.shown}: one would take the other's letters "
                    "for its own, or the same answers twice; give each its own"
                )


def refuse_other_names(before: Sequence[ConnectorConfig], after: Sequence[ConnectorConfig]) -> None:
    """Raise ConfigError where a resumed run's connector is at a place that another one had.

    Under a new name all that the tool holds would be taken in once more, by other labelers and with
    another order of the letters. `before` are all that the run ever had.
    """
    for config in after:
        for place in places_of(config):
            at_it = (each for each in before if any(map(place.is_the_same_as, places_of(each))))
            had = list(dict.fromkeys(each.name for each in at_it))
            if had and config.name not in had:
                raise ConfigError(
                    f"labels.connectors: of a resumed run the connector whose {place.key} is "
                    f"{place.shown} must stay {had[0]!r}, not {config.name!r}: its labels, its "
                    "labelers and the letters of its tasks are known by its name; keep the old "
                    "name, or start another run"
                )
            if len(had) > 1 and place.holds_tasks:
                raise ConfigError(
                    f"labels.connectors: {place.key} of {config.name!r} cannot stay {place.shown}: "
                    f"tasks of {' and '.join(map(repr, had))} are there, whose letters nobody can "
                    "tell apart; give each its own, where open tasks are put anew"
                )


def refuse_other_projects(
    before: Sequence[ConnectorConfig], after: Sequence[ConnectorConfig]
) -> None:
    """Raise ConfigError where a resumed run's connector has its name and another tool or project.

    All that it had taken in is missing there, and would be taken back; and an answer there may have
    the id of another that is known.
    """
    had = {each.name: each for each in before}
    for config in after:
        was, now = (_identity(each) for each in (had.get(config.name, config), config))
        for key in was:
            if was[key] != now.get(key):
                raise ConfigError(
                    f"labels.connectors: {key} of {config.name!r} must stay {was[key]!r} in a "
                    f"resumed run, not {now.get(key)!r}: all its labels would be missing there, "
                    "and taken back; give what is new another name"
                )


def without_doubles(connectors: Iterable[ConnectorConfig]) -> tuple[ConnectorConfig, ...]:
    """Return connectors without those that have the name and places of one before them."""
    found: dict[tuple[object, ...], ConnectorConfig] = {}
    for config in connectors:
        found.setdefault((config.name, config.kind, places_of(config)), config)
    return tuple(found.values())


def _identity(config: ConnectorConfig) -> dict[str, str]:
    """Return the kind of tool, and the project where it is read whole."""
    _, names = _reached(config)
    return {"kind": config.kind, **{key: names[key] for key in WHOLE if key in names}}


def _reached(config: ConnectorConfig) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the servers that a connector asks, and what it names there; "" for what it does not.

    Of a file there is no server.
    """
    if isinstance(config, LabelStudioConfig):
        return (config.url,), {"project_id": str(config.project_id)}
    if isinstance(config, ArgillaConfig):
        return (config.url,), {"dataset_id": config.dataset_id.lower().replace("-", "")}
    if isinstance(config, JsonlConfig):
        tasks = "" if config.tasks_path is None else os.path.normpath(config.tasks_path)
        return (), {"path": os.path.normpath(config.path), "tasks_path": tasks}
    if isinstance(config, RedisConfig):
        return (config.url,), {"stream": config.stream, "tasks_stream": config.tasks_stream or ""}
    if isinstance(config, KafkaConfig):
        brokers = tuple(f"kafka://{each}" for each in config.brokers)
        return brokers, {"topic": config.topic, "tasks_topic": config.tasks_topic or ""}
    assert_never(config)


def _server(url: str) -> tuple[str, ...]:
    """Return what a server is known by: with or without TLS it is the same."""
    parts = urlsplit(url)
    kind = WITHOUT_TLS.get(parts.scheme, parts.scheme)
    port = "" if parts.port in (None, USUAL_PORTS.get(parts.scheme)) else str(parts.port)
    path = str(int(parts.path.removeprefix("/") or 0)) if kind == "redis" else parts.path
    return kind, parts.hostname or "", port, path
