"""What can be set about learning from texts: the base model's training, and pretraining text.

[own] is our own choice.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from learners.config import AdamBeta, DeepSpeedConfig, Revision
from protocol.settings import Count, LearningRate, Seed, Settings, Share, refuse_unread


class FromScratchConfig(DeepSpeedConfig):
    """How a model is trained that has learned nothing yet.

    Adam has the constants of GPT-3 (Brown et al. 2020), not those that policies are tuned with: its
    gradients are small and soon change, and with these 36,000 summaries end at 0.43 nats a token
    where they ended at 0.52.
    """

    adam_betas: tuple[AdamBeta, AdamBeta] = (0.9, 0.95)
    """β₁ and β₂ of Adam."""
    adam_eps: float = Field(default=1e-8, gt=0, le=1)
    """ε of Adam."""


class BlocksConfig(Settings):
    """How texts become the blocks of tokens that a model learns."""

    block_tokens: int = Field(default=64, ge=2, le=1_000_000)
    """Tokens of a block: texts are packed, an end token after each, and cut into blocks. [own]"""
    whole_texts: bool = False
    """A block for each text, filled up with end tokens of which none is learned; so that nothing is
    cut from what it goes on from, as a summary from its article. [own]"""
    loss_after: str = ""
    """Text of the token from whose first occurrence in a block on the loss counts, e.g. "TL;DR:":
    of a demonstration the answer is learned, not the question. "": all tokens count. With it set,
    `whole_texts` must be. [own]"""

    @model_validator(mode="after")
    def _answers_are_not_cut_from_their_questions(self) -> Self:
        if self.loss_after and not self.whole_texts:
            raise ValueError(
                f"loss_after {self.loss_after!r} needs whole texts: set whole_texts to true, or "
                'loss_after to ""'
            )
        return self


class SupervisedConfig(BlocksConfig):
    """Training a language model on texts, from scratch or from a policy."""

    lr: LearningRate = 3e-3
    """Peak learning rate. [own: best of 1e-3 and 3e-3 for a model of a million parameters]"""
    warmup_fraction: Share = 0.05
    """Share of the steps in which the rate rises; then it falls linearly to 0. [own]"""
    batch_size: Count = 16
    """Blocks an optimizer step. [own: 16 learned more a second than 32]"""
    epochs: int = Field(default=1, ge=1, le=10_000)
    """Passes over the texts. [own]"""
    seed: Seed = 1
    """Seed of the order of the blocks."""


TEXT_READERS: dict[str, tuple[str, ...]] = {
    "path": ("text", "jsonl"),
    **dict.fromkeys(("dataset", "subset", "revision"), ("hub",)),
}
"""The sources of pretraining text that read a key; others have been refused from the first version
on."""
MORE_TEXT_READERS: dict[str, tuple[str, ...]] = {
    "split": ("hub",),
    "field": ("jsonl", "hub"),
    "seed": ("reviews", "articles", "summaries", "books", "dialogues"),
}
"""The sources that read a key which others once ignored."""


class PretrainingConfig(BlocksConfig):
    """Text like that which ρ was pretrained on, and what is left aside to measure on.

    With this section, what the policy loses on it is measured at each step, whether `[ppo.ptx]`
    trains on it or not.
    """

    source: Literal[
        "reviews", "articles", "summaries", "books", "dialogues", "text", "jsonl", "hub"
    ] = "reviews"
    """Generated texts, as `[base_model]` is made from; a file with a text a line; a JSONL file; or
    a Hugging Face dataset."""
    path: str = ""
    """The text or JSONL file."""
    dataset: str = ""
    """A Hugging Face dataset id, e.g. "roneneldan/TinyStories"."""
    subset: str = ""
    """Name of the dataset's configuration, where it has several."""
    split: str = "train"
    """The dataset's split."""
    revision: Revision | None = None
    """A branch, tag or commit of the dataset; None: its main branch as a run begins."""
    field: str = "text"
    """The key or column that holds the text."""
    num_texts: Count = 20_000
    """Texts to train on, at most: so many are generated, or the first of a file or dataset."""
    held_out_texts: Count = 100
    """Texts to measure on: those that follow, or the last where there are no more."""
    seed: Seed = 1
    """Seed of generated texts; the base model's, and they are those that it learned."""

    @model_validator(mode="after")
    def _names_its_source(self) -> PretrainingConfig:
        if self.source in ("text", "jsonl") and not self.path:
            raise ValueError(f"pretraining.path is empty: source {self.source!r} needs a file")
        if self.source == "hub" and not self.dataset:
            raise ValueError('pretraining.dataset is empty: source "hub" needs a dataset id')
        refuse_unread("pretraining", self, self.source, TEXT_READERS)
        return self

    def refuse_unread_keys(self) -> None:
        """Refuse all keys that the source does not read; raise ValueError.

        Asked as a run begins: the config of one that began before it was asked may have such keys.
        """
        refuse_unread("pretraining", self, self.source, MORE_TEXT_READERS)


class BaseModelConfig(Settings):
    """A small GPT-2-style model with a word-level tokenizer, made from texts. All [own]."""

    texts: Literal["reviews", "articles", "summaries", "books", "dialogues"] = "reviews"
    """Which are generated: reviews; news articles, a few of them with a summary; or demonstrations,
    each an article, "TL;DR:" and its summary, of books each a passage, or summaries, the same and
    theirs, and dialogues with their last turn, of which the model's tokenizer takes chats."""
    num_texts: Count = 20_000
    """Texts that the model is trained on."""
    width: int = Field(default=128, ge=8, le=65_536)
    """Figures of a hidden state; a multiple of `heads`."""
    layers: int = Field(default=4, ge=1, le=1_000)
    """Layers of the trunk."""
    heads: int = Field(default=4, ge=1, le=1_000)
    """Heads of each layer's attention."""
    context_tokens: int = Field(default=64, ge=8, le=1_000_000)
    """Longest prompt and response together, in tokens."""
    seed: Seed = 1
    """Seed of the initial weights."""
    training: SupervisedConfig = SupervisedConfig()
    engine: FromScratchConfig = FromScratchConfig()

    @property
    def takes_chats(self) -> bool:
        """Whether the tokenizer has a chat template."""
        return self.texts == "dialogues"

    @model_validator(mode="after")
    def _sizes_agree(self) -> BaseModelConfig:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        if self.training.block_tokens > self.context_tokens:
            raise ValueError(
                f"training.block_tokens {self.training.block_tokens} is over context_tokens "
                f"{self.context_tokens}"
            )
        most = self.engine.micro_batch_tokens
        if most is not None and most < self.training.block_tokens:
            raise ValueError(
                f"engine.micro_batch_tokens {most} is less than training.block_tokens "
                f"{self.training.block_tokens}: make it as large, or leave it out"
            )
        return self
