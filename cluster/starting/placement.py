"""Starts every process of a run where it belongs, and stops them in the other order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from ray.util.placement_group import PlacementGroup, remove_placement_group

from actors.config import WeightTransportName
from actors.shell import RolloutActorShell
from cluster.config import RunConfig
from cluster.loops.fleet import RolloutFleet
from cluster.loops.parts import Parts
from cluster.loops.turns import LearnerInTurns, Turns
from cluster.run_folder import RunFolder
from cluster.starting.engine_memory import beside_cache_bytes
from cluster.starting.given_reward import GivenReward, adopt, check_given, find_bundle
from cluster.starting.keeping import on_this_node
from cluster.starting.node_rooms import NodeRooms, measured
from cluster.starting.part_stops import PartStops
from cluster.starting.policy_reading import PolicyReading
from cluster.starting.prompts import RunTexts, probe_of, read_texts
from cluster.starting.publishers import publisher_maker
from cluster.starting.ranks import RankGroup, place
from cluster.starting.remote import (
    REWARD_TRAINER,
    RemoteActor,
    RemoteLearner,
    RemoteRewardTrainer,
    said,
)
from cluster.starting.resumption import recollect
from cluster.starting.reward_face import spawn_reward_face
from cluster.starting.rollout_actors import RolloutActors
from cluster.starting.seats import Seats, replica_options, reserve_policy, reserve_trainer
from cluster.starting.session import RaySession
from cluster.starting.weight_path import check_one_gpu, transport_between
from cluster.supervision.deadlines import started_within
from cluster.supervision.restarts import Restarts
from label_queue.intake.shell import INTAKE_OPTIONS, IntakeShell
from label_queue.shell import QUEUE_OPTIONS, LabelQueueShell, RemoteLabelQueue
from learners.config import PPOConfig
from learners.shell import LearnerRank, RewardTrainerRank
from protocol.fits import RewardVersion
from protocol.messages import PolicyVersion, Prompt
from protocol.ports import ListeningPromptSource, OpenStore, RewardTrainer
from protocol.remote import Remote, spawn
from protocol.seeds import derived_seed
from reward_service.client import RewardClient
from reward_service.face import RewardFace
from reward_service.shell import AnnouncerShell, build_reward_app, connect, start_announcer

QUEUE_NAME = "label-queue"
"""Name of the label queue's actor in the run's namespace."""
ANNOUNCER_NAME = "reward-announcer"
"""Name of the reward announcer's, likewise."""
NUM_PINNED_PROMPTS = 8


