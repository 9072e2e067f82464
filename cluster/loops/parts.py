"""The parts of a run as the controller holds them."""

from __future__ import annotations

from dataclasses import dataclass

from cluster.loops.fleet import RolloutFleet
from label_queue.sides.policy_loop import PolicyLoopSide
from protocol.ports import Learner, PromptSource, RewardService, RewardTrainer


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Everything the controller joins, each behind its port."""

    prompts: PromptSource
    query_prompts: PromptSource
    fleet: RolloutFleet
    learner: Learner
    reward_trainer: RewardTrainer
    reward_service: RewardService
    labels: PolicyLoopSide
