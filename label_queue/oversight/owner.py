"""The owner's side of the label queue: seeing how labelling stands, and acting on it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from label_queue.config import LabelsConfig
from label_queue.folds.view import LearnedLabels
from label_queue.ledger.group_commit import GroupCommit
from label_queue.oversight.exclusion import Act, ExclusionPreview, OwnerEvents, is_news, preview
from label_queue.oversight.given_answers import (
    AgreementMatrix,
    AnswerPage,
    agreement_matrix,
    answer_page,
)
from label_queue.oversight.judgement import Evidence, assessments, disagreements, history
from label_queue.oversight.overview import Disagreement, Moment, Overview
from label_queue.oversight.overview_parts import holdings, progress
from label_queue.quality.assessment import Assessment
from label_queue.schedule import LabelSchedule
from label_queue.state import LabelState
from protocol.errors import LabelConflict, UnknownTask
from protocol.labels import OwnerEvent

BURST_S = 1.0
"""Shortest time between two overviews that are assembled anew, however much changes."""
MANY_REFUSALS = 20
"""Requests refused as too fast, from which on a labeler is flagged: no person sends so many."""
JUDGING_SHARE = 0.1
"""Share of one core's time that may go into judging labelers for the overview."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judgement:
    """What is said of all labels, for which they are looked at together."""

    labelers: tuple[Assessment, ...]
    disagreements: tuple[Disagreement, ...]
    history: tuple[Moment, ...]


