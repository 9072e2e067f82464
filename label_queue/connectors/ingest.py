"""From outside answers to the ledger: each takes effect once, whatever the deliveries did.

A label of an outside tool is one labeler's answer to one query; its revisions are counted here.
What comes may be doubled, late, out of order or missing, so six rules decide:

0. A line of a file or a message of a stream that is read again has no effect: it is known by its
   digest and by how often that came (`label_queue.folds.read_lines`).
1. An answer is known by (connector, external id, updated_at, digest): again, it has no effect.
   Where it comes again because it was given again, as in a file, it has none while it stands.
2. An answer older than the one that stands, by the tool's own `updated_at`, is stale: it is counted
   and has no effect.
3. A deletion brings no more than an external id: the label that stands on that answer is retracted.
   What was deleted comes back only as something newer.
4. Of somebody suspended or excluded nothing that was taken is changed or taken back any more.
5. What was read whole, the tool or a query's task, is the truth: of a labeler's answers to one
   query the newest stands, and what is not there any more is retracted.

Assignments, label events and the connector's offset are one transaction: after a crash all of them
are there or none, so nothing is lost or doubled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field

from label_queue.config import IntakeConfig
from label_queue.connector_config import ConnectorSection
from label_queue.connectors.known_answers import KnownAnswers
from label_queue.connectors.lines_again import LinesAgain, SweptLines
from label_queue.connectors.newness import age, is_stale, says, stands_on
from label_queue.connectors.port import Annotation, Deletion, OutsideTask, Sweep, Unreadable
from label_queue.connectors.refusals import Refusals
from label_queue.connectors.translation import (
    as_assignment,
    as_label_event,
    as_retraction,
    event_id_of,
    find_query,
    labeler_of,
    outside_task,
)
from label_queue.labeling.submissions import change_refused
from label_queue.ledger.beginnings import Beginning, the_assignment, the_label
from label_queue.ledger.group_commit import GroupCommit, Overtaken
from label_queue.ledger.records import ConnectorOffset, Record, RefusedAnswer
from label_queue.state import LabelState
from protocol.errors import InvalidLabel, LabelError
from protocol.labels import Assignment, LabelChange, Retracted, Revised, Submitted


@dataclass(slots=True, kw_only=True)
class IngestCounts:
    """What became of the answers of a sweep, or of all so far."""

    new: int = 0
    revised: int = 0
    retracted: int = 0
    duplicate: int = 0
    stale: int = 0
    refused: int = 0

    def add(self, other: IngestCounts) -> None:
        """Add another's counts to these."""
        for name, count in other.as_dict().items():
            setattr(self, name, getattr(self, name) + count)

    def as_dict(self) -> dict[str, int]:
        """Return all counts by name."""
        return asdict(self)


@dataclass(slots=True)
class _Batch:
    """What one ingest is about to write, and the labels as they will then stand."""

    connector: ConnectorSection
    says_again: bool
    """As the sweep's."""
    lines: SweptLines
    counts: IngestCounts = field(default_factory=IngestCounts)
    records: list[Record] = field(default_factory=list)
    event_ids: set[str] = field(default_factory=set)
    latest: dict[str, LabelChange] = field(default_factory=dict)
    """Latest change of each label, by label_id."""
    assignments: dict[tuple[str, str], Assignment] = field(default_factory=dict)
    """Assignments by (labeler_id, query_id)."""
    label_of: dict[str, str] = field(default_factory=dict)
    """The label_id that an answer spoke for last, by external id."""
    refused: set[RefusedAnswer] = field(default_factory=set)
    """What is refused for the first time."""
    num_dead_letters: int = 0
    """How many of the records are copies of what was refused."""

    @property
    def name(self) -> str:
        return self.connector.name

    @property
    def begins(self) -> list[Beginning]:
        """What a page may be about to begin too, of the same person's."""
        labels = [the_label(each.label_id) for each in self.records if isinstance(each, Submitted)]
        return labels + [the_assignment(*key) for key in self.assignments]

    def add(self, event: LabelChange) -> None:
        self.records.append(event)
        self.event_ids.add(event.event_id)
        self.latest[event.label_id] = event
        self.label_of[event.source.external_id] = event.label_id


