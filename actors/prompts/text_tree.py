"""The tree over a text's passages: each node above them has up to F children, until one is left."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from protocol.json_digest import json_digest
from protocol.text_tree import TextNode


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeNode:
    """One node of a text's tree."""

    place: TextNode
    passage: str
    """A leaf's part of the text; empty above."""
    children: tuple[int, ...]
    """Numbers of the nodes below, in the order of the text."""
    parent: int | None
    """Number of the node above; None of the root."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextTree:
    """A long text, cut up."""

    nodes: tuple[TreeNode, ...]
    """The leaves in the order of the text, then level by level what is above; the root is last.
    A node's number is its place here."""
    num_leaves: int
    digest: str
    """SHA-256 of its passages, and of what is below what."""

    @property
    def document_id(self) -> str:
        """The text's name."""
        return self.nodes[-1].place.document_id


def tree_over(passages: Sequence[str], fan_out: int, document_id: str) -> TextTree:
    """Return the tree over a text's passages.

    The nodes of a level are shared out evenly among as few parents as can have them. One that would
    be an only child has no parent at that level, and goes up with them: there is nothing to sum up.

    Args:
        passages: At least one.
        fan_out: F, children of a node at most; at least 2.
        document_id: Names the text.
    """
    assert passages, "a text without a passage has no tree"
    assert fan_out > 1, "a tree over only children has no end"
    children: list[tuple[int, ...]] = [()] * len(passages)
    level = list(range(len(passages)))
    while len(level) > 1:
        above = []
        for group in _shared_out(level, fan_out):
            if len(group) > 1:
                children.append(group)
            above.append(group[0] if len(group) == 1 else len(children) - 1)
        level = above
    places = _places(children, document_id)
    parents = {child: parent for parent, those in enumerate(children) for child in those}
    nodes = tuple(
        TreeNode(
            place=places[number],
            passage=passages[number] if number < len(passages) else "",
            children=children[number],
            parent=parents.get(number),
        )
        for number in range(len(children))
    )
    digest = json_digest({"passages": list(passages), "children": children})
    return TextTree(nodes=nodes, num_leaves=len(passages), digest=digest)


def _shared_out(level: Sequence[int], fan_out: int) -> Iterator[tuple[int, ...]]:
    num_parents = -(-len(level) // fan_out)
    bounds = [len(level) * part // num_parents for part in range(num_parents + 1)]
    for first, last in pairwise(bounds):
        yield tuple(level[first:last])


def _places(children: Sequence[tuple[int, ...]], document_id: str) -> list[TextNode]:
    """Return where each node stands: heights from below, paths from the root, which is last."""
    heights: list[int] = []
    for those in children:
        heights.append(1 + max(heights[child] for child in those) if those else 0)
    paths: dict[int, tuple[int, ...]] = {len(children) - 1: ()}
    siblings: dict[int, tuple[int, ...]] = {len(children) - 1: ()}
    for parent in reversed(range(len(children))):
        for place, child in enumerate(children[parent], start=1):
            paths[child] = (*paths[parent], place)
            siblings[child] = (*siblings[parent], len(children[parent]))
    return [
        TextNode(
            document_id=document_id,
            path=paths[number],
            siblings=siblings[number],
            height=heights[number],
            num_children=len(children[number]),
        )
        for number in range(len(children))
    ]
