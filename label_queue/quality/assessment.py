"""All estimators, labeler by labeler: what the owner is shown."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Literal

from label_queue.quality.gold import gold_accuracy
from label_queue.quality.self_agreement import consistency
from label_queue.quality.standing import LabelerState, Standing
from label_queue.quality.tally import NO_LABELS, Tally
from label_queue.quality_config import QualityConfig

Flag = Literal["gold", "drift", "self", "position", "speed", "rate"]
"""What speaks against a labeler: a test, an estimator, or too many requests ("rate")."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """What is known of how well one labeler labels. None: nothing yet to say it from."""

    labeler_id: str
    state: LabelerState
    labels: int
    """Labels given and not retracted, gold and repeats among them."""
    labels_held: int
    """Labels that state a preference for training and wait until the labeler is cleared."""
    held_from: int | None
    """Sequence number from which on labels are held; 0: all; None: none are."""
    excluded_from: int | None
    gold_right: int
    gold_wrong: int
    gold_accuracy: float
    """Share of right gold answers as far as can be told: mean of Beta(8 + right, 2 + wrong)."""
    gold_low: float
    """Lower end of the central 95 % interval of `gold_accuracy`."""
    gold_high: float
    """Upper end of the central 95 % interval of `gold_accuracy`."""
    self_agreement: float | None
    self_repeats: int
    peer_agreement: float | None
    """Share of agreement with others on the same queries, leave-one-out, in [0, 1]."""
    peer_labels: int
    position_z: float | None
    fast_share: float | None
    """Share of labels that came faster than `fast_tokens_per_s` of displayed text allows."""
    reliability: float | None
    """Reliability a_ℓ, in (0, 1], of the last fit."""
    is_doubted: bool
    """Whether they are in doubt, and asked more gold: their newest answers may be chance."""
    weight_share: float
    """Share of the next fit's weight, in [0, 1]."""
    flags: tuple[Flag, ...]
    """What speaks against the labeler, in a fixed order."""
    late_changes: int
    """Answers changed or taken back after a reward had been fitted to what they said before."""
    undoable: str | None
    """The event id of the owner's newest act about them, if it can be undone."""
    last_label_at: float | None
    """When the newest label was received, Unix seconds on the server's clock."""


def assess_tallies(
    tallies: Mapping[str, Tally],
    standing_of: Mapping[str, Standing],
    config: QualityConfig,
    *,
    held: Mapping[str, int],
    reliability: Mapping[str, float],
    doubted: Set[str],
    late_changes: Mapping[str, int],
    weight_shares: Mapping[str, float],
) -> dict[str, Assessment]:
    """Return everybody who has a standing, sorted by name, without going through labels.

    Args:
        tallies: What the estimators have counted, by labeler.
        standing_of: Standings of all who are wanted.
        config: Limits of the flags and constants of the tests.
        held: Labels that do not train as long as a labeler is held or excluded, by labeler.
        reliability: a_ℓ by labeler as of the last fit.
        doubted: Who is in doubt.
        late_changes: Answers changed after a fit had learned them, by labeler.
        weight_shares: Shares of a fit's weight by labeler.
    """
    found: dict[str, Assessment] = {}
    for name, standing in sorted(standing_of.items()):
        own = tallies.get(name, NO_LABELS)
        known = gold_accuracy(standing.gold_right, standing.gold_wrong)
        of_peers = own.of_peers
        found[name] = Assessment(
            labeler_id=name,
            state=standing.state,
            labels=own.num_labels,
            labels_held=held.get(name, 0) if standing.is_held else 0,
            held_from=standing.held_from,
            excluded_from=standing.excluded_from,
            gold_right=standing.gold_right,
            gold_wrong=standing.gold_wrong,
            gold_accuracy=known.mean,
            gold_low=known.low,
            gold_high=known.high,
            self_agreement=own.of_self.share,
            self_repeats=own.of_self.num_repeats,
            peer_agreement=of_peers.share if of_peers else None,
            peer_labels=of_peers.num_queries if of_peers else 0,
            position_z=own.of_position.z if own.of_position.num_labels else None,
            fast_share=own.of_speed.share,
            reliability=reliability.get(name),
            is_doubted=name in doubted,
            weight_share=weight_shares.get(name, 0.0),
            flags=_flags(standing, own, config),
            late_changes=late_changes.get(name, 0),
            undoable=standing.undoable,
            last_label_at=own.last_label_at,
        )
    return found


def _flags(standing: Standing, own: Tally, config: QualityConfig) -> tuple[Flag, ...]:
    of_self, of_position, of_speed = own.of_self, own.of_position, own.of_speed
    flags: list[Flag] = [standing.alarm] if standing.alarm is not None else []
    sure = of_self.consistency
    if sure is not None and of_self.num_repeats >= config.self_min_repeats:
        # Of pairs chance is ½; how sure somebody is of their own best compares over all K.
        least = consistency(config.self_agreement_floor)
        flags += ["self"] if least > 0.5 and sure < least else []
    if of_position.num_labels >= config.position_min_labels:
        flags += ["position"] if abs(of_position.z) > config.position_z_limit else []
    fast = of_speed.share
    if fast is not None and of_speed.num_labels >= config.fast_min_labels:
        flags += ["speed"] if fast > config.fast_share_limit else []
    return tuple(flags)
