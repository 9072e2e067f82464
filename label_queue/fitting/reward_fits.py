"""The reward trainer's side of the label queue: which fit is due, and what it learns."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

from label_queue.asking.schedule import LabelSchedule
from label_queue.config import LabelsConfig
from label_queue.fitting.retraining import RetrainingPlan, make_request
from label_queue.ledger.dataset import exclusions, exclusions_sha256
from label_queue.ledger.group_commit import GroupCommit
from label_queue.ledger.view import LearnedLabels, LedgerView
from label_queue.oversight.exclusion import Shift, contaminated_from, find_shift
from label_queue.state import LabelState
from protocol.labels import Comparison, DatasetRules, FitKind, FitRequest, RewardVersion


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
        self._plan = RetrainingPlan(schedule, config.warm)
        self._resume()
        self._lock = asyncio.Lock()
        self._pending: FitRequest | None = None
        self._pending_labels = 0
        self._shift = Shift()
        self._shift_of: object = None

    async def next_fit(self) -> FitRequest:
        """Return the fit that is due; see `LabelQueue.next_fit`."""
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
        if request.comparisons:
            self._pending, self._pending_labels = request, labels
        else:
            # All that is new was left out by the cap on a labeler's weight.
            seq = self._plan.learned_seq
            self._plan.learned("warm", labels=labels, seq=seq, now=self._clock())

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
        # In a thread too: the labelers' reliabilities take a second or so.
        request = await asyncio.to_thread(
            make_request,
            kind,
            dataset,
            seq=view.last_seq,
            learned_seq=self._plan.learned_seq,
            exclusions_sha256=exclusions_sha256(exclusions(view.events, rules)),
            replay=self._config.warm.replay,
            seed=self._seed,
            quality=self._config.quality,
            gold=gold,
            let_in=await asyncio.to_thread(self._let_in, view, dataset),
        )
        if not shift.forces_refit:
            return request
        first = await asyncio.to_thread(contaminated_from, view, self._learned, shift.left)
        return replace(request, is_forced=True, contaminated_from=first)

    def _let_in(self, view: LedgerView, dataset: Sequence[Comparison]) -> set[int]:
        """Return those older than the live version that it did not learn: they were held then."""
        live = view.live_reward
        if live is None:
            return set()
        known = self._learned.by_reward(view)[live.version]
        label_ids = {event.seq: event.label_id for event in view.events}
        return {
            each.seq
            for each in dataset
            if each.seq <= live.ledger_seq and label_ids[each.seq] not in known
        }

    async def learned(self, version: RewardVersion) -> None:
        """Write down a reward version and end the pending fit; see `LabelQueue.learned`."""
        if version.version in self._state.rewards:
            return
        # Its metrics are in the run's metrics, and may be no number, which JSON has no word for.
        await self._commits.write([replace(version, metrics={})])
        pending = self._pending
        if pending is None or pending.ledger_seq != version.ledger_seq:
            view = self._state.view()
            dataset = await asyncio.to_thread(
                view.dataset, version.ledger_seq, self._config.quality
            )
            self._note(version, labels=len(dataset))
        else:
            self._note(version, labels=self._pending_labels)
        self._pending = None
        figures = self._state.figures
        figures.first_learned_at = min(figures.first_learned_at, self._clock())
        self._state.change.notify()

    def _resume(self) -> None:
        """Go on after the last refit and the live version, where there are any."""
        view = self._state.view()
        refits = [version for version in view.rewards if version.kind == "refit"]
        for version in {each.version: each for each in (*refits[-1:], *view.rewards[-1:])}.values():
            labels = len(view.dataset(version.ledger_seq, self._config.quality))
            self._note(version, labels=labels)

    def _note(self, version: RewardVersion, *, labels: int) -> None:
        self._plan.learned(version.kind, labels=labels, seq=version.ledger_seq, now=self._clock())
