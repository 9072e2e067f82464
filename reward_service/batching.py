"""Scoring many sequences at once: checked, padded in buckets, normalised, combined."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from protocol.errors import InputError, NotFinite
from protocol.messages import Score
from reward_service.buckets import BatchLimits, buckets
from reward_service.reward_model import RewardModel

_PADDING_ID = 0
"""Any valid id does: nothing attends to padding."""


def check_sequences(model: RewardModel, sequences: Sequence[Sequence[int]]) -> None:
    """Refuse what this model cannot score, naming the first such sequence.

    Raises:
        InputError: A sequence is empty, longer than the context, or has an id out of vocabulary.
    """
    longest = model.context_length
    for index, sequence in enumerate(sequences):
        name = f"sequence {index} of the request"
        if not sequence:
            raise InputError(f"{name} is empty: give at least one token")
        if longest is not None and len(sequence) > longest:
            raise InputError(
                f"{name} has {len(sequence)} tokens, over the reward model's context of "
                f"{longest}: shorten it"
            )
        if min(sequence) < 0 or max(sequence) >= model.vocabulary_size:
            raise InputError(
                f"{name} has a token id outside 0 … {model.vocabulary_size - 1}: "
                "tokenise with the reference policy's own tokenizer"
            )


def pad_right(sequences: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Return input_ids and attention_mask, both [B, T] int64, T the longest length."""
    longest = max(len(sequence) for sequence in sequences)
    input_ids = torch.tensor(
        [[*sequence, *[_PADDING_ID] * (longest - len(sequence))] for sequence in sequences]
    )
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    attention_mask = (torch.arange(longest) < lengths[:, None]).long()
    return input_ids, attention_mask


@torch.no_grad()
def raw_scores(
    model: RewardModel, sequences: Sequence[Sequence[int]], limits: BatchLimits
) -> Tensor:
    """Return raw scores [B, M], float32 on the model's device, in the order of `sequences`.

    Raises:
        InputError: As `check_sequences`.
    """
    check_sequences(model, sequences)
    device = model.gain.device
    scores = torch.empty(len(sequences), model.config.num_heads, device=device)
    for batch in buckets([len(sequence) for sequence in sequences], limits):
        input_ids, attention_mask = pad_right([sequences[index] for index in batch])
        scores[batch] = model(input_ids.to(device), attention_mask.to(device)).float()
    return scores


@torch.no_grad()
def scores_of(model: RewardModel, raw: Tensor, reward_version: int) -> list[Score]:
    """Turn raw scores [B, M] into messages: normalised, combined, proven finite.

    Raises:
        NotFinite: A head gave NaN or infinity, which never stands for any number.
    """
    heads = model.normalised(raw)
    values = model.combined(heads)
    finite = heads.isfinite().all(dim=1) & values.isfinite()
    if not bool(finite.all()):
        raise NotFinite(
            f"reward version {reward_version} scores sequence {int(finite.int().argmin())} "
            "as NaN or infinity"
        )
    return [
        Score(value=value, heads=tuple(row), reward_version=reward_version)
        for value, row in zip(values.tolist(), heads.tolist(), strict=True)
    ]


def score_sequences(
    model: RewardModel,
    sequences: Sequence[Sequence[int]],
    reward_version: int,
    limits: BatchLimits,
) -> list[Score]:
    """Score token sequences with one model, one answer each, in order.

    Raises:
        InputError: As `check_sequences`.
        NotFinite: As `scores_of`.
    """
    return scores_of(model, raw_scores(model, sequences, limits), reward_version)
