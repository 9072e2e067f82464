"""A Redis stream of answers, one JSON object an entry, in the field `label`.

    XADD labels * label '{"labeler": "ann", "query_id": "0199…", "outcome": "tie"}'

What an entry says is in `jsonl_lines`; one that says nothing to us is refused alone.

The offset is the id of the last entry read. It is in the ledger alone, in the transaction of the
labels: no consumer group is used, for what a group acknowledges is another database's. Redis also
tells the newest id that the stream ever gave, and counts what was ever added. Where either is less
than it was, or what was read is gone though not so much was let go of, the stream is another and is
read from its beginning; where fewer entries were read to the end of the stream than were added, the
others were deleted unread, which is kept like an answer that cannot be read.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from label_queue.connector_config import RedisConfig
from label_queue.connectors.jsonl_lines import Line
from label_queue.connectors.one_way import OneWay, task_line
from label_queue.connectors.port import Annotation, Deletion, OutsideTask, Sweep, Unreadable
from label_queue.connectors.stream_messages import (
    WHOLE,
    check_tls_files,
    gap,
    read_message,
    refused,
)
from protocol.errors import ConfigError, InputError, MissingError, TransientError

if TYPE_CHECKING:
    from redis.asyncio import Redis

T = TypeVar("T")

LABEL = b"label"
TASK = "task"
NO_SUCH_KEY = "no such key"


class _Offset(Line):
    """How far a stream was read."""

    id: str
    """Id of the last entry read, e.g. "1795803924051-0"."""
    count: int | None = None
    """Entries that were ever added up to that one; None: not known, or Redis before version 7."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """What a reading of a stream brought."""

    newest: str
    """The newest id that the stream ever gave."""
    num_added: int | None
    """Entries that were ever added to it; None before Redis 7."""
    num_held: int
    """Entries that it holds."""
    oldest: str | None
    """Id of the first of them."""
    entries: Sequence[tuple[bytes, Mapping[bytes, bytes]]] = ()


START = _Offset(id="0-0")
"""Before the first entry of any stream."""


class RedisConnector(OneWay):
    """The `Connector` port over one Redis stream."""

    def __init__(self, config: RedisConfig, client: Redis, *, run_id: str) -> None:
        """Take over a client that gives bytes; see `open_redis`."""
        self._config = config
        self._client = client
        self._run_id = run_id

    @property
    def name(self) -> str:
        """Unique in the run."""
        return self._config.name

    async def sweep(self, offset: str | None) -> Sweep:
        """Read the entries after `offset`; see `Connector.sweep`."""
        last = START if offset is None else _Offset.model_validate_json(offset)
        read = await self._answered(lambda: self._read_after(last))
        if read is None:
            return Sweep(tasks=None)
        begun = frozenset[str]()
        if _is_another(read, last):
            last, begun = START, frozenset({WHOLE})
            read = await self._answered(lambda: self._read_after(last)) or read
        answers = [self._read_entry(name, fields) for name, fields in read.entries]
        count = None if last.count is None else last.count + len(read.entries)
        if len(read.entries) < self._config.batch_size and read.num_added is not None:
            if count is not None and count < read.num_added:
                answers.append(gap(self._place(last.id), read.num_added - count))
            count = read.num_added
        newest = read.entries[-1][0].decode() if read.entries else last.id
        return Sweep(
            answers=tuple(answers),
            begun=begun,
            offset=_Offset(id=newest, count=count).model_dump_json(),
            tasks=None,
            has_more=bool(read.entries),
        )

    async def _read_after(self, last: _Offset) -> _Read | None:
        """Return what there is after an entry, all of one moment; None where there is no stream."""
        async with self._client.pipeline(transaction=True) as pipeline:
            pipeline.xinfo_stream(self._config.stream)
            pipeline.xread({self._config.stream: last.id}, count=self._config.batch_size)
            info, read = await pipeline.execute(raise_on_error=False)
        if isinstance(read, Exception):
            raise read
        if isinstance(info, Exception):
            if NO_SUCH_KEY in str(info):
                return None
            raise info
        return _Read(
            newest=info["last-generated-id"].decode(),
            num_added=info.get("entries-added"),
            num_held=info["length"],
            oldest=info["first-entry"][0].decode() if info["first-entry"] else None,
            entries=[entry for _, entries in read for entry in entries],
        )

    def _read_entry(
        self, name: bytes, fields: Mapping[bytes, bytes]
    ) -> Annotation | Deletion | Unreadable:
        place = self._place(name.decode())
        unknown = sorted(fields.keys() - {LABEL})
        if unknown:
            field = unknown[0].decode(errors="replace")
            message = f"the entry at {place} has a field other than {LABEL.decode()!r}: remove it"
            return refused(repr(dict(fields)).encode(), field, message)
        return read_message(fields[LABEL], place)

    def _place(self, name: str) -> str:
        return f"{self._config.stream}@{name}"

    async def push(self, tasks: Sequence[OutsideTask]) -> None:
        """Add tasks to their stream, if there is one; see `Connector.push`."""
        if self._config.tasks_stream is not None:
            stream = self._config.tasks_stream
            await self._answered(lambda: self._add(stream, tasks))

    async def _add(self, stream: str, tasks: Sequence[OutsideTask]) -> None:
        async with self._client.pipeline(transaction=False) as pipeline:
            for task in tasks:
                line = json.dumps(task_line(task, run_id=self._run_id), ensure_ascii=False)
                pipeline.xadd(
                    stream, {TASK: line.encode()}, maxlen=self._config.max_tasks, approximate=True
                )
            await pipeline.execute()

    async def _answered(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Return what the server answers; errors as `Connector.sweep`, none with its words."""
        from redis import exceptions as kinds

        try:
            return await ask()
        except (
            kinds.AuthenticationError,
            kinds.AuthorizationError,
            kinds.AuthenticationWrongNumberOfArgsError,
            kinds.NoPermissionError,
        ) as error:
            raise ConfigError(
                f"{self.name}: the server refuses this user, or what is to be done there "
                f"({_kind(error)}): check username, password_env and the user's rights"
            ) from None
        except (
            kinds.ConnectionError,
            kinds.TimeoutError,
            kinds.ClusterDownError,
            kinds.OutOfMemoryError,
            kinds.ReadOnlyError,
            kinds.TryAgainError,
        ) as error:
            raise TransientError(
                f"{self.name}: the server does not answer ({_kind(error)})"
            ) from None
        except kinds.RedisError as error:
            raise InputError(
                f"{self.name}: the server refuses ({_kind(error)}): is it Redis 5 or newer, and "
                "are stream and tasks_stream keys of streams?"
            ) from None

    async def close(self) -> None:
        """Let go of connections. May be called twice."""
        await self._client.aclose()


