"""Anchor pairs: two responses to a prompt, of which one is known to be better.

A file of them has one JSON object a line,

    {"prompt": text or chat messages, "better": text, "worse": text}

and for our own reviews the generator makes some, whose order its hidden score knows.
"""

from __future__ import annotations

import random
from pathlib import Path

from actors.prompts.grammar import review
from actors.prompts.records import prompt_from_record
from cluster.guards.anchor_accuracy import AnchorPair
from label_queue.simulated.gold import response_gold
from protocol.chat import in_one_text
from protocol.ending import EndRule
from protocol.errors import InputError, MissingError
from protocol.json_lines import line_of, read_json_lines
from protocol.model_folder import ModelFolder
from protocol.seeds import derived_seed
from protocol.tokenizing import PolicyTokenizer

KEY = "guards.anchor_accuracy.path"
LEAST_GAP = 4.0
"""Least difference of the hidden scores: at worst a labeler errs on one such pair in 55."""
NUM_TRIES = 12
"""Reviews whose endings are tried for one pair."""


def read_anchor_pairs(
    path: Path,
    tokenizer: PolicyTokenizer,
    rule: EndRule,
    longest: int,
    model: ModelFolder | None = None,
) -> tuple[AnchorPair, ...]:
    """Read a file of pairs as the reward model reads responses.

    Args:
        path: The JSONL file.
        tokenizer: The policy's.
        rule: Where the run's responses end: those here end there, too.
        longest: Tokens the model's context has room for, prompt and response together.
        model: Whose embeddings the tokens must be within; None takes any token.

    Raises:
        MissingError: There is no such file.
        InputError: A line is not what it should be; the line is named.
    """
    if not path.is_file():
        raise MissingError(f"{path}: no such file: check {KEY}")
    lines = read_json_lines(path, KEY, "name a JSONL file", takes_nan=True)
    pairs = tuple(
        _pair(record, line_of(path, number), tokenizer, rule, longest, model)
        for number, record in lines
    )
    if not pairs:
        raise InputError(f"{path}: no pairs; write one JSON object a line, or leave {KEY} out")
    return pairs


def _pair(
    record: object,
    where: str,
    tokenizer: PolicyTokenizer,
    rule: EndRule,
    longest: int,
    model: ModelFolder | None,
) -> AnchorPair:
    prompt = prompt_from_record(
        record, field="prompt", where=where, prompt_id="", tokenizer=tokenizer, longest=None
    )
    assert isinstance(record, dict), "prompt_from_record takes nothing else"
    sequences = {}
    for name in ("better", "worse"):
        text = record.get(name)
        if not isinstance(text, str) or not text.strip():
            raise InputError(
                f'{where}: no "{name}": each line needs {{"prompt": …, "better": …, "worse": …}}'
            )
        tokens = tokenizer.written_ids(
            text, rule, is_chat=bool(prompt.messages), where=f'{where}: "{name}"'
        )
        sequence = prompt.token_ids + tokens
        if len(sequence) > longest:
            raise InputError(
                f'{where}: prompt and "{name}" are {len(sequence)} tokens long and the model\'s '
                f"context is {longest}: leave the line out, or take a model of longer context"
            )
        if model is not None:
            model.check_ids(sequence, where)
        sequences[name] = sequence
    if sequences["better"] == sequences["worse"]:
        raise InputError(f'{where}: "better" and "worse" are the same, as far as they are kept')
    return AnchorPair(
        prompt=in_one_text(prompt.text, prompt.messages),
        better=record["better"],
        worse=record["worse"],
        better_tokens=sequences["better"],
        worse_tokens=sequences["worse"],
    )


def review_anchors(
    tokenizer: PolicyTokenizer,
    rule: EndRule,
    *,
    prompt_tokens: int,
    max_tokens: int,
    count: int,
    seed: int,
) -> tuple[AnchorPair, ...]:
    """Return pairs on generated reviews: the endings of others, far apart in hidden score.

    A response of a few words cannot be far from another: then there are few pairs, or none.

    Args:
        tokenizer: The policy's.
        rule: Where the run's responses end.
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
            scored.append((response_gold(prompt, text), text, prompt_ids + tokens))
        worst, best = min(scored), max(scored)
        if best[0] - worst[0] >= LEAST_GAP:
            pairs.append(
                AnchorPair(
                    prompt=prompt,
                    better=best[1],
                    worse=worst[1],
                    better_tokens=best[2],
                    worse_tokens=worst[2],
                )
            )
    return tuple(pairs)
