"""`[[labels.connectors]]`: which outside tools are read. Imports nothing heavier than pydantic.

Secrets are never in a config: it names the environment variables that hold them, and those are
read where the label queue runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from label_queue.ids import LabelerId
from protocol.settings import Seconds, Settings

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,23}$")]
VariableName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


def _check_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"want http://HOST or https://HOST, got {url!r}")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("take user, password, ? and # out of it: the token has its own setting")
    return url.rstrip("/")


Url = Annotated[str, AfterValidator(_check_url)]


class ConnectorSection(Settings):
    """What all connectors share."""

    name: Name
    """Unique in the run: the first part of its labelers' ids, and of POST /hooks/NAME."""
    labelers: dict[str, LabelerId] = Field(default={})
    """Labeler ids by the tool's own user ids; by default user 7 is the labeler "NAME:7"."""
    sweep_s: Seconds = 60.0
    """Time between two sweeps; a webhook asks for one at once."""
    ring_s: Annotated[float, Field(ge=0, le=1e6)] = 2.0
    """The least time between two sweeps, however often the webhook rings."""
    longest_backoff_s: Seconds = 600.0
    """Longest time between two sweeps while the tool fails."""


class HttpSection(ConnectorSection):
    """A tool with an HTTP API."""

    url: Url
    """Address of the tool, e.g. "http://127.0.0.1:8080"."""
    token_env: VariableName
    """The environment variable that holds the API token."""
    hook_secret_env: VariableName | None = None
    """The environment variable that holds the webhook's secret; None: webhooks are refused, and
    sweeps alone bring the labels."""
    page_size: Annotated[int, Field(ge=1, le=500)] = 100
    timeout_s: Seconds = 30.0
    withdraw: bool = True
    """Delete tasks whose query expired before anybody labelled them."""


class LabelStudioConfig(HttpSection):
    """A Label Studio project; docs/connectors.md has its labeling configuration."""

    kind: Literal["label_studio"]
    name: Name = "label_studio"
    project_id: Annotated[int, Field(ge=1, le=2**63 - 1)]


class ArgillaConfig(HttpSection):
    """An Argilla 2 dataset; docs/connectors.md has its settings."""

    kind: Literal["argilla"]
    name: Name = "argilla"
    dataset_id: Annotated[str, Field(pattern=r"^[0-9a-fA-F-]{36}$")]


class JsonlConfig(ConnectorSection):
    """A file that another program appends answers to, one JSON object a line."""

    kind: Literal["jsonl"]
    name: Name = "jsonl"
    path: Path
    """File of the answers. It may come later, and be rotated or truncated."""
    tasks_path: Path | None = None
    """Where open queries are appended, one a line; None: the program finds them elsewhere."""
    sweep_s: Seconds = 2.0


ConnectorConfig = Annotated[
    LabelStudioConfig | ArgillaConfig | JsonlConfig, Field(discriminator="kind")
]


def refuse_same_names(connectors: Sequence[ConnectorSection]) -> None:
    """Raise ValueError if two connectors have one name: their labels could not be told apart."""
    names = [connector.name for connector in connectors]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"connectors: two are named {name!r}; give one another name")
