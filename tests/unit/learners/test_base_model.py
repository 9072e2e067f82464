"""Tokenizer and packing of a base model of one's own."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from learners.base_model import build_language_model
from learners.supervised import NextTokenLoss, blocks_of, pack
from learners.text_config import BaseModelConfig, SupervisedConfig
from learners.word_tokenizer import build_tokenizer
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


DEMONSTRATIONS = ["the soup was not good . so: good .", "the room . so: not good . so: not ."]


def whole(tokens: int = 12, loss_after: str = "") -> SupervisedConfig:
    return SupervisedConfig(block_tokens=tokens, whole_texts=True, loss_after=loss_after)


def test_whole_texts_have_a_block_each_filled_up_with_end_tokens() -> None:
    tokenizer = build_tokenizer(DEMONSTRATIONS)
    blocks, counted = blocks_of(DEMONSTRATIONS, tokenizer, whole())
    first, second = (tokenizer.decode(block) for block in blocks.tolist())
    assert first == f"{DEMONSTRATIONS[0]} <eos> <eos> <eos>"
    assert second == f"{DEMONSTRATIONS[1]} <eos> <eos>"
    assert counted is not None
    assert counted.tolist() == [[True] * 9 + [False] * 2, [True] * 10 + [False]]


def test_of_demonstrations_what_follows_the_mark_is_learned() -> None:
    tokenizer = build_tokenizer(DEMONSTRATIONS)
    blocks, counted = blocks_of(DEMONSTRATIONS, tokenizer, whole(loss_after="so:"))
    assert counted is not None
    learned = [
        tokenizer.decode(block[1:][row].tolist())
        for block, row in zip(blocks, counted, strict=True)
    ]
    assert learned == ["good . <eos>", "not good . so: not . <eos>"]


def test_the_loss_is_the_mean_over_what_is_learned() -> None:
    tokenizer = build_tokenizer(DEMONSTRATIONS)
    config = BaseModelConfig(width=8, layers=1, heads=1, context_tokens=12, training=whole())
    model = build_language_model(len(tokenizer), config)
    blocks, counted = blocks_of(DEMONSTRATIONS, tokenizer, whole(loss_after="so:"))
    assert counted is not None
    with torch.no_grad():
        logprobs = model(input_ids=blocks[:, :-1]).logits.log_softmax(dim=-1)
        losses = -logprobs.gather(2, blocks[:, 1:, None])[..., 0]
        wanted = sum(losses[n][counted[n]].mean() for n in range(2))
        assert float(NextTokenLoss(model)(blocks, counted)) == pytest.approx(float(wanted))
        everything = torch.ones_like(counted)
        assert float(NextTokenLoss(model)(blocks, everything)) == pytest.approx(
            float(NextTokenLoss(model)(blocks))
        )


def test_whole_texts_that_do_not_fit_or_hold_nothing_to_learn_are_named() -> None:
    tokenizer = build_tokenizer([*DEMONSTRATIONS, "why:"])
    with pytest.raises(InputError, match=r"text 1 is 10 tokens long .* block of 8: raise"):
        blocks_of(DEMONSTRATIONS, tokenizer, whole(8))
    with pytest.raises(InputError, match=r"text 1 holds no token 'why:'.*loss_after"):
        blocks_of(DEMONSTRATIONS, tokenizer, whole(loss_after="why:"))
    with pytest.raises(InputError, match=r"text 2 holds no token 'room'.*loss_after"):
        blocks_of(DEMONSTRATIONS[::-1], tokenizer, whole(loss_after="room"))


def test_answers_are_learned_of_whole_texts_alone() -> None:
    with pytest.raises(ValidationError, match="set whole_texts to true"):
        SupervisedConfig(loss_after="so:")
