"""The two loops of a run. Read this module first; the one diagram of the system is here.

    policy loop     Prompt ─▶ Rollout ─▶ ScoredRollout ─▶ ExperienceBatch ─▶ PolicyVersion
                      ▲          ▲                                                │
                      │          └────────── version announced ◀──────────────────┤
                      └───────────────── slot released ◀──────────────────────────┘

    label loop      Rollouts ─▶ ComparisonQuery ─▶ Label ─▶ ledger ─▶ RewardVersion
                    (of the current policy)   (people)                      │
                    ScoredRollout ◀────────────── hot swap ◀────────────────┘

    loop        consumes           waits for                         is unblocked by
    ─────────   ────────────────   ───────────────────────────────   ─────────────────────────
    prompts     prompt source      room under the staleness bound    weights: version announced
    rollouts    requests           an actor                          prompts
    scoring     rollouts           the first reward version          rollouts; reward
    learning    scored rollouts    l(n) labels, B fresh rollouts     scoring; people
    weights     policy versions    a newer version                   learning
    queries     orders             queries wanted by the schedule    people; learning (the clock)
    reward      labels             a refit point, or enough labels   people

Data is pushed forward and weights are pulled; only "slot released" and "version announced" travel
backward. The learner alone writes policy versions, the reward trainer alone reward versions. A loop
that ends before the run is over is an error and stops the run.
"""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass

