"""The parts of a run with what crosses a process on record; nobody who holds them notices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from cluster.loops.fleet import RolloutFleet
from cluster.loops.parts import Parts
from cluster.recordings.crossings import GENERATE, LOAD_POLICY, without_place
from cluster.recordings.label_calls import recorded_policy_loop
from cluster.recordings.ports import (
    RecordedLearner,
    RecordedRewardService,
    RecordedRewardTrainer,
    itself,
)
from cluster.recordings.recorder import Recorder
from protocol.messages import PolicyVersion, Rollout, RolloutRequest


class RecordedFleet(RolloutFleet):
    """All rollout actors as one, on record.

    Args:
        fleet: Does the work.
        recorder: Writes it down.
    """

    def __init__(self, fleet: RolloutFleet, recorder: Recorder) -> None:
        self._fleet = fleet
        self._recorder = recorder

    async def generate(self, requests: Sequence[RolloutRequest]) -> list[Rollout]:
        """See `RolloutFleet`."""
        asked = tuple(requests)
        return await self._recorder.through(
            GENERATE, asked, lambda: self._fleet.generate(requests), tuple
        )

    async def wait_for_version(self, version: int) -> None:
        """See `RolloutFleet`; nothing crosses a process."""
        await self._fleet.wait_for_version(version)

    async def load_policy(self, policy: PolicyVersion) -> float:
        """See `RolloutFleet`."""
        return await self._recorder.through(
            LOAD_POLICY, without_place(policy), lambda: self._fleet.load_policy(policy), itself
        )

    async def rest(self) -> None:
        """See `RolloutFleet`; a replay has no device to share."""
        await self._fleet.rest()

    async def wake(self) -> None:
        """See `RolloutFleet`; a replay has no device to share."""
        await self._fleet.wake()

    async def close(self) -> None:
        """See `RolloutFleet`; nothing crosses a process."""
        await self._fleet.close()


def recorded(parts: Parts, recorder: Recorder | None) -> Parts:
    """Return the parts with what crosses them on record; without a recorder, as they are."""
    if recorder is None:
        return parts
    return replace(
        parts,
        fleet=RecordedFleet(parts.fleet, recorder),
        learner=RecordedLearner(parts.learner, recorder),
        reward_trainer=RecordedRewardTrainer(parts.reward_trainer, recorder),
        reward_service=RecordedRewardService(parts.reward_service, recorder),
        labels=recorded_policy_loop(parts.labels, recorder),
    )
