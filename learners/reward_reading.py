"""How a reward trainer reads texts: through the whole model, or a trunk that it knows by heart.

Where nobody trains the trunk, what it says of a text never changes. It is computed once then, and
a fit of heads alone takes no pass through it. The candidates of a comparison are always read
together and by themselves, so that what is known of them is the same, bit for bit, whenever they
came and whatever came with them.

Letters: N sequences, F features that the heads see, M heads.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from hashlib import blake2b

import torch
from torch import Tensor

from learners.comparisons import candidate_sequences
from protocol.fits import Comparison
from reward_service.batching import check_sequences, features_of, raw_scores
from reward_service.buckets import BatchLimits
from reward_service.config import RewardModelConfig
from reward_service.normalisation import normalise
from reward_service.reward_model import RewardModel

MOST_BYTES = 2**30
"""Features kept of comparisons, at most; those of what comes later are computed each time."""
LIMITS = BatchLimits(max_tokens=16_384, max_sequences=256)
"""Limits of a forward pass without gradients."""


def is_known(config: RewardModelConfig, *, is_parted: bool) -> bool:
    """Return whether features are kept: not of marks, which are read off every token's state."""
    return config.frozen_trunk and config.marks is None and not is_parted


class RewardReading:
    """Raw scores of comparisons and of ρ's samples, for all models of one trainer.

    Threads may share it.

    Args:
        config: Of the models.
        reference_sequences: [N][T_n] prompt and kept response of samples of ρ, which normalise.
        is_parted: Whether a pass through the trunk takes all ranks, which must come equally often.
        most_bytes: Features kept of comparisons, at most.
    """

    def __init__(
        self,
        config: RewardModelConfig,
        reference_sequences: Sequence[Sequence[int]],
        *,
        is_parted: bool = False,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self._knows = is_known(config, is_parted=is_parted)
        self._reference_sequences = reference_sequences
        self._reference: Tensor | None = None
        self._known: dict[bytes, Tensor] = {}
        self._bytes_left = most_bytes

    def features(self, model: RewardModel, comparisons: Sequence[Comparison]) -> Tensor | None:
        """Return what the heads see of all candidates, [N, F], on the model's device.

        None where they are to be read with the whole model, whose trunk is trained.
        """
        if not self._knows:
            return None
        return torch.cat([self._of(model, each) for each in comparisons]).to(model.gain.device)

    def raw(self, model: RewardModel, comparisons: Sequence[Comparison]) -> Tensor:
        """Return raw scores of all candidates, [N, M], float32 on the CPU, where the labels are.

        Raises InputError for a sequence that the model cannot take.
        """
        sequences = candidate_sequences(comparisons)
        check_sequences(model, sequences)
        features = self.features(model, comparisons)
        if features is None:
            return raw_scores(model, sequences, LIMITS).float().cpu()
        return _scored(model, features).cpu()

    def normalise(self, model: RewardModel) -> Tensor:
        """Set gain and bias by ρ's samples; return their raw scores, [N, M].

        Raises as `reward_service.normalisation.normalise` does, and InputError for a sequence that
        the model cannot take.
        """
        raw = self._reference_scores(model)
        normalise(model, raw)
        return raw

    def _reference_scores(self, model: RewardModel) -> Tensor:
        if not self._knows:
            return raw_scores(model, self._reference_sequences, LIMITS)
        if self._reference is None:
            self._reference = features_of(model, self._reference_sequences, LIMITS)
        return _scored(model, self._reference)

    def _of(self, model: RewardModel, comparison: Comparison) -> Tensor:
        name = _digest(comparison)
        known = self._known.get(name)
        if known is None:
            known = features_of(model, candidate_sequences([comparison]), LIMITS).cpu()
            if known.nbytes <= self._bytes_left:
                self._known[name] = known
                self._bytes_left -= known.nbytes
        return known


@torch.no_grad()
def _scored(model: RewardModel, features: Tensor) -> Tensor:
    raw: Tensor = model.heads(features)
    return raw.float()


def _digest(comparison: Comparison) -> bytes:
    """Return a name for the texts of a comparison."""
    digest = blake2b(digest_size=16)
    for tokens in (comparison.prompt_token_ids, *comparison.candidate_token_ids):
        digest.update(len(tokens).to_bytes(8, "big") + array("q", tokens).tobytes())
    return digest.digest()
