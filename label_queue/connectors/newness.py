"""Which of an outside answer and a label's newest event is the newer."""

from __future__ import annotations

from label_queue.connectors.port import Annotation
from protocol.labels import LabelChange, Retracted


def age(annotation: Annotation) -> tuple[str, str, str]:
    """Return what orders outside answers; beyond the time, only so that the order is total."""
    return annotation.updated_at, annotation.external_id, annotation.payload_sha256


def age_of(event: LabelChange) -> tuple[str, str, str]:
    """Return the same of the answer that an event came of."""
    source = event.source
    return source.updated_at, source.external_id, source.payload_sha256


def says(event: LabelChange, connector: str, annotation: Annotation) -> bool:
    """Say whether an answer, word for word, is what a label's newest event says."""
    is_ours = event.source.system == connector and not isinstance(event, Retracted)
    return is_ours and age_of(event) == age(annotation)


def stands_on(event: LabelChange, connector: str, external_id: str) -> bool:
    """Say whether an event came of the answer of that id."""
    return (event.source.system, event.source.external_id) == (connector, external_id)


def is_stale(connector: str, annotation: Annotation, latest: LabelChange) -> bool:
    """Say whether an answer came before what a label's newest event says; without times, never."""
    if latest.source.system != connector or not annotation.updated_at:
        return False
    if not isinstance(latest, Retracted):
        return age(annotation) < age_of(latest)
    is_deleted = latest.source.external_id == annotation.external_id
    return is_deleted and annotation.updated_at <= latest.source.updated_at
