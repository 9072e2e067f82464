"""The reward service on Ray: the announcer's actor, the Serve deployment, and their client.

Torch is imported where a model lives, in the replica: the announcer and the driver that imports
this module do without.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ray import serve
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException

from protocol.errors import ActorDied, AndonError, NotFinite, ScoringFailed, SwapFailed
from protocol.fits import RewardVersion
from protocol.folders import TOKENIZER_FILES, FoldersHere
from protocol.gathering import Gathered, Outcome, outcome_of
from protocol.logs import logger_of
from protocol.messages import Score
from protocol.ports import OpenStore
from protocol.remote import Remote, StartedAgain, raised_as_itself, spawn
from protocol.tokenizing import PolicyTokenizer
from reward_service.announcer import Announcer
from reward_service.buckets import BatchLimits
from reward_service.client import RewardClient
from reward_service.config import RewardServiceConfig
from reward_service.retention import retire_bundles, withdraw_bundle
from reward_service.serve_patch import keep_replica_off_other_interfaces

_POLLS_PER_HEARTBEAT = 4
"""Polls within `heartbeat_timeout_s`: with several, one lost poll does not make a replica look
dead."""

T = TypeVar("T")

_log = logger_of("reward_service")


class AnnouncerShell(StartedAgain):
    """The announcer as an async actor: adds time limits to its waits and a clock that forgets."""

    def __init__(
        self,
        config: RewardServiceConfig,
        served: RewardVersion | None,
        open_store: OpenStore = FoldersHere,
    ) -> None:
        self._config = config
        self._open_store = open_store
        self._announcer = Announcer(
            heartbeat_timeout_s=config.heartbeat_timeout_s,
            now=time.monotonic,
            served=served,
            note_withdrawn=self._note_withdrawn,
        )
        self._forgetting: asyncio.Task[None] | None = None

    async def served(self) -> RewardVersion | None:
        """Return the version that every live replica proved. Does not block."""
        return self._announcer.served

    async def replicas(self) -> dict[str, int]:
        """Return the live replicas and the version each serves. Does not block."""
        return self._announcer.replicas

    async def standing(self) -> dict[str, Any]:
        """Return what is announced, and who serves what. Does not block."""
        return self._announcer.standing()

    async def next_version(
        self, replica_id: str, loaded: RewardVersion | None
    ) -> RewardVersion | None:
        """Long-poll for a version newer than `loaded`; None when it is time to poll again.

        Blocks for up to a quarter of the heartbeat timeout. May be called twice.
        """
        try:
            async with asyncio.timeout(self._config.heartbeat_timeout_s / _POLLS_PER_HEARTBEAT):
                return await self._announcer.next_version(replica_id, loaded)
        except TimeoutError:
            return None

    async def at_work(self, replica_id: str) -> None:
        """Renew a replica's heartbeat. Does not block; may be called twice."""
        self._announcer.at_work(replica_id)

    async def failed(self, version: int, error: AndonError) -> None:
        """Withdraw a version a replica could not take. Does not block; may be called twice."""
        _log.error("reward_version_withdrawn", reward_version=version, error=repr(error))
        await self._announcer.failed(version, error)

    async def withdraw(self, version: RewardVersion, why: AndonError) -> None:
        """Withdraw a version as `Announcer.withdraw`, noted in its bundle. May be called twice."""
        _log.error("reward_version_withdrawn", reward_version=version.version, error=repr(why))
        await self._announcer.withdraw(version, why)

    async def swap(self, announced: RewardVersion) -> None:
        """Block until every live replica serves the version; then retire old bundles.

        May be called twice. Raises as `Announcer.swap`; that a version is withdrawn is noted in its
        bundle first, so that neither its trainer nor a run that is resumed goes on from it. What
        retiring meets is logged, since the version is served, and the next swap retires again.
        """
        if self._forgetting is None:
            self._forgetting = asyncio.create_task(self._forget())
        await self._announcer.swap(announced)
        if self._config.keep_versions is not None:
            root = Path(announced.path).parent
            try:
                await asyncio.to_thread(self._retire, root, self._config.keep_versions)
            except (AndonError, OSError):
                _log.exception("reward_versions_not_retired", root=str(root))

    def _note_withdrawn(self, announced: RewardVersion, why: AndonError) -> None:
        try:
            withdraw_bundle(Path(announced.path), why, self._open_store())
        except (AndonError, OSError):  # whoever waits for the swap is to hear why it failed
            _log.exception("withdrawal_not_noted", reward_version=announced.version)

    def _retire(self, root: Path, keep: int) -> None:
        retire_bundles(root, keep, self._open_store())

    async def _forget(self) -> None:
        while True:
            await asyncio.sleep(self._config.heartbeat_timeout_s / _POLLS_PER_HEARTBEAT)
            await self._announcer.forget_silent()


