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
    refits      labels             a refit point                     people
    updates     labels             enough labels since the last      people

Data is pushed forward and weights are pulled; only "slot released" and "version announced" travel
backward. The learner alone writes policy versions, the reward trainer alone reward versions. A
refit, from ρ, is worked off between the updates of the live reward, which never stop for it. A loop
that ends before the run is over is an error and stops the run.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine, Sequence
from uuid import uuid4

from cluster.config import RunConfig
from cluster.guards.guards import Guards
from cluster.loops.answering import OrderAnswers
from cluster.loops.checkpoints import RunCheckpoint, RunCheckpoints
from cluster.loops.cut import RunCut
from cluster.loops.drafting import Drafter, draw_prompts
from cluster.loops.fitting import RewardFitting
from cluster.loops.journal import Journal
from cluster.loops.parts import Parts
from cluster.loops.policy_steps import PolicySteps
from cluster.loops.prompt_cursor import PromptCursor
from cluster.loops.reward_guard import RewardGuard
from cluster.loops.scoring import ResponseScorer, with_one_reward_version
from cluster.loops.staleness import StalenessBound
from protocol.errors import LoopEnded, NotFinite, ScoringFailed
from protocol.fits import RewardVersion
from protocol.messages import PolicyVersion, Rollout, RolloutRequest, Sampling


