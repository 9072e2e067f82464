"""The policy loop's way to a score: whole batches, one reward version each, retried with jitter."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Awaitable, Callable, Sequence

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt

from protocol.errors import AndonError, ScoringFailed, SwapTimedOut, TransientError
from protocol.fits import RewardVersion
from protocol.logs import logger_of
from protocol.messages import Score
from protocol.retrying import Backoff
from reward_service.buckets import BatchLimits, buckets
from reward_service.config import RewardServiceConfig

Submit = Callable[[list[tuple[int, ...]]], Awaitable[list[Score]]]
"""Scores one request; raises TransientError for what may be tried again."""
Announce = Callable[[RewardVersion], Awaitable[None]]
"""Returns when every live replica serves the version."""
Withdraw = Callable[[RewardVersion, AndonError], Awaitable[None]]
"""Withdraws a version that is not served, and notes why."""

_FIRST_PAUSE_S = 0.1
"""The longest pause before the first retry."""
_LONGEST_PAUSE_S = 5.0

_log = logger_of("reward_client")


class RewardClient:
    """A `protocol.ports.Scorer` in front of the reward service."""

    def __init__(
        self,
        *,
        submit: Submit,
        announce: Announce,
        withdraw: Withdraw,
        config: RewardServiceConfig,
        rng: random.Random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Connect nothing yet.

        Args:
            submit: One request to one replica, e.g. through a deployment handle.
            announce: One swap, e.g. through the announcer.
            withdraw: One withdrawal, likewise.
            config: Batch sizes, timeouts and retries.
            rng: Draws the jitter.
            sleep: Waits that many seconds.
        """
        self._submit = submit
        self._announce = announce
        self._withdraw = withdraw
        self._config = config
        # From 0 on ("full jitter"), so that clients do not march.
        self._backoff = Backoff(
            first_s=_FIRST_PAUSE_S, longest_s=_LONGEST_PAUSE_S, rng=rng, least=0.0
        )
        self._sleep = sleep
        self._swapped_in: RewardVersion | None = None
        """The newest version of which a swap has returned."""
        self._refused: set[int] = set()
        """Versions that one replica refused, and that another may have for a moment yet."""

    async def score(self, sequences: Sequence[Sequence[int]]) -> list[Score]:
        """Score token sequences, one answer each, in order, all of one reward version.

        Sequences go out in as many requests as there are replicas, or more if those would pass the
        batch limits. Requests that failed, and those answered by an older version because a swap
        went by, are sent again after a pause. No answer is of an older version than was swapped in
        here before the call: a replica that was silent for so long that a swap did not wait for it
        goes on answering until it hears of the new one. Nor is any of a version that was refused.
        Where such an answer comes, or none, the version is announced again before the next attempt:
        if the announcer and all replicas were lost at once, nobody else knows of it. Safe to call
        again, and concurrently.

        Raises:
            ScoringFailed: Still no answer of one version after the last retry.
            InputError: A sequence the reward model cannot score.
            NotFinite: A score came out as NaN or infinity.
        """
        requests = self._split(sequences)
        answers: list[list[Score]] = [[] for _ in requests]
        waiting = list(range(len(requests)))
        max_attempts = self._config.retries + 1
        oldest = self._oldest
        retrying = AsyncRetrying(
            sleep=self._sleep,
            wait=self._backoff,
            stop=stop_after_attempt(max_attempts),
            retry=retry_if_exception_type(ScoringFailed),
            reraise=True,
        )
        async for attempt in retrying:
            with attempt:
                results = await asyncio.gather(
                    *(self._attempt([tuple(sequences[i]) for i in requests[r]]) for r in waiting)
                )
                for request, result in zip(waiting, results, strict=True):
                    answers[request] = result
                versions = [_version(answer) for answer in answers]
                newest = max([oldest, *versions])
                waiting = [r for r, version in enumerate(versions) if version < newest]
                if waiting:
                    if min(versions) < oldest:
                        await self._announce_again()
                    raise ScoringFailed(
                        f"{len(waiting)} of {len(requests)} requests got no score of one reward "
                        f"version in {max_attempts} attempts"
                    )
        return _in_order(requests, answers)

    async def swap(self, version: RewardVersion) -> None:
        """Have the service take a version; return when every live replica serves it.

        Safe to call again with the same version.

        Raises:
            SwapTimedOut: The replicas did not all take it in time; the announcement stands.
            VersionError: The version is older than the one served.
            IntegrityError: The version was refused; the service goes on with the old one.
        """
        try:
            async with asyncio.timeout(self._config.swap_timeout_s):
                await self._announce(version)
            if version.version >= self._oldest:
                self._swapped_in = version
        except TransientError:
            raise
        except AndonError:
            if version.version > self._oldest:
                self._refused.add(version.version)
            raise
        except TimeoutError as error:
            raise SwapTimedOut(
                f"reward version {version.version} is not served by every replica after "
                f"{self._config.swap_timeout_s} s"
            ) from error

    async def withdraw(self, version: RewardVersion, why: AndonError) -> None:
        """Have nobody go on from a version that was never asked for; one that is served stays.

        Safe to call again.
        """
        await self._withdraw(version, why)

    @property
    def _oldest(self) -> int:
        """The oldest version that may answer now; there is none before the first."""
        return 1 if self._swapped_in is None else self._swapped_in.version

    async def _announce_again(self) -> None:
        """Return once a replica serves what was swapped in, or after as long as one attempt has.

        An announcer that knows of it answers at once; a newer one than this may be there by now.
        """
        if self._swapped_in is None:
            return
        try:
            async with asyncio.timeout(self._config.timeout_s):
                await self._announce(self._swapped_in)
        except (AndonError, TimeoutError) as error:
            version = self._swapped_in.version
            _log.warning("not_announced_again", reward_version=version, error=repr(error))

    def _split(self, sequences: Sequence[Sequence[int]]) -> list[list[int]]:
        """Return the indices of each request's sequences: work for every replica, within limits."""
        share = math.ceil(len(sequences) / self._config.replicas)
        limits = BatchLimits(
            max_tokens=self._config.max_batch_tokens,
            max_sequences=min(self._config.max_batch_size, share),
        )
        return buckets([len(sequence) for sequence in sequences], limits)

    async def _attempt(self, request: list[tuple[int, ...]]) -> list[Score]:
        """Return a request's scores, or nothing if it failed in a way that may pass."""
        try:
            async with asyncio.timeout(self._config.timeout_s):
                answer = await self._submit(request)
            return [] if _version(answer) in self._refused else answer
        except (TransientError, TimeoutError) as error:
            _log.warning("scoring_attempt_failed", sequences=len(request), error=repr(error))
            return []


def _version(answer: list[Score]) -> int:
    """Return the one version of a request's answer, 0 for no answer."""
    return answer[0].reward_version if answer else 0


def _in_order(requests: list[list[int]], answers: list[list[Score]]) -> list[Score]:
    """Undo the split: one score a sequence, in the caller's order."""
    scores = {
        index: score
        for request, answer in zip(requests, answers, strict=True)
        for index, score in zip(request, answer, strict=True)
    }
    return [scores[index] for index in range(len(scores))]
