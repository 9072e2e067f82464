"""What an outside tool is to the label queue: answers to read, and a place for open queries."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, Self

from protocol.chat import in_one_text
from protocol.labels import ComparisonQuery, Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What somebody said of a task, responses named by its letters."""

    outcome: Outcome
    choice: str | None = None
    """Letter of the response preferred, e.g. "b"."""
    ranking: tuple[str, ...] | None = None
    """Letters of the responses, best first."""
    strength: int | None = None
    spans: tuple[tuple[str, int, int, Literal["good", "bad"]], ...] = ()
    """(letter, start, end, mark) in `span_unit`s."""
    span_unit: Literal["characters", "utf-16"] = "characters"
    """What the tool counts in: code points, or the units of a browser's own strings, of which an
    emoji has two."""
    comment: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """One outside answer, with the tool's own ids."""

    external_id: str
    """The tool's id of the answer; it stays the same when the answer is changed."""
    updated_at: str
    """When the answer was last changed, UTC as `moment` writes it, so that text order is time
    order; "" where the tool has none: then what comes later is newer."""
    payload_sha256: str
    """SHA-256 of what the tool said, in hex; tells a change that kept `updated_at`."""
    user: str
    """The tool's id of who answered."""
    query_id: str
    answer: Answer
    submitted_at: float | None = None
    """Unix seconds on the tool's clock."""
    active_ms: int | None = None
    part: str | None = None
    """Which part of a source that has an order it was read from; None: from one that has none. In a
    part the same may come twice, and the second is known from the first by that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """An answer that is there, and that says nothing the label queue can take."""

    external_id: str
    payload_sha256: str
    field: str
    message: str
    payload: str
    part: str | None = None
    """As an `Annotation`'s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletion:
    """An answer was taken back. Its id is all that a tool tells of it."""

    external_id: str
    payload_sha256: str = ""
    """SHA-256 of what said it, in hex; "" where it has no `part`."""
    part: str | None = None
    """As an `Annotation`'s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """What a reading of the tool brought."""

    answers: tuple[Annotation | Deletion | Unreadable, ...] = ()
    """Answers and deletions, in the order in which they came."""
    is_complete: bool = False
    """Whether this is all the tool holds: then what is missing was deleted."""
    whole: frozenset[str] = frozenset()
    """Query ids all of whose answers are here, where other queries were not read: then what is
    missing of theirs was deleted."""
    begun: frozenset[str] = frozenset()
    """Parts that were read before, and are read here from their beginning: what they said before
    has no effect again."""
    says_again: bool = False
    """Whether an answer that comes twice, word for word, was given twice; False: it was sent
    twice."""
    offset: str | None = None
    """How far the tool was read: JSON of the connector's own, kept in the ledger with the labels;
    None: as far as before."""
    tasks: Mapping[str, str] | None = field(default_factory=dict)
    """The tool's own task ids by query_id, of all tasks there; None: it does not tell, and has what
    it was given."""
    touched: frozenset[str] = frozenset()
    """Query ids of the tasks that somebody began to answer."""
    has_more: bool = False
    """Whether the next sweep will bring more at once."""

    @classmethod
    def of_whole_tool(
        cls,
        answers: Sequence[Annotation | Unreadable],
        odd: Sequence[Unreadable],
        *,
        tasks: Mapping[str, str],
        touched: Iterable[str],
    ) -> Self:
        """Return what a reading of all that a tool holds brought.

        Args:
            answers: To tasks of ours.
            odd: Rows that are no task at all.
            tasks: As the field.
            touched: As the field.
        """
        newest = max((a.updated_at for a in answers if isinstance(a, Annotation)), default="")
        return cls(
            answers=(*answers, *odd),
            # What an odd row holds is not known, so nothing is missing from the others.
            is_complete=not odd,
            offset=json.dumps({"answers": len(answers), "newest": newest}),
            tasks=dict(tasks),
            touched=frozenset(touched),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class OutsideTask:
    """A query as an outside tool may see it: neither model, version nor candidate ids."""

    query: ComparisonQuery
    order: tuple[str, ...]
    """[K] candidate ids as shown there: letter "a" is the first."""

    @property
    def prompt(self) -> str:
        """The prompt; a chat's turns with their roles."""
        return in_one_text(self.query.prompt_text, self.query.prompt_messages)

    @property
    def texts(self) -> dict[str, str]:
        """The responses by letter, "a" first."""
        text_of = {candidate.candidate_id: candidate.text for candidate in self.query.candidates}
        return {letter_of(i): text_of[name] for i, name in enumerate(self.order)}


def letter_of(index: int) -> str:
    """Return how a task names the candidate at a place: "a", "b" …; there are at most 26."""
    return chr(ord("a") + index)


class Connector(Protocol):
    """One outside tool. Methods are called one at a time."""

    @property
    def name(self) -> str:
        """Unique in the run."""
        ...

    async def sweep(self, offset: str | None) -> Sweep:
        """Read what is new since `offset`, or all there is. Idempotent.

        Raises TransientError or httpx.TransportError when the tool does not answer, UserError when
        it refuses or is not what the config says.
        """
        ...

    async def push(self, tasks: Sequence[OutsideTask]) -> None:
        """Make tasks of queries that the last sweep did not find there. Errors as in `sweep`."""
        ...

    async def withdraw(self, task_ids: Sequence[str]) -> None:
        """Delete tasks that nobody wants answered any more, but for those begun since the sweep.

        What would be deleted is read once more just before it. Idempotent; errors as in `sweep`.
        """
        ...

    def check_hook_headers(self, headers: Mapping[str, str]) -> None:
        """Raise Unauthenticated for a webhook whose headers alone show that it is none."""
        ...

    def check_hook(self, headers: Mapping[str, str], body: bytes) -> bool:
        """Return whether a webhook brings news; False for one that came before.

        Raises Unauthenticated unless it is proved to come from the tool.
        """
        ...

    async def close(self) -> None:
        """Let go of connections. May be called twice."""
        ...
