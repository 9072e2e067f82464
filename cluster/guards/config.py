"""What can be set about the guards: `[guards.kl_sign]` and so on, each in its guard's module."""

from __future__ import annotations

from cluster.guards.anchor_accuracy import AnchorAccuracyConfig
from cluster.guards.kl_runaway import KLRunawayConfig
from cluster.guards.kl_sign import KLSignConfig
from cluster.guards.logprob_mismatch import LogprobMismatchConfig
from cluster.guards.not_finite import NotFiniteConfig
from cluster.guards.nothing_to_ask import NothingToAskConfig
from cluster.guards.reward_turned import RewardTurnedConfig
from cluster.guards.score_falls import ScoreFallsConfig
from cluster.guards.winrate import WinrateConfig
from protocol.settings import Settings


class GuardsConfig(Settings):
    """All guards; each is switched off by its own `is_on = false`."""

    anchor_accuracy: AnchorAccuracyConfig = AnchorAccuracyConfig()
    winrate: WinrateConfig = WinrateConfig()
    kl_sign: KLSignConfig = KLSignConfig()
    kl_runaway: KLRunawayConfig = KLRunawayConfig()
    score_falls: ScoreFallsConfig = ScoreFallsConfig()
    reward_turned: RewardTurnedConfig = RewardTurnedConfig()
    not_finite: NotFiniteConfig = NotFiniteConfig()
    nothing_to_ask: NothingToAskConfig = NothingToAskConfig()
    logprob_mismatch: LogprobMismatchConfig = LogprobMismatchConfig()
