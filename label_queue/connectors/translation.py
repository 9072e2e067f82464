"""From a query to an outside task, and from an outside answer to an assignment and its label."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from pydantic import ValidationError

from label_queue.connector_config import ConnectorSection
from label_queue.connectors.port import Annotation, OutsideTask, letter_of
from label_queue.folds.board import ON_TOP
from label_queue.labeling.submissions import (
    LabelSubmission,
    Span,
    as_event,
    check_submission,
)
from protocol.errors import InvalidLabel
from protocol.labels import (
    AnswerEvent,
    Assignment,
    ComparisonQuery,
    LabelChange,
    Mark,
    Retracted,
    Source,
)
from protocol.names import is_labeler_id


def outside_task(connector: str, query: ComparisonQuery) -> OutsideTask:
    """Return a query as a connector's tool may see it, in one order for all who label there.

    The order is drawn by digest, a pure function: the tool need not be trusted to remember it.
    """

    def draw(candidate_id: str) -> bytes:
        return hashlib.sha256(f"{connector}\n{query.query_id}\n{candidate_id}".encode()).digest()

    names = (candidate.candidate_id for candidate in query.candidates)
    return OutsideTask(query=query, order=tuple(sorted(names, key=draw)))


def labeler_of(connector: ConnectorSection, user: str) -> str:
    """Return whom a tool's user is: as configured, else e.g. "label_studio:7"."""
    return connector.labelers.get(user, f"{connector.name}:{user}")


def event_id_of(connector: str, annotation: Annotation) -> str:
    """Return the idempotency key of an outside answer."""
    digest = annotation.payload_sha256[:16]
    return f"{connector}/{annotation.external_id}@{annotation.updated_at}#{digest}"


def find_query(annotation: Annotation, query: ComparisonQuery | None) -> ComparisonQuery:
    """Return the query of an answer, or raise InvalidLabel where there is none to answer."""
    if query is None or query.purpose in ON_TOP:
        raise InvalidLabel(
            f"this run asked no query {annotation.query_id!r} there: delete the task", "query_id"
        )
    return query


def as_assignment(
    connector: ConnectorSection,
    user: str,
    query: ComparisonQuery,
    *,
    assignment_id: str,
    guideline_version: str,
) -> Assignment:
    """Return the record of who was shown a query outside, and in which order.

    It is no lease: the task was there from the query's beginning, for anybody. Raises InvalidLabel
    where the tool's user can be no labeler.
    """
    labeler_id = labeler_of(connector, user)
    if not is_labeler_id(labeler_id):
        raise InvalidLabel(
            f"{labeler_id!r} can be no labeler: give this user another id in the connector's "
            "labelers",
            "user",
        )
    return Assignment(
        assignment_id=assignment_id,
        query_id=query.query_id,
        labeler_id=labeler_id,
        shown_order=outside_task(connector.name, query).order,
        order_seed=0,
        created_at=query.created_at,
        lease_until=query.created_at,
        page_version=connector.name,
        guideline_version=guideline_version,
    )


def as_label_event(
    connector: str,
    annotation: Annotation,
    query: ComparisonQuery,
    assignment: Assignment,
    *,
    event_id: str,
    revision: int,
    at: float,
) -> AnswerEvent:
    """Return an outside answer as an event; the ledger gives it its `seq`.

    Raises InvalidLabel, naming the field, if it does not answer the query.
    """
    # The task's letters are those of this tool's order, also where the assignment was another's.
    order = outside_task(connector, query).order
    names = {letter_of(i): name for i, name in enumerate(order)}
    submission = _submission(annotation, assignment, names, query)
    check_submission(submission, query)
    event = as_event(submission, assignment, revision=revision, received_at=at, system=connector)
    return replace(
        event,
        event_id=event_id,
        source=Source(
            system=connector,
            external_id=annotation.external_id,
            updated_at=annotation.updated_at,
            payload_sha256=annotation.payload_sha256,
        ),
    )


def _submission(
    annotation: Annotation,
    assignment: Assignment,
    names: dict[str, str],
    query: ComparisonQuery,
) -> LabelSubmission:
    texts = {candidate.candidate_id: candidate.text for candidate in query.candidates}

    def named(letter: str, field: str) -> str:
        if letter not in names:
            raise InvalidLabel(
                f"{letter!r} is not a response of this task: want one of {', '.join(names)}", field
            )
        return names[letter]

    def span(i: int, letter: str, start: int, end: int, mark: Mark) -> Span:
        name = named(letter, f"spans.{i}")
        if annotation.answer.span_unit == "utf-16":
            start, end = (characters_of(texts[name], units) for units in (start, end))
        return Span(candidate_id=name, start=start, end=end, mark=mark)

    answer = annotation.answer
    try:
        return LabelSubmission(
            assignment_id=assignment.assignment_id,
            outcome=answer.outcome,
            choice=None if answer.choice is None else named(answer.choice, "choice"),
            ranking=None
            if answer.ranking is None
            else tuple(named(letter, f"ranking.{i}") for i, letter in enumerate(answer.ranking)),
            strength=answer.strength,
            spans=tuple(span(i, *marked) for i, marked in enumerate(answer.spans)) or None,
            comment=answer.comment or None,
            submitted_at=annotation.submitted_at,
            active_ms=annotation.active_ms,
        )
    except ValidationError as error:
        problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
        field = ".".join(map(str, problem["loc"]))
        raise InvalidLabel(f"{field}: {problem['msg']}", field) from error


def characters_of(text: str, units: int) -> int:
    """Return a count of a text's UTF-16 units as one of its characters.

    Within a character the count is as after it; what is beyond the text stays as far beyond.
    """
    if units <= 0:
        return units
    encoded = text.encode("utf-16-le")
    beyond = max(0, units - len(encoded) // 2)
    return len(encoded[: 2 * units].decode("utf-16-le", errors="replace")) + beyond


def as_retraction(latest: LabelChange, *, connector: str, at: float) -> Retracted:
    """Return the event that takes a label back; its source names the answer that was deleted."""
    revision = latest.revision + 1
    return Retracted(
        seq=0,
        event_id=f"{connector}/{latest.source.external_id}#deleted:{revision}",
        label_id=latest.label_id,
        revision=revision,
        assignment_id=latest.assignment_id,
        query_id=latest.query_id,
        labeler_id=latest.labeler_id,
        received_at=at,
        source=latest.source,
        reason=f"deleted in {connector}",
    )
