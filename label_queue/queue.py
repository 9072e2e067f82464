"""The label queue: sole owner of the ledger, between the policy loop and the people.

From an answer in the browser to the fit that learns it. In brackets, what each step waits for:

    page    ── POST /labels ──▶ intake/labels_api         [a token; a body within its limits]
                                    │
    people  ── submit ────────▶ labeling/desk             [nothing: checked against the assignment]
                                    │ LabelEvent
                                ledger/group_commit       [the disk: one fsync for all who wait]
                                    │ written, in the ledger's order
                                state                     [nothing: every fold takes the record]
                                    │ change.notify           board, history, figures, cord …
                ┌───────────────────┼──────────────────────────┐
    the answer, 200     loop  ── wait_until_allowed      loop ── next_refit ─▶ fitting/reward_fits
                              [l(n) labels that count]        [the schedule, or labels taken back
                                    │                          that weighed more than 2 %]
                              loop ── pass_cord          loop ── next_update    and all the while
                              [the owner's release]           [enough labels since the last]
                                                               │ FitRequest
                                                          the reward trainer fits, replicas swap
                                                               │
                                                         loop ── reward_served ──▶ ledger, state

And from what the run wants to know to the question on the page:

    loop ── next_orders ──▶ asking/asker    [fewer than l(n) + ahead asked for]
                │ QueryOrder, drawn and scored by the policy loop
    loop ── offer ────────▶ asking/orders   [nothing: the most telling drafts become queries]
                │ ComparisonQuery ──▶ ledger, state
    people ── next_task ──▶ labeling/desk   [a query that wants this labeler; else a place in the
                                             line, of which each new task wakes one]

The owner's side reads the same folds (`oversight/`) and writes its own records: exclusions, the
cord, gold. All state changes on one event loop, in the ledger's order. What is in memory is a fold
over the ledger, rebuilt at the start, with a snapshot's help (`snapshot/`). The reference
responses, and when each policy was first sampled, are in the run's folder (`take_in`). Only the
orders under way, the leases' renewals, what the last fit said of the newest answers and the moving
figures are lost in a crash.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from uuid6 import uuid7

from label_queue.asking.asker import Asker
from label_queue.config import LabelsConfig
from label_queue.fitting.reward_fits import RewardFits
from label_queue.fitting.weighing import Weigher, WeighingThread
from label_queue.labeling.admissions import Admissions
from label_queue.labeling.answer_desk import AnswerDesk
from label_queue.labeling.desk import LabelingDesk
from label_queue.labeling.own_work import OwnWork
from label_queue.ledger.group_commit import GroupCommit
from label_queue.ledger.lookup import Lookup
from label_queue.ledger.records import Ledger, Record
from label_queue.ledger.room import DiskRoom
from label_queue.oversight.cord import Cord
from label_queue.oversight.gold import GoldKeeping
from label_queue.oversight.owner import Oversight
from label_queue.quality.gold_tasks import AskMoment, new_templates
from label_queue.quality.run_length import drift_threshold
from label_queue.schedule import LabelSchedule
from label_queue.sides.owner import OwnerSide
from label_queue.sides.people import PeopleSide
from label_queue.sides.policy_loop import PolicyLoopSide
from label_queue.snapshot.folding import load
from label_queue.state import LabelState
from protocol.labels import ComparisonQuery
from protocol.messages import Rollout


def new_uuid7() -> str:
    """Return a time-ordered id."""
    return str(uuid7())


class LabelQueue:
    """A ledger, the folds over it, and the three sides from which it is called.

    Nothing here blocks the event loop or needs a lock around it.
    """

    def __init__(
        self,
        ledger: Ledger,
        config: LabelsConfig,
        schedule: LabelSchedule,
        *,
        run_id: str,
        seed: int,
        guidelines: str = "",
        clock: Callable[[], float] = time.time,
        new_id: Callable[[], str] = new_uuid7,
        settle: Callable[[], None] = lambda: None,
        snapshot: Path | None = None,
        weigher: Weigher | None = None,
        left_behind: Callable[[Exception], None] = lambda _: None,
    ) -> None:
        """Take over a ledger and fold it into the present. The ledger is closed by `close`.

        `guidelines` is the Markdown text that labelers are shown; `settle` is called each time many
        records came that stay in memory; `snapshot` is where one of the folds may be; `weigher`
        finds the labelers' reliabilities, by default in a thread; `left_behind` is told the error
        after which nothing is written, since the state could not take in what was. Raises
        MissingError or InputError where the configured gold file cannot be read.
        """
        rng = random.Random(seed)
        self._lookup = Lookup(ledger)
        state = LabelState(config, schedule, clock, settle=settle, lookup=self._lookup)
        folded = load(state, ledger, snapshot, config.quality)
        state.go_live()
        moment = AskMoment(now=clock(), labels=state.history.num_submitted)
        for record in ledger.write(new_templates(config, state.board.queries, run_id, moment)):
            state.apply(record)
        room = DiskRoom(ledger.free_bytes, config.disk_reserve_bytes, ledger.where)
        commits = GroupCommit(ledger, self._apply, room, left_behind)
        self.state = state
        """What the ledger says, ready to be asked."""
        self.commits = commits
        """The one way to the ledger."""
        self.num_kept = folded.label_events
        """How many label events the snapshot covered that was started from."""
        self.clock = clock
        """Returns the present time, Unix seconds."""
        self.new_id = new_id
        self._asker = Asker(
            state, commits, config, schedule, run_id=run_id, rng=rng, clock=clock, new_id=new_id
        )
        desk = LabelingDesk(
            state, commits, config, schedule, run_id=run_id, rng=rng, clock=clock, new_id=new_id
        )
        drift_threshold(config.quality, config.num_candidates)  # takes a moment, once: not later
        answers = AnswerDesk(state, commits, config.intake, run_id=run_id, clock=clock)
        learned = state.learned
        self._weigher = weigher or WeighingThread()
        fits = RewardFits(
            state,
            commits,
            config,
            schedule,
            learned=learned,
            seed=seed,
            clock=clock,
            weigher=self._weigher,
        )
        oversight = Oversight(
            state,
            commits,
            config,
            schedule,
            learned=learned,
            run_id=run_id,
            clock=clock,
            new_id=new_id,
        )
        standings = state.history.standings
        admissions = Admissions(
            state.access, standings, commits, config.intake, clock, new_id, state.let_go
        )
        gold = GoldKeeping(state, commits, config, run_id=run_id, clock=clock, new_id=new_id)
        own_work = OwnWork(state, config, guidelines, clock)
        cord = Cord(state, commits, clock, new_id)
        self.policy_loop = PolicyLoopSide(
            state, commits, schedule, asker=self._asker, fits=fits, cord=cord, clock=clock
        )
        self.people = PeopleSide(
            state,
            admissions=admissions,
            desk=desk,
            answers=answers,
            own_work=own_work,
            cord=cord,
        )
        self.owner = OwnerSide(admissions=admissions, oversight=oversight, gold=gold, cord=cord)

    def take_in(
        self, reference: Sequence[Rollout], first_samples: Iterable[tuple[int, float]]
    ) -> None:
        """Take what was told to the queue before it was restarted, and is not in the ledger.

        Args:
            reference: As `PolicyLoopSide.add_reference` had it.
            first_samples: (version, at), as `PolicyLoopSide.first_sampled` had them.
        """
        self._asker.add_reference(reference)
        for version, at in first_samples:
            self.state.figures.first_sampled(version, at)
        self.state.figures.catch_up()

    def _apply(self, record: Record) -> None:
        """Take in what was written: called in the ledger's order, before any writer hears of it."""
        self.state.apply(record)
        if isinstance(record, ComparisonQuery):
            self._asker.query_written(record)

    async def close(self) -> None:
        """Finish what is being written, let go of the ledger and wake all who wait. Idempotent."""
        if not self.state.is_closed:
            self.state.close()
            await self._weigher.close()
            await self.commits.close()
            self._lookup.close()
