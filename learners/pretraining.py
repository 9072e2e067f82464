"""Pretraining text beside PPO: what it adds to the loss, and what the policy loses on it.

PPO-ptx (Ouyang et al. 2022, §3.5): γ_ptx × the next-token loss on pretraining text is added to
PPO's loss, their gradients summed before each optimizer step. What a policy loses on such text by
being trained for a reward is the alignment tax; it is measured on text that nothing trains on.

Which blocks a step takes follows from the seed and the steps before it alone, so that a run that
was resumed, rolled back or replayed takes those it took. Shapes: N blocks, T tokens of a block.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from learners.config import PtxConfig
from learners.engine import Engine
from protocol.errors import BundleCorrupt, ConfigError
from protocol.files import flush, reading, writing
from protocol.seeds import derived_seed
from reward_service.buckets import BatchLimits

NUM_SUMS = 5
"""Sums that each pass of an optimizer step tells; pretraining text's is the last."""

Pass = Callable[[], tuple[Tensor, Tensor]]
"""One pass of an optimizer step: returns its loss, and its sums, [NUM_SUMS]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainingBlocks:
    """Texts in the policy's tokens, packed and cut or whole: [N, T] int32, as they are on disk."""

    train: Tensor
    held_out: Tensor
    """Blocks of other texts, which are measured on and never trained on."""
    train_counted: Tensor | None = None
    held_out_counted: Tensor | None = None
    """Which of tokens 1 … T−1 of each block its loss is the mean of, [N, T−1] of bool, one a block
    at least; None: all."""

    def write(self, path: Path) -> None:
        """Write a file that appears whole or not at all.

        Raises:
            DiskFull: There is no room for it.
            ResourceError: The disk refuses otherwise.
        """
        draft = path.with_name(f".draft-{path.name}")
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            named = {each.name: getattr(self, each.name) for each in fields(self)}
            draft.write_bytes(save({name: x for name, x in named.items() if x is not None}))
            flush(draft)
            draft.rename(path)
            flush(path.parent)

    @classmethod
    def read(cls, path: Path) -> PretrainingBlocks:
        """Read what `write` wrote.

        Raises:
            MissingError: There is no such file.
            BundleCorrupt: It is not what was written.
            ResourceError: It may not be read.
        """
        try:
            with reading(path, "the blocks of pretraining text", "put the run's own back"):
                path.stat()  # safetensors gives no reason why it cannot open a file
                tensors = load_file(path)
            return cls(
                train=tensors["train"],
                held_out=tensors["held_out"],
                train_counted=tensors.get("train_counted"),
                held_out_counted=tensors.get("held_out_counted"),
            )
        except (SafetensorError, KeyError) as error:
            raise BundleCorrupt(f"{path} holds no blocks of pretraining text: {error}") from error


class BlockOrder:
    """An endless order of N blocks: epoch after epoch, each shuffled anew.

    The block at a position is a pure function of the seed and the position.

    Args:
        num_blocks: N.
        seed: Of the shuffling.
    """

    def __init__(self, num_blocks: int, seed: int) -> None:
        self._num_blocks = num_blocks
        self._seed = seed
        self._epoch = -1
        self._order = torch.empty(0, dtype=torch.int64)

    def taken(self, position: int, count: int) -> Tensor:
        """Return the blocks at so many positions from one on, [count] int64."""
        parts = []
        while count > 0:
            epoch, start = divmod(position, self._num_blocks)
            part = self._of_epoch(epoch)[start : start + count]
            parts.append(part)
            position, count = position + len(part), count - len(part)
        return torch.cat(parts)

    def _of_epoch(self, epoch: int) -> Tensor:
        if epoch != self._epoch:
            seed = derived_seed(self._seed, "pretraining blocks", epoch)
            order = torch.Generator().manual_seed(seed)
            self._order = torch.randperm(self._num_blocks, generator=order)
            self._epoch = epoch
        return self._order


