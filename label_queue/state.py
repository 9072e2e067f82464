"""The present of a run's label side: a fold over the ledger."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from label_queue.config import LabelsConfig
from label_queue.figures.label_figures import RECENT, LabelFigures
from label_queue.folds.access import Access
from label_queue.folds.board import QueryBoard
from label_queue.folds.cord import RELEASED, after
from label_queue.folds.dead_letters import DeadLetters
from label_queue.folds.doubts import Doubts
from label_queue.folds.gold_book import GoldBook
from label_queue.folds.history import LabelHistory
from label_queue.folds.leases import LeaseTerms
from label_queue.folds.read_lines import ReadLines
from label_queue.folds.tallies import Tallies
from label_queue.folds.view import LearnedLabels, LedgerView
from label_queue.ledger.in_turn import TakenIn, in_turn
from label_queue.ledger.lookup import Lookup
from label_queue.ledger.records import (
    ConnectorOffset,
    DeadLetter,
    LabelerToken,
    Ledger,
    Record,
    RoleChange,
    TokenRevocation,
    stream_of,
)
from label_queue.outside import NoTools, OutsideTools
from label_queue.quality.speed import time_taken_s
from label_queue.schedule import LabelSchedule
from label_queue.signals import Change, Line
from protocol.cord import CordEvent
from protocol.errors import QueueClosed
from protocol.fits import RewardVersion
from protocol.labels import (
    Appointed,
    Assignment,
    ComparisonQuery,
    GoldEvent,
    LabelChange,
    LabelEvent,
    PolicyProvenance,
    Submitted,
)

SETTLED_EVERY = 5_000
"""Records after which those taken in are said to have come to stay."""
ACTIVE_S = 300.0
"""How long after a label a labeler counts as active."""


class LabelState:
    """Everything the ledger says, ready to be asked; the same after a restart.

    Only renewals of leases, which of them were let go, what the last fit said of the newest
    answers, and the moving figures are lost in a crash.
    """

    def __init__(
        self,
        config: LabelsConfig,
        schedule: LabelSchedule,
        clock: Callable[[], float],
        *,
        settle: Callable[[], None] = lambda: None,
        lookup: Lookup | None = None,
    ) -> None:
        """Begin with an empty ledger.

        `settle` is called each time many records came to stay; `lookup` finds those that are not in
        memory; None: all are.
        """
        self._settle = settle
        self._is_live = False
        self._num_applied = 0
        self.board = board = QueryBoard(
            initial=schedule.initial,
            interval=schedule.interval,
            expiry_nats=config.query_expiry_nats,
            moved_since=self.moved_since,
            find=None if lookup is None else partial(lookup.find, ComparisonQuery),
            find_assignments=None if lookup is None else partial(lookup.find, Assignment),
        )
        read = None if lookup is None else partial(lookup.at, LabelEvent)
        self.history = LabelHistory(self.board.queries, config.quality, read)
        self.terms = LeaseTerms(config.lease)
        self.access = Access(
            per_s=config.intake.requests_per_s,
            burst=config.intake.request_burst,
            session_ttl_s=config.intake.session_ttl_s,
            clock=clock,
        )
        self.tallies = Tallies(board.queries, board.assignments, self.history, config.quality)
        self.doubts = Doubts(self.history.standings, self.tallies, config)
        """Who is in doubt, and asked more gold."""
        self.gold = GoldBook(self.board.queries, self.history.standings.gold)
        self.learned = LearnedLabels(config.quality)
        """Which labels each reward version learned."""
        self.cord = RELEASED
        self._cord_events: set[str] = set()
        self._total = schedule.total
        self.rewards: dict[int, RewardVersion] = {}
        """Reward versions that were served, by version, rising; the newest with its weights, others
        only where the ledger does not say what they learned."""
        self.policies: dict[int, PolicyProvenance] = {}
        """Policy versions that the label queue was told of, by version, rising."""
        self.figures = LabelFigures(
            self.board, self.history, self.policies, self._present, self.learned, config.quality
        )
        self.policy_version = 0
        """The newest of them; 0 is ρ."""
        self.reward_version = 0
        """The newest that was served; 0 before the first."""
        self.connector_offsets: dict[str, str] = {}
        """How far each outside source was read."""
        self.lines_read: defaultdict[str, ReadLines] = defaultdict(ReadLines)
        """What was read of those that have an order."""
        self.outside: OutsideTools = NoTools()
        """What reads the outside tools, once it is there."""
        self.waiting: Counter[str] = Counter()
        """Calls for a task that are under way, by labeler."""
        self.dead_letters = DeadLetters()
        self.episodes = 0
        """Episodes trained so far, the run's clock: n of l(n)."""
        self.points_learned = 0
        """How many of the schedule's refit points the last refit has passed, as it was told."""
        self.activity = ""
        """What the run said that it is doing now."""
        self.trouble = ""
        """What people must do for the run to go on; "" where it does."""
        self.change = Change()
        self.line = Line(lambda name: not self.board.num_leased(name, clock()))
        """Labelers who wait for a task."""
        self.is_closed = False
        self._growing = asyncio.Lock()
        # By `stream_of` the records.
        self._take: dict[Any, Callable[[Any], None]] = {
            LabelerToken: self.access.add,
            TokenRevocation: self.access.revoke,
            RoleChange: self.access.change_role,
            ComparisonQuery: self._take_query,
            Assignment: self.board.add_assignment,
            LabelEvent: self._take_event,
            CordEvent: self._take_cord_event,
            RewardVersion: self._take_reward,
            PolicyProvenance: self._take_policy,
            ConnectorOffset: self._take_offset,
            DeadLetter: self.dead_letters.take,
        }

    def load(
        self,
        ledger: Ledger,
        after: Mapping[Any, int] | None = None,
        through: Mapping[Any, int] | None = None,
    ) -> None:
        """Take in all that a ledger holds, or what it holds after some places, up to some.

        Args:
            ledger: Asked nothing else until this returns.
            after: By stream, the place of the last record that was taken in; see `folds`.
            through: By stream, the place of the last to take in; of others all are.
        """
        after, through = after or {}, through or {}
        taken_in = TakenIn(
            queries=self.board.queries,
            assignments=self.board.assignments,
            knows=self.history.standings.knows,
            num_labels=lambda: self.history.num_submitted,
        )
        each = {k: ledger.each(k, after.get(k, 0), through.get(k)) for k in self._take}
        for kind, records in each.items():
            if kind is ComparisonQuery:
                labelling = each[ComparisonQuery], each[Assignment], each[LabelEvent]
                for some in in_turn(*labelling, taken_in):
                    # A change may be of a query of long ago, which would be read by itself.
                    self.board.queries.hold(e.query_id for e in some if isinstance(e, LabelChange))
                    for record in some:
                        self.apply(record)
            for record in records:
                self.apply(record)
        # The figures look back on these; one by one they would be read on the event loop.
        self.history.events.hold_newest()
        recent = self.history.newest_submits(RECENT)
        self.board.queries.hold(each.query_id for each in recent)
        self.board.assignments.hold(each.assignment_id for each in recent)
        self._settle()

    def go_live(self) -> None:
        """Take in records as they are made from here on, and free what nobody is to answer.

        Those who are given no tasks hold none. It is no part of the folds: whether a task was given
        before or after its labeler was excluded, the ledger's streams do not say.
        """
        self._is_live = True
        for name in {*self.access.names, *dict(self.history.standings.items())}:
            self.let_go(name)

    def folds(self) -> dict[str, object]:
        """Return, by name, the folds over queries, assignments and label events.

        What they hold of those three streams is all that there is of them here, beside the records
        themselves. The other streams are short.
        """
        return {
            "board": self.board,
            "history": self.history,
            "terms": self.terms,
            "tallies": self.tallies,
            "gold": self.gold,
            **self.figures.folds(),
        }

    def apply(self, record: Record) -> None:
        """Take in a record that is on disk. One taken in before changes nothing."""
        self._take[stream_of(type(record))](record)
        self._num_applied += 1
        if self._num_applied % SETTLED_EVERY == 0:
            self._settle()

    def with_empty_hands(self, now: float) -> set[str]:
        """Return the labelers who wait for a task and have none; no judges."""
        return {
            name
            for name, count in self.waiting.items()
            if count > 0
            and name not in self.judges
            and self.history.standings[name].gets_tasks
            and not self.board.num_leased(name, now)
        }

    def active_labelers(self, now: float) -> set[str]:
        """Return the labelers who hold a task, wait for one, or gave a label lately; no judges."""
        recent = self.history.labelers_since(now - ACTIVE_S, now)
        return (self.board.holders(now) | self.with_empty_hands(now) | recent) - self.judges

    @property
    def judges(self) -> set[str]:
        """Who judges, and never labels to train. Not to be changed."""
        return self.board.judged.judges

    def moved_since(self, version: int) -> float:
        """Return how far the policy has moved on since a version, nats a response.

        It is the difference of their `PolicyVersion.moved_kl`; 0 where one of them says nothing, as
        in older ledgers, or is not known yet.
        """
        then, now = self.policies.get(version), self.policies.get(self.policy_version)
        if then is None or now is None or then.moved_kl is None or now.moved_kl is None:
            return 0.0
        return now.moved_kl - then.moved_kl

    @property
    def num_labelers(self) -> int:
        """How many may label to train now."""
        standings = self.history.standings
        return sum(standings[name].gets_tasks for name in self.access.labelers - self.judges)

    def stats(self, now: float, scheduled: int) -> dict[str, float]:
        """Return the metrics of labels and labelers that are defined by now."""
        row = self.figures.stats(now=now, scheduled=scheduled)
        active, doubted = self.active_labelers(now), self.doubts.doubted()
        return row | {"labelers/active": len(active), "labelers/doubted": len(doubted)}

    async def online_stats(self) -> dict[str, float]:
        """Return the metrics on the axis `policy/step` that are defined by now, axis left out."""
        await self._grow()
        return self.figures.online_stats()

    async def coverage(self) -> tuple[float, ...]:
        """Return, for each query made since the first reward version, how much it had learned."""
        await self._grow()
        return self.figures.coverage()

    async def _grow(self) -> None:
        """Measure how online the run is; in a thread: with a refit all its labels are gone over."""
        async with self._growing:
            await asyncio.to_thread(self.figures.grow_online, self.view())

    def standings_key(self) -> tuple[object, ...]:
        """Return what changes when labels are held, let go, excluded or taken in again."""
        return tuple(
            (name, standing.held_from, standing.excluded_from)
            for name, standing in self.history.standings.items()
        )

    def view(self) -> LedgerView:
        """Return a snapshot of the ledger."""
        present = self._present()
        return replace(
            present,
            queries=self.board.queries.up_to_now(),
            assignments=self.board.assignments.up_to_now(),
            events=self.history.events.up_to_now(),
        )

    def _present(self) -> LedgerView:
        """Return the ledger as it is, without a copy: to be read at once, and let go."""
        return LedgerView(
            queries=self.board.queries,
            assignments=self.board.assignments,
            events=self.history.events,
            columns=self.history.columns,
            rewards=tuple(self.rewards.values()),
            policies=tuple(self.policies.values()),
        )

    def close(self) -> None:
        """Say that nothing more is taken in, and wake all who wait. Idempotent."""
        self.is_closed = True
        self.change.notify()
        self.line.call_all()

    def _take_query(self, query: ComparisonQuery) -> None:
        before = self.board.open_slots
        if query.query_id not in self.board.queries:
            self.gold.take_query(query)
        self.board.add_query(query)
        self.line.call(self.board.open_slots - before)
        if query.purpose == "validation":
            self._call_judges()

    def _call_judges(self) -> None:
        for name in self.judges:
            self.line.call_one(name)

    def _take_event(self, event: LabelEvent) -> None:
        num_moves = self.history.num_moves
        if not self.history.apply(event):
            return
        if isinstance(event, Appointed) and self.history.standings[event.labeler_id].is_judge:
            self.board.appoint(event.labeler_id)
        self.board.apply(event)
        if self._is_live and not isinstance(event, GoldEvent):
            self.let_go(event.labeler_id)
        self.tallies.apply(event)
        self.gold.apply(event)
        if isinstance(event, Submitted):
            assignment = self.board.assignments[event.assignment_id]
            # A task of an outside tool is no lease: that it was there says nothing of how long one
            # takes.
            is_lease = assignment.lease_until > assignment.created_at
            if is_lease or event.active_ms is not None:
                self.terms.observe(time_taken_s(assignment, event))
        self.change.notify()
        if self.history.num_moves != num_moves or self.history.num_preferences >= self._total:
            self.line.call_all()
        elif not isinstance(event, GoldEvent):
            self.line.call_one(event.labeler_id)

    def let_go(self, labeler_id: str) -> None:
        """Free what somebody holds who is given no tasks, or may not come in, for others."""
        if self.access.shuts_out(labeler_id) or not self.history.standings[labeler_id].gets_tasks:
            self.line.call(self.board.let_go(labeler_id))

    def _take_cord_event(self, event: CordEvent) -> None:
        if event.event_id not in self._cord_events:
            self._cord_events.add(event.event_id)
            self.cord = after(self.cord, event)
            self.change.notify()

    def _take_reward(self, version: RewardVersion) -> None:
        before = self.rewards.get(self.reward_version)
        if before is not None and before.version < version.version and before.learned is not None:
            # Who weighed what is asked of the live version alone, and 4 KiB for fifty labelers.
            self.rewards[before.version] = replace(before, labeler_weights=())
        self.rewards[version.version] = version
        if version.version >= self.reward_version:
            self.reward_version = version.version
            self.doubts.reliability = dict(version.labeler_weights)
        self.change.notify()

    def _take_policy(self, policy: PolicyProvenance) -> None:
        self.policies[policy.version] = policy
        self.policy_version = max(self.policy_version, policy.version)
        self.episodes = max(self.episodes, policy.episodes)
        self.change.notify()

    def _take_offset(self, offset: ConnectorOffset) -> None:
        self.connector_offsets[offset.connector] = offset.offset
        self.lines_read[offset.connector].take(offset)

    def knows_cord_event(self, event_id: str) -> bool:
        """Whether the cord ever had such an event."""
        return event_id in self._cord_events

    def refuse_if_closed(self) -> None:
        """Raise QueueClosed once the queue is closed."""
        if self.is_closed:
            raise QueueClosed("the label queue was closed")