class Placement:
    """All parts of one run; an async context manager that stops what it started.

    Processes come up, and import what takes long, while ρ is still being made.

    Args:
        config: The resolved config.
        folder: The run's.
        session: An open Ray session.
        policy_path: ρ, a folder.
        prepare: Called once; returns when ρ is in that folder.
        texts: What the run reads with ρ's tokenizer; None: it is read while other parts start.
        restarts: How often a part that dies may be started again.
        open_store: How a part reaches the run's folders and ρ, from wherever it is placed.
        reward: The reward version that is served from the start, of a run that goes on.
    """

    def __init__(
        self,
        config: RunConfig,
        folder: RunFolder,
        session: RaySession,
        policy_path: Path,
        prepare: Callable[[], Coroutine[Any, Any, None]],
        texts: RunTexts | None,
        restarts: Restarts,
        open_store: OpenStore,
        reward: RewardVersion | None = None,
    ) -> None:
        self._config = config
        self._folder = folder
        self._session = session
        self._policy_path = policy_path.absolute()
        self._prepare = prepare
        self._open_store = open_store
        self._texts_given = texts
        self._reward = reward
        self._restarts = restarts
        self._rooms = NodeRooms(config, measured if session.is_on_a_cluster else None)
        self._turns = Turns() if config.cluster.colocation == "turns" else None
        self._actor_ids = [f"rollout-{index}" for index in range(config.rollouts.num_actors)]
        self._stops = PartStops()
        self._removals = ExitStack()
        """Takes away what parts stand on, and the parts with it."""
        self._rollout_actors: RolloutActors
        self.texts: RunTexts
        self.parts: Parts
        self.policy: PolicyVersion
        """Version 0, as the learner published it."""
        self.labels: RemoteLabelQueue
        self.label_queue: Remote[LabelQueueShell]
        """Its process."""
        self.intake: Remote[IntakeShell]
        """The labelling face's process."""
        self.announcer: Remote[AnnouncerShell]
        self.reward_face: Remote[RewardFace]
        """The process of the reward's HTTP face."""
        self.learner: RemoteLearner | LearnerInTurns
        self._reward_trainer: RemoteRewardTrainer | None = None

    @property
    def actors(self) -> Sequence[RemoteActor]:
        """The rollout actors there are now, by index; ask anew, for they may be replaced."""
        return self._rollout_actors.actors

    async def __aenter__(self) -> Placement:
        try:
            await self._start()
        except BaseException:
            # A part that is still starting answers no call: half a minute is too long for Ctrl-C.
            self._removals.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        with self._removals:
            await self._stops.aclose()

    async def start_reward_trainer(self, reference: list[tuple[int, ...]]) -> None:
        """Give the reward trainer what it normalises on; it can fit from then on.

        Does nothing where the reward is given.

        Args:
            reference: Samples of ρ, used unless the config names texts that shall score 0.
        """
        if self._reward_trainer is None:
            return
        chosen = self.texts.normalisation
        await self._reward_trainer.start(reference if chosen is None else chosen)
        self._stops.push_async_callback(self._reward_trainer.stop)

    async def _start(self) -> None:
        # A group: when one cannot start, the others must not go on after the stack was closed.
        async with asyncio.TaskGroup() as group:
            prepared = group.create_task(self._prepare())
            pinned = group.create_task(self._read_texts(prepared))
            labels = group.create_task(self._start_label_queue())
            learner = group.create_task(self._start_policy(prepared, pinned))
            service = group.create_task(self._start_reward_service(pinned))
            trainer = group.create_task(self._place_reward_trainer(prepared))
        self.learner = learner.result()
        fleet = self._fleet(self.learner)
        if self._turns is not None:
            self.learner = LearnerInTurns(self.learner, self._turns)
        self.parts = Parts(
            prompts=self.texts.prompts,
            query_prompts=self.texts.query_prompts,
            fleet=fleet,
            learner=self.learner,
            reward_trainer=trainer.result(),
            reward_service=service.result(),
            labels=labels.result().policy_loop,
        )

    async def _read_texts(self, prepared: Awaitable[None]) -> list[Prompt]:
        """Read what is read with ρ's tokenizer; return the prompts that prove what is loaded."""
        await prepared
        texts = self._texts_given
        if texts is None:
            policy = await asyncio.to_thread(PolicyReading.of_folder, self._policy_path)
            texts = await asyncio.to_thread(read_texts, self._config, policy)
        self.texts = texts
        # A run that goes on has its blocks already, and takes no others, whatever a file holds now.
        if texts.pretraining is not None and not self._folder.pretraining.exists():
            await asyncio.to_thread(texts.pretraining.write, self._folder.pretraining)
        prompts = self.texts.query_prompts
        pinned = prompts.draw(NUM_PINNED_PROMPTS)
        if isinstance(prompts, ListeningPromptSource):
            prompts.unanswered(pinned)  # nobody is asked about these
        return pinned

    async def _start_label_queue(self) -> RemoteLabelQueue:
        options = {**QUEUE_OPTIONS, **on_this_node(), "name": QUEUE_NAME}
        queue = spawn(LabelQueueShell, "the label queue", options)(
            self._config.labels,
            run_id=self._session.run_id,
            ledger=self._config.labels.ledger_place(self._folder.ledger.resolve()),
            episodes=self._config.run.episodes,
            mode=self._config.run.mode,
            seed=self._config.run.seed,
            recall=partial(recollect, self._folder.path.resolve()),
            snapshot=self._folder.ledger_folds.resolve(),
        )
        self._stops.push_async_callback(queue.ask, LabelQueueShell.close)
        self.labels, self.label_queue = RemoteLabelQueue(queue), queue
        async with started_within(queue.who, "open its ledger"):
            await queue.ask(LabelQueueShell.start_connectors)
        await self._start_intake()
        return self.labels

    async def _start_intake(self) -> None:
        """Have the labelling face listen at this machine's loopback, and where else it is to."""
        session, options = self._session, {**INTAKE_OPTIONS, **on_this_node()}
        self.intake = spawn(IntakeShell, "the intake", options)(
            QUEUE_NAME,
            self._config.labels.intake,
            session.site,
            host=self._config.cluster.own_host,
            port=session.own_port,
            prompt_language=self._config.prompts.shown_language,
            wide=session.wide_face,
        )
        self._stops.push_async_callback(self.intake.ask, IntakeShell.stop)
        async with started_within(self.intake.who, "listen"):
            await self.intake.ask(IntakeShell.ready)

    async def _start_policy(
        self, prepared: Awaitable[None], pinned: Awaitable[list[Prompt]]
    ) -> RemoteLearner:
        """Start the learner and the rollout actors, in turns one after the other.

        The learner rests then, for vLLM begins no engine whose share of the device is not free.
        """
        of_ranks, of_actors = await reserve_policy(self._config, self._reserve)
        wanted = self._config.rollouts.weight_transport
        transport = transport_between(wanted, of_ranks.nodes[0], of_actors.nodes)
        await self._rooms.seat_policy(of_ranks.nodes, of_actors.nodes, transport)
        if self._turns is not None:
            learner = await self._start_learner(pinned, of_ranks, transport)
            await learner.rest()
            await self._start_actors(of_actors, prepared)
            return learner
        async with asyncio.TaskGroup() as both:
            both.create_task(self._start_actors(of_actors, prepared))
            started = both.create_task(self._start_learner(pinned, of_ranks, transport))
        if transport == "ipc":
            await check_one_gpu(started.result(), self.actors)
        return started.result()

    async def _start_actors(self, seats: Seats, prepared: Awaitable[None]) -> None:
        config = self._config.rollouts
        beside_cache = await asyncio.to_thread(beside_cache_bytes, self._config)

        def spawned(index: int, number: int) -> Remote[RolloutActorShell]:
            actor_id, seed = self._actor_ids[index], self._config.run.seed
            who, options = f"rollout actor {actor_id}", seats.options(index)
            return spawn(RolloutActorShell, who, options)(
                actor_id,
                str(self._policy_path),
                self._config.response,
                config,
                # No two actors of a run may draw alike, nor one that replaces another.
                derived_seed(seed, f"rollouts after {number}" if number else "rollouts", index),
                open_store=self._open_store,
                rests=self._turns is not None,
                beside_cache=beside_cache,
            )

        self._rollout_actors = RolloutActors(config.num_actors, spawned, self._restarts)
        self._stops.push_async_callback(self._rollout_actors.stop)
        await prepared
        await self._rollout_actors.start()

    def _fleet(self, pusher: RemoteLearner) -> RolloutFleet:
        fleet = RolloutFleet(
            self.actors,
            self._config.rollouts.requests_per_call,
            pusher,
            replace=self._rollout_actors.replace,
            end=self._rollout_actors.end,
            turns=self._turns,
            restarts=self._restarts,
            timeout_s=self._config.cluster.restarts.rollout_timeout_s,
        )
        self._stops.push_async_callback(fleet.close)
        return fleet

    async def _start_learner(
        self, pinned: Awaitable[list[Prompt]], seats: Seats, transport: WeightTransportName
    ) -> RemoteLearner:
        config, no_text = self._config.learner, self._config.pretraining is None
        ranks = RankGroup(
            [
                spawn(LearnerRank, "the learner", seats.options(rank))(
                    rank=rank,
                    policy=self._config.policy_at(self._policy_path),
                    ppo=self._ppo(),
                    kl=self._config.kl,
                    learner=config,
                    checkpoint_root=self._folder.policies.resolve(),
                    total_episodes=self._config.run.episodes,
                    seed=self._config.run.seed,
                    make_publisher=publisher_maker(
                        self._config, self._actor_ids, transport, self._session.run_id
                    ),
                    adapters_travel=self._config.rollouts.adapters_travel,
                    actors_dtype=self._config.rollouts.dtype,
                    pretraining=None if no_text else self._folder.pretraining.resolve(),
                    open_store=self._open_store,
                )
                for rank in range(config.num_ranks)
            ],
            self._config.cluster.restarts.step_timeout_s,
        )
        self._stops.push_async_callback(ranks.ask, LearnerRank.stop)
        host, port = await ranks.meeting_point()
        probe = probe_of(await pinned, self._config, self._policy_path)
        self.policy = said(await ranks.ask(LearnerRank.start, host, port, probe))
        return RemoteLearner(ranks)

    def _ppo(self) -> PPOConfig:
        """Return the algorithm, the critic's bundle by a path that is this folder's everywhere."""
        ppo = self._config.ppo
        if ppo.critic_path is None:
            return ppo
        return ppo.model_copy(update={"critic_path": str(Path(ppo.critic_path).absolute())})

    async def _place_reward_trainer(self, prepared: Awaitable[None]) -> RewardTrainer:
        if self._config.run.reward is not None:
            await prepared
            bundle = find_bundle(self._config.run.reward)
            pays_marks = self._config.ppo.mark_coefficient > 0
            check_given(bundle, self._policy_path, pays_marks=pays_marks)
            return GivenReward(await asyncio.to_thread(adopt, bundle, self._folder.rewards))
        config = self._config.reward_trainer
        seats = await reserve_trainer(self._config, self._reserve)
        await self._rooms.seat_trainer(seats.nodes)

        def placed() -> RankGroup[RewardTrainerRank]:
            return RankGroup(
                [
                    spawn(RewardTrainerRank, REWARD_TRAINER, seats.options(rank))(
                        rank=rank,
                        policy_path=self._policy_path,
                        model=self._config.reward_model,
                        fit=self._config.reward_fit,
                        deepspeed=config,
                        root=self._folder.rewards.resolve(),
                        open_store=self._open_store,
                    )
                    for rank in range(config.num_ranks)
                ],
                self._config.cluster.restarts.fit_timeout_s,
            )

        self._reward_trainer = RemoteRewardTrainer(
            placed, self._folder.rewards.resolve(), self._restarts
        )
        await self._reward_trainer.come_up()
        return self._reward_trainer

    async def _start_reward_service(self, pinned: Awaitable[list[Prompt]]) -> RewardClient:
        config = self._config.reward_service
        announcer = self.announcer = start_announcer(
            ANNOUNCER_NAME, config, self._reward, self._open_store, on_this_node()
        )
        build = partial(
            build_reward_app,
            announcer=announcer,
            policy_path=self._policy_path,
            validation=[prompt.token_ids for prompt in await pinned],
            config=config,
            actor_options=replica_options(self._config),
            open_store=self._open_store,
        )
        handle = await self._session.deploy(build, "reward", config.replicas)
        self.reward_face = spawn_reward_face(
            self._config, self._folder, self._session.reward_port, handle, ANNOUNCER_NAME
        )
        self._stops.push_async_callback(self.reward_face.ask, RewardFace.stop)
        async with started_within(self.reward_face.who, "listen"):
            await self.reward_face.ask(RewardFace.ready)
        return connect(handle, announcer, config, self._config.run.seed)

    async def _reserve(
        self, count: int, resources: dict[str, float], strategy: str, what: str
    ) -> PlacementGroup:
        wanted = [resources] * count
        group = await place(wanted, strategy, f"{count} {what}", self._session.nodes)
        self._removals.callback(remove_placement_group, group)
        return group
