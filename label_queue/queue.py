"""The label queue: sole owner of the ledger, between the policy loop and the people.

    controller   next_orders → offer          which comparisons to ask, by the label schedule
                 wait_until_allowed           holds the learner while people are behind it
                 pass_cord                    holds it while somebody has stopped the line
                 next_fit → learned           refits and warm updates of the reward model
    intake       next_task → submit           leases to labelers; durable before acknowledged
    owner        overview, exclude, release   sees who labels how well, and acts on it

One asyncio class over its sides, one a module: all state changes on one event loop, in the
ledger's order. What is in memory is a fold over the ledger, rebuilt at the start; only the orders
under way, the leases' renewals, the reference responses, when each policy was first sampled and the
moving figures must be given anew after a crash.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence

from uuid6 import uuid7

from label_queue.asking.asker import Asker
from label_queue.config import LabelsConfig
from label_queue.connectors.ingest import IngestCounts
from label_queue.connectors.outposts import Outposts
from label_queue.connectors.port import Sweep
from label_queue.figures.validation import WinRate
from label_queue.fitting.reward_fits import RewardFits
from label_queue.folds.lineage import as_provenance, reference_provenance
from label_queue.folds.view import LearnedLabels
from label_queue.intake.owner_schemas import (
    Admission,
    CordBody,
    ExclusionPreview,
    GoldMade,
    Overview,
)
from label_queue.intake.port import Identity
from label_queue.intake.schemas import (
    CordStanding,
    HeldTasks,
    LabelAnswer,
    LabelSubmission,
    Me,
    RunInfo,
    Task,
)
from label_queue.labeling.admissions import Admissions
from label_queue.labeling.desk import LabelingDesk
from label_queue.labeling.own_work import OwnWork, as_standing
from label_queue.ledger.group_commit import GroupCommit
from label_queue.ledger.records import Ledger, Record, Role
from label_queue.oversight.cord import Cord
from label_queue.oversight.overview import as_cord_body
from label_queue.oversight.owner import Oversight
from label_queue.quality.gold_tasks import AskMoment, new_templates
from label_queue.schedule import LabelSchedule
from label_queue.state import LabelState
from protocol.errors import LabelError
from protocol.labels import (
    ComparisonQuery,
    CordState,
    FitRequest,
    QueryDraft,
    QueryOrder,
    RewardVersion,
)
from protocol.messages import PolicyVersion, Rollout

OWNER = "owner"
"""Who acts through the owner's API, in the ledger."""


def new_uuid7() -> str:
    """Return a time-ordered id."""
    return str(uuid7())