def open_redis(config: RedisConfig, password: str | None) -> Redis:
    """Return a client of a server; no connection is made yet.

    Raises MissingError where redis-py or a file of TLS's is not there.
    """
    check_redis(config)
    from redis.asyncio import Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    parts = urlsplit(config.url)
    tls: dict[str, Any] = {}
    if config.has_tls:
        tls = {
            "ssl": True,
            "ssl_ca_certs": _text(config.ca_path),
            "ssl_certfile": _text(config.certificate_path),
            "ssl_keyfile": _text(config.key_path),
        }
    return Redis(
        host=parts.hostname or "",
        port=parts.port or 6379,
        db=int(parts.path.removeprefix("/") or 0),
        username=config.username,
        password=password,
        socket_timeout=config.timeout_s,
        socket_connect_timeout=config.timeout_s,
        protocol=2,
        # The runner tries again, with pauses of its own.
        retry=Retry(NoBackoff(), 0),
        **tls,
    )


def check_redis(config: RedisConfig) -> None:
    """Raise MissingError where redis-py is not installed, or a file of TLS's is not there."""
    try:
        import redis.asyncio  # noqa: F401
    except ImportError as error:
        raise MissingError(
            "labels from Redis need redis-py, which is not installed: `pip install 'andon[redis]'`"
        ) from error
    check_tls_files(config)


def _text(path: object) -> str | None:
    return None if path is None else str(path)


def _is_another(read: _Read, last: _Offset) -> bool:
    """Say whether a stream was deleted and made anew since an offset in it."""
    if _order(read.newest) < _order(last.id):
        return True
    if read.num_added is None or last.count is None:
        return False
    if read.num_added < last.count:
        return True
    # All that we read is gone, though fewer were let go of: it was never in this stream.
    is_gone = read.oldest is not None and _order(read.oldest) > _order(last.id)
    return is_gone and read.num_added - read.num_held < last.count


def _order(name: str) -> tuple[int, int]:
    """Return what orders entries by their ids."""
    milliseconds, _, number = name.partition("-")
    return int(milliseconds), int(number or 0)


def _kind(error: BaseException) -> str:
    """Return of what kind an error is: Redis's own code, or the name of what lies under it."""
    code = getattr(error, "status_code", None) or str(error).partition(" ")[0]
    if isinstance(code, str) and code.isascii() and code.isalpha() and code.isupper():
        return code
    under = error.__cause__ or error.__context__
    return type(error).__name__ if under is None else _kind(under)