from cluster.config import RunConfig
from cluster.drafting import Drafter
from cluster.experience import ExperienceBuffer, with_one_reward_version
from cluster.fleet import RolloutFleet
from cluster.journal import Journal
from cluster.scoring import ResponseScorer, scored_sequence
from cluster.staleness import StalenessGate
from protocol.errors import LoopEnded, ScoringFailed
from protocol.messages import (
    ExperienceBatch,
    PolicyVersion,
    Rollout,
    RolloutRequest,
    Sampling,
    ScoredRollout,
)
from protocol.ports import LabelQueue, Learner, PromptSource, RewardService, RewardTrainer


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Everything the controller joins, each behind its port."""

    prompts: PromptSource
    query_prompts: PromptSource
    fleet: RolloutFleet
    learner: Learner
    reward_trainer: RewardTrainer
    reward_service: RewardService
    labels: LabelQueue


class Controller:
    """Runs the loops of one run until its episodes are trained.

    Args:
        config: The resolved config.
        parts: The started parts.
        journal: Takes note of all that happens.
        policy: Version 0, as the learner published it.
    """

    def __init__(
        self, config: RunConfig, parts: Parts, journal: Journal, policy: PolicyVersion
    ) -> None:
        self._config = config
        self._parts = parts
        self._journal = journal
        self._sampling = Sampling(
            temperature=config.response.temperature, max_tokens=config.response.max_tokens
        )
        self._scorer = ResponseScorer(parts.reward_service, config.response.missing_cut_score)
        self._gate = StalenessGate(config.ppo.batch_size, config.run.max_policy_lag)
        self._buffer = ExperienceBuffer(config.run.max_policy_lag, self._gate.release)
        self._drafter = Drafter(
            parts.fleet, parts.query_prompts, self._sampling, lambda v: self._learned_through[v]
        )

        self._requests: asyncio.Queue[list[RolloutRequest]] = asyncio.Queue(maxsize=1)
        self._rollouts: asyncio.Queue[list[Rollout]] = asyncio.Queue()
        self._has_reward = asyncio.Event()
        self._has_newer_policy = asyncio.Event()
        self._over = asyncio.Event()

        self._policy = policy
        self._episodes = 0
        self._learned_through = {policy.version: policy.learned_through}
        self._ledger_seq_of_reward: dict[int, int] = {}
        self._numbers = itertools.count()

    async def draw_reference(self) -> list[tuple[int, ...]]:
        """Sample ρ before the first step: pairs for validation queries, and for normalisation.

        Returns:
            The scored sequences, prompt and kept response, [≥ num_normalisation_samples].
        """
        num_pairs = math.ceil(self._config.reward_model.num_normalisation_samples / 2)
        labels = self._config.labels
        num_pairs = max(num_pairs, math.ceil(labels.total * labels.validation_share))
        prompts = self._parts.query_prompts.draw(num_pairs)
        drawn = await self._drafter.draw_complete(prompts, 2, "reference")
        pairs = [rollout for pair in drawn if len(pair) == 2 for rollout in pair]
        await self._parts.labels.add_reference(pairs)
        self._journal.reference_drawn(pairs)
        return [scored_sequence(rollout) for rollout in pairs]

    async def run(self) -> None:
        """Run all loops until the last episode is trained or `stop` is called.

        Raises:
            ExceptionGroup: A loop failed or ended early; the others are cancelled first.
        """
        loops = (
            self.prompts,
            self.rollouts,
            self.scoring,
            self.learning,
            self.weights,
            self.queries,
            self.reward,
        )
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._endless(loop), name=loop.__name__) for loop in loops]
            await self._over.wait()
            for task in tasks:
                task.cancel()

    def stop(self) -> None:
        """End the run after the current step. Returns at once; `run` returns soon after."""
        self._over.set()

    # ── the policy loop ──────────────────────────────────────────────────────────────────────

    async def prompts(self) -> None:
        """Prompt source → requests, as many as the staleness bound has room for."""
        while True:
            count = await self._gate.admit(self._config.rollouts.requests_per_call)
            await self._requests.put(
                [
                    RolloutRequest(
                        rollout_id=f"t-{next(self._numbers):06d}",
                        prompt=prompt,
                        purpose="train",
                        sampling=self._sampling,
                    )
                    for prompt in self._parts.prompts.draw(count)
                ]
            )

    async def rollouts(self) -> None:
        """Requests → rollouts, on whichever actor is least loaded."""
        async with asyncio.TaskGroup() as running:
            while True:
                running.create_task(self._generate(await self._requests.get()))

    async def scoring(self) -> None:
        """Rollouts → scored rollouts, in batches as large as have gathered meanwhile."""
        await self._has_reward.wait()
        while True:
            rollouts = await self._rollouts.get()
            while not self._rollouts.empty():
                rollouts += self._rollouts.get_nowait()
            try:
                await self._buffer.add(await self._scorer.score(rollouts))
            except ScoringFailed as error:
                # A rollout without a score is dropped, and its slot given to another.
                self._journal.scoring_failed(len(rollouts), error)
                await self._gate.release(len(rollouts))

    async def learning(self) -> None:
        """Scored rollouts → policy versions, never ahead of the label schedule."""
        batch_size = self._config.ppo.batch_size
        while self._episodes < self._config.run.episodes:
            with self._journal.waiting("labels"):
                await self._parts.labels.wait_until_allowed(self._episodes)
            with self._journal.waiting("rollouts"):
                scored = await self._buffer.take(batch_size, self._policy.version)
            with self._journal.waiting("scores"):
                scored = await with_one_reward_version(scored, self._scorer.score)
            batch = self._batch(scored)
            with self._journal.learning():
                report = await self._parts.learner.step(batch)
            self._episodes = report.policy.episodes
            self._policy = report.policy
            self._learned_through[report.policy.version] = report.policy.learned_through
            await self._parts.labels.set_progress(self._episodes, self._policy)
            self._journal.step_done(batch, report, self._buffer.num_dropped)
            self._has_newer_policy.set()
        self._over.set()

    async def weights(self) -> None:
        """Policy versions → actors: each newest version is loaded in flight, proved, announced."""
        while True:
            await self._has_newer_policy.wait()
            self._has_newer_policy.clear()
            policy = self._policy
            with self._journal.timing("weight_sync"):
                difference = await self._parts.fleet.load_policy(policy)
            await self._gate.announce(policy.version)
            self._journal.policy_loaded(policy, difference)

    # ── the label loop ───────────────────────────────────────────────────────────────────────

    async def queries(self) -> None:
        """Orders of the label queue → drafts of the current policy."""
        while True:
            for order in await self._parts.labels.next_orders(timeout_s=5.0):
                drafts = await self._drafter.fill(order)
                self._journal.rollouts_finished([r for d in drafts for r in d.rollouts])
                await self._parts.labels.offer(order.order_id, drafts)

    async def reward(self) -> None:
        """Labels → reward versions, swapped into the service while it serves."""
        while True:
            request = await self._parts.labels.next_fit()
            version = await self._parts.reward_trainer.fit(request)
            # Before the swap: the first score of the new version may come while it returns.
            self._ledger_seq_of_reward[version.version] = version.ledger_seq
            await self._parts.reward_service.swap(version)
            await self._parts.labels.learned(version)
            self._journal.reward_served(version)
            self._has_reward.set()

    # ── steps of the loops ───────────────────────────────────────────────────────────────────

    async def _generate(self, requests: Sequence[RolloutRequest]) -> None:
        rollouts = await self._parts.fleet.generate(requests)
        self._journal.rollouts_finished(rollouts)
        await self._rollouts.put(rollouts)

    def _batch(self, scored: Sequence[ScoredRollout]) -> ExperienceBatch:
        reward_version = scored[0].score.reward_version
        return ExperienceBatch(
            step=self._policy.version,
            rollouts=tuple(scored),
            episodes_before=self._episodes,
            reward_version=reward_version,
            learned_through=self._ledger_seq_of_reward[reward_version],
        )

    async def _endless(self, loop: Callable[[], Coroutine[None, None, None]]) -> None:
        await loop()
        if not self._over.is_set():
            raise LoopEnded(f"the {loop.__name__} loop ended before the run was over")
