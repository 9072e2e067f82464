"""The reward trainer's side of the label queue: which fit is due, and what it learns."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from label_queue.config import LabelsConfig
from label_queue.fitting.retraining import RetrainingPlan, alike, choose
from label_queue.fitting.weighing import Weigher
from label_queue.folds.dataset import as_comparisons, exclusions_sha256
from label_queue.folds.label_table import LabelTable
from label_queue.folds.shift import Shift, contaminated_from, find_shift
from label_queue.folds.view import LearnedLabels, LedgerView, events_in
from label_queue.ledger.group_commit import GroupCommit
from label_queue.quality.given import Bools, GivenLabels, Ints
from label_queue.quality.reliability import rests_on
from label_queue.schedule import LabelSchedule
from label_queue.state import LabelState
from protocol.fits import FitKind, FitRequest, RewardVersion
from protocol.seq_ranges import as_ranges


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pending:
    """A fit that was ordered."""

    request: FitRequest
    num_labels: int
    """Labels there were."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Moment:
    """What a fit is made of: all of one moment, and taken without going through the labels."""

    view: LedgerView
    table: LabelTable
    gold: Mapping[str, tuple[int, int]]
    exclusions: Mapping[str, int]

    @classmethod
    def of(cls, state: LabelState) -> Self:
        """Take the present."""
        standings = state.history.standings
        return cls(
            view=state.view(),
            table=state.history.table(),
            gold=standings.gold_answers(),
            exclusions=standings.exclusions(),
        )

    @property
    def size(self) -> int:
        """S of the table: one more than the newest event's number."""
        return len(self.table.label)

    def training_set(self) -> tuple[GivenLabels, Ints]:
        """Return the labels that a refit would learn, and their revisions' numbers, which rise."""
        rows = np.flatnonzero(self.table.training_set())
        rows = rows[np.argsort(self.table.stands[rows])]
        return self.table.given(rows), self.table.stands[rows].astype(np.int64)


