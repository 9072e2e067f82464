"""The reward trainer's side of the label queue: which fit is due, and what it learns."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import replace

from label_queue.config import LabelsConfig
from label_queue.fitting.retraining import RetrainingPlan, make_request
from label_queue.folds.dataset import exclusions, exclusions_sha256
from label_queue.folds.shift import Shift, contaminated_from, find_shift
from label_queue.folds.view import LearnedLabels, LedgerView
from label_queue.ledger.group_commit import GroupCommit
from label_queue.schedule import LabelSchedule
from label_queue.state import LabelState
from protocol.labels import DatasetRules, FitKind, FitRequest, LabelChange, RewardVersion
from protocol.seq_ranges import as_ranges


class RewardFits:
    """One fit at a time: by the schedule, or at once when labels that weighed were taken back."""

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
    ) -> None:
        self._state = state
        self._commits = commits
        self._config = config
        self._seed = seed
        self._clock = clock
        self._learned = learned
        self._schedule = schedule
        self._plan = RetrainingPlan(schedule, config.warm)
        self._catch_up()
        self._lock = asyncio.Lock()
        self._pending: FitRequest | None = None
        self._pending_labels = 0
        self._shift = Shift()
        self._shift_of: object = None

    async def next_fit(self) -> FitRequest:
        """Return the fit that is due; see `PolicyLoopSide.next_fit`."""
        async with self._lock:
            while self._pending is None:
                self._state.refuse_if_closed()
                seen = self._state.change.count
                await self._look_for_shift()
                labels, now = self._state.history.num_preferences, self._clock()
                # Without any label left there is nothing to fit: people are asked for others.
                is_forced = self._shift.forces_refit and labels > 0
                kind = self._plan.due(labels, now, is_forced=is_forced)
                if kind is not None:
                    await self._begin(kind, labels)
                elif seen == self._state.change.count:
                    await self._state.change.wait(self._plan.next_check_s(labels, now))
            return self._pending

    async def _begin(self, kind: FitKind, labels: int) -> None:
        request = await self._request(kind)
        # Against a fixed reward nobody labels: the one fit there is gives it out as it is.
        if request.comparisons or self._schedule.total == 0:
            self._pending, self._pending_labels = request, labels
        else:
            # All that is new was left out by the cap on a labeler's weight.
            self._plan.fitted("warm", labels=labels, now=self._clock())

    async def _look_for_shift(self) -> None:
        """Find how the training set moved, anew only where somebody's standing changed."""
        now = (self._state.reward_version, self._state.standings_key())
        if now != self._shift_of:
            # In a thread, since with tens of thousands of labels it takes a while.
            view = self._state.view()
            self._shift = await asyncio.to_thread(find_shift, view, self._learned)
            self._shift_of = now

    async def _request(self, kind: FitKind) -> FitRequest:
        rules = DatasetRules()
        view, shift = self._state.view(), self._shift
        gold = self._state.history.standings.gold_answers()
        dataset = await asyncio.to_thread(view.dataset, view.last_seq, self._config.quality)
        known = await asyncio.to_thread(self._known, view) if kind == "warm" else frozenset()
        # In a thread too: the labelers' reliabilities take a second or so.
        request = await asyncio.to_thread(
            make_request,
            kind,
            dataset,
            seq=view.last_seq,
            learned=known,
            exclusions_sha256=exclusions_sha256(exclusions(view.events, rules)),
            replay=self._config.warm.replay,
            seed=self._seed,
            quality=self._config.quality,
            gold=gold,
        )
        request = replace(
            request,
            labels_used=_num_labels(view, request, known),
            is_sole=self._schedule.num_rounds is not None,
        )
        if not shift.forces_refit:
            return request
        first = await asyncio.to_thread(contaminated_from, view, self._learned, shift.left)
        return replace(request, is_forced=True, contaminated_from=first)

    def _known(self, view: LedgerView) -> frozenset[int]:
        """Return the sequence numbers of what the live reward has learned."""
        live = view.live_reward
        return frozenset() if live is None else self._learned.seqs_by_reward(view)[live.version]

    async def reward_served(self, version: RewardVersion) -> None:
        """Write down a reward version, which ends the pending fit."""
        if version.version in self._state.rewards:
            return
        pending, now = self._pending, self._clock()
        own_list = version.learned
        if own_list is None and pending is not None and pending.ledger_seq == version.ledger_seq:
            own_list = as_ranges(each.seq for each in pending.comparisons)
        # Its metrics are in the run's metrics, and may be no number, which JSON has no word for.
        noted = replace(version, metrics={}, learned=own_list, announced_at=now)
        await self._commits.write_patiently([noted])
        if pending is None or pending.ledger_seq != version.ledger_seq:
            view = self._state.view()
            dataset = await asyncio.to_thread(
                view.dataset, version.ledger_seq, self._config.quality
            )
            self._note(version, labels=len(dataset))
        else:
            self._note(version, labels=self._pending_labels)
        self._pending = None
        self._state.change.notify()

    def _catch_up(self) -> None:
        """Go on after the last refit and the live version, where there are any."""
        view = self._state.view()
        refits = [version for version in view.rewards if version.kind == "refit"]
        for version in {each.version: each for each in (*refits[-1:], *view.rewards[-1:])}.values():
            labels = len(view.dataset(version.ledger_seq, self._config.quality))
            self._note(version, labels=labels)

    def _note(self, version: RewardVersion, *, labels: int) -> None:
        self._plan.fitted(version.kind, labels=labels, now=self._clock())
        self._state.points_learned = self._plan.points_passed


def _num_labels(view: LedgerView, request: FitRequest, known: Collection[int]) -> int:
    """Return how many labels the live reward will have learned, one that was revised once."""
    seqs = {each.seq for each in request.comparisons}.union(known)
    return len({e.label_id for e in view.events if isinstance(e, LabelChange) and e.seq in seqs})
