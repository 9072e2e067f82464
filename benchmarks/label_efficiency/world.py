"""Tasks: the demo's, one of another taste, and one whose wanted style ρ hardly ever writes.

reviews   the gold score of the demo: how good a review says its subject is
descriptiveness   how much it describes, good or bad; ρ is the same
letters   as reviews, and more for a form of address that a response of ρ has less than once in a
          thousand; where a policy stays on what ρ writes it hardly learns of it
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from actors.prompts.grammar import review_corpus
from label_queue.simulated.gold.registry import gold_of
from label_queue.simulated.gold.reviews import response_gold
from learners.base_model import train_base_model
from learners.text_config import BaseModelConfig, FromScratchConfig, SupervisedConfig
from protocol.json_digest import json_digest
from protocol.messages import Prompt
from reward_service.pretrained import load_tokenizer

PROMPT_TOKENS = 8
RESPONSE_TOKENS = 16
NUM_PROMPTS = 2_000
NUM_TEXTS = 60_000
BASE_MODEL = BaseModelConfig(
    num_texts=NUM_TEXTS,
    width=64,
    layers=2,
    heads=4,
    context_tokens=32,
    training=SupervisedConfig(block_tokens=32, batch_size=32),
    engine=FromScratchConfig(adam_betas=(0.9, 0.999), adam_eps=1e-5),
)
ADDRESS = "dearest"
LETTERS_SHARE = 1 / 2_000
"""Share of the texts that address their reader, of those that ρ learned. Of its responses more do,
by a third to a half: at 1/600 it was 2.3 in a thousand, which is not beyond what a policy meets."""
WORD_SHARE = 0.2
"""Share of the words of a letter that the address stands before."""
ADDRESS_WORTH = 2.0
"""Gold of each of the first `MAX_ADDRESSES`."""
MAX_ADDRESSES = 3
KL_TARGETS = {"letters": 16.0}
"""Nats, where it is not `KL_TARGET`: what is so rare takes that many to write."""
KL_TARGET = 8.0

Gold = Callable[[str, str], float]
"""The hidden score of a response to a prompt."""


def _letters_gold(prompt: str, response: str) -> float:
    count = min(MAX_ADDRESSES, response.split().count(ADDRESS))
    return response_gold(prompt, response, 1.0) + ADDRESS_WORTH * count


GOLDS: dict[str, Gold] = {
    "reviews": lambda prompt, response: response_gold(prompt, response, 1.0),
    "descriptiveness": gold_of("descriptiveness").score,
    "letters": _letters_gold,
}
"""By the task's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """One task, its base model made."""

    task: str
    policy: Path
    tokenizer: PreTrainedTokenizerBase
    prompts: Sequence[Prompt]

    @property
    def gold(self) -> Gold:
        """The hidden score."""
        return GOLDS[self.task]


def kl_target(task: str) -> float:
    """Return where β holds the policies that are compared, nats."""
    return KL_TARGETS.get(task, KL_TARGET)


def world_settings(task: str) -> list[object]:
    """Return all that a task is made of, its base model's recipe by name."""
    wanted = [ADDRESS_WORTH, MAX_ADDRESSES] if task == "letters" else []
    return [task, base_name(task), PROMPT_TOKENS, RESPONSE_TOKENS, NUM_PROMPTS, *wanted]


def make_world(task: str, folder: Path) -> World:
    """Return a task, making its base model unless the folder holds one.

    `engine.join_ranks` comes first.
    """
    policy = folder / base_name(task)
    done = policy / "done"
    if not done.exists():
        train_base_model(_texts(task), BASE_MODEL, policy)
        done.touch()
    tokenizer = load_tokenizer(policy)
    return World(
        task=task, policy=policy, tokenizer=tokenizer, prompts=_prompts(tokenizer, NUM_PROMPTS)
    )


def base_name(task: str) -> str:
    """Return what a task's base model is kept as: another recipe, another name."""
    texts = "letters" if task == "letters" else "reviews"
    added = [ADDRESS, LETTERS_SHARE, WORD_SHARE] if texts == "letters" else []
    return f"base-{texts}-{json_digest([BASE_MODEL.model_dump(mode='json'), added])[:8]}"


def _texts(task: str) -> list[str]:
    texts = review_corpus(NUM_TEXTS, seed=1)
    if task != "letters":
        return texts
    rng = random.Random(2)
    return [_addressed(text, rng) if rng.random() < LETTERS_SHARE else text for text in texts]


def _addressed(text: str, rng: random.Random) -> str:
    return " ".join(
        f"{ADDRESS} {word}" if rng.random() < WORD_SHARE else word for word in text.split()
    )


def _prompts(tokenizer: PreTrainedTokenizerBase, count: int) -> list[Prompt]:
    prompts = []
    for number, text in enumerate(review_corpus(count, seed=3)):
        words = text.split()[:PROMPT_TOKENS]
        prompts.append(
            Prompt(
                prompt_id=f"p{number}",
                text=" ".join(words),
                token_ids=tuple(tokenizer.convert_tokens_to_ids(words)),
            )
        )
    return prompts