class OutsideLabels:
    """The outside answers of one run: a fold over its ledger, and what adds to it."""

    def __init__(
        self,
        state: LabelState,
        commits: GroupCommit,
        connectors: Iterable[ConnectorSection],
        *,
        limits: IntakeConfig,
        guideline_version: str,
        clock: Callable[[], float],
        new_id: Callable[[], str],
    ) -> None:
        """Stand before a ledger; `state` must hold all of it by the first call."""
        self._state = state
        self._commits = commits
        self._connectors = {connector.name: connector for connector in connectors}
        self._guideline_version = guideline_version
        self._clock = clock
        self._new_id = new_id
        self._turn = asyncio.Lock()
        self._known = KnownAnswers(state.history, self._connectors)
        self._lines = LinesAgain(state.lines_read)
        self._refusals = Refusals(state.dead_letters, limits, clock=clock)
        self.totals = {name: IngestCounts() for name in self._connectors}
        """Counts since the start, by connector."""

    def tasks(self, connector: str) -> list[OutsideTask]:
        """Return the open queries as that connector's tool may see them, oldest first."""
        queries = self._state.board.open_queries(self._clock())
        return [outside_task(connector, query) for query in queries]

    def offset(self, connector: str) -> str | None:
        """Return how far that connector was read; None if never."""
        return self._state.connector_offsets.get(connector)

    async def ingest(self, connector: str, sweep: Sweep) -> IngestCounts:
        """Write what a sweep brought, durable at return. Idempotent.

        Raises ResourceError when the disk refuses; then nothing was written, the offset neither.
        """
        async with self._turn:
            while True:
                batch = await self._batch_of(connector, sweep)
                try:
                    if batch.records:
                        still = self._still(batch)
                        await self._commits.write(batch.records, still, batch.begins)
                except Overtaken:
                    continue
                # Not before: of what could not be written a copy is kept another time.
                self._refusals.add(batch.refused)
                self.totals[connector].add(batch.counts)
                return batch.counts

    async def _batch_of(self, connector: str, sweep: Sweep) -> _Batch:
        """Return what a sweep comes to, by the ledger as it is."""
        await self._known.catch_up()
        lines = await self._lines.of(connector, sweep)
        batch = _Batch(self._connectors[connector], sweep.says_again, lines)
        if sweep.is_complete or sweep.whole:
            self._reconcile(sweep, batch)
        else:
            self._follow(sweep, batch)
        if sweep.offset is not None:
            offset = ConnectorOffset(
                connector=connector,
                offset=sweep.offset,
                at=self._clock(),
                begun=tuple(sorted(sweep.begun)),
                lines=batch.lines.digests,
            )
            if offset.begun or offset.lines or offset.offset != self.offset(connector):
                batch.records.append(offset)
        return batch

    def _still(self, batch: _Batch) -> Callable[[], bool] | None:
        """Return what says whether answers that a batch changes are as they were, and may change.

        None where it changes none that are in the ledger.
        """
        history = self._state.history
        changed = [each for each in map(history.latest, batch.latest) if each is not None]

        def still() -> bool:
            return all(
                history.latest(each.label_id) == each
                and history.standings[each.labeler_id].may_revise
                for each in changed
            )

        return still if changed else None

    def _follow(self, sweep: Sweep, batch: _Batch) -> None:
        """Take changes one after the other; rules 0 to 4."""
        for answer in sweep.answers:
            if not batch.lines.is_new(answer):
                batch.counts.duplicate += 1
            elif isinstance(answer, Deletion):
                self._delete(answer, batch)
            elif isinstance(answer, Unreadable):
                self._refuse(answer, batch)
            else:
                self._take(answer, batch)

    def _take(self, annotation: Annotation, batch: _Batch) -> None:
        event_id = event_id_of(batch.name, annotation)
        latest = self._latest(annotation, batch)
        is_known = self._is_known(event_id, batch)
        if is_known and (
            latest is None or not batch.says_again or says(latest, batch.name, annotation)
        ):
            batch.counts.duplicate += 1
        elif latest is not None and is_stale(batch.name, annotation, latest):
            batch.counts.stale += 1
        else:
            if is_known and latest is not None:
                event_id = _again(event_id, latest)
            self._append(annotation, latest, event_id, batch)

    def _delete(self, deletion: Deletion, batch: _Batch) -> None:
        known = self._known.label_of(batch.name, deletion.external_id)
        label_id = batch.label_of.get(deletion.external_id, known)
        latest = None if label_id is None else self._latest_of(label_id, batch)
        if latest is None or isinstance(latest, Retracted):
            batch.counts.duplicate += 1
        elif stands_on(latest, batch.name, deletion.external_id):
            self._retract(latest, batch)
        else:
            batch.counts.stale += 1

    def _reconcile(self, sweep: Sweep, batch: _Batch) -> None:
        """Bring all labels of a connector to what its tool says; rules 4 and 5."""
        present = {answer.external_id for answer in sweep.answers}
        newest: dict[tuple[str, str], Annotation] = {}
        for answer in sweep.answers:
            if isinstance(answer, Unreadable):
                self._refuse(answer, batch)
            elif isinstance(answer, Annotation):
                key = labeler_of(batch.connector, answer.user), answer.query_id
                newest[key] = max(newest.get(key, answer), answer, key=age)
        for annotation in newest.values():
            self._restore(annotation, present, batch)
        for label_id in self._labels_read(sweep, batch):
            latest = self._latest_of(label_id, batch)
            if latest is None or isinstance(latest, Retracted):
                continue
            if latest.source.system == batch.name and latest.source.external_id not in present:
                self._retract(latest, batch)

    def _labels_read(self, sweep: Sweep, batch: _Batch) -> set[str]:
        """Return the labels whose answers would be in a sweep if they were in the tool."""
        labels_of = self._known.labels_of(batch.name)
        queries = labels_of if sweep.is_complete else sweep.whole
        return {label_id for query_id in queries for label_id in labels_of.get(query_id, ())}

    def _restore(self, annotation: Annotation, present: set[str], batch: _Batch) -> None:
        """Let the newest of a labeler's answers to a query stand."""
        event_id = event_id_of(batch.name, annotation)
        latest = self._latest(annotation, batch)
        is_known = self._is_known(event_id, batch)
        if latest is None and is_known:
            # It counts as the label of whom its user was before the config was changed.
            batch.counts.duplicate += 1
            return
        if latest is not None and not isinstance(latest, Retracted):
            is_ours = latest.source.system == batch.name
            if says(latest, batch.name, annotation) or (not is_ours and is_known):
                batch.counts.duplicate += 1
                return
            # A tool may answer from a copy that lags behind: only what is gone makes way.
            if latest.source.external_id in present and is_stale(batch.name, annotation, latest):
                batch.counts.stale += 1
                return
        if is_known and latest is not None:
            event_id = _again(event_id, latest)
        self._append(annotation, latest, event_id, batch)

    def _append(
        self, annotation: Annotation, latest: LabelChange | None, event_id: str, batch: _Batch
    ) -> None:
        """Put an answer into the batch, with an assignment where that labeler has none."""
        at = self._clock()
        if latest is not None and self._stands(latest):
            self._refuse(_as_unreadable(annotation, change_refused()), batch)
            return
        try:
            known_query = self._state.board.queries.get(annotation.query_id)
            query = find_query(annotation, known_query)
            leased = self._leased(annotation, batch)
            assignment = leased or as_assignment(
                batch.connector,
                annotation.user,
                query,
                assignment_id=self._new_id(),
                guideline_version=self._guideline_version,
            )
            event = as_label_event(
                batch.name,
                annotation,
                query,
                assignment,
                event_id=event_id,
                revision=0 if latest is None else latest.revision + 1,
                at=at,
            )
        except InvalidLabel as error:
            self._refuse(_as_unreadable(annotation, error), batch)
            return
        if leased is None:
            batch.records.append(assignment)
            batch.assignments[assignment.labeler_id, assignment.query_id] = assignment
        batch.add(event)
        batch.counts.new += isinstance(event, Submitted)
        batch.counts.revised += isinstance(event, Revised)

    def _stands(self, latest: LabelChange) -> bool:
        """Say whether a label can no longer be changed by whoever gave it."""
        return not self._state.history.standings[latest.labeler_id].may_revise

    def _retract(self, latest: LabelChange, batch: _Batch) -> None:
        if self._stands(latest):
            source, error = latest.source, change_refused()
            taken_back = Unreadable(
                external_id=source.external_id,
                payload_sha256="",  # there is none: the answer is gone
                field=error.field or "",
                message=error.message,
                payload="",
            )
            self._refuse(taken_back, batch)
            return
        batch.add(as_retraction(latest, connector=batch.name, at=self._clock()))
        batch.counts.retracted += 1

    def _refuse(self, said: Unreadable, batch: _Batch) -> None:
        """Count an answer that cannot be taken, once, and keep a copy while there are few."""
        answer = RefusedAnswer(
            connector=batch.name,
            external_id=said.external_id,
            payload_sha256=said.payload_sha256,
        )
        if answer in batch.refused or self._refusals.has(answer):
            batch.counts.duplicate += 1
            return
        batch.counts.refused += 1
        batch.refused.add(answer)
        letter = self._refusals.copy_of(said, answer, batch.num_dead_letters)
        if letter is not None:
            batch.num_dead_letters += 1
            batch.records.append(letter)

    def _is_known(self, event_id: str, batch: _Batch) -> bool:
        return event_id in batch.event_ids or self._state.history.has(event_id)

    def _leased(self, annotation: Annotation, batch: _Batch) -> Assignment | None:
        """Return the assignment that an answer is to, or None where its labeler has none."""
        key = labeler_of(batch.connector, annotation.user), annotation.query_id
        name = self._state.board.assignment_of(*key)
        return batch.assignments.get(key) if name is None else self._state.board.assignments[name]

    def _latest(self, annotation: Annotation, batch: _Batch) -> LabelChange | None:
        key = labeler_of(batch.connector, annotation.user), annotation.query_id
        label_id = self._state.board.assignment_of(*key)
        if label_id is None and key in batch.assignments:
            label_id = batch.assignments[key].assignment_id
        return None if label_id is None else self._latest_of(label_id, batch)

    def _latest_of(self, label_id: str, batch: _Batch) -> LabelChange | None:
        return batch.latest.get(label_id) or self._known.latest(label_id)


def _again(event_id: str, latest: LabelChange) -> str:
    """Return the idempotency key of an answer that took effect before, and now does again."""
    return f"{event_id}:{latest.revision + 1}"


def _as_unreadable(annotation: Annotation, error: LabelError) -> Unreadable:
    return Unreadable(
        external_id=annotation.external_id,
        payload_sha256=annotation.payload_sha256,
        field=error.field or "",
        message=error.message,
        payload=repr(annotation),
    )
