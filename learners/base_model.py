"""A small base model of one's own: a word-level tokenizer and a GPT-2-style model, from texts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from learners.supervised import SupervisedLearner, blocks_of
from learners.text_config import BaseModelConfig
from learners.word_tokenizer import build_tokenizer
from protocol.folders import FoldersHere
from protocol.ports import FolderStore
from reward_service.pretrained import without_dropout

TRAINING_FILE = "training.json"


def language_model_config(vocabulary_size: int, config: BaseModelConfig) -> Any:
    """Return the Hugging Face config of a GPT-2-style model without dropout."""
    shape = GPT2Config(
        architectures=["GPT2LMHeadModel"],  # engines choose by it whether the model can generate
        vocab_size=vocabulary_size,
        n_positions=config.context_tokens,
        n_embd=config.width,
        n_layer=config.layers,
        n_head=config.heads,
        activation_function="gelu_pytorch_tanh",  # GPT-2's own, in one fused kernel
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=1,
    )
    return without_dropout(shape)


def build_language_model(vocabulary_size: int, config: BaseModelConfig) -> Any:
    """Return an untrained model of that config; its weights follow from the seed."""
    shape = language_model_config(vocabulary_size, config)
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        return GPT2LMHeadModel(shape)


def train_base_model(
    texts: Sequence[str],
    config: BaseModelConfig,
    folder: Path,
    store: FolderStore | None = None,
) -> float:
    """Make tokenizer and model, train, and write a Hugging Face folder; return the final loss.

    Beside the model lies `training.json` with the recipe and the loss. Blocks; on several ranks all
    call it, and all get the loss. It is the mean of the last tenth of the steps, nats a token.

    Raises:
        InputError: The texts are too few for one batch, or one is too long for a block.
    """
    store = FoldersHere() if store is None else store
    tokenizer = build_tokenizer(texts, takes_chats=config.takes_chats)
    blocks, counted = blocks_of(texts, tokenizer, config.training)
    learner = SupervisedLearner(
        build_language_model(len(tokenizer), config), config.training, config.engine
    )
    losses = learner.train(blocks, counted)
    has_written = learner.save(folder, tokenizer, store)
    learner.close()
    last = losses[-max(1, len(losses) // 10) :]
    final_loss = sum(last) / len(last)
    num_tokens = blocks.numel() if counted is None else int(counted.sum())
    if has_written:
        record = {
            "first_loss": losses[0],
            "final_loss": final_loss,
            "num_steps": len(losses),
            "num_tokens": num_tokens * config.training.epochs,
            "recipe": config.model_dump(),
        }
        content = (json.dumps(record, indent=2) + "\n").encode()
        store.amend(folder, TRAINING_FILE, content)
    return final_loss