class RewardFits:
    """One refit at a time, by the schedule or since labels that weighed were taken back.

    And beside it one warm update at a time of the live version, whichever that is.
    """

    def __init__(
        self,
        state: LabelState,
        commits: GroupCommit,
        config: LabelsConfig,
        schedule: LabelSchedule,
        *,
        learned: LearnedLabels,
        seed: int,
        clock: Callable[[], float],
        weigher: Weigher,
    ) -> None:
        self._state = state
        self._weigher = weigher
        self._commits = commits
        self._config = config
        self._seed = seed
        self._clock = clock
        self._learned = learned
        self._schedule = schedule
        self._plan = RetrainingPlan(schedule, config.warm)
        self._fitted_through = 0
        """The newest event when the last fit was ordered; 0 before the first."""
        self._go_on_from_ledger()
        self._asking: dict[FitKind, asyncio.Lock] = {
            "refit": asyncio.Lock(),
            "warm": asyncio.Lock(),
        }
        self._pending: dict[FitKind, _Pending] = {}
        self._catching_up: _Pending | None = None
        """The update that a refit needs which is not noted: it may never be served."""
        self._shift = Shift()
        self._shift_of: object = None
        self._looking = asyncio.Lock()

    async def next_refit(self) -> FitRequest:
        """Return the refit that is due; see `PolicyLoopSide.next_refit`."""
        return await self._next("refit")

    async def next_update(self) -> FitRequest:
        """Return the warm update that is due; see `PolicyLoopSide.next_update`."""
        return await self._next("warm")

    async def _next(self, kind: FitKind) -> FitRequest:
        async with self._asking[kind]:
            while kind not in self._pending:
                self._state.refuse_if_closed()
                seen = self._state.change.count
                await self._look_for_shift()
                labels = self._state.history.num_preferences
                due_in_s = self._due_in_s(kind, labels)
                if due_in_s == 0.0:
                    await self._order(kind, labels)
                elif seen == self._state.change.count:
                    await self._state.change.wait(due_in_s)
            return self._pending[kind].request

    def _due_in_s(self, kind: FitKind, labels: int) -> float | None:
        """Return the seconds after which a fit is due if nothing else happens; None: never."""
        # Without any label left there is nothing to fit: people are asked for others.
        is_forced = self._shift.forces_refit and labels > 0
        if kind == "warm":
            # Where there are no updates events add up, and to count them would take ever longer.
            is_asked = self._plan.updates_warmly
            new = self._state.history.num_joined(self._fitted_through) if is_asked else 0
            return self._plan.update_due_in_s(new, self._clock(), is_forced=is_forced)
        return 0.0 if self._plan.is_refit_due(labels, is_forced=is_forced) else None

    async def _order(self, kind: FitKind, labels: int) -> None:
        moment = _Moment.of(self._state)
        if kind == "refit":
            request = await self._refit(moment)
        else:
            live = moment.view.live_reward
            assert live is not None, "an update is due once there is something to update"
            known = await asyncio.to_thread(
                self._learned.learned_events, moment.view, live.version, moment.size
            )
            request = await self._update(moment, live.version, known)
            if self._state.reward_version != live.version:
                return  # it is another model that is live by now
        # Against a fixed reward nobody labels: the one fit there is gives it out as it is.
        if request.comparisons or self._schedule.total == 0:
            self._pending[kind] = _Pending(request=request, num_labels=labels)
        else:
            # All that is new was left out by the cap on a labeler's weight.
            self._plan.fitted("warm", labels=labels, now=self._clock())
            self._fitted_through = moment.view.last_seq

    async def catch_up(self, refit: RewardVersion) -> FitRequest | None:
        """Return the update that a refit needs; see `PolicyLoopSide.catch_up`."""
        ordered = self._catching_up
        if ordered is not None and ordered.request.goes_on_from == refit.version:
            return ordered.request
        await self._look_for_shift()
        if not self._plan.updates_warmly or self._shift.forces_refit:
            return None
        moment, labels = _Moment.of(self._state), self._state.history.num_preferences
        own = np.array(refit.learned or (), dtype=np.int64).reshape(-1, 2)
        request = await self._update(moment, refit.version, events_in(own, moment.size))
        if not request.comparisons:
            return None
        self._catching_up = _Pending(request=request, num_labels=labels)
        return request

    async def _look_for_shift(self) -> None:
        """Find how the training set moved, anew only where somebody's standing changed."""
        async with self._looking:
            now = (self._state.reward_version, self._state.standings_key())
            if now != self._shift_of:
                # In a thread, since with tens of thousands of labels it takes a while.
                view, table = self._state.view(), self._state.history.table()
                self._shift = await asyncio.to_thread(find_shift, view, self._learned, table)
                self._shift_of = now

    async def _refit(self, moment: _Moment) -> FitRequest:
        shift, view = self._shift, moment.view
        request = await self._request("refit", moment, np.zeros(moment.size, dtype=np.bool_))
        request = replace(request, is_sole=self._schedule.num_rounds is not None)
        if not shift.forces_refit:
            return request
        first = await asyncio.to_thread(contaminated_from, view, self._learned, shift.left)
        return replace(request, is_forced=True, contaminated_from=first)

    async def _update(self, moment: _Moment, version: int, known: Bools) -> FitRequest:
        """Return what a reward version lacks that has learned the events `known`, [S]."""
        return replace(await self._request("warm", moment, known), goes_on_from=version)

    async def _request(self, kind: FitKind, moment: _Moment, known: Bools) -> FitRequest:
        """Return the order for a fit; all that goes through the labels is done in a thread.

        Only the labels that are learned are read, and those by which labelers are judged.
        """
        view, table, quality = moment.view, moment.table, self._config.quality
        labels, seqs = await asyncio.to_thread(moment.training_set)
        weights: Mapping[str, float] = alike(labels)
        if quality.weigh_reliability:
            asked = await asyncio.to_thread(rests_on, labels)
            said = await self._weigher.weigh(view, seqs[asked].tolist(), moment.gold)
            weights, self._state.doubts.newest = said.reliability, said.newest

        def filled() -> FitRequest:
            places = choose(
                kind,
                labels,
                weights,
                seq=view.last_seq,
                is_learned=known[seqs],
                replay=self._config.warm.replay,
                seed=self._seed,
                quality=quality,
            )
            chosen = seqs[places]
            learned = known.copy()
            learned[chosen] = True
            return FitRequest(
                kind=kind,
                ledger_seq=view.last_seq,
                comparisons=as_comparisons(view.queries, view.read_answers(chosen.tolist())),
                labeler_weights=tuple(weights.items()),
                exclusions_sha256=exclusions_sha256(moment.exclusions),
                # One that was revised counts once.
                labels_used=int(table.labels_of(learned).sum()),
            )

        return await asyncio.to_thread(filled)

    async def reward_served(self, version: RewardVersion) -> None:
        """Write down a reward version, which ends the fit that made it."""
        if version.version not in self._state.rewards:
            await self._note(version)

    async def _note(self, version: RewardVersion) -> None:
        """Write down a version that was not known."""
        pending, now = self._pending.get(version.kind), self._clock()
        is_ours = pending is not None and pending.request.ledger_seq == version.ledger_seq
        own_list = version.learned
        if own_list is None and pending is not None and is_ours:
            own_list = as_ranges(each.seq for each in pending.request.comparisons)
        # Its metrics are in the run's metrics, and may be no number, which JSON has no word for.
        noted = replace(version, metrics={}, learned=own_list, announced_at=now)
        await self._commits.write_patiently([noted])
        if pending is not None and is_ours:
            labels = pending.num_labels
        else:
            labels = self._state.history.num_training(version.ledger_seq)
        self._fitted(version, labels=labels)
        self._pending.pop(version.kind, None)
        self._pending.pop("warm", None)  # of a model that is live no more
        ordered, self._catching_up = self._catching_up, None
        if ordered is not None and ordered.request.goes_on_from == version.version:
            self._pending["warm"] = ordered
        self._state.change.notify()

    def _go_on_from_ledger(self) -> None:
        """Go on after the last refit and the live version, where there are any."""
        rewards = list(self._state.rewards.values())
        refits = [version for version in rewards if version.kind == "refit"]
        for version in {each.version: each for each in (*refits[-1:], *rewards[-1:])}.values():
            self._fitted(version, labels=self._state.history.num_training(version.ledger_seq))

    def _fitted(self, version: RewardVersion, *, labels: int) -> None:
        self._plan.fitted(version.kind, labels=labels, now=self._clock())
        self._fitted_through = version.ledger_seq
        self._state.points_learned = self._plan.points_passed
