"""`[[labels.connectors]]`: which outside tools are read. Imports nothing heavier than pydantic.

Secrets are never in a config: it names the environment variables that hold them, and those are
read where the label queue runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from label_queue.ids import LabelerId
from protocol.host_names import is_host_name
from protocol.settings import Count, Seconds, Settings

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,23}$")]
VariableName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
AnyPath = Annotated[Path, AfterValidator(Path.absolute)]
"""Path of a file; absolute, since the actor that reads it may run in another folder."""


def _check_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not is_host_name(parts.hostname or ""):
        raise ValueError(f"want http://HOST or https://HOST, got {url!r}")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("take user, password, ? and # out of it: the token has its own setting")
    parts.port  # noqa: B018 -- raises ValueError for what is no port
    return url.rstrip("/")


Url = Annotated[str, AfterValidator(_check_url)]


def _check_redis_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("take user, password, ? and # out of it: they have their own settings")
    database = parts.path.removeprefix("/")
    is_number = database.isascii() and database.isdigit() and len(database) <= MAX_DATABASE_DIGITS
    if (
        parts.scheme not in ("redis", "rediss")
        or not is_host_name(parts.hostname or "")
        or not (not database or is_number)
    ):
        raise ValueError(f"want redis://HOST:PORT/DATABASE, or rediss:// for TLS, got {url!r}")
    parts.port  # noqa: B018 -- raises ValueError for what is no port
    return url.rstrip("/")


def _check_broker(address: str) -> str:
    parts = urlsplit(f"kafka://{address}")
    if parts.username or parts.password:
        raise ValueError("take user and password out of it: they have their own settings")
    is_place = is_host_name(parts.hostname or "") and parts.port
    if not is_place or parts.path or parts.query or parts.fragment:
        raise ValueError(f"want HOST:PORT, got {address!r}")
    return address


RedisUrl = Annotated[str, AfterValidator(_check_redis_url)]
Broker = Annotated[str, Field(pattern=r"^[^\s,]+$"), AfterValidator(_check_broker)]
Key = Annotated[str, Field(min_length=1, max_length=512)]
Topic = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,249}$")]
UserName = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]{1,256}$")]
MAX_DATABASE_DIGITS = 5


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

    @property
    def secret_variables(self) -> tuple[str, ...]:
        """The environment variables that must hold something."""
        return ()


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
    """Tasks or records that one request asks for, or sends."""
    timeout_s: Seconds = 30.0
    """How long the tool may take to answer."""
    withdraw: bool = True
    """Delete tasks whose query expired before anybody labelled them."""

    @property
    def secret_variables(self) -> tuple[str, ...]:
        """The environment variables that must hold something."""
        hook = self.hook_secret_env
        return (self.token_env,) if hook is None else (self.token_env, hook)


class LabelStudioConfig(HttpSection):
    """A Label Studio project; docs/connectors.md has its labeling configuration."""

    kind: Literal["label_studio"]
    """Which tool it is."""
    name: Name = "label_studio"
    project_id: Annotated[int, Field(ge=1, le=2**63 - 1)]
    """The project's number, as in the address of its page."""


class ArgillaConfig(HttpSection):
    """An Argilla 2 dataset; docs/connectors.md has its settings."""

    kind: Literal["argilla"]
    """Which tool it is."""
    name: Name = "argilla"
    dataset_id: Annotated[str, Field(pattern=r"^[0-9a-fA-F-]{36}$")]
    """The dataset's id, as in the address of its page."""


class JsonlConfig(ConnectorSection):
    """A file that another program appends answers to, one JSON object a line."""

    kind: Literal["jsonl"]
    """Which tool it is."""
    name: Name = "jsonl"
    path: AnyPath
    """File of the answers. It may come later, and be rotated or truncated."""
    tasks_path: AnyPath | None = None
    """Where open queries are appended, one a line; None: the program finds them elsewhere."""
    sweep_s: Seconds = 2.0

    @model_validator(mode="after")
    def _files_differ(self) -> Self:
        if self.path == self.tasks_path:
            raise ValueError("tasks_path: want another file than that of the answers")
        return self


