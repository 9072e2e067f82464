"""The rollout worker: requests in, rollouts out, weights changed on the way, and proved.

Plain Python over the engine port; `actors.shell` puts it on Ray.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence

from actors.config import ResponseConfig, RolloutConfig
from actors.engine import Engine
from actors.probing import differences_of, largest, why_refused
from actors.response import end_rule
from actors.weights import Weights, open_weights, tensor_names
from protocol.ending import EndRule
from protocol.errors import EngineDied, InputError, MissingError, ProbeMismatch, VersionError
from protocol.logs import logger_of
from protocol.low_rank import is_low_rank
from protocol.messages import ActorStats, PolicyVersion, Probe, Rollout, RolloutRequest

_log = logger_of("rollout_actor")

ROLLOUTS_REMEMBERED = 4096
"""How many answers are kept for requests that come again."""


class RolloutWorker:
    """One generation engine (see `protocol.ports.RolloutActor`).

    No rollout leaves while a weight load is under way, or after one that failed: what a caller
    gets was drawn under weights that were proved.
    """

    def __init__(
        self,
        actor_id: str,
        engine: Engine,
        response: ResponseConfig,
        config: RolloutConfig,
        *,
        clock: Callable[[], float],
    ) -> None:
        """Take the parts; `start` does the work.

        Args:
            actor_id: E.g. "rollout-0".
            engine: Not yet started.
            response: Where responses end.
            config: Of the rollout actors.
            clock: Unix seconds.
        """
        self._actor_id = actor_id
        self._engine = engine
        self._response = response
        self._config = config
        self._clock = clock
        self._end_rule: EndRule | None = None
        self._answers: OrderedDict[str, asyncio.Task[Rollout]] = OrderedDict()
        self._loading = asyncio.Lock()
        self._version = 0
        self._difference: float | None = None
        self._proved: Probe | None = None
        self._failure: Exception | None = None
        self._is_resting = False
        self._started_at = clock()
        self._busy_since = 0.0
        self._busy_s = 0.0
        self._num_in_flight = 0
        self._num_rollouts = 0
        self._num_tokens = 0
        self._num_loads = 0
        self._load_s = 0.0

    async def start(self) -> None:
        """Start the engine and find the tokens that end responses. Called again it does nothing.

        Raises:
            UserError: The model, the config or the machine's memory does not allow it.
        """
        async with self._loading:
            if self._end_rule is None:
                await self._start()

    async def _start(self) -> None:
        await self._engine.start()
        self._end_rule = end_rule(
            self._response,
            model_end_ids=self._engine.end_token_ids,
            ids_reading=self._engine.ids_reading,
        )
        self._started_at = self._clock()

    async def generate(self, requests: Sequence[RolloutRequest]) -> list[Rollout]:
        """Draw one response a request, in order. Does not block other calls.

        A `rollout_id` seen before gets its first answer, drawn or still being drawn.

        Raises:
            InputError: A prompt that the model's context or vocabulary does not hold.
            IntegrityError: The engine died, or holds weights that were not proved.
        """
        tasks = [self._answer(request) for request in requests]
        # A caller that goes away must not end a draw that another caller may be waiting for.
        return list(await asyncio.gather(*(asyncio.shield(task) for task in tasks)))

    async def load_policy(self, policy: PolicyVersion) -> float:
        """Take new weights in flight and prove them; return the probe's largest difference, nats.

        Blocks until proved, while generation goes on. The version already loaded is not loaded
        again (the model the engine started with is version 0, proved when first announced). An
        engine that rests is woken, the new weights before its cache, and proved in any case.

        Raises:
            VersionError: The version is older than the one loaded.
            BundleCorrupt: The bytes are not those announced; the version loaded stays.
            MissingError: They are no longer published; the version loaded stays.
            EngineDied: They went as the engine took them up, or it died.
            ProbeMismatch: The engine's log-probabilities are not the learner's. From then on
                every call raises it.
        """
        # A caller that goes away must not leave the weights half loaded.
        return await asyncio.shield(asyncio.create_task(self._take(policy)))

    async def rest(self) -> None:
        """Have the engine finish and give its device's memory back until the next `load_policy`.

        Blocks until it is given back; called again it does nothing. What comes to be drawn
        meanwhile waits.

        Raises:
            IntegrityError: The engine died, or holds weights that were not proved.
        """
        await asyncio.shield(asyncio.create_task(self._rest()))

    def stats(self) -> ActorStats:
        """Return what the worker did since it started."""
        now = self._clock()
        running_s = now - self._busy_since if self._num_in_flight else 0.0
        return ActorStats(
            actor_id=self._actor_id,
            policy_version=self._version,
            num_rollouts=self._num_rollouts,
            num_tokens=self._num_tokens,
            num_in_flight=self._num_in_flight,
            uptime_s=now - self._started_at,
            busy_s=self._busy_s + running_s,
            num_loads=self._num_loads,
            load_s=self._load_s,
        )

    async def stop(self) -> None:
        """End the engine and its processes. May be called twice."""
        await self._engine.stop()

    def _answer(self, request: RolloutRequest) -> asyncio.Task[Rollout]:
        task = self._answers.get(request.rollout_id)
        if task is None:
            task = asyncio.create_task(self._draw(request))
            task.add_done_callback(lambda done: self._forget_failed(request.rollout_id, done))
            self._answers[request.rollout_id] = task
            self._forget_oldest()
        return task

    def _forget_failed(self, rollout_id: str, task: asyncio.Task[Rollout]) -> None:
        """Let a request whose draw failed be tried again."""
        if task.cancelled() or task.exception() is not None:
            self._answers.pop(rollout_id, None)

    def _forget_oldest(self) -> None:
        while len(self._answers) > ROLLOUTS_REMEMBERED:
            oldest, task = next(iter(self._answers.items()))
            if not task.done():
                return
            del self._answers[oldest]

    async def _draw(self, request: RolloutRequest) -> Rollout:
        self._check_fits(request)
        rule = self._end_rule
        assert rule is not None, "start() first"
        started_at = self._begin()
        try:
            sample = await self._engine.sample(
                request.rollout_id,
                request.prompt.token_ids,
                request.sampling,
                stop_token_ids=rule.marker_ids if rule.mode == "end_token" else frozenset(),
            )
        finally:
            finished_at = self._end()
        async with self._loading:
            if self._failure is not None:
                raise self._failure
        ending = rule.find(sample.token_ids)
        self._num_rollouts += 1
        self._num_tokens += len(sample.token_ids)
        return Rollout(
            rollout_id=request.rollout_id,
            prompt=request.prompt,
            purpose=request.purpose,
            sampling=request.sampling,
            token_ids=sample.token_ids,
            behavior_logprobs=sample.logprobs,
            policy_versions=sample.policy_versions,
            num_kept=ending.num_kept,
            is_complete=ending.is_complete,
            finish_reason=ending.finish_reason,
            text=self._engine.decode(rule.shown(sample.token_ids[: ending.num_kept])),
            actor_id=self._actor_id,
            started_at=started_at,
            finished_at=finished_at,
        )

    def _check_fits(self, request: RolloutRequest) -> None:
        num_prompt, num_response = len(request.prompt.token_ids), request.sampling.max_tokens
        if num_prompt == 0:
            raise InputError(f"prompt {request.prompt.prompt_id} is empty: give it some text")
        if num_prompt + num_response > self._engine.context_length:
            raise InputError(
                f"prompt {request.prompt.prompt_id} of {num_prompt} tokens and a response of "
                f"{num_response} exceed the model's context of {self._engine.context_length}: "
                "shorten the prompt or response.max_tokens"
            )

    def _begin(self) -> float:
        now = self._clock()
        if self._num_in_flight == 0:
            self._busy_since = now
        self._num_in_flight += 1
        return now

    def _end(self) -> float:
        now = self._clock()
        self._num_in_flight -= 1
        if self._num_in_flight == 0:
            self._busy_s += now - self._busy_since
        return now

    async def _take(self, policy: PolicyVersion) -> float:
        async with self._loading:
            if self._failure is not None:
                raise self._failure
            if policy.version < self._version:
                raise VersionError(
                    f"{self._actor_id} holds policy version {self._version} "
                    f"and was told to load {policy.version}"
                )
            if policy.version > self._version or self._difference is None or self._is_resting:
                self._difference = await self._load(policy)
            return self._difference

    async def _rest(self) -> None:
        async with self._loading:
            if self._failure is not None:
                raise self._failure
            if self._is_resting:
                return
            try:
                await self._engine.rest()
            except Exception as error:
                self._failure = error  # whether it rests is unknown from here on
                raise
            self._is_resting = True

    async def _load(self, policy: PolicyVersion) -> float:
        began = self._clock()
        weights: Weights | None = None
        if policy.version > self._version:
            weights = await open_weights(policy, self._actor_id)
        try:
            if self._is_resting:
                await self._engine.wake_weights()
            if weights is not None:
                await self._engine.load(policy.version, weights)
            if self._is_resting:
                await self._engine.wake()
                self._is_resting = False
            difference = await self._probe(policy, weights)
        except MissingError as error:
            self._failure = EngineDied(
                f"policy version {policy.version} went as {self._actor_id} took it up, whose "
                "engine holds a part of it"
            )
            raise self._failure from error
        except Exception as error:
            self._failure = error  # the engine's weights are unknown from here on
            raise
        self._version = policy.version
        self._num_loads += weights is not None
        self._load_s += self._clock() - began
        _log.debug("policy loaded", version=policy.version, difference=difference)
        return difference

    async def _probe(self, policy: PolicyVersion, weights: Weights | None) -> float:
        """Score the probe with the engine and compare with the learner's own figures."""
        probe = policy.probe
        num_tokens = min(len(probe.token_ids), self._engine.context_length - 1)
        scored = await self._engine.score(probe.token_ids[:num_tokens])
        before = None if weights is None else self._proved
        refused = why_refused(scored, probe, before, self._config)
        if refused is None:
            self._proved = probe
            return largest(differences_of(scored, probe))
        raise ProbeMismatch(
            f"{self._actor_id} after loading policy version {policy.version}: log-probabilities "
            f"differ from the learner's {refused}; {await _likely_cause(weights)}"
        )


async def _likely_cause(weights: Weights | None) -> str:
    names = frozenset() if weights is None else await tensor_names(weights)
    if names and "lm_head.weight" not in names and not is_low_rank(names):
        return (
            "the weights hold no lm_head.weight, so the engine kept its old output head: "
            "publish it, tied embeddings or not"
        )
    return "the engine runs another model, dtype or weights than the learner"
