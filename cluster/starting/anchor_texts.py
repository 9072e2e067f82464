"""Anchor pairs: two responses to a prompt, of which one is known to be better.

A file of them has one JSON object a line,

    {"prompt": text or chat messages, "better": text, "worse": text}

and for our own reviews the generator makes some, whose order the labelers' hidden score knows.
"""

from __future__ import annotations

import random
from pathlib import Path

from actors.prompts.grammar import review
from cluster.starting.written_responses import ResponseReader, WrittenLine
from label_queue.figures.known_order import KnownPair
from label_queue.simulated.gold.port import Gold
from protocol.chat import in_one_text
from protocol.ending import EndRule
from protocol.errors import InputError
from protocol.seeds import derived_seed
from protocol.tokenizing import PolicyTokenizer

KEY = "guards.anchor_accuracy.path"
LEAST_GAP = 4.0
"""Least difference of the hidden scores: at worst a labeler errs on one such pair in 55."""
NUM_TRIES = 12
"""Reviews whose endings are tried for one pair."""


def read_anchor_pairs(path: Path, reader: ResponseReader) -> tuple[KnownPair, ...]:
    """Read a file of pairs.

    Raises:
        MissingError: There is no such file.
        InputError: A line is not what it should be; the line is named.
    """
    pairs = tuple(_pair(line) for line in reader.lines(path, KEY, "better", "worse"))
    if not pairs:
        raise InputError(f"{path}: no pairs; write one JSON object a line, or leave {KEY} out")
    return pairs


def _pair(line: WrittenLine) -> KnownPair:
    better, worse = line.sequences["better"], line.sequences["worse"]
    if better == worse:
        raise InputError(
            f'{line.where}: "better" and "worse" are the same, as far as they are kept'
        )
    return KnownPair(
        prompt=in_one_text(line.prompt.text, line.prompt.messages),
        better=line.texts["better"],
        worse=line.texts["worse"],
        better_tokens=better,
        worse_tokens=worse,
    )


def review_anchors(
    tokenizer: PolicyTokenizer,
    rule: EndRule,
    gold: Gold,
    *,
    prompt_tokens: int,
    max_tokens: int,
    count: int,
    seed: int,
) -> tuple[KnownPair, ...]:
    """Return pairs on generated reviews: the endings of others, far apart in hidden score.

    A response of a few words cannot be far from another: then there are few pairs, or none.

    Args:
        tokenizer: The policy's.
        rule: Where the run's responses end.
        gold: The hidden score that orders them.
        prompt_tokens: P, words of a prompt.
        max_tokens: T, words of a response before it is cut.
        count: Prompts tried; each that allows it gives a pair.
        seed: Of the prompts; that of the anchors is made of it.
    """
    rng = random.Random(derived_seed(seed, "anchors"))
    pairs = []
    for _ in range(count):
        prompt = " ".join(review(rng)[:prompt_tokens])
        prompt_ids = tokenizer.prompt_ids(prompt, where="a generated prompt")
        scored = []
        for _ in range(NUM_TRIES):
            ending = " ".join(review(rng)[prompt_tokens : prompt_tokens + max_tokens])
            written = tokenizer.response_ids(ending, where="a generated text")
            tokens = tokenizer.kept_ids(written[:max_tokens], rule, is_chat=False)
            text = tokenizer.shown_text(tokens)
            scored.append((gold.score(prompt, text), text, prompt_ids + tokens))
        worst, best = min(scored), max(scored)
        if best[0] - worst[0] >= LEAST_GAP:
            pairs.append(
                KnownPair(
                    prompt=prompt,
                    better=best[1],
                    worse=worst[1],
                    better_tokens=best[2],
                    worse_tokens=worst[2],
                )
            )
    return tuple(pairs)
