"""One consistent cut through a run: taken between two steps, and put back by a resume."""

from __future__ import annotations

from cluster.guards.guards import Guards
from cluster.loops.checkpoints import RunCheckpoint, RunCheckpoints
from cluster.loops.drafting import Drafter
from cluster.loops.journal import Journal
from cluster.loops.policy_steps import PolicySteps
from cluster.loops.prompt_cursor import PromptCursor
from cluster.loops.reward_guard import RewardGuard
from cluster.loops.staleness import StalenessBound
from protocol.fault_points import reached
from protocol.messages import Rollout, RolloutRequest
from protocol.ports import Learner


class RunCut:
    """Everything of the controller that a checkpoint holds.

    Args:
        learner: Keeps its own part first.
        checkpoints: Where the rest goes.
        journal: What it has counted.
        guards: What they remember.
        bound: The rollouts under way.
        drafter: How far it is.
        prompts: How far they were read.
        reward_guard: Which reward versions may be trained on.
        steps: The policy version.
    """

    def __init__(
        self,
        learner: Learner,
        checkpoints: RunCheckpoints,
        journal: Journal,
        guards: Guards,
        *,
        bound: StalenessBound,
        drafter: Drafter,
        prompts: PromptCursor,
        reward_guard: RewardGuard,
        steps: PolicySteps,
    ) -> None:
        self._learner = learner
        self._checkpoints = checkpoints
        self._journal = journal
        self._guards = guards
        self._bound = bound
        self._drafter = drafter
        self._prompts = prompts
        self._reward_guard = reward_guard
        self._steps = steps

    async def keep(self) -> None:
        """Write a checkpoint of this moment; no step may be under way but that of who asks.

        Raises:
            ResourceError: The disk refuses; the checkpoint before stands.
        """
        policy = self._steps.policy
        # At once, before anything is waited for: the loops go on meanwhile.
        checkpoint = RunCheckpoint(
            policy_version=policy.version,
            episodes=policy.episodes,
            bound=self._bound.state_at(policy.version),
            drafter=self._drafter.state,
            num_prompts=self._prompts.num_drawn,
            trees=self._prompts.trees,
            guards=self._guards.state,
            least_reward_version=self._reward_guard.least_version,
            ledger_seq_of_reward=dict(self._steps.ledger_seq_of_reward),
            num_unscored=self._journal.num_unscored,
        )
        await self._learner.keep()
        await reached("checkpoint.learner_kept")
        self._checkpoints.write(checkpoint)

    def take_up(self, kept: RunCheckpoint) -> tuple[list[RolloutRequest], list[Rollout]]:
        """Put everything back, before anything is drawn; the bound is in force at once.

        Returns:
            What is to be drawn, and what is to be scored, each in the order of its admission.
        """
        self._prompts.resume(kept.num_prompts, kept.trees)  # first: the bound tells it of drops
        self._bound.resume(kept.bound, self._steps.policy.version)
        self._drafter.resume(kept.drafter)
        self._reward_guard.least_version = kept.least_reward_version
        self._steps.ledger_seq_of_reward |= kept.ledger_seq_of_reward
        undrawn = sorted(kept.bound.undrawn, key=lambda entry: entry[0])
        unscored = sorted(kept.bound.unscored, key=lambda entry: entry[0])
        return [request for _, request in undrawn], [rollout for _, rollout in unscored]
