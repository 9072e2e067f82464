"""A model whose responses end by a log-normal law, whatever they say.

Its blocks add nothing, so that the logits of a position are those of its embeddings. Four of their
numbers belong to the end token alone: of every position they have the same length, so that the last
layer norm divides all alike, and turn so that the end token has the odds that are wanted there.
"""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from statistics import NormalDist

import torch
from transformers import GPT2LMHeadModel

from benchmarks.against_trl.task import PROMPT_TOKENS, SPECIAL_TOKENS, VOCABULARY, write_model

CONTEXT = 128
END = SPECIAL_TOKENS.index("<eos>")
SIGMA = 1.0
_OWN = 4
"""Numbers of an embedding that are the end token's."""
_LENGTH = 4.0
"""Length of a position's embedding; a token's is 0.2."""
_LARGEST = 14.0
"""Log-odds, the most that can be wanted."""


def end_chances(num_tokens: int, middle: float) -> list[float]:
    """Return the chance [T] that a response ends with token n, n = 1, …, if it came so far.

    Args:
        num_tokens: T.
        middle: Median of the lengths, in tokens.
    """
    law = NormalDist(math.log(middle), SIGMA)
    left = [1.0, *(1 - law.cdf(math.log(n + 0.5)) for n in range(1, num_tokens + 1))]
    return [1 - after / before for before, after in pairwise(left)]


@torch.no_grad()
def write_ending_model(folder: Path, middle: float) -> Path:
    """Write such a GPT-2 of 0.9 M weights, as `write_model` does; return the folder."""
    write_model(folder, context_tokens=CONTEXT)
    model = GPT2LMHeadModel.from_pretrained(folder)
    for block in model.transformer.h:
        for last in (block.attn.c_proj, block.mlp.c_proj):
            last.weight.zero_()
            last.bias.zero_()
    tokens, positions = model.transformer.wte.weight, model.transformer.wpe.weight
    width = tokens.shape[1]
    tokens[:, :_OWN] = 0
    tokens[END] = 0
    deviation = _LENGTH / math.sqrt(width)  # of a position's numbers, about their mean of 0
    tokens[END, 0] = _LARGEST * deviation * math.sqrt(2) / _LENGTH
    positions.zero_()
    positions[:, 2], positions[:, 3] = _LENGTH / math.sqrt(2), -_LENGTH / math.sqrt(2)
    for number, chance in enumerate(end_chances(CONTEXT - PROMPT_TOKENS, middle)):
        wanted = math.log(max(chance, 1e-9) / (1 - chance)) + math.log(VOCABULARY - 1)
        share = max(-1.0, min(1.0, wanted / _LARGEST))
        other = math.sqrt(1 - share**2)
        turned = torch.tensor((share, -share, other, -other)) * _LENGTH / math.sqrt(2)
        positions[PROMPT_TOKENS - 1 + number, :_OWN] = turned
    model.save_pretrained(folder)
    return folder
