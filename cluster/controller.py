"""The two loops of a run. Read this module first; the one diagram of the system is here.

    policy loop     Prompt ─▶ Rollout ─▶ ScoredRollout ─▶ ExperienceBatch ─▶ PolicyVersion
                      ▲          ▲                                                │
                      │          └────────── version announced ◀──────────────────┤
                      └───────────────── slot released ◀──────────────────────────┘

    label loop      Rollouts ─▶ ComparisonQuery ─▶ Label ─▶ ledger ─▶ RewardVersion
                    (of the current policy)   (people)                      │
                    ScoredRollout ◀────────────── hot swap ◀────────────────┘

    the cord        a labeler, the owner or a guard pulls ─▶ no step ─▶ the owner releases
                    (all else goes on)                            │
                    PolicyVersion restored, later rollouts dropped ◀── the owner orders a rollback

    loop        consumes           waits for                         is unblocked by
    ─────────   ────────────────   ───────────────────────────────   ─────────────────────────
    prompts     prompt source      room under the staleness bound    weights: version announced
    rollouts    requests           an actor                          prompts
    scoring     rollouts           the first reward version          rollouts; reward
    learning    scored rollouts    l(n) labels, B fresh rollouts,    scoring; people; the owner
                                   a cord that is not pulled
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

from cluster.config import RunConfig
from cluster.guards.guards import Guards
from cluster.loops.drafting import Drafter, draw_prompts
from cluster.loops.journal import Journal
from cluster.loops.parts import Parts
from cluster.loops.reward_guard import RewardGuard
from cluster.loops.scoring import ResponseScorer, scored_sequence, with_one_reward_version
from cluster.loops.staleness import StalenessBound
from protocol.errors import LoopEnded, NotFinite, ScoringFailed
from protocol.messages import (
    ExperienceBatch,
    PolicyVersion,
    Rollout,
    RolloutRequest,
    Sampling,
    ScoredRollout,
)


class Controller:
    """Runs the loops of one run until its episodes are trained.

    Args:
        config: The resolved config.
        parts: The started parts.
        journal: Takes note of all that happens.
        policy: Version 0, as the learner published it.
        guards: Pull the cord by themselves.
    """

    def __init__(
        self,
        config: RunConfig,
        parts: Parts,
        journal: Journal,
        policy: PolicyVersion,
        guards: Guards,
    ) -> None:
        self._config = config
        self._parts = parts
        self._journal = journal
        self._sampling = Sampling(
            temperature=config.response.temperature, max_tokens=config.response.max_tokens
        )
        self._scorer = ResponseScorer(parts.reward_service, config.response.missing_cut_score)
        self._bound = StalenessBound(config.ppo.batch_size, config.run.max_policy_lag)
        self.rollout_states = self._bound.counts
        seed = config.run.seed if config.seeds_requests else None
        self.drafter = Drafter(parts.fleet, parts.query_prompts, self._sampling, seed)
        self._guards = guards
        self._guard = RewardGuard(
            parts.reward_service, parts.labels, parts.learner, journal, guards
        )

        self._requests: asyncio.Queue[list[RolloutRequest]] = asyncio.Queue(maxsize=1)
        self._rollouts: asyncio.Queue[list[Rollout]] = asyncio.Queue()
        self._has_reward = asyncio.Event()
        self._has_newer_policy = asyncio.Event()
        self._over = asyncio.Event()
        self._stepping = asyncio.Lock()

        self._policy = policy
        self._episodes = 0
        self._ledger_seq_of_reward: dict[int, int] = {}

    async def draw_reference(self) -> list[tuple[int, ...]]:
        """Prove that the actors hold ρ, and sample it: for validation queries and normalisation.

        Returns:
            The scored sequences, prompt and kept response, of about `num_normalisation_samples`
            responses or more; prompts whose responses do not end give none.

        Raises:
            ProbeMismatch: An actor's ρ is not the learner's.
            InputError: ρ does not end its responses, so there is nothing to compare.
        """
        self._journal.policy_loaded(self._policy, await self._parts.fleet.load_policy(self._policy))
        labels = self._config.labels
        rollouts = await self.drafter.draw_reference(
            num_each=max(2, labels.num_candidates // 2),
            num_rollouts=self._config.reward_model.num_normalisation_samples,
            num_prompts=math.ceil(labels.total * labels.validation_share),
        )
        await self._parts.labels.add_reference(rollouts)
        self._journal.reference_drawn(rollouts)
        return [scored_sequence(rollout) for rollout in rollouts]

    async def run(self) -> None:
        """Run all loops until the last episode is trained or `stop` is called.

        Raises:
            ExceptionGroup: A loop failed or ended early; the others are cancelled first.
        """
        policy_loop = (self.prompts, self.rollouts, self.scoring, self.learning, self.weights)
        label_loop = (self.queries, self.reward)
        loops = policy_loop + label_loop
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._endless(loop), name=loop.__name__) for loop in loops]
            await self._over.wait()
            async with self._stepping:  # a step under way is finished, and told, first
                for task in tasks:
                    task.cancel()

    def stop(self) -> None:
        """End the run after the current step. Returns at once; `run` returns after that step."""
        self._over.set()

    # ── the policy loop ──────────────────────────────────────────────────────────────────────

    async def prompts(self) -> None:
        """Prompt source → requests, as many as the staleness bound has room for."""
        while True:
            count = await self._bound.wait_for_room(self._config.rollouts.requests_per_call)
            requests = self.drafter.requests(draw_prompts(self._parts.prompts, count), "train")
            self._bound.admit(requests)
            await self._requests.put(requests)

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
                scored = await self._scorer.score(rollouts)
            except (ScoringFailed, NotFinite) as error:
                await self._drop_unscored(rollouts, error)
                if isinstance(error, NotFinite):  # not again and again while people look
                    await self._parts.labels.pass_cord()
                continue
            self._guard.remember(scored)
            self._bound.add(scored)

    async def learning(self) -> None:
        """Scored rollouts → policy versions, never ahead of the labels, nor past a pulled cord."""
        batch_size = self._config.ppo.batch_size
        while self._episodes < self._config.run.episodes:
            with self._journal.waiting("labels"):
                await self._parts.labels.wait_until_allowed(self._episodes)
            with self._journal.waiting("rollouts"):
                scored = await self._bound.take(batch_size, self._policy.version)
            try:
                with self._journal.waiting("scores"):
                    scored = await with_one_reward_version(scored, self._scorer.score)
            except (ScoringFailed, NotFinite) as error:
                await self._drop_unscored([each.rollout for each in scored], error)
                continue
            if await self._pass_cord():
                self._bound.put_back(scored)  # what the rollback leaves behind is refused
            elif scored[0].score.reward_version < self._guard.least_version:
                await self._rollouts.put(self._bound.score_again(scored))
            else:
                async with self._stepping:
                    await self._step(self._batch(scored))
        self._over.set()

    async def weights(self) -> None:
        """Policy versions → actors: each newest version is loaded in flight, proved, announced."""
        while True:
            await self._has_newer_policy.wait()
            self._has_newer_policy.clear()
            policy = self._policy
            with self._journal.timing("weight_sync"):
                difference = await self._parts.fleet.load_policy(policy)
            self._bound.announce(policy.version)
            self._journal.policy_loaded(policy, difference)

    # ── the label loop ───────────────────────────────────────────────────────────────────────

    async def queries(self) -> None:
        """Orders of the label queue → drafts of the current policy."""
        for number in itertools.count():
            for order in await self._parts.labels.next_orders(timeout_s=5.0, call=str(number)):
                drafts = await self.drafter.fill(order)
                rollouts = [rollout for draft in drafts for rollout in draft.rollouts]
                self._journal.drafted(rollouts, self.drafter.num_alike)
                try:
                    if order.num_drafts > order.num_queries and self._has_reward.is_set():
                        drafts = await self._scorer.score_drafts(drafts)
                    await self._parts.labels.offer(order.order_id, drafts)
                except ScoringFailed as error:
                    self._journal.scoring_failed(len(rollouts), error)
                except NotFinite as error:
                    await self._guards.unscored(error, rollouts)
                # An order left unanswered is placed again.

    async def reward(self) -> None:
        """Labels → reward versions, swapped into the service while it serves."""
        while True:
            request = await self._parts.labels.next_fit()
            try:
                with self._journal.fitting(request.kind):
                    version = await self._parts.reward_trainer.fit(request)
                # Before the swap: the first score of the new version may come while it returns.
                self._ledger_seq_of_reward[version.version] = version.ledger_seq
                await self._guard.serve(version, request)
            except NotFinite as error:
                await self._guards.fit_broken(error, request)
                await self._parts.labels.wait_released()
                continue  # the version before stays live, and the same fit is due
            await self._parts.labels.reward_served(version)
            self._journal.reward_served(version)
            self._has_reward.set()

    # ── steps of the loops ───────────────────────────────────────────────────────────────────

    async def _generate(self, requests: Sequence[RolloutRequest]) -> None:
        self._bound.drawing(requests)
        rollouts = await self._parts.fleet.generate(requests)
        self._bound.drawn(rollouts)
        self._journal.rollouts_finished(rollouts)
        await self._rollouts.put(rollouts)

    async def _drop_unscored(
        self, rollouts: Sequence[Rollout], error: ScoringFailed | NotFinite
    ) -> None:
        """Drop rollouts without a score, and give their slots to others."""
        if isinstance(error, NotFinite):
            await self._guards.unscored(error, rollouts)
        self._journal.scoring_failed(len(rollouts), error)
        self._bound.drop(rollouts)

    async def _pass_cord(self) -> bool:
        """Wait while the cord is pulled, doing the rollbacks ordered; return whether one was."""
        was_rolled_back = False
        while True:
            with self._journal.waiting("reward"):
                num_judged = await self._guard.settled()
            with self._journal.waiting("cord"):
                version = await self._parts.labels.pass_cord()
            if version is not None:
                async with self._stepping:
                    with self._journal.rolling_back():
                        await self._roll_back(version)
                was_rolled_back = True
            elif self._guard.num_forced == num_judged:
                return was_rolled_back
            # Else a forced refit began meanwhile: the reward of this batch may be condemned.

    async def _roll_back(self, version: int) -> None:
        """Do the rollback that was ordered."""
        await self._parts.labels.rolled_back(await self._restore(version))

    async def _restore(self, version: int) -> PolicyVersion:
        """Restore a policy version, or the newest checkpoint before it; drop what came after."""
        kept = await self._parts.learner.checkpoints()
        restored = max(v for v in kept if v <= version)
        policy = await self._parts.learner.restore(restored, step=self._policy.version)
        self._bound.roll_back(policy)
        await self._take_over(policy)
        self._journal.rolled_back(policy, asked_for=version)
        return policy

    async def _break_off(self, batch: ExperienceBatch, error: NotFinite) -> None:
        """Stop the line where a step met NaN, drop its batch, and mend the learner at once.

        From a checkpoint: a copy in memory would cost as much again at every step, to save the few
        steps since, and what is on disk has been proved to restore bit for bit.
        """
        await self._guards.step_broken(error, batch)
        self._bound.drop([each.rollout for each in batch.rollouts])
        with self._journal.rolling_back():
            await self._restore(batch.step)

    async def _step(self, batch: ExperienceBatch) -> None:
        self._journal.step_begun(batch, self._bound.num_waiting)
        try:
            with self._journal.learning():
                report = await self._parts.learner.step(batch)
        except NotFinite as error:
            await self._break_off(batch, error)
            return
        self._bound.trained(batch.rollouts)
        await self._take_over(report.policy)
        self._journal.step_done(batch, report, self._bound.num_refused)
        await self._guards.step_done(batch, report)

    async def _take_over(self, policy: PolicyVersion) -> None:
        """Go on with a new version: the learner's next step, the clock, and soon the actors."""
        self._episodes = policy.episodes
        self._policy = policy
        await self._parts.labels.set_progress(policy.episodes, policy)
        self._has_newer_policy.set()

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
