"""Labels with marks, for the words of `tiny_model`, and what a fit of them comes to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from learners.config import RewardFitConfig
from protocol.fits import Comparison, FitRequest
from reward_service.config import MarksConfig, RewardModelConfig
from tests.support import learner_inputs as inputs
from tests.support.plain_learners import PlainReward, clip_and_step
from tests.support.tiny_model import SPECIAL_TOKENS, WORDS

MARKS = MarksConfig(weight=0.5, unmarked_weight=0.25)
WITH_MARKS = RewardModelConfig(num_heads=2, marks=MARKS)
FIT = inputs.REWARD_FIT.model_copy(update={"bootstrap": False})
IDS = {word: index for index, word in enumerate(WORDS.split(), start=len(SPECIAL_TOKENS))}


def tokens_of(text: str) -> tuple[int, ...]:
    return tuple(IDS[word] for word in text.split())


def comparison(
    *texts: str, marks: Sequence[tuple[int, int, int, str]] = (), seq: int = 1
) -> Comparison:
    """Ann's choice of the first of some responses."""
    return replace(
        inputs.comparisons(1)[0],
        seq=seq,
        query_id=f"q{seq}",
        labeler_id="ann",
        prompt_token_ids=tokens_of("the soup"),
        candidate_token_ids=tuple(map(tokens_of, texts)),
        policy_versions=(0,) * len(texts),
        outcome="choice",
        choice=0,
        ranking=None,
        marks=tuple(marks),
    )


def marking_request(count: int = 6) -> FitRequest:
    """Two of three comparisons have marks, on the second words of one response or of both."""
    pairs = (
        (("was lovely .", "was rude ."), ((0, 4, 8, "good"),)),
        (("felt rude and cold .", "was lovely ."), ((0, 4, 8, "bad"), (1, 4, 8, "good"))),
    )
    comparisons = []
    for seq in range(count):
        texts, marks = pairs[seq % 2]
        comparisons.append(comparison(*texts, marks=marks if seq % 3 else (), seq=seq))
    return replace(inputs.fit_request(), comparisons=tuple(comparisons), labels_used=count)


class PlainMarks(PlainReward):
    """The plain reward with a mark head, one token at a time."""

    def __init__(self, model: Path, fit: RewardFitConfig = FIT) -> None:
        super().__init__(model, WITH_MARKS, fit, inputs.reference_sequences())
        self.mark_head = torch.nn.Linear(self.trunk.config.hidden_size, 1)
        for parameter in self.mark_head.parameters():
            torch.nn.init.zeros_(parameter)
        self.optimizer.add_param_group({"params": list(self.mark_head.parameters())})

    def refit(self, request: FitRequest) -> float:
        """Run the steps of `marking_request`; return the mean loss of marks."""
        order = torch.Generator().manual_seed(self.fit.seed)
        rows = torch.randperm(len(request.comparisons), generator=order).split(self.fit.batch_size)
        reliability = dict(request.labeler_weights)["ann"]
        lost = []
        for taken, batch in enumerate(rows):
            loss = torch.tensor(0.0)
            for each in (request.comparisons[row] for row in batch.tolist()):
                loss = loss + self.loss(each, reliability).mean()
                if each.marks:
                    of_marks = self.mark_loss(each, reliability)
                    lost.append(of_marks.item())
                    loss = loss + MARKS.weight * of_marks
            (loss / len(batch)).backward()
            clip_and_step(self.optimizer, self.fit.lr * (1 - taken / len(rows)))
        return sum(lost) / len(lost)

    def mark_loss(self, each: Comparison, reliability: float) -> Tensor:
        """Loss of the marks of one comparison; each is on a response's second token."""
        losses, weights = [], []
        for candidate, _, _, mark in each.marks:
            response = each.candidate_token_ids[candidate]
            for token in range(len(response)):
                sign = {"good": 1.0, "bad": -1.0}[mark] if token == 1 else 0.0
                weights.append(1.0 if token == 1 else MARKS.unmarked_weight)
                value = self.value(each.prompt_token_ids + response[: token + 1])
                losses.append(weights[-1] * (value - sign) ** 2)
        return reliability * torch.stack(losses).sum() / sum(weights)

    def value(self, sequence: tuple[int, ...]) -> Tensor:
        """Mark value of a sequence's last token."""
        hidden = self.trunk(input_ids=torch.tensor([sequence])).last_hidden_state[0, -1]
        return torch.tanh(self.mark_head(hidden))[0]

    def tensors(self) -> dict[str, Tensor]:
        """Return what a bundle holds of it."""
        gain, bias = self.gain_and_bias()
        parts = {"backbone": self.trunk, "heads": self.heads, "mark_head": self.mark_head}
        return {
            **{
                f"{part}.{name}": x.detach().clone()
                for part, module in parts.items()
                for name, x in module.named_parameters()
            },
            "gain": gain,
            "bias": bias,
        }
