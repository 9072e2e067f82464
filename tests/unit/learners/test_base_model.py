"""Tokenizer and packing of a base model of one's own."""

from __future__ import annotations

import pytest

from learners.base_model import build_language_model, build_tokenizer
from learners.config import BaseModelConfig
from learners.supervised import pack
from protocol.errors import InputError

TEXTS = ["the soup was good .", "the room was not good ."]


def test_the_tokenizer_gives_texts_back() -> None:
    tokenizer = build_tokenizer(TEXTS)
    assert len(tokenizer) == 3 + 7
    for text in TEXTS:
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_texts_are_packed_with_an_end_after_each() -> None:
    tokenizer = build_tokenizer(TEXTS)
    blocks = pack(TEXTS, tokenizer, block_tokens=4)
    assert blocks.shape == (3, 4)
    assert tokenizer.decode(blocks.flatten()[:7].tolist()) == "the soup was good . <eos> the"


def test_too_little_text_is_named() -> None:
    tokenizer = build_tokenizer(TEXTS)
    with pytest.raises(InputError, match="less than one block of 64"):
        pack(TEXTS, tokenizer, block_tokens=64)


def test_initial_weights_follow_from_the_seed() -> None:
    first, again = (build_language_model(10, BaseModelConfig(seed=3)) for _ in range(2))
    other = build_language_model(10, BaseModelConfig(seed=4))
    name = "transformer.h.0.mlp.c_fc.weight"
    assert first.state_dict()[name].equal(again.state_dict()[name])
    assert not first.state_dict()[name].equal(other.state_dict()[name])
