"""What one labeler's labels come to."""

from __future__ import annotations

from dataclasses import dataclass

from label_queue.quality.peers import PeerAgreement
from label_queue.quality.position import PositionBias
from label_queue.quality.self_agreement import SelfAgreement
from label_queue.quality.speed import Speed


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What one labeler's labels come to by now."""

    num_labels: int
    """Labels given and not retracted, gold and repeats among them."""
    last_label_at: float | None
    """When the newest first answer was received, Unix seconds."""
    of_speed: Speed
    of_position: PositionBias
    of_self: SelfAgreement
    of_peers: PeerAgreement | None
    """None: nobody else answered what they did."""


NO_LABELS = Tally(
    num_labels=0,
    last_label_at=None,
    of_speed=Speed(fast=0, num_labels=0),
    of_position=PositionBias(z=0.0, num_labels=0),
    of_self=SelfAgreement(),
    of_peers=None,
)
"""Tally of somebody who was let in and has done nothing yet."""
