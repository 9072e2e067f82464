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
def features_of(
    model: RewardModel, sequences: Sequence[Sequence[int]], limits: BatchLimits
) -> Tensor:
    """Return what the heads see of sequences, [B, F], on the model's device, in their order.

    The same sequences, given together, have the same features bit for bit.

    Raises:
        InputError: As `check_sequences`.
    """
    check_sequences(model, sequences)
    device = model.gain.device
    read: dict[int, Tensor] = {}
    for batch in buckets([len(sequence) for sequence in sequences], limits):
        input_ids, attention_mask = pad_right([sequences[index] for index in batch])
        _, features = model.read(input_ids.to(device), attention_mask.to(device))
        read |= dict(zip(batch, features, strict=True))
    return torch.stack([read[index] for index in range(len(sequences))])


@torch.no_grad()
def raw_scores_and_marks(
    model: RewardModel, sequences: Sequence[Sequence[int]], limits: BatchLimits
) -> tuple[Tensor, list[Tensor] | None]:
    """Return raw scores as `raw_scores`, and [B][T_b] mark values; None: it has no mark head.

    Raises:
        InputError: As `check_sequences`.
    """
    if model.mark_head is None:
        return raw_scores(model, sequences, limits), None
    check_sequences(model, sequences)
    device = model.gain.device
    scores = torch.empty(len(sequences), model.config.num_heads, device=device)
    marks = [torch.empty(0)] * len(sequences)
    for batch in buckets([len(sequence) for sequence in sequences], limits):
        input_ids, attention_mask = pad_right([sequences[index] for index in batch])
        raw, values = model(input_ids.to(device), attention_mask.to(device), with_marks=True)
        scores[batch] = raw.float()
        for index, row in zip(batch, values, strict=True):
            marks[index] = row[: len(sequences[index])]
    return scores, marks


@torch.no_grad()
def scores_of(
    model: RewardModel, raw: Tensor, reward_version: int, marks: Sequence[Tensor] | None = None
) -> list[Score]:
    """Turn raw scores [B, M] into messages: normalised, combined, proven finite.

    Args:
        model: Whose scores they are.
        raw: Before gain and bias.
        reward_version: Of the model.
        marks: [B][T_b] mark values, where it has them.

    Raises:
        NotFinite: A head gave NaN or infinity, which never stands for any number.
    """
    heads = model.normalised(raw)
    values = model.combined(heads)
    finite = heads.isfinite().all(dim=1) & values.isfinite()
    if marks is not None:
        are_finite = [bool(row.isfinite().all()) for row in marks]
        finite &= torch.tensor(are_finite, dtype=torch.bool, device=finite.device)
    if not bool(finite.all()):
        raise NotFinite(
            f"reward version {reward_version} scores sequence {int(finite.int().argmin())} "
            "as NaN or infinity"
        )
    told = [()] * len(values) if marks is None else [tuple(row.tolist()) for row in marks]
    return [
        Score(value=value, heads=tuple(row), reward_version=reward_version, mark_values=of_tokens)
        for value, row, of_tokens in zip(values.tolist(), heads.tolist(), told, strict=True)
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
    raw, marks = raw_scores_and_marks(model, sequences, limits)
    return scores_of(model, raw, reward_version, marks)
