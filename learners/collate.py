"""From messages to tensors: rollouts of unlike lengths, padded on the right.

Shapes: B sequences, L tokens of prompt and response, T tokens of the longest response.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from protocol.errors import ConfigError
from protocol.messages import ScoredRollout


@dataclass(frozen=True, slots=True, kw_only=True)
class Responses:
    """A batch of responses, ready for a PolicyModel."""

    input_ids: Tensor
    """[B, L] int64."""
    response_ids: Tensor
    """[B, T] int64."""
    mask: Tensor
    """[B, T] float32, 1 on response tokens."""
    prompt_lengths: Tensor
    """[B] int64."""
    temperatures: Tensor
    """[B] float32."""
    behavior_logprobs: Tensor
    """[B, T] float32, 0 in the padding."""
    oldest_versions: Tensor
    """[B] int64, the policy version of the oldest token."""
    scores: Tensor
    """[B] float32."""
    mark_values: Tensor
    """[B, T] float32, 0 where no token is judged: after the kept ones, and in the padding."""

    @property
    def lengths(self) -> Tensor:
        """[B] int64, tokens of prompt and response."""
        return self.prompt_lengths + self.mask.sum(dim=1).long()

    @property
    def num_tokens(self) -> int:
        """T, what responses are padded to."""
        return self.mask.shape[1]

    def rows(self, indices: Tensor) -> Responses:
        """Return some rows, [B'] of [B], padded no further than the longest of them."""
        some = {each.name: getattr(self, each.name)[indices] for each in fields(self)}
        num_tokens = some["mask"].sum(dim=1).long()
        for name in ("response_ids", "mask", "behavior_logprobs", "mark_values"):
            some[name] = some[name][:, : int(num_tokens.max())]
        longest = int((some["prompt_lengths"] + num_tokens).max())
        return Responses(**{**some, "input_ids": some["input_ids"][:, :longest]})

    def to(self, device: torch.device) -> Responses:
        """Return the batch on another device."""
        return Responses(
            **{each.name: getattr(self, each.name).to(device) for each in fields(self)}
        )

    def model_inputs(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return what `PolicyModel.forward` takes, in its order."""
        return self.input_ids, self.response_ids, self.prompt_lengths, self.temperatures


def collate(scored: Sequence[ScoredRollout], *, needs_marks: bool = False) -> Responses:
    """Return rollouts as one padded batch, in their order.

    Args:
        scored: [B].
        needs_marks: Whether each complete response must have mark values.

    Raises:
        ConfigError: One has none.
    """
    if needs_marks:
        _check_marks(scored)
    rollouts = [each.rollout for each in scored]
    responses = [rollout.token_ids for rollout in rollouts]
    return Responses(
        input_ids=_padded([r.prompt.token_ids + r.token_ids for r in rollouts], torch.int64),
        response_ids=_padded(responses, torch.int64),
        mask=_padded([[1.0] * len(response) for response in responses], torch.float32),
        prompt_lengths=torch.tensor([len(rollout.prompt.token_ids) for rollout in rollouts]),
        temperatures=torch.tensor([rollout.sampling.temperature for rollout in rollouts]),
        behavior_logprobs=_padded([r.behavior_logprobs for r in rollouts], torch.float32),
        oldest_versions=torch.tensor([rollout.oldest_version for rollout in rollouts]),
        scores=torch.tensor([each.score.value for each in scored], dtype=torch.float32),
        mark_values=_padded([_mark_values(each) for each in scored], torch.float32),
    )


def single(token_ids: Sequence[int]) -> Responses:
    """Return one token sequence as a prompt of one token and its continuation, temperature 1."""
    ids = torch.tensor([list(token_ids)])
    return Responses(
        input_ids=ids,
        response_ids=ids[:, 1:],
        mask=torch.ones(1, ids.shape[1] - 1),
        prompt_lengths=torch.ones(1, dtype=torch.int64),
        temperatures=torch.ones(1),
        behavior_logprobs=torch.zeros(1, ids.shape[1] - 1),
        oldest_versions=torch.zeros(1, dtype=torch.int64),
        scores=torch.zeros(1),
        mark_values=torch.zeros(1, ids.shape[1] - 1),
    )


def _mark_values(scored: ScoredRollout) -> list[float]:
    """Return [T] of one response."""
    judged = scored.mark_values
    return [*judged, *[0.0] * (len(scored.rollout.token_ids) - len(judged))]


def _check_marks(scored: Sequence[ScoredRollout]) -> None:
    for each in scored:
        if each.rollout.is_complete and len(each.mark_values) != each.rollout.num_kept:
            raise ConfigError(
                f"ppo.mark_coefficient is above 0, and reward version {each.score.reward_version} "
                f"gives {len(each.mark_values)} mark values for the {each.rollout.num_kept} tokens "
                f"of {each.rollout.rollout_id}: fit a reward with [reward_model.marks], or set the "
                "coefficient to 0"
            )


def _padded(rows: Sequence[Sequence[float]], dtype: torch.dtype) -> Tensor:
    longest = max(len(row) for row in rows)
    return torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows], dtype=dtype)