class Controller:
    """Runs the loops of one run until its episodes are trained.

    Args:
        config: The resolved config.
        parts: The started parts.
        journal: Takes note of all that happens.
        policy: The version at which the learner stands; 0 at the beginning of a run.
        guards: Pull the cord by themselves.
        checkpoints: Where the run's checkpoints go.
        resumed: The one to go on from; `resume` comes before `run` then.
    """

    def __init__(
        self,
        config: RunConfig,
        parts: Parts,
        journal: Journal,
        policy: PolicyVersion,
        guards: Guards,
        checkpoints: RunCheckpoints,
        resumed: RunCheckpoint | None = None,
    ) -> None:
        self._config = config
        self._parts = parts
        self._journal = journal
        self._guards = guards
        sampling = Sampling(
            temperature=config.response.temperature, max_tokens=config.response.max_tokens
        )
        self._scorer = ResponseScorer(parts.reward_service, config.response.missing_cut_score)
        self._prompts = PromptCursor(parts.prompts)
        self._bound = StalenessBound(
            config.ppo.batch_size, config.run.max_policy_lag, self._prompts
        )
        self.rollout_states = self._bound.counts
        seed = config.run.seed if config.seeds_requests else None
        self.drafter = Drafter(
            parts.fleet, parts.query_prompts, sampling, seed, self._bound.are_left_behind
        )
        self._reward_guard = RewardGuard(
            parts.reward_service,
            parts.labels,
            parts.learner,
            journal,
            guards,
            rescored=self._bound.rescored,
        )
        self._steps = PolicySteps(
            parts,
            journal,
            policy,
            bound=self._bound,
            reward_guard=self._reward_guard,
            guards=guards,
            keep=self._keep,
            is_due=checkpoints.is_due,
        )
        self._cut = RunCut(
            parts.learner,
            checkpoints,
            journal,
            guards,
            bound=self._bound,
            drafter=self.drafter,
            prompts=self._prompts,
            reward_guard=self._reward_guard,
            steps=self._steps,
        )

        self._requests: asyncio.Queue[list[RolloutRequest]] = asyncio.Queue(maxsize=1)
        self._rollouts: asyncio.Queue[list[Rollout]] = asyncio.Queue()
        self._fitting = RewardFitting(
            parts,
            journal,
            guards,
            self._reward_guard,
            self._steps.ledger_seq_of_reward,
            learns_marks=config.reward_model.marks is not None,
        )
        has_reward = self._fitting.has_served.is_set
        self._answers = OrderAnswers(
            self.drafter,
            self._scorer,
            has_reward,
            parts.labels,
            journal,
            guards,
            lambda: self._steps.policy.version,
        )
        self._over = asyncio.Event()
        if resumed is not None:
            undrawn, unscored = self._cut.take_up(resumed)
            if undrawn:
                self._requests.put_nowait(undrawn)
            if unscored:
                self._rollouts.put_nowait(unscored)

    async def draw_reference(
        self, keep: Callable[[list[Rollout]], None] = lambda _: None
    ) -> list[Rollout]:
        """Prove that the actors hold ρ, and sample it: for validation queries and normalisation.

        Args:
            keep: Writes the samples down before anybody else has them.

        Returns:
            About `num_normalisation_samples` responses or more; prompts whose responses do not end
            give none.

        Raises:
            ProbeMismatch: An actor's ρ is not the learner's.
            InputError: ρ does not end its responses, so there is nothing to compare.
        """
        await self._load_policy()
        num_samples = self._config.reward_model.num_normalisation_samples
        rollouts = await self.drafter.draw_reference(self._config.labels, num_samples)
        keep(rollouts)
        await self._parts.labels.add_reference(rollouts)
        self._journal.reference_drawn(rollouts)
        return rollouts

    async def resume(
        self,
        reference: Sequence[Rollout],
        reward: RewardVersion | None,
        unserved: Sequence[RewardVersion] = (),
    ) -> None:
        """Prove that the actors hold the policy that is gone on from, and tell the label side.

        What the reward trainer had made and the run did not live to serve is served first.

        Args:
            reference: What `draw_reference` returned at the beginning of the run.
            reward: The version that the reward service began with; None: none yet.
            unserved: Those that were made since and that nobody was told of, oldest first.

        Raises:
            ProbeMismatch: An actor's weights are not the learner's.
        """
        await self._load_policy()
        await self._parts.labels.add_reference(reference)
        policy = self._steps.policy
        self._journal.resumed(policy)
        if policy.version > 0:
            await self._parts.labels.set_progress(policy.episodes, policy)
        if reward is not None:
            self._reward_guard.resumed(reward)
            await self._fitting.tell(reward)
        await self._fitting.take_up(unserved)

    async def run(self) -> None:
        """Run all loops until the last episode is trained or `stop` is called.

        A checkpoint is written before the first step and after the last.

        Raises:
            ExceptionGroup: A loop failed or ended early; the others are cancelled first.
        """
        await self._keep()
        policy_loop = (self.prompts, self.rollouts, self.scoring, self.learning, self.weights)
        label_loop = (self.queries, self.refits, self.updates)
        loops = policy_loop + label_loop
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._endless(loop), name=loop.__name__) for loop in loops]
            await self._over.wait()
            async with self._steps.under_way:  # a step under way is finished, and told, first
                await self._keep()
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
            requests = self.drafter.requests(draw_prompts(self._prompts, count), "train")
            self._bound.admit(requests)
            await self._requests.put(requests)

    async def rollouts(self) -> None:
        """Requests → rollouts, on whichever actor is least loaded."""
        async with asyncio.TaskGroup() as running:
            while True:
                running.create_task(self._generate(await self._requests.get()))

    async def scoring(self) -> None:
        """Rollouts → scored rollouts, in batches as large as have gathered meanwhile.

        With lag 0 the learner waits for the whole batch anyway: it is scored at once, so that no
        score depends on which rollouts came together.
        """
        await self._fitting.has_served.wait()
        is_synchronous = self._config.run.max_policy_lag == 0
        while True:
            rollouts = await self._rollouts.get()
            while not self._rollouts.empty() or (is_synchronous and self._bound.is_filling):
                rollouts += await self._rollouts.get()
            rollouts = self._bound.in_order(rollouts)
            try:
                scored = await self._scorer.score(rollouts)
            except (ScoringFailed, NotFinite) as error:
                await self._drop_unscored(rollouts, error)
                if isinstance(error, NotFinite):  # not again and again while people look
                    await self._parts.labels.pass_cord()
                continue
            self._reward_guard.remember(
                [each for each in scored if not self._bound.is_left_behind(each.rollout)]
            )
            self._bound.add(scored)

    async def learning(self) -> None:
        """Scored rollouts → policy versions, never ahead of the labels, nor past a pulled cord."""
        while (episodes := self._steps.policy.episodes) < self._config.run.episodes:
            with self._journal.waiting("labels"):
                await self._parts.labels.wait_until_allowed(episodes)
            with self._journal.waiting("rollouts"):
                version = self._steps.policy.version
                scored = await self._bound.take(self._config.ppo.batch_size, version)
            try:
                with self._journal.waiting("scores"):
                    scored = await with_one_reward_version(
                        scored, self._scorer.score, self._reward_guard.is_served
                    )
            except (ScoringFailed, NotFinite) as error:
                await self._drop_unscored([each.rollout for each in scored], error)
                continue
            if await self._steps.pass_cord():
                self._bound.put_back(scored)  # what the rollback leaves behind is refused
            elif scored[0].score.reward_version < self._reward_guard.least_version:
                await self._rollouts.put(self._bound.score_again(scored))
            else:
                await self._steps.step(scored)
        self._over.set()

    async def weights(self) -> None:
        """Policy versions → actors: each newest version is loaded in flight, proved, announced."""
        while True:
            await self._steps.is_newer.wait()
            self._steps.is_newer.clear()
            await self._load_policy()

    # ── the label loop ───────────────────────────────────────────────────────────────────────

    async def queries(self) -> None:
        """Orders of the label queue → drafts of the current policy."""
        mine = uuid4().hex  # another controller of this run may have asked before
        for number in itertools.count():
            call = f"{mine}-{number}"
            for order in await self._parts.labels.next_orders(timeout_s=5.0, call=call):
                await self._answers.answer(order)

    async def refits(self) -> None:
        """Labels → reward versions fitted from ρ, swapped into the service while it serves."""
        while True:
            await self._fitting.refit(await self._parts.labels.next_refit())

    async def updates(self) -> None:
        """New labels → versions that go on from the live one, also while a refit is under way."""
        while True:
            await self._fitting.update(await self._parts.labels.next_update())

    # ── steps of the loops ───────────────────────────────────────────────────────────────────

    async def _load_policy(self) -> None:
        policy = self._steps.policy
        with self._journal.timing("weight_sync"):
            difference = await self._parts.fleet.load_policy(policy)
        self._bound.announce(policy.version)
        self._journal.policy_loaded(policy, difference)

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

    async def _keep(self) -> None:
        await self._cut.keep()

    async def _endless(self, loop: Callable[[], Coroutine[None, None, None]]) -> None:
        await loop()
        if not self._over.is_set():
            raise LoopEnded(f"the {loop.__name__} loop ended before the run was over")
