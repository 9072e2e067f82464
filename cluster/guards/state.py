"""What the guards remember from step to step, as a checkpoint of a run can keep it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from cluster.guards.anchor_accuracy import AnchorAccuracyState
from cluster.guards.kl_runaway import KLRunawayState
from cluster.guards.kl_sign import KLSignState
from cluster.guards.logprob_mismatch import LogprobMismatchState
from cluster.guards.score_falls import ScoreFallsState
from cluster.guards.winrate import WinrateState


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardsState:
    """Of each guard that has a memory. Plain numbers, so that JSON holds it."""

    anchor_accuracy: AnchorAccuracyState = field(default_factory=AnchorAccuracyState)
    winrate: WinrateState = field(default_factory=WinrateState)
    kl_sign: KLSignState = field(default_factory=KLSignState)
    kl_runaway: KLRunawayState = field(default_factory=KLRunawayState)
    score_falls: ScoreFallsState = field(default_factory=ScoreFallsState)
    logprob_mismatch: LogprobMismatchState = field(default_factory=LogprobMismatchState)
    num_trips: int = 0
    """How often a guard has pulled the cord."""

    def without_steps(self) -> GuardsState:
        """Return it without what policy versions have shown in their steps.

        What is known of reward versions and of ρ stays, and so do votes, which say themselves whose
        responses they are about.
        """
        return replace(
            self,
            kl_sign=KLSignState(),
            kl_runaway=KLRunawayState(),
            score_falls=self.score_falls.without_steps(),
            logprob_mismatch=LogprobMismatchState(),
        )