@dataclass(frozen=True, slots=True, kw_only=True)
class _ScoringRequest:
    """One call's sequences, as they wait for a batch."""

    sequences: Sequence[Sequence[int]]
    cost: int
    """How much of `max_batch_size` the call takes, as `_cost` counts it."""


def _cost(sequences: Sequence[Sequence[int]], config: RewardServiceConfig) -> int:
    """Return how much of a batch's `max_batch_size` sequences a request takes.

    Its sequences, or its share of the token budget if that is more; never above a whole batch, so
    that a larger request makes a batch by itself.
    """
    tokens = sum(len(sequence) for sequence in sequences)
    share = math.ceil(tokens * config.max_batch_size / config.max_batch_tokens)
    return min(config.max_batch_size, max(len(sequences), share))


class RewardReplica:
    """One process with a whole reward model, called by deployment handle."""

    async def __init__(  # type: ignore[misc]  # Serve awaits a deployment's constructor
        self,
        announcer: Remote[AnnouncerShell],
        policy_path: str,
        validation: Sequence[Sequence[int]],
        config: RewardServiceConfig,
        device: str,
        open_store: OpenStore,
    ) -> None:
        """Load the version in service, if there is one, and begin to watch for newer ones."""
        import torch

        from reward_service.hot_swap import LiveModel
        from reward_service.pretrained import load_tokenizer

        keep_replica_off_other_interfaces()
        torch.set_num_threads(config.torch_threads)
        self._config = config
        self._announcer = announcer
        store = await asyncio.to_thread(open_store)
        policy = await asyncio.to_thread(store.fetch, Path(policy_path), TOKENIZER_FILES)
        self._tokenizer = PolicyTokenizer(load_tokenizer(policy))
        self._live = LiveModel(
            validation,
            BatchLimits(max_tokens=config.max_batch_tokens, max_sequences=config.max_batch_size),
            torch.device(device),
            getattr(torch, config.dtype),
            store,
        )
        self._gathered = Gathered(
            self._score_batch, most=config.max_batch_size, cost=lambda request: request.cost
        )
        served = await announcer.ask(AnnouncerShell.served)
        if served is not None:
            await asyncio.to_thread(self._live.swap, served)
        self._watching = asyncio.create_task(self._watch())

    async def check_health(self) -> None:
        """Raise if the watch for new versions has ended; Serve then replaces this replica."""
        if self._watching.done():
            self._watching.result()

    async def score(self, sequences: Sequence[Sequence[int]]) -> list[Score]:
        """Score the token sequences of one request, all with one reward version.

        Does not block other calls: those that come during a forward pass share the next. May be
        called twice.

        Raises:
            InputError: A sequence the model cannot score.
            ScoringFailed: No version is served yet.
            NotFinite: A score is NaN or infinity.
        """
        self._live.check(sequences)
        request = _ScoringRequest(sequences=sequences, cost=_cost(sequences, self._config))
        scores: list[Score] = await self._gathered.ask(request)
        return scores

    async def score_texts(self, requests: Sequence[Sequence[str]]) -> list[Outcome]:
        """Score the texts of several requests; return what became of each: its scores, or an error.

        Control tokens are written out in the texts. Blocks and raises, for each request, as
        `score`. May be called twice.
        """
        return await asyncio.gather(*(outcome_of(self._score_texts(texts)) for texts in requests))

    async def _score_texts(self, texts: Sequence[str]) -> list[Score]:
        return await self.score([self._tokenizer.rendered_ids(t, where="query") for t in texts])

    async def _score_batch(self, requests: Sequence[_ScoringRequest]) -> list[Outcome]:
        # In a thread, so that the loop goes on taking requests and polls while torch computes.
        answers = await asyncio.to_thread(self._live.score, [r.sequences for r in requests])
        return [
            Outcome(error=answer) if isinstance(answer, NotFinite) else Outcome(answer=answer)
            for answer in answers
        ]

    async def _watch(self) -> None:
        """Take each version that is announced; poll for the next with the one that is live."""
        replica_id = serve.get_replica_context().replica_id.unique_id
        while True:
            announced = await self._announcer.ask(
                AnnouncerShell.next_version, replica_id, self._live.version
            )
            if announced is None:
                continue
            try:
                await self._take_in(replica_id, announced)
                _log.info("reward_version_live", reward_version=announced.version)
            except Exception as error:
                served = await self._announcer.ask(AnnouncerShell.served)
                if served is not None and served.version == announced.version:
                    raise  # others serve it: this replica is at fault, and Serve replaces it
                if isinstance(error, AndonError):
                    await self._announcer.ask(AnnouncerShell.failed, announced.version, error)
                    continue
                # Whatever it is, a replica in this one's place would meet it again, and whoever
                # announced the version must hear of it.
                _log.exception("reward_version_not_taken", reward_version=announced.version)
                told = SwapFailed(
                    f"a reward replica cannot take in reward version {announced.version}: "
                    f"{type(error).__name__}: {error}"
                )
                await self._announcer.ask(AnnouncerShell.failed, announced.version, told)

    async def _take_in(self, replica_id: str, announced: RewardVersion) -> None:
        """Swap in a thread, and say meanwhile that this replica is alive: it does not poll."""
        live = self._live.version
        is_older = live is not None and announced.version < live.version
        take = self._live.go_back if is_older else self._live.swap
        swapping = asyncio.create_task(asyncio.to_thread(take, announced))
        pause_s = self._config.heartbeat_timeout_s / _POLLS_PER_HEARTBEAT
        while not (await asyncio.wait({swapping}, timeout=pause_s))[0]:
            await self._announcer.ask(AnnouncerShell.at_work, replica_id)
        await swapping