class Oversight:
    """The owner's questions and decisions. Judging runs in a thread, beside the labels.

    One decision at a time: whose labels count when one is made is what it is written upon.
    """

    def __init__(
        self,
        state: LabelState,
        commits: GroupCommit,
        config: LabelsConfig,
        schedule: LabelSchedule,
        *,
        learned: LearnedLabels,
        run_id: str,
        clock: Callable[[], float],
        new_id: Callable[[], str],
        burst_s: float = BURST_S,
    ) -> None:
        self._state = state
        self._commits = commits
        self._config = config
        self._schedule = schedule
        self._learned = learned
        self._run_id = run_id
        self._clock = clock
        self._events = OwnerEvents(new_id=new_id, clock=clock)
        self._burst_s = burst_s
        self._assembling = asyncio.Lock()
        self._deciding = asyncio.Lock()
        self._newest: Overview | None = None
        self._seen_changes = -1
        self._assembled_at = -burst_s
        self._judged = _Judgement(labelers=(), disagreements=(), history=())
        self._judged_of: tuple[object, int] | None = None
        self._judge_again_at = 0.0

    async def overview(self) -> Overview:
        """Return all that the owner's page shows, as of now."""
        async with self._assembling:
            return await self._assemble()

    async def wait_for_overview(self, after: float, timeout_s: float) -> Overview:
        """Return an overview made later than `after`, once something has changed or time is up.

        However much changes, there is about one a second, whoever asks. Raises QueueClosed once the
        queue is closed.
        """
        deadline = time.monotonic() + timeout_s
        if not self._is_news(after):
            await self._state.change.wait(timeout_s)
        self._state.refuse_if_closed()
        rest = min(self._assembled_at + self._burst_s, deadline) - time.monotonic()
        if rest > 0 and self._is_stale:
            await asyncio.sleep(rest)
        self._state.refuse_if_closed()
        async with self._assembling:
            if self._newest is not None and self._newest.at > after and not self._is_stale:
                return self._newest
            return await self._assemble()

    @property
    def _is_stale(self) -> bool:
        return self._seen_changes != self._state.change.count

    def _is_news(self, after: float) -> bool:
        return self._is_stale or (self._newest is not None and self._newest.at > after)

    async def _assemble(self) -> Overview:
        self._seen_changes = self._state.change.count
        await self._judge()
        now = self._clock()
        self._newest = Overview(
            run_id=self._run_id,
            at=now,
            progress=await progress(self._state, self._schedule, now),
            history=self._judged.history,
            cord=self._state.cord,
            connectors=tuple(self._state.outside.health()),
            labelers=tuple(self._with_rate(row) for row in self._judged.labelers),
            disagreements=self._judged.disagreements,
            is_closed=self._state.is_closed,
            held=holdings(self._state, now),
            active=tuple(sorted(self._state.active_labelers(now))),
            activity=self._state.activity,
            trouble=self._state.trouble,
        )
        self._assembled_at = time.monotonic()
        return self._newest

    def _with_rate(self, row: Assessment) -> Assessment:
        """Flag who keeps asking faster than the intake allows."""
        if self._state.access.num_refused[row.labeler_id] < MANY_REFUSALS:
            return row
        return replace(row, flags=(*row.flags, "rate"))

    async def _judge(self) -> None:
        """Bring the labelers' rows up to date: at once where somebody's standing changed.

        More labels alone are judged at times only, since with very many it takes a while.
        """
        names = frozenset(self._state.access.known)
        standings = (names, self._state.reward_version, self._state.standings_key())
        now = (standings, self._state.history.last_seq)
        is_urgent = self._judged_of is None or self._judged_of[0] != standings
        started = time.monotonic()
        if now == self._judged_of or (started < self._judge_again_at and not is_urgent):
            return
        self._judged = await asyncio.to_thread(self._judge_all, Evidence.of(self._state, names))
        self._judged_of = now
        ended = time.monotonic()
        self._judge_again_at = ended + (ended - started) * (1 / JUDGING_SHARE - 1)

    def _judge_all(self, evidence: Evidence) -> _Judgement:
        return _Judgement(
            labelers=assessments(evidence, self._config.quality),
            disagreements=disagreements(evidence),
            history=history(evidence, self._schedule),
        )

    def answers_of(
        self, labeler_id: str, *, offset: int, limit: int, only_disputed: bool
    ) -> AnswerPage:
        """Return a stretch of somebody's answers; see `answer_page`.

        Raises UnknownTask for somebody never let in.
        """
        self._refuse_unknown(labeler_id)
        return answer_page(
            self._state, labeler_id, offset=offset, limit=limit, only_disputed=only_disputed
        )

    def agreement(self, *, offset: int, limit: int) -> AgreementMatrix:
        """Return a stretch of the matrix of agreement; see `agreement_matrix`."""
        return agreement_matrix(self._state, offset=offset, limit=limit)

    async def preview_exclusion(
        self, labeler_id: str, from_seq: int, act: Act = "exclude"
    ) -> ExclusionPreview:
        """Say what excluding somebody would change, reinstating them, or undoing either.

        Raises UnknownTask for somebody never let in.
        """
        self._refuse_unknown(labeler_id)
        standing = self._state.history.standings[labeler_id]
        return await self._preview(self._events.of(act, labeler_id, from_seq, standing))

    async def exclude(
        self, labeler_id: str, from_seq: int, reason: str, actor: str
    ) -> ExclusionPreview:
        """Leave somebody's labels out from `from_seq` on; return what it changes. Idempotent.

        Raises UnknownTask for somebody never let in.
        """
        self._refuse_unknown(labeler_id)
        async with self._deciding:
            event = self._events.exclude(labeler_id, from_seq, reason, actor)
            return await self._carry_out("exclude", event, from_seq)

    async def reinstate(self, labeler_id: str, reason: str, actor: str) -> ExclusionPreview:
        """Lift exclusion, suspension or question; return what it changes. Idempotent.

        Raises UnknownTask for somebody never let in.
        """
        self._refuse_unknown(labeler_id)
        async with self._deciding:
            event = self._events.reinstate(labeler_id, reason, actor)
            return await self._carry_out("reinstate", event)

    async def undo(self, labeler_id: str, act_id: str, reason: str, actor: str) -> ExclusionPreview:
        """Take the newest exclusion or reinstatement of somebody back; return what it changes.

        Idempotent. Raises UnknownTask for somebody never let in, and LabelConflict where another
        act came after it.
        """
        self._refuse_unknown(labeler_id)
        standings = self._state.history.standings
        async with self._deciding:
            is_newest = standings[labeler_id].undoable == act_id
            if not is_newest and not standings.was_undone(labeler_id, act_id):
                raise LabelConflict(
                    "another decision about them came after it: look at how they stand now",
                    "act_id",
                )
            event = self._events.undo(labeler_id, act_id, reason, actor)
            return await self._carry_out("undo", event)

    async def _carry_out(self, act: Act, event: OwnerEvent, from_seq: int = 0) -> ExclusionPreview:
        """Write an act that changes something; return what it changes."""
        changes, standings = await self._preview(event), self._state.history.standings
        if is_news(act, from_seq, standings[event.labeler_id]):
            await self._commits.write([event])
        return replace(changes, undoable=standings[event.labeler_id].undoable)

    def _refuse_unknown(self, labeler_id: str) -> None:
        has_answered = bool(self._state.history.submits_of(labeler_id))
        if not has_answered and not self._state.access.knows(labeler_id):
            raise UnknownTask(f"nobody called {labeler_id!r} was ever let in: see the list", "id")

    async def _preview(self, event: OwnerEvent) -> ExclusionPreview:
        # In a thread, since with a million labels it takes a while.
        view, history = self._state.view(), self._state.history
        standing, table = history.standings.after(event), history.table()
        return await asyncio.to_thread(preview, view, self._learned, event, standing, table)
