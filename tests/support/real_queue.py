"""The label side of a run without disk, network or people: the real queue, and who answers it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from label_queue.config import LabelsConfig, Mode
from label_queue.labeling.submissions import LabelAnswer, LabelSubmission
from label_queue.queue import LabelQueue
from label_queue.schedule import LabelSchedule
from label_queue.sides.policy_loop import PolicyLoopSide
from protocol.fits import RewardVersion
from protocol.labels import ComparisonQuery, PolicyProvenance, QueryDraft
from protocol.messages import Rollout
from tests.support.labels import ManualClock, make_config
from tests.support.memory_ledger import MemoryLedger


class WatchedLoop(PolicyLoopSide):
    """The real side; it remembers what the policy loop brought, as it was brought."""

    def __init__(self, side: PolicyLoopSide) -> None:
        vars(self).update(vars(side))
        self.reference: list[Rollout] = []
        self.drafts: list[QueryDraft] = []

    async def add_reference(self, rollouts: Sequence[Rollout]) -> None:
        self.reference += rollouts
        await super().add_reference(rollouts)

    async def offer(self, order_id: str, drafts: Sequence[QueryDraft]) -> int:
        self.drafts += drafts
        return await super().offer(order_id, drafts)


class LabelSide:
    """A queue over a ledger in memory, its clock, and labelers who choose what they see first."""

    def __init__(
        self,
        config: LabelsConfig | None = None,
        *,
        num_episodes: int = 100,
        mode: Mode = "online",
        ledger: MemoryLedger | None = None,
    ) -> None:
        config = config or make_config()
        self.clock = ManualClock()
        self.ledger = ledger or MemoryLedger()
        self.queue = LabelQueue(
            self.ledger,
            config,
            LabelSchedule.of(config, num_episodes=num_episodes, mode=mode),
            run_id="run-1",
            seed=1,
            clock=self.clock,
        )
        self.loop = WatchedLoop(self.queue.policy_loop)
        self._at_work: list[asyncio.Task[None]] = []

    async def label(self, count: int, labeler_id: str = "ann") -> None:
        """Answer the next `count` tasks, waiting for each."""
        for _ in range(count):
            assert await self._answer(labeler_id), "nothing more to label"

    def keep_labeling(self, labeler_id: str = "ann") -> None:
        """Answer whatever comes until no more labels are wanted, or `close`."""

        async def work() -> None:
            while await self._answer(labeler_id):
                pass

        self._at_work.append(asyncio.create_task(work()))

    async def _answer(self, labeler_id: str) -> bool:
        """Answer one task; False once there will be no other."""
        task = await self.queue.people.next_task(labeler_id, 60.0)
        if task is None:
            return False
        first = LabelSubmission(
            assignment_id=task.assignment_id,
            outcome="choice",
            choice=task.candidates[0].candidate_id,
        )
        [answer] = await self.queue.people.submit(labeler_id, [first])
        assert isinstance(answer, LabelAnswer), answer
        return True

    @property
    def queries(self) -> list[ComparisonQuery]:
        """Those that were made, in order."""
        return self.ledger.queries()

    @property
    def rewards(self) -> list[RewardVersion]:
        """Those that the queue was told of, in order."""
        return self.ledger.read(RewardVersion)

    @property
    def policies(self) -> list[PolicyProvenance]:
        """Those that the queue was told of, in order; ρ, which is version 0, comes first."""
        return self.ledger.read(PolicyProvenance)

    async def close(self) -> None:
        """Send the labelers home and close the queue; raise what stopped one of them."""
        for task in self._at_work:
            task.cancel()
        ends = await asyncio.gather(*self._at_work, return_exceptions=True)
        await self.queue.close()
        for end in ends:
            if isinstance(end, Exception):
                raise end
