"""Where people and outside tools come in, as a run says it when it begins to label."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cluster.config import RunConfig
from cluster.inert_text import shell_word
from label_queue.connector_config import HttpSection


def way_to_the_pages(config: RunConfig, url: str, path: Path) -> str:
    """Return where people go who label, or, where nobody does, who oversee the run.

    Args:
        config: The run's.
        url: Address at which people find the pages.
        path: The run's folder.
    """
    command = "andon label" if config.run.mode != "fixed" else "andon label --owner"
    whom = "label at" if config.run.mode != "fixed" else "oversee at"
    return f"{whom} {url}/ · {command} {shell_word(path)}"


def ways_in(config: RunConfig, url: str, links: Mapping[str, str]) -> list[str]:
    """Return where each goes: people by their links, and the webhooks of the outside tools.

    Args:
        config: The run's.
        url: Address at which people find the pages.
        links: Paths of one-time links, by name.
    """
    hooks = [
        f"webhooks of {each.name} go to {url}/hooks/{each.name}"
        for each in config.labels.connectors
        if isinstance(each, HttpSection) and each.hook_secret_env is not None
    ]
    people = [f"{name} labels at {url}{link} (the link works once)" for name, link in links.items()]
    return [*people, *hooks]


def scraped_at(url: str | None) -> list[str]:
    """Return where Prometheus finds the run's metrics.

    Args:
        url: Of Ray's export on this machine; None on a cluster, where each node has its own.
    """
    where = "each node's port of ray start --metrics-export-port" if url is None else url
    return [
        f"Prometheus scrapes {where}; a dashboard for Grafana is cluster/deploy/grafana/andon.json"
    ]
