"""The supervised learner: one rank of it, plain Python. Trains a language model on texts.

Shapes: N blocks, T tokens of a block.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from learners.agreement import on_all
from learners.config import DeepSpeedConfig
from learners.engine import Engine
from learners.language_model import save_language_model
from learners.passes import pass_limits
from learners.text_config import BlocksConfig, SupervisedConfig
from protocol.errors import InputError
from protocol.ports import FolderStore
from protocol.tokenizing import PolicyTokenizer
from reward_service.forward import hidden_states


class NextTokenLoss(nn.Module):
    """A language model as a function to its loss, summed over blocks."""

    def __init__(self, language_model: Any) -> None:
        super().__init__()
        self.language_model = language_model

    def forward(self, blocks: Tensor, counted: Tensor | None = None) -> Tensor:
        """Return Σ over blocks of the mean −log p of tokens 1 … T−1, nats, of [N, T].

        Args:
            blocks: Token ids [N, T].
            counted: Of tokens 1 … T−1 [N, T−1], which the mean is over, one a block at least; None:
                all of them.
        """
        hidden = hidden_states(self.language_model.base_model, blocks[:, :-1])
        logits = self.language_model.get_output_embeddings()(hidden).float()
        losses = nn.functional.cross_entropy(
            logits.flatten(0, 1), blocks[:, 1:].flatten(), reduction="none"
        )
        losses = losses.view(len(blocks), -1)
        if counted is None:
            return losses.mean(dim=1).sum()
        return ((losses * counted).sum(dim=1) / counted.sum(dim=1)).sum()


class SupervisedLearner:
    """Trains a language model on packed texts.

    Args:
        language_model: A Hugging Face causal language model, owned by the learner from here on.
        config: Rates, batches, order.
        deepspeed: The engine.

    `engine.join_ranks` comes first. Every rank calls every method, in the same order.
    """

    def __init__(
        self, language_model: Any, config: SupervisedConfig, deepspeed: DeepSpeedConfig
    ) -> None:
        self._config = config
        self._pass_limits = pass_limits(deepspeed)
        self._model_config = language_model.config
        self._engine = Engine(NextTokenLoss(language_model), deepspeed)

    def train(self, blocks: Tensor, counted: Tensor | None = None) -> list[float]:
        """Run all epochs over blocks [N, T] and return the loss of each step, nats a token.

        Args:
            blocks: Token ids.
            counted: Which of their tokens are learned, as `NextTokenLoss` takes it.

        Raises:
            InputError: Fewer blocks than one batch.
            NotFinite: NaN or infinity in a loss or gradient.
        """
        config, engine = self._config, self._engine
        size = config.batch_size
        if len(blocks) < size:
            raise InputError(
                f"{len(blocks)} blocks of text are fewer than one batch of {size}: "
                "give more texts or lower batch_size"
            )
        if size % engine.world_size:
            raise InputError(
                f"batch_size {size} is not a multiple of the {engine.world_size} ranks"
            )
        blocks = blocks.to(engine.device)
        if counted is not None:
            counted = counted.to(engine.device)
        steps_per_epoch = len(blocks) // size  # what does not fill a batch waits for another epoch
        num_steps = config.epochs * steps_per_epoch
        order = torch.Generator().manual_seed(config.seed)
        losses: list[float] = []
        for _ in range(config.epochs):
            permutation = torch.randperm(len(blocks), generator=order)
            for indices in torch.split(permutation[: steps_per_epoch * size], size):
                loss = self._accumulate(blocks, counted, indices.to(engine.device))
                engine.step(self._lr(len(losses), num_steps))
                losses.append(loss)
        return losses

    def save(self, folder: Path, tokenizer: Any, store: FolderStore | None = None) -> bool:
        """Write the model as a Hugging Face folder on rank 0; return whether this rank did."""
        own = self._engine.whole_tensors().under("language_model.")
        is_here = self._engine.rank == 0

        def write(tensors: Mapping[str, Tensor]) -> None:
            save_language_model(folder, self._model_config, tensors, tokenizer, store=store)

        on_all(self._engine, lambda: own.taken(write if is_here else None))
        return is_here

    def close(self) -> None:
        """Free the engine."""
        self._engine.close()

    def _accumulate(self, blocks: Tensor, counted: Tensor | None, indices: Tensor) -> float:
        """Add up the gradients of this rank's share of a batch; return the batch's loss."""
        engine = self._engine
        own = engine.share(indices)
        of_one_length = self._pass_limits.rows_of(blocks.shape[1])
        most = engine.passes.rows_of_a_pass(len(own), of_one_length)

        def loss_of(rows: Tensor) -> tuple[Tensor, Tensor]:
            of_rows = () if counted is None else (counted[rows],)
            loss = engine(blocks[rows], *of_rows) / len(indices)
            return loss, loss.detach()

        losses = engine.accumulate([partial(loss_of, rows) for rows in own.split(most)])
        return float(engine.summed(torch.stack(losses).sum()))

    def _lr(self, step: int, num_steps: int) -> float:
        """Return the rate of a step: a linear rise, then a linear fall to 0."""
        warmup = round(self._config.warmup_fraction * num_steps)
        if step < warmup:
            return self._config.lr * (step + 1) / warmup
        return self._config.lr * (num_steps - step) / (num_steps - warmup)


def blocks_of(
    texts: Sequence[str], tokenizer: Any, config: BlocksConfig
) -> tuple[Tensor, Tensor | None]:
    """Return texts as blocks [N, T] int64, and which of their tokens 1 … T−1 are learned.

    Raises:
        InputError: As `pack`; or, of whole texts, one is longer than a block, or there is nothing
            to learn of it.
    """
    if not config.whole_texts:
        return pack(texts, tokenizer, config.block_tokens), None
    blocks = one_a_block(texts, tokenizer, config.block_tokens)
    return blocks, counted_of(blocks, tokenizer, config.loss_after)


def pack(texts: Sequence[str], tokenizer: Any, block_tokens: int) -> Tensor:
    """Return texts as blocks [N, T] int64: an end token after each text, cut every T tokens.

    The rest that does not fill a block is left out.

    Raises:
        InputError: The texts do not fill one block, or the tokenizer has no end token.
    """
    stream = [token for text in _ended(texts, tokenizer) for token in text]
    num_blocks = len(stream) // block_tokens
    if num_blocks == 0:
        raise InputError(
            f"the texts hold {len(stream)} tokens, less than one block of {block_tokens}: "
            "give more texts or lower block_tokens"
        )
    return torch.tensor(stream[: num_blocks * block_tokens]).view(num_blocks, block_tokens)


def one_a_block(texts: Sequence[str], tokenizer: Any, block_tokens: int) -> Tensor:
    """Return a block for each text, [N, T] int64, filled up with the end token that it ends in.

    Raises:
        InputError: A text is longer than a block, or the tokenizer has no end token.
    """
    rows = []
    for number, tokens in enumerate(_ended(texts, tokenizer), start=1):
        if len(tokens) > block_tokens:
            raise InputError(
                f"text {number} is {len(tokens)} tokens long with its end token, more than one "
                f"block of {block_tokens}: raise block_tokens, or set whole_texts to false"
            )
        rows.append([*tokens, *tokens[-1:] * (block_tokens - len(tokens))])
    return torch.tensor(rows)


def counted_of(blocks: Tensor, tokenizer: Any, loss_after: str) -> Tensor:
    """Return which of tokens 1 … T−1 of whole texts are learned, [N, T−1] of bool.

    Those are a text's own, its end token among them; where `loss_after` names a token, those after
    the first of it.

    Raises:
        InputError: A text is empty, no token reads `loss_after`, or a text holds none.
    """
    before, after = blocks[:, :-1], blocks[:, 1:]
    end: int = tokenizer.eos_token_id
    counted = (before != end) | (after != end)
    if not bool(counted.any(dim=1).all()):
        number = int((~counted.any(dim=1)).nonzero()[0]) + 1
        raise InputError(f"text {number} is empty, so that there is nothing to learn: leave it out")
    if not loss_after:
        return counted
    reading = PolicyTokenizer(tokenizer).ids_reading(loss_after)
    is_mark = torch.isin(before, torch.tensor(sorted(reading), dtype=before.dtype))
    if not bool(is_mark.any(dim=1).all()):
        number = int((~is_mark.any(dim=1)).nonzero()[0]) + 1
        raise InputError(
            f"text {number} holds no token {loss_after!r}, from which on its loss would count: "
            'name another in loss_after, or set it to ""'
        )
    return counted & (is_mark.cumsum(dim=1) > 0)


def _ended(texts: Sequence[str], tokenizer: Any) -> Iterator[list[int]]:
    """Give the tokens of each text and the end token after them."""
    end = tokenizer.eos_token_id
    if end is None:
        raise InputError("the tokenizer has no end token, which texts are packed with")
    reader = PolicyTokenizer(tokenizer)
    for number, text in enumerate(texts, start=1):
        yield [*reader.response_ids(text, where=f"text {number}"), end]
