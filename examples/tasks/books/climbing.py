"""Books summed up from their passages to the root, by whoever writes summaries."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from actors.prompts.articles import SUFFIX
from actors.prompts.book_summaries import REFERENCE_TOKENS, demonstrations
from actors.prompts.books import Book, book
from actors.prompts.config import BooksConfig
from actors.prompts.node_prompts import NodePrompts
from actors.prompts.passages import passages
from actors.prompts.text_tree import TextTree, tree_over
from examples.tasks.drawing import Response

Write = Callable[[Sequence[str]], Sequence[Response]]
"""Writes a summary to each of some prompts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SummedUp:
    """One book with a summary of each of its nodes."""

    book: Book
    tree: TextTree
    prompts: tuple[str, ...]
    """By the number of the node, as `summaries`."""
    summaries: tuple[Response, ...]

    @property
    def whole(self) -> Response:
        """The book's."""
        return self.summaries[-1]


def fresh_books(count: int) -> list[Book]:
    """Return books that nothing was trained on."""
    return [book(random.Random(f"judged-{number}")) for number in range(count)]


def tree_of(made: Book, config: BooksConfig) -> TextTree:
    """Cut a book up as the demonstrations are, of which a token is a word or a mark."""
    leaves = passages(made.text, config.leaf_tokens, lambda text: len(text.split()))
    return tree_over(leaves, config.fan_out, "")


def climb(
    books: Sequence[Book], config: BooksConfig, prompts: NodePrompts, write: Write
) -> list[SummedUp]:
    """Sum up books level by level, each node by what was written of those below it.

    Args:
        books: Any number.
        config: How they are cut up.
        prompts: Puts the summaries of a node's children together.
        write: Is asked about all nodes of a height at once.
    """
    trees = [tree_of(made, config) for made in books]
    asked = [[""] * len(tree.nodes) for tree in trees]
    written = [[Response(text="")] * len(tree.nodes) for tree in trees]
    for height in range(1 + max(tree.nodes[-1].place.height for tree in trees)):
        nodes = [
            (at, number)
            for at, tree in enumerate(trees)
            for number, node in enumerate(tree.nodes)
            if node.place.height == height
        ]
        for at, number in nodes:
            node = trees[at].nodes[number]
            below = [prompts.readable(written[at][child].text) for child in node.children]
            text, _ = (
                prompts.of_summaries(below)
                if below
                else prompts.of_passage(node.passage, "a fresh book")
            )
            asked[at][number] = text
        summaries = write([asked[at][number] for at, number in nodes])
        for (at, number), summary in zip(nodes, summaries, strict=True):
            written[at][number] = summary
    return [
        SummedUp(book=made, tree=tree, prompts=tuple(texts), summaries=tuple(those))
        for made, tree, texts, those in zip(books, trees, asked, written, strict=True)
    ]


def by_people(books: Sequence[Book], config: BooksConfig) -> list[SummedUp]:
    """Sum books up as those who wrote the demonstrations do."""
    found = []
    for number, made in enumerate(books):
        pairs = [
            text.split(f" {SUFFIX} ")
            for text in demonstrations(made, random.Random(f"person-{number}"))
        ]
        found.append(
            SummedUp(
                book=made,
                tree=tree_of(made, config),
                prompts=tuple(f"{prompt} {SUFFIX}" for prompt, _ in pairs),
                summaries=tuple(Response(text=reference) for _, reference in pairs),
            )
        )
    return found


def lead(prompts: Sequence[str]) -> list[Response]:
    """Write the first sentences of each prompt, as many as a person's summary has room for.

    Of several summaries it takes the first sentence of each, then the second, and so on.
    """
    return [Response(text=_lead(each.removesuffix(f" {SUFFIX}"))) for each in prompts]


def _lead(text: str) -> str:
    parts = [_sentences(part) for part in text.split("\n")]
    chosen: set[tuple[int, int]] = set()
    room = REFERENCE_TOKENS
    for rank in range(max(map(len, parts))):
        for at, part in enumerate(parts):
            if rank < len(part):
                room -= len(part[rank].split())
                if room < 0:
                    return _told(parts, chosen)
                chosen.add((at, rank))
    return _told(parts, chosen)


def _told(parts: Sequence[Sequence[str]], chosen: set[tuple[int, int]]) -> str:
    return " ".join(parts[at][rank] for at, rank in sorted(chosen))


def _sentences(text: str) -> list[str]:
    return [f"{each.strip()} ." for each in text.split(" .") if each.strip()]