def start_announcer(
    name: str,
    config: RewardServiceConfig,
    served: RewardVersion | None = None,
    open_store: OpenStore = FoldersHere,
    actor_options: Mapping[str, Any] | None = None,
) -> Remote[AnnouncerShell]:
    """Start the announcer of a run as a named actor of the current namespace.

    Args:
        name: E.g. "reward-announcer".
        config: Heartbeats, and how many bundles are kept.
        served: The version to begin with; None: none yet.
        open_store: How it reaches the bundles, which it retires.
        actor_options: Where it runs; None: wherever Ray has room.
    """
    # All its methods may be called twice, and replicas tell a restarted one where the run is.
    options = {"name": name, "num_cpus": 0, "max_restarts": -1, "max_task_retries": -1}
    options |= actor_options or {}
    return spawn(AnnouncerShell, "the reward announcer", options)(config, served, open_store)


def build_reward_app(
    *,
    announcer: Remote[AnnouncerShell],
    policy_path: Path,
    validation: Sequence[Sequence[int]],
    config: RewardServiceConfig,
    actor_options: Mapping[str, Any],
    open_store: OpenStore = FoldersHere,
) -> serve.Application:
    """Return the Serve application, for `serve.run(app, name="reward", route_prefix=None)`.

    No route leads to it: over HTTP it is found at `reward_service.face`.

    Args:
        announcer: What `start_announcer` returned.
        policy_path: The reference policy's folder, for its tokenizer.
        validation: Pinned token sequences, prompt and response, every version must score finitely.
        config: Replicas, batches, timeouts.
        actor_options: Of each replica's actor, e.g. {"num_cpus": 1}; with "num_gpus" it scores on
            one, else on the CPU, whatever GPUs it sees.
        open_store: How a replica reaches the policy's folder and the bundles.
    """
    deployment = serve.deployment(
        name="RewardReplica",
        num_replicas=config.replicas,
        max_ongoing_requests=config.max_ongoing_requests,
        ray_actor_options=dict(actor_options),
        logging_config={"enable_access_log": False},
    )(RewardReplica)
    device = "cuda" if actor_options.get("num_gpus") else "cpu"
    return deployment.bind(
        *(announcer, str(policy_path.resolve()), validation, config, device, open_store)
    )


async def answered(call: Awaitable[T]) -> T:
    """Wait for a replica's answer; raise what it raised as itself.

    ScoringFailed where none comes.
    """
    try:
        with raised_as_itself("the reward replica"):
            return await call
    except (ActorDied, RayError, RayServeException) as error:
        raise ScoringFailed(f"the reward service did not answer: {error}") from error


def connect(
    handle: Any, announcer: Remote[AnnouncerShell], config: RewardServiceConfig, seed: int
) -> RewardClient:
    """Return a client of a running service.

    Args:
        handle: What `serve.run` returned.
        announcer: What `start_announcer` returned.
        config: The same the service was built with.
        seed: Of the jitter between retries.
    """

    async def submit(sequences: list[tuple[int, ...]]) -> list[Score]:
        scores: list[Score] = await answered(handle.score.remote(sequences))
        return scores

    async def announce(version: RewardVersion) -> None:
        await announcer.ask(AnnouncerShell.swap, version)

    async def withdraw(version: RewardVersion, why: AndonError) -> None:
        await announcer.ask(AnnouncerShell.withdraw, version, why)

    return RewardClient(
        submit=submit,
        announce=announce,
        withdraw=withdraw,
        config=config,
        rng=random.Random(seed),
    )