class Pretraining:
    """What pretraining text does in the steps of one rank.

    Args:
        blocks: The text; None: there is none, and nothing is done.
        config: How much of it each step takes, and what for.
        engine: Trains a PolicyModel, which is ρ as yet: its loss is what later ones are held to.
        limits: Of one pass.
        seed: Of the order of the blocks.

    Every rank makes one, and calls every method in the same order. Raises ConfigError where there
    is nothing to train on and it is to be.
    """

    def __init__(
        self,
        blocks: PretrainingBlocks | None,
        config: PtxConfig,
        engine: Engine,
        limits: BatchLimits,
        seed: int,
    ) -> None:
        if blocks is None and config.coefficient > 0:
            raise ConfigError("ppo.ptx.coefficient is above 0 and there is no [pretraining] text")
        self._given = blocks
        self._config = config
        self._engine = engine
        self._limits = limits
        self._order = BlockOrder(0 if blocks is None else len(blocks.train), seed)
        self._reference_loss = 0.0 if blocks is None else self._held_out_loss()

    @property
    def is_trained_on(self) -> bool:
        """Whether it adds to the loss."""
        return self._config.coefficient > 0

    def passes(self, num_steps: int, num_episodes: int) -> list[Pass]:
        """Return this rank's passes over its share of a minibatch's blocks.

        The sum that each tells is its share of their mean next-token loss.

        Args:
            num_steps: Optimizer steps from ρ to this one.
            num_episodes: Of the minibatch, on all ranks, as many as of every other.
        """
        if not self.is_trained_on:
            return []
        count = self._config.examples_per_episode * num_episodes
        own = self._engine.share(self._order.taken(num_steps * count, count))
        most = self._rows_of_a_pass(len(own), self._blocks.train)
        return [partial(self._added, rows, count) for rows in own.split(most)]

    def metrics(self) -> dict[str, float]:
        """Return what the policy as it stands loses on held-out text; nothing where there is none.

        A collective.
        """
        if self._given is None:
            return {}
        loss = self._held_out_loss()
        return {
            "policy/pretraining_loss": loss,
            "policy/alignment_tax": loss - self._reference_loss,
        }

    @property
    def _blocks(self) -> PretrainingBlocks:
        assert self._given is not None, "there is no text"
        return self._given

    @torch.no_grad()
    def _held_out_loss(self) -> float:
        """Return the mean next-token loss over the held-out blocks, nats. A collective."""
        blocks, engine = self._blocks.held_out, self._engine
        # Ranks take as many passes each: where blocks lack, the first come again, for nothing.
        count = -(-len(blocks) // engine.world_size) * engine.world_size
        own = engine.share(torch.arange(count))
        most = self._rows_of_a_pass(len(own), blocks)
        passes = [partial(self._counted, rows) for rows in own.split(most)]
        total = torch.stack(engine.passes.each(passes)).sum()
        return float(engine.summed(total)) / len(blocks)

    def _rows_of_a_pass(self, num_rows: int, blocks: Tensor) -> int:
        """Return how many of so many blocks go through one pass on this rank."""
        return self._engine.passes.rows_of_a_pass(num_rows, self._limits.rows_of(blocks.shape[1]))

    def _added(self, rows: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Return what blocks add to a minibatch's loss, and what the pass tells."""
        blocks = self._blocks
        share = self._losses(self._engine, blocks.train, blocks.train_counted, rows).sum() / count
        told = torch.zeros(NUM_SUMS, device=share.device)
        told[-1] = share.detach()
        return self._config.coefficient * share, told

    @torch.no_grad()
    def _counted(self, rows: Tensor) -> Tensor:
        """Return the sum of the losses of those held-out blocks that there are."""
        blocks, counted = self._blocks.held_out, self._blocks.held_out_counted
        there = rows % len(blocks)
        losses = self._losses(self._engine.module, blocks, counted, there)
        return losses[rows < len(blocks)].double().sum()

    def _losses(
        self,
        model: Callable[..., tuple[Tensor, ...]],
        blocks: Tensor,
        counted: Tensor | None,
        rows: Tensor,
    ) -> Tensor:
        """Return the mean −log π of tokens 1 … T−1 of some blocks, or those that count, nats, [b].

        A block is the response to its first token, at temperature 1. `model` is the engine where
        it is trained on, and the module itself where it is measured.
        """
        ids = blocks[rows].to(self._engine.device, torch.int64)
        ones = torch.ones(len(ids), device=ids.device)
        logprobs, zeros, _ = model(ids, ids[:, 1:], ones.long(), ones, with_values=False)
        losses: Tensor = zeros - logprobs
        if counted is None:
            return losses.mean(dim=1)
        weights = counted[rows].to(losses)
        return (losses * weights).sum(dim=1) / weights.sum(dim=1)