class StreamSection(ConnectorSection):
    """A message broker: answers are read from one stream of it, one JSON object a message."""

    username: UserName | None = None
    """Who signs in at the broker; None: nobody, or by the password alone."""
    password_env: VariableName | None = None
    """The environment variable that holds the password; None: the broker asks for none."""
    ca_path: AnyPath | None = None
    """File of the certificates that TLS trusts, PEM; None: those that the machine trusts."""
    certificate_path: AnyPath | None = None
    """File of our own certificate, PEM, for a broker that asks for one; None: we show none."""
    key_path: AnyPath | None = None
    """File of that certificate's key, PEM, without a password."""
    batch_size: Annotated[int, Field(ge=1, le=10_000)] = 50
    """Messages read at once, at most. Nothing else is answered while these are judged."""
    timeout_s: Seconds = 10.0
    """How long the broker may take to answer."""
    sweep_s: Seconds = 1.0
    longest_backoff_s: Seconds = 60.0

    @property
    def has_tls(self) -> bool:
        """Whether the connection is encrypted, and the broker's certificate checked."""
        raise NotImplementedError

    @property
    def secret_variables(self) -> tuple[str, ...]:
        """The environment variables that must hold something."""
        return () if self.password_env is None else (self.password_env,)

    @property
    def tls_paths(self) -> dict[str, Path]:
        """The files that TLS needs, by setting."""
        names = ("ca_path", "certificate_path", "key_path")
        paths = {name: getattr(self, name) for name in names}
        return {name: path for name, path in paths.items() if path is not None}

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.username is not None and self.password_env is None:
            raise ValueError("username: set password_env, which names the password's variable, too")
        if (self.certificate_path is None) != (self.key_path is None):
            raise ValueError("certificate_path and key_path: set both, or neither")
        if self.tls_paths and not self.has_tls:
            raise ValueError(f"{next(iter(self.tls_paths))}: of no use without TLS")
        return self


class RedisConfig(StreamSection):
    """A Redis stream; docs/connectors.md says what its entries are."""

    kind: Literal["redis"]
    """Which tool it is."""
    name: Name = "redis"
    url: RedisUrl
    """Address of the server, e.g. "redis://127.0.0.1:6379/0"; rediss:// is with TLS."""
    stream: Key
    """Key of the answers' stream. It may come later."""
    tasks_stream: Key | None = None
    """Key of the stream that open queries are added to; None: the labelers find them elsewhere."""
    max_tasks: Count = 10_000
    """About how many tasks that stream keeps: older ones are let go."""

    @property
    def has_tls(self) -> bool:
        """Whether the connection is encrypted, and the server's certificate checked."""
        return self.url.startswith("rediss:")

    @model_validator(mode="after")
    def _streams_differ(self) -> Self:
        if self.stream == self.tasks_stream:
            raise ValueError("tasks_stream: want another stream than that of the answers")
        return self


class KafkaConfig(StreamSection):
    """A Kafka topic; docs/connectors.md says what its messages are."""

    kind: Literal["kafka"]
    """Which tool it is."""
    name: Name = "kafka"
    brokers: Annotated[tuple[Broker, ...], Field(min_length=1)]
    """Addresses of some of the brokers, e.g. ["127.0.0.1:9092"]: they name the others."""
    topic: Topic
    """Topic of the answers; all its partitions are read."""
    tasks_topic: Topic | None = None
    """Topic that open queries are sent to; None: the labelers find them elsewhere."""
    tls: bool = False
    """Whether to encrypt, and to check the brokers' certificates."""
    sasl: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    """How to sign in with username and password; None: no signing in."""
    group: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,249}$")] = "andon"
    """Group that brokers know the reader by. No offset is committed there: the ledger has it."""

    @property
    def has_tls(self) -> bool:
        """Whether the connection is encrypted, and the brokers' certificates checked."""
        return self.tls

    @model_validator(mode="after")
    def _signs_in_with_what_it_needs(self) -> Self:
        if self.topic == self.tasks_topic:
            raise ValueError("tasks_topic: want another topic than that of the answers")
        if (self.sasl is None) != (self.username is None):
            raise ValueError("sasl and username: set both, or neither")
        if self.sasl is None and self.password_env is not None:
            raise ValueError("password_env: of no use without sasl")
        return self


ConnectorConfig = Annotated[
    LabelStudioConfig | ArgillaConfig | JsonlConfig | RedisConfig | KafkaConfig,
    Field(discriminator="kind"),
]


def refuse_same_names(connectors: Sequence[ConnectorSection]) -> None:
    """Raise ValueError if two connectors have one name: their labels could not be told apart."""
    names = [connector.name for connector in connectors]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"connectors: two are named {name!r}; give one another name")
