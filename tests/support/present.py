"""What a test knows to be there, and the type checker does not."""

from __future__ import annotations

from typing import TypeVar

from protocol.messages import StoredWeights, WeightsFile, WeightsRef

T = TypeVar("T")


def present(value: T | None) -> T:
    """Return what is not None, e.g. what rank 0 of a learner answered."""
    assert value is not None, "there is none"
    return value


def digest_of(weights: WeightsRef) -> str:
    """Return the digest of weights that travel by way of the host."""
    assert isinstance(weights, WeightsFile | StoredWeights), "device to device there is no digest"
    return weights.sha256
