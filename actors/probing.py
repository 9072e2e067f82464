"""Whether an engine's log-probabilities are those of the learner's weights: the probe's judgement.

In float32 the two agree to a millionth, and one token that differs by more than
`rollouts.probe_tolerance` is a fault. In a type of fewer digits no single token tells anything: two
sound programs differ by as much as rounding costs the model, which the learner measures on itself
and announces. Then the probe is judged as a whole: by the mean and by nine tokens in ten, and by
whether the version before would explain better what the engine says.

P tokens; differences are of tokens 1 … P−1.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from actors.config import RolloutConfig
from protocol.messages import Probe

SURE = 5.0
"""Standard errors by which the version before must be the better explanation; by chance it is in
one of 3 million loads at most."""
_MOST = 0.9
"""The share of tokens whose largest difference is judged beside the mean."""


def largest(differences: Sequence[float]) -> float:
    """Return the largest of absolute differences; NaN is larger than all."""
    return max(differences, key=lambda each: math.inf if math.isnan(each) else each)


def differences_of(scored: Sequence[float], probe: Probe) -> list[float]:
    """Return by how much an engine's log-probabilities differ from the learner's, nats.

    Args:
        scored: The engine's, of the probe or as much of it as its context holds.
        probe: As it was announced.
    """
    expected = probe.logprobs[: len(scored)]
    return [abs(ours - theirs) for ours, theirs in zip(scored, expected, strict=True)]


def why_refused(
    scored: Sequence[float], probe: Probe, before: Probe | None, config: RolloutConfig
) -> str | None:
    """Say how an engine differs from the learner; None where it does as two sound ones do.

    Args:
        scored: The engine's log-probabilities, of the probe or as much as its context holds.
        probe: As it was announced with the weights.
        before: As it was announced with the weights that the engine had before; None: not known.
        config: What is allowed.
    """
    differences = differences_of(scored, probe)
    worst = largest(differences)
    if worst <= config.probe_tolerance:
        return None
    if not probe.rounded or not math.isfinite(worst):
        return (
            f"by {worst:.3g} nats at token {differences.index(worst) + 1} of the probe, "
            f"{config.probe_tolerance:g} is allowed"
        )
    rounding = probe.rounding[: len(scored)]
    factor, slack = config.probe_factor, config.probe_tolerance
    for name, figure in (("on average", statistics.fmean), ("at one token in ten", _most)):
        found, moved = figure(differences), figure(rounding)
        if found > slack + factor * moved:
            return (
                f"by {found:.3g} nats {name} of the probe, rounding moves the learner's own by "
                f"{moved:.3g} and {factor:g} times that is allowed"
            )
    if before is not None and _explains_better(scored, before, probe):
        return "as those of the version before do: the load changed nothing"
    return None


def _most(figures: Sequence[float]) -> float:
    return sorted(figures)[math.ceil(_MOST * len(figures)) - 1]


def _explains_better(scored: Sequence[float], before: Probe, now: Probe) -> bool:
    """Whether an engine is surely nearer to one announcement's rounded passes than to another's.

    By the signed ranks of squared differences in pairs (Wilcoxon 1945), of which fewer than 33 are
    sure of nothing. An engine that holds `now` is nearer to `before` by chance alone, however
    little the two differ: of a step that is lost in rounding, the rounded passes know nothing
    either.
    """
    if before.token_ids != now.token_ids or not now.arrives_whole:
        return False
    nearer = [
        (ours - new) ** 2 - (ours - old) ** 2
        for ours, new, old in zip(scored, now.rounded, before.rounded, strict=False)
    ]
    ranked = sorted((each for each in nearer if each), key=abs)
    count = len(ranked)
    for_before = sum(rank for rank, each in enumerate(ranked, start=1) if each > 0)
    surplus = for_before - count * (count + 1) / 4
    return surplus > SURE * math.sqrt(count * (count + 1) * (2 * count + 1) / 24)
