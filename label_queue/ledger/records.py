"""The ledger's records, and what the ledger promises.

1. What `write` returned is on disk. 2. Every event takes effect once. 3. The training set
(`dataset`) is deterministic, byte for byte. 4. Revisions of one label are ordered; across labelers
only `seq` is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple, Protocol, TypeVar, get_args

from pydantic import Field

from protocol.cord import CordEvent
from protocol.fits import RewardVersion
from protocol.labels import Assignment, ComparisonQuery, LabelEvent, PolicyProvenance

Role = Literal["labeler", "observer", "owner"]
"""Labelers label; an observer sees what an owner sees, and does nothing; an owner may label too."""
TokenKind = Literal["token", "link", "session", "identity"]
DIGEST_CHARS = 16
"""Hex digits of a line's SHA-256 that are kept: two lines are less often alike by chance than a
disk errs."""
Digests = Annotated[str, Field(pattern=r"^([0-9a-f]{16})*$")]
"""Digests of lines, one after the other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelerToken:
    """A right to label, or to oversee. The token itself is stored nowhere."""

    token_sha256: str
    labeler_id: str
    created_at: float
    expires_at: float | None
    """When the token stops being taken, Unix seconds; None: never."""
    role: Role = "labeler"
    kind: TokenKind = "token"
    """What it is: a bearer token; a link that opens one session and is then void; a browser's
    session; or that an outside provider's word opens sessions, of which no token exists."""
    made_by: str = ""
    """Who made it: an owner, or of a session whoever opened the link or signed in, who also makes
    the identity that a domain lets in; "" in ledgers that do not say."""
    signed_in_as: str = ""
    """By whose word a session was opened, as issuer and subject, "https://id.example.org 2487…";
    "" where none was asked."""
    opened_by: str = ""
    """The `token_sha256` of the link or identity that opened a session, which ends with it; "" in
    ledgers that do not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRevocation:
    """The end of a token before its time. A link that was used is revoked too."""

    token_sha256: str
    at: float
    reason: str
    actor: str = ""
    """Who ended it: an owner, or whoever used the link or left; "" in ledgers that do not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleChange:
    """Somebody has another role from here on, by whatever token, link or session they come."""

    change_id: str
    """A uuid7."""
    labeler_id: str
    role: Role
    actor: str
    """The owner who decided it."""
    reason: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorOffset:
    """How far an outside source was read; written in one transaction with its labels."""

    connector: str
    """Name of the connector, e.g. "label_studio"."""
    offset: str
    """How far the source was read: JSON of the connector's own; the newest counts."""
    at: float
    begun: Annotated[tuple[str, ...], Field(exclude_if=lambda parts: not parts)] = ()
    """Parts of the source that were read from their beginning again, with the first of `lines`."""
    lines: Annotated[
        tuple[tuple[str, Digests], ...], Field(exclude_if=lambda lines: not lines)
    ] = ()
    """What was read of a source that has an order, by part (a file's turn, a partition); () for
    other sources, and in ledgers of before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedAnswer:
    """What tells one refused answer of an outside tool from another."""

    connector: str
    """Name of the connector, e.g. "label_studio"."""
    external_id: str
    """The tool's id of the answer."""
    payload_sha256: str
    """SHA-256 of what was said, in hex: a changed answer is another. "" where one was taken back,
    of which nothing is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A refused body, kept so that the client that sent it can be mended."""

    received_at: float
    labeler_id: str
    field: str
    """The field at fault."""
    message: str
    payload: str
    """First characters of the refused body."""
    answer: Annotated[RefusedAnswer | None, Field(exclude_if=lambda answer: answer is None)] = None
    """Which outside answer it is a copy of; None of what came over HTTP, and in ledgers of
    before."""


Record = (
    ComparisonQuery
    | Assignment
    | LabelEvent
    | LabelerToken
    | TokenRevocation
    | RoleChange
    | CordEvent
    | RewardVersion
    | PolicyProvenance
    | ConnectorOffset
    | DeadLetter
)
R = TypeVar("R", bound=Record)
_UNIONS: dict[Any, Any] = {
    member: union for union in (LabelEvent, CordEvent) for member in get_args(union)
}


def stream_of(kind: Any) -> Any:
    """Return what names the stream that holds records of a type: that type, or its union.

    Events of all types are one stream, in one order.
    """
    return _UNIONS.get(kind, kind)


class Row(NamedTuple):
    """A record as it is written."""

    key: str
    """What names it, e.g. a query's id."""
    body: str
    """The record in JSON."""


class Ledger(Protocol):
    """Append-only, durable storage of the label side. Not thread-safe: one caller at a time."""

    def write(self, records: Sequence[Record]) -> list[Record]:
        """Append all records in one transaction, on disk at return. Blocks; idempotent.

        Returns, for each, what stands in the ledger under its key: a label event with the `seq`
        it was given, or, for a key used before, the record that came first. Raises DiskFull
        where there is no room, ResourceError when the disk or the server refuses. Then nothing was
        appended; where a connection was lost, `settle` says whether that is so.
        """
        ...

    def settle(self) -> list[Record]:
        """Return what stands of a `write` that was refused because the connection was lost.

        [] where nothing does, or nothing was refused so; each is told once. Blocks. Raises
        ResourceError while the server cannot be reached, IntegrityError where another process
        wrote meanwhile.
        """
        ...

    def queries(self) -> list[ComparisonQuery]:
        """Return all queries, as appended."""
        ...

    def assignments(self) -> list[Assignment]:
        """Return all assignments, as appended."""
        ...

    def events(self) -> list[LabelEvent]:
        """Return all label events by `seq`, which starts at 1."""
        ...

    def cord_events(self) -> list[CordEvent]:
        """Return all cord events, as appended."""
        ...

    def read(self, kind: type[R]) -> list[R]:
        """Return all records of one type, or of a stream that `stream_of` names, as appended."""
        ...

    def each(self, kind: type[R], after: int = 0, through: int | None = None) -> Iterator[R]:
        """Yield the same one by one, those after one place and up to another.

        Other things may be asked of the ledger meanwhile.
        """
        ...

    def rows(self, kind: Any, through: int) -> Iterator[Row]:
        """Yield a stream's records as they are written, up to a place.

        Places are numbers from 1, without a gap, in the order of appending; of label events they
        are their `seq`.
        """
        ...

    def find(self, kind: Any, keys: Collection[str]) -> dict[str, Any]:
        """Return a stream's records by the keys that name them; those that are not there lack."""
        ...

    def at(self, kind: Any, places: Sequence[int]) -> list[Any]:
        """Return a stream's records at some places, which rise and are there."""
        ...

    def beside(self) -> Ledger:
        """Return the same ledger once more, to read while this one is written to."""
        ...

    def newest(self, kind: Any) -> int:
        """Return the place of a stream's last record, whoever wrote it; 0 before the first."""
        ...

    def free_bytes(self) -> float:
        """Return how much room there is where the ledger lies."""
        ...

    @property
    def where(self) -> str:
        """Where that is, for people."""
        ...

    def close(self) -> None:
        """Let go of the storage. May be called twice."""
        ...
