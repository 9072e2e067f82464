"""What is asked: reviews from the project's own grammar, judged by the gold score."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actors.prompts.grammar import review
from label_queue.simulated.choice import decide
from label_queue.simulated.config import LabelerProfile
from label_queue.simulated.gold.reviews import response_gold
from protocol.labels import QueryDraft, QueryOrder
from protocol.messages import Prompt, Rollout, Sampling

PROMPT_TOKENS, RESPONSE_TOKENS = 6, 12
"""Fewest tokens of a prompt and of a response; whole sentences are taken."""
CLEAR_MARGIN = 2.0
"""Least lead of a gold task's best candidate over the second: its noise has a deviation of about
2."""
HELD_OUT_MARGIN = 0.5
"""Least lead in a held-out pair: pairs nearer than this have no right answer worth the name."""
SAMPLING = Sampling(temperature=1.0, max_tokens=64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A prompt and some continuations."""

    prompt: str
    candidates: tuple[str, ...]

    @property
    def utilities(self) -> list[float]:
        """The gold score of each candidate, [K]."""
        return [response_gold(self.prompt, each) for each in self.candidates]

    @property
    def best(self) -> int:
        """Index of the candidate with the highest gold score."""
        utilities = self.utilities
        return utilities.index(max(utilities))

    @property
    def margin(self) -> float:
        """The lead of the best candidate's gold score over the second's."""
        first, second = sorted(self.utilities, reverse=True)[:2]
        return first - second


def question(rng: random.Random, num_candidates: int) -> Question:
    """Draw a prompt and continuations that owe nothing to one another."""
    return Question(
        prompt=_opening(rng, PROMPT_TOKENS),
        candidates=tuple(_opening(rng, RESPONSE_TOKENS) for _ in range(num_candidates)),
    )


def clear_questions(
    rng: random.Random, count: int, num_candidates: int, margin: float = CLEAR_MARGIN
) -> list[Question]:
    """Draw questions whose best candidate leads by `margin` or more."""
    found: list[Question] = []
    while len(found) < count:
        drawn = question(rng, num_candidates)
        if drawn.margin >= margin:
            found.append(drawn)
    return found


def agreed_questions(
    rng: random.Random, count: int, num_candidates: int, labelers: Sequence[LabelerProfile]
) -> list[tuple[Question, int]]:
    """Draw questions as all others are, of which all these labelers choose the same.

    What an owner is offered to make gold of (`andon gold agreed`), with the answer they gave: as
    hard as any on which people agree, and sometimes wrong.
    """
    found: list[tuple[Question, int]] = []
    while len(found) < count:
        drawn = question(rng, num_candidates)
        verdicts = [decide(drawn.utilities, "best_of_k", each, 0, rng) for each in labelers]
        firsts = {verdict.order[0] for verdict in verdicts}
        if len(firsts) == 1:
            found.append((drawn, firsts.pop()))
    return found


def write_gold(path: Path, answered: Sequence[tuple[Question, int]]) -> None:
    """Write questions and their answers as the file that `labels.quality.gold.path` names."""
    lines = [
        {"prompt": asked.prompt, "candidates": asked.candidates, "answer": answer}
        for asked, answer in answered
    ]
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")


def draft(asked: Question, number: int, tokenizer: Any) -> QueryDraft:
    """Return a question as the policy loop would offer it."""
    prompt = Prompt(
        prompt_id=f"reviews-{number:06d}",
        text=asked.prompt,
        token_ids=encode(tokenizer, asked.prompt),
    )
    rollouts = tuple(
        _rollout(f"q-{number:06d}-{i}", prompt, text, tokenizer)
        for i, text in enumerate(asked.candidates)
    )
    return QueryDraft(prompt=prompt, rollouts=rollouts)


def drafts(
    order: QueryOrder, rng: random.Random, first_number: int, tokenizer: Any
) -> list[QueryDraft]:
    """Return fresh drafts for an order of the label queue."""
    return [
        draft(question(rng, order.num_candidates), first_number + i, tokenizer)
        for i in range(order.num_drafts)
    ]


def encode(tokenizer: Any, text: str) -> tuple[int, ...]:
    """Return a text's tokens, none of them special."""
    return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])


def _opening(rng: random.Random, num_tokens: int) -> str:
    """Return the first whole sentences of a review, `num_tokens` or a few more."""
    tokens = review(rng)
    end = next(i for i, token in enumerate(tokens) if token == "." and i >= num_tokens - 1)
    return " ".join(tokens[: end + 1])


def _rollout(rollout_id: str, prompt: Prompt, text: str, tokenizer: Any) -> Rollout:
    token_ids = encode(tokenizer, text)
    return Rollout(
        rollout_id=rollout_id,
        prompt=prompt,
        purpose="query",
        sampling=SAMPLING,
        token_ids=token_ids,
        behavior_logprobs=(-1.0,) * len(token_ids),
        policy_versions=(0,) * len(token_ids),
        num_kept=len(token_ids),
        is_complete=True,
        finish_reason="cut",
        text=text,
        actor_id="grammar",
        started_at=0.0,
        finished_at=0.0,
    )
