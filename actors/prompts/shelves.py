"""Endless streams of long texts, each cut into its tree: written afresh, or out of a file."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self

from actors.prompts.books import book
from actors.prompts.config import BooksConfig
from actors.prompts.epochs import Epochs
from actors.prompts.node_prompts import NodePrompts
from actors.prompts.passages import passages
from actors.prompts.text_tree import TextTree, tree_over
from protocol.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class ShelvedText:
    """A long text as it comes in a stream."""

    name: str
    """Unique in the stream: a text that is read again has another."""
    tree: TextTree
    language: str = ""
    """Its language where its source says it (BCP 47); "": the run's own."""


class Shelf(Protocol):
    """Text number n depends on the seed and n only."""

    def at(self, number: int) -> ShelvedText:
        """Return a text by its number, from 0; the same one each time."""
        ...

    def reseeded(self, seed: int) -> Self:
        """Return another stream, of that seed."""
        ...


class GeneratedShelf:
    """Books that are written afresh."""

    def __init__(self, prompts: NodePrompts, config: BooksConfig, *, seed: int) -> None:
        """Take how they are cut up, and what decides them.

        Raises:
            InputError: The tokenizer does not know a word of theirs, which is tried at once.
        """
        self._prompts = prompts
        self._config = config
        self._seed = seed
        tree = self.at(0).tree
        for leaf in tree.nodes[: tree.num_leaves]:
            text, ids = prompts.of_passage(leaf.passage, "a generated book")
            if not prompts.knows_all(ids):
                raise InputError(
                    f"the tokenizer does not know all words of the generated prompt {text!r}: "
                    "train it on generated books, or name a file of your own in prompts.path"
                )

    def at(self, number: int) -> ShelvedText:
        """See `Shelf`."""
        name = f"books-{number:06d}"
        text = book(random.Random(f"{self._seed}-{number}")).text
        leaves = passages(text, self._config.leaf_tokens, self._prompts.count)
        return ShelvedText(name=name, tree=tree_over(leaves, self._config.fan_out, name))

    def reseeded(self, seed: int) -> GeneratedShelf:
        """See `Shelf`."""
        return GeneratedShelf(self._prompts, self._config, seed=seed)


class FileShelf:
    """A finite list of texts, epoch after epoch, each shuffled anew."""

    def __init__(self, texts: Sequence[ShelvedText], *, seed: int, shuffle: bool) -> None:
        """Take the list, which must not be empty, and what orders it."""
        self._texts = tuple(texts)
        self._epochs = Epochs(len(self._texts), seed=seed, shuffle=shuffle)
        self._shuffle = shuffle

    def at(self, number: int) -> ShelvedText:
        """See `Shelf`."""
        epoch, index = self._epochs.at(number)
        text = self._texts[index]
        return ShelvedText(name=f"{text.name}-{epoch}", tree=text.tree, language=text.language)

    def reseeded(self, seed: int) -> FileShelf:
        """See `Shelf`; nothing is read again."""
        return FileShelf(self._texts, seed=seed, shuffle=self._shuffle)
