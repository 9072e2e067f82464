"""What a mark head loses on the marks of labels, token by token.

A label marks characters of what was shown; a token is marked where it shows one of them that is no
space. Shapes: B comparisons, N candidates of all, L tokens of prompt and response, T of a response.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from protocol.errors import InputError
from protocol.fits import Comparison
from protocol.tokenizing import PolicyTokenizer
from reward_service.config import MarksConfig
from reward_service.pretrained import load_tokenizer

SIGNS = {"good": 1.0, "bad": -1.0}
NUM_SUMS = 4
"""Losses, comparisons with marks, marked tokens whose sign the value has, marked tokens."""


class MarkedTokens:
    """Reads which tokens labels mark, by the tokenizer that showed people the responses.

    Args:
        policy_path: ρ, a folder; its tokenizer is loaded when the first mark comes.
        config: How marks are learned.
    """

    def __init__(self, policy_path: Path, config: MarksConfig) -> None:
        self._policy_path = policy_path
        self.config = config

    def signs(self, comparison: Comparison) -> list[list[float]]:
        """Return [K][T_k] of 1 (good), −1 (bad) and 0; of candidates without marks, [K] of [].

        A mark on nothing but blanks is none.

        Raises:
            InputError: A mark is not within what is shown of its candidate.
        """
        found: list[list[float]] = [[] for _ in comparison.candidate_token_ids]
        for index, start, end, mark in comparison.marks:
            token_ids = comparison.candidate_token_ids[index]
            shown, spans = self._shown(token_ids)
            if not 0 <= start < end <= len(shown):
                raise InputError(
                    f"the label at seq {comparison.seq} marks characters {start} to {end} of "
                    f"candidate {index} of query {comparison.query_id}, of which {len(shown)} are "
                    "shown: retract that label, or fit with the policy whose responses these are"
                )
            marked = [
                token
                for token, (first, last) in enumerate(spans)
                if shown[max(start, first) : min(end, last)].strip()
            ]
            if marked:  # of blanks alone, a mark says nothing of any token
                found[index] = found[index] or [0.0] * len(token_ids)
            for token in marked:
                found[index][token] = SIGNS[mark]
        return found

    def _shown(self, token_ids: Sequence[int]) -> tuple[str, list[tuple[int, int]]]:
        return self._tokenizer.shown_text(token_ids), self._tokenizer.shown_spans(token_ids)

    @cached_property
    def _tokenizer(self) -> PolicyTokenizer:
        return PolicyTokenizer(load_tokenizer(self._policy_path))


class MarkLosses:
    """The marks of one fit's comparisons, read once, and what is lost on them.

    Args:
        tokens: Reads marks.
        comparisons: All that the fit learns.
        reliability: a in (0, 1] by labeler, 1 where one is missing: weighs a labeler's marks.

    Raises InputError as `MarkedTokens.signs` does.
    """

    def __init__(
        self,
        tokens: MarkedTokens,
        comparisons: Sequence[Comparison],
        reliability: Mapping[str, float],
    ) -> None:
        self._config = tokens.config
        self._comparisons = comparisons
        self._reliability = reliability
        signs = (tokens.signs(each) if each.marks else [] for each in comparisons)
        self._signs = [each if any(each) else None for each in signs]

    def of(self, indices: Sequence[int], present: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss of some comparisons, and what is counted of them.

        A comparison's loss is the weighted mean over the tokens of its responses with marks of
        (value − sign)², times its labeler's reliability; 0 where it has no marks.

        Args:
            indices: [B] of the comparisons.
            present: [B], 0 where one only fills the batch up.
            values: [N, L] of all their candidates, in order.

        Returns:
            Losses, [B], times `config.weight`; sums, [NUM_SUMS] on CPU, without that weight.
        """
        signs, weights, owners = self._laid_out(indices, values.shape[1])
        signs, weights = signs.to(values.device), weights.to(values.device)
        rows = (weights * (values - signs) ** 2).sum(dim=1)
        losses = rows.new_zeros(len(indices)).index_add(0, owners.to(values.device), rows)
        losses = losses * present
        marked = (signs != 0) & (present[owners.to(present.device)] > 0)[:, None]
        right = marked & (values.detach().sign() == signs)
        has_marks = torch.tensor([self._signs[index] is not None for index in indices])
        counts = (has_marks * present.cpu()).sum(), right.sum().cpu(), marked.sum().cpu()
        sums = torch.stack([losses.detach().sum().float().cpu(), *map(torch.Tensor.float, counts)])
        return self._config.weight * losses, sums

    def _laid_out(self, indices: Sequence[int], num_tokens: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return signs and weights, both [N, L], and to which comparison each row belongs, [N]."""
        signs, weights, owners = [], [], []
        for place, index in enumerate(indices):
            comparison, of_it = self._comparisons[index], self._signs[index]
            start = len(comparison.prompt_token_ids)
            owned = []
            for row in of_it or [[] for _ in comparison.candidate_token_ids]:
                sign, weight = torch.zeros(num_tokens), torch.zeros(num_tokens)
                sign[start : start + len(row)] = torch.tensor(row)
                weight[start : start + len(row)] = torch.tensor([self._weight(x) for x in row])
                signs.append(sign)
                owned.append(weight)
                owners.append(place)
            total = float(sum(weight.sum() for weight in owned))
            trust = self._reliability.get(comparison.labeler_id, 1.0)
            weights += [weight * trust / total if total else weight for weight in owned]
        return torch.stack(signs), torch.stack(weights), torch.tensor(owners)

    def _weight(self, sign: float) -> float:
        return 1.0 if sign else self._config.unmarked_weight