class LabelQueue:
    """See the module. Methods neither block the event loop nor need a lock around them."""

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
    ) -> None:
        """Take over a ledger and fold it into the present. The ledger is closed by `close`.

        `guidelines` is the Markdown text that labelers are shown. Raises MissingError or
        InputError where the configured gold file cannot be read.
        """
        self._schedule = schedule
        self._clock = clock
        rng = random.Random(seed)
        learned = LearnedLabels(config.quality)
        self._state = LabelState(config, schedule, clock)
        self._state.load(ledger)
        self._add_gold(ledger, config, run_id)
        self._commits = GroupCommit(ledger, self._apply)
        self._asker = Asker(
            self._state,
            self._commits,
            config,
            schedule,
            run_id=run_id,
            rng=rng,
            clock=clock,
            new_id=new_id,
        )
        self._desk = LabelingDesk(
            self._state,
            self._commits,
            config,
            schedule,
            run_id=run_id,
            rng=rng,
            clock=clock,
            new_id=new_id,
        )
        self._fits = RewardFits(
            self._state, self._commits, config, schedule, learned=learned, seed=seed, clock=clock
        )
        self._outposts = Outposts.of(
            config, self._state, self._commits, run_id=run_id, clock=clock, new_id=new_id
        )
        self._oversight = Oversight(
            self._state,
            self._commits,
            config,
            schedule,
            learned=learned,
            connectors=self._outposts.health,
            run_id=run_id,
            clock=clock,
            new_id=new_id,
        )
        self._admissions = Admissions(self._state.access, self._commits, config.intake, clock)
        self._cord = Cord(self._state, self._commits, clock, new_id)
        self._own_work = OwnWork(self._state, config, guidelines, clock)

    def _add_gold(self, ledger: Ledger, config: LabelsConfig, run_id: str) -> None:
        """Write down the gold tasks of the configured file that the ledger lacks."""
        moment = AskMoment(now=self._clock(), labels=self._state.history.num_submitted)
        templates = new_templates(config, self._state.board.queries.keys(), run_id, moment)
        for record in ledger.write(templates):
            self._state.apply(record)

    def _apply(self, record: Record) -> None:
        self._state.apply(record)
        if isinstance(record, ComparisonQuery):
            self._asker.query_written(record)

    # --- the controller's side ---------------------------------------------------------------

    async def add_reference(self, rollouts: Sequence[Rollout]) -> None:
        """Take responses of ρ for validation queries, half of K or more a prompt.

        Idempotent by rollout id. After a restart they must be given again.
        """
        self._asker.add_reference(rollouts)

    async def next_orders(self, timeout_s: float) -> list[QueryOrder]:
        """Return what must be drawn so that l(n) + ahead labels stay asked for.

        Blocks until something is lacking, at most `timeout_s` (then: empty). Not idempotent: what
        is returned counts as under way until it is answered by `offer` or times out. Raises
        QueueClosed once the queue is closed.
        """
        self._outposts.start()
        return await self._asker.next_orders(timeout_s)

    async def offer(self, order_id: str, drafts: Sequence[QueryDraft]) -> int:
        """Answer an order; return how many queries were made of the drafts.

        Idempotent by order_id: the first answer counts, whatever the second brings. Fewer drafts
        than ordered are welcome, and drafts with an unfinished response make no query. An order
        that is not known (it timed out, or the queue was restarted) makes none.

        Raises InputError once 10 orders in a row have brought no query.
        """
        return await self._asker.offer(order_id, drafts)

    async def set_progress(self, episodes: int, policy: PolicyVersion) -> None:
        """Say how far the run is, and what `policy` was made of, on disk at return.

        Idempotent by version; the run's clock never goes back. With the first version that is
        told, version 0 (ρ) is written down too.
        """
        self._state.episodes = max(self._state.episodes, episodes)
        known, now = self._state.policies, self._clock()
        fresh: list[Record] = []
        if 0 not in known and policy.version != 0:
            fresh.append(reference_provenance(now))
        if policy.version not in known:
            fresh.append(as_provenance(policy, now))
        if fresh:
            await self._commits.write(fresh)
        self._state.change.notify()

    async def wait_until_allowed(self, episodes: int) -> float:
        """Block while fewer than l(n) labels have come, n = `episodes`; return seconds waited.

        With when_starved = "continue" only the first N₀ are waited for. Returns early when a
        rollback is ordered, which the learner does at the cord. Idempotent. Raises QueueClosed once
        the queue is closed.
        """
        return await self._asker.wait_until_allowed(episodes)

    async def pass_cord(self) -> int | None:
        """Block while the cord is pulled; return None, or the policy version to restore first.

        After a rollback call `rolled_back`, then this again. Raises QueueClosed once the queue is
        closed.
        """
        return await self._cord.pass_by()

    async def pull_cord(self, actor: str, reason: str, offered_rollback: int | None = None) -> None:
        """Stop the line; see `Cord.pull`."""
        await self._cord.pull(actor, reason, offered_rollback)

    async def rolled_back(self, policy: PolicyVersion) -> None:
        """Note that the ordered rollback was done; see `Cord.rolled_back`."""
        await self._cord.rolled_back(policy)

    async def cord(self) -> CordState:
        """Return how the cord hangs."""
        return self._state.cord

    async def next_fit(self) -> FitRequest:
        """Block until a fit is due and return it; the same one until `learned` is called.

        A refit from scratch wins over a warm update, and is due at once when labels that carried
        more than 2 % of what the live reward learned were taken back. Raises QueueClosed once the
        queue is closed.
        """
        return await self._fits.next_fit()

    async def learned(self, version: RewardVersion) -> None:
        """Take the announcement of a reward version, on disk at return. Idempotent by version."""
        await self._fits.learned(version)

    async def first_sampled(self, version: int, at: float) -> None:
        """Note when the first rollout of a policy version came. To be told anew after a restart."""
        self._state.figures.first_sampled(version, at)

    async def stats(self) -> dict[str, float]:
        """Return the metrics on the axis `labels/seq` that are defined by now."""
        scheduled = self._schedule.wanted(self._state.episodes)
        stats = self._state.figures.stats(now=self._clock(), scheduled=scheduled)
        return {**stats, **self._outposts.stats()}

    async def online_stats(self) -> dict[str, float]:
        """Return the metrics on the axis `policy/step` that are defined by now, axis left out."""
        return self._state.figures.online_stats()

    async def ledger_commit_p95_s(self) -> float:
        """Return the 95th percentile of recent commits, in seconds; 0 before the first."""
        return self._commits.commit_p95_s

    async def winrate(self, last: int | None = None) -> WinRate:
        """Return π's win rate over ρ on validation labels, of all or of the newest `last`."""
        return self._state.figures.winrate(last)

    async def coverage(self) -> tuple[float, ...]:
        """Return, for each query made since the first reward version, how much it had learned."""
        return tuple(each.share for each in self._state.figures.online().coverage)

    async def tell_activity(self, words: str) -> None:
        """Say what the run is doing now, for the owner's page."""
        if words != self._state.activity:
            self._state.activity = words
            self._state.change.notify()

    async def add_labeler(self, name: str, role: Role = "labeler") -> str:
        """Return a new token for somebody, who is made if need be; see `Admissions.add_labeler`."""
        return await self._admissions.add_labeler(name, role)

    async def close(self) -> None:
        """Finish what is being written, let go of the ledger and wake all who wait. Idempotent."""
        if not self._state.is_closed:
            self._state.is_closed = True
            self._state.change.notify()
            await self._outposts.close()
            await self._commits.close()

    # --- the people's side: `IntakeQueue` ------------------------------------------------------

    async def authenticate(self, token: str) -> Identity:
        """Return whose token or session it is. Raises Unauthenticated."""
        return self._state.access.authenticate(token)

    async def open_link(self, code: str) -> str:
        """Use up a one-time link; see `Admissions.open_link`."""
        return await self._admissions.open_link(code)

    async def leave(self, token: str) -> None:
        """End a session. Idempotent."""
        await self._admissions.leave(token)

    async def next_task(self, labeler_id: str, wait_s: float) -> Task | None:
        """Lease a query to a labeler; see `LabelingDesk.next_task`."""
        return await self._desk.next_task(labeler_id, wait_s)

    async def submit(
        self, labeler_id: str, submissions: Sequence[LabelSubmission], system: str = "api"
    ) -> list[LabelAnswer | LabelError]:
        """Take labels, durable at return; see `LabelingDesk.submit`."""
        return await self._desk.submit(labeler_id, submissions, system)

    async def heartbeat(self, labeler_id: str, assignment_id: str) -> float:
        """Renew a lease; see `LabelingDesk.heartbeat`."""
        return await self._desk.heartbeat(labeler_id, assignment_id)

    async def reject(self, labeler_id: str, error: LabelError, payload: str) -> None:
        """Count a body refused at the door; see `LabelingDesk.reject`."""
        await self._desk.reject(labeler_id, error, payload)

    async def run_info(self) -> RunInfo:
        """Return what labelers may know of the run."""
        return await self._desk.run_info()

    async def held_tasks(self, labeler_id: str) -> HeldTasks:
        """Return what a labeler holds; see `OwnWork.held_tasks`. Raises TooFast above the rate."""
        self._state.access.admit(labeler_id)
        return self._own_work.held_tasks(labeler_id)

    async def me(self, labeler_id: str) -> Me:
        """Return what a labeler sees of themself. Raises TooFast above the request rate."""
        self._state.access.admit(labeler_id)
        return self._own_work.me(labeler_id)

    async def pull_as_labeler(self, labeler_id: str, reason: str) -> CordStanding:
        """Stop the line; see `Cord.pull`. Raises TooFast above the request rate."""
        self._state.access.admit(labeler_id)
        return as_standing(await self._cord.pull(labeler_id, reason))

    # --- outside tools -------------------------------------------------------------------------

    async def ingest(self, connector: str, sweep: Sweep) -> IngestCounts:
        """Write what a reading of an outside tool brought; see `OutsideLabels.ingest`."""
        return await self._outposts.labels.ingest(connector, sweep)

    async def ring(self, connector: str, headers: Mapping[str, str], body: bytes) -> bool:
        """Take an outside tool's webhook; see `Outposts.ring`."""
        return self._outposts.ring(connector, headers, body)

    # --- the owner's side: `OwnerQueue` --------------------------------------------------------

    async def overview(self) -> Overview:
        """Return all that the owner's page shows."""
        return await self._oversight.overview()

    async def wait_for_overview(self, after: float, timeout_s: float) -> Overview:
        """Wait for something to change; see `Oversight.wait_for_overview`."""
        return await self._oversight.wait_for_overview(after, timeout_s)

    async def admit(self, labeler_id: str, role: Role) -> Admission:
        """Give somebody a one-time link and a token; see `Admissions.admit`."""
        return await self._admissions.admit(labeler_id, role)

    async def revoke(self, labeler_id: str, reason: str) -> None:
        """Void all tokens of somebody; see `Admissions.revoke`."""
        await self._admissions.revoke(labeler_id, reason)

    async def preview_exclusion(self, labeler_id: str, from_seq: int) -> ExclusionPreview:
        """Say what an exclusion would change; see `Oversight.preview_exclusion`."""
        return await self._oversight.preview_exclusion(labeler_id, from_seq)

    async def exclude(self, labeler_id: str, from_seq: int, reason: str) -> ExclusionPreview:
        """Leave somebody's labels out; see `Oversight.exclude`."""
        return await self._oversight.exclude(labeler_id, from_seq, reason)

    async def reinstate(self, labeler_id: str, reason: str) -> ExclusionPreview:
        """Undo exclusion or suspension; see `Oversight.reinstate`."""
        return await self._oversight.reinstate(labeler_id, reason)

    async def pull(self, reason: str) -> CordBody:
        """Stop the line, as the owner."""
        return as_cord_body(await self._cord.pull(OWNER, reason))

    async def release(self, reason: str) -> CordBody:
        """Let the line go on; see `Cord.release`."""
        return as_cord_body(await self._cord.release(OWNER, reason))

    async def order_rollback(self, to_version: int, reason: str) -> CordBody:
        """Pull the cord if need be and order a rollback; see `Cord.order_rollback`."""
        return as_cord_body(await self._cord.order_rollback(OWNER, to_version, reason))

    async def make_gold(self, query_id: str, choice: str) -> GoldMade:
        """Ask a past query as gold from now on; see `Oversight.make_gold`."""
        return await self._oversight.make_gold(query_id, choice)
