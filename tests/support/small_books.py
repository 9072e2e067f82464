"""Books of four short passages each, for tests of what is done with prompts made of responses."""

from __future__ import annotations

from actors.prompts.book_prompts import BookPrompts
from actors.prompts.config import BooksConfig
from actors.prompts.node_prompts import NodePrompts
from actors.prompts.shelves import FileShelf, ShelvedText
from actors.prompts.text_tree import tree_over
from protocol.tokenizing import PolicyTokenizer
from tests.support import tokenizers_of_all_kinds as kinds

NUM_LEAVES = 4
CONFIG = BooksConfig(leaf_tokens=3, fan_out=2)


def small_books() -> BookPrompts:
    """Return a stream in which books "b0", "b1", … come one after the other, at its beginning."""
    texts = [
        ShelvedText(
            name=f"b{number}",
            tree=tree_over(
                [f"b{number} p{part} ." for part in range(NUM_LEAVES)], CONFIG.fan_out, f"b{number}"
            ),
        )
        for number in range(100)
    ]
    prompts = NodePrompts(PolicyTokenizer(kinds.words()), CONFIG)
    return BookPrompts(FileShelf(texts, seed=0, shuffle=False), prompts)
