"""A long text as a tree: passages are its leaves, and each other node sums up what is below it.

    height 2            ()
                     ╱      ╲
    height 1      (1,)      (2,)
                 ╱    ╲    ╱    ╲
    height 0  (1, 1) (1, 2) (2, 1) (2, 2)

What crosses a process of it: where a prompt stands (`TextNode`), and, in a checkpoint, what a
source of such prompts goes on from (`TreesState`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class TextNode:
    """Where in the tree of a long text a prompt stands."""

    document_id: str
    """The long text, e.g. "books-000017"."""
    path: tuple[int, ...]
    """Which child, from 1, is taken at each step down from the root, e.g. (2, 1); (): the root."""
    siblings: tuple[int, ...]
    """As long as `path`: of how many children that is one at each step, e.g. (2, 3)."""
    height: int
    """Steps down to its lowest leaf: 0 is a leaf, whose prompt is a passage."""
    num_children: int
    """Nodes whose summaries its prompt is made of; 0 of a leaf."""

    def __post_init__(self) -> None:
        """Refuse what no tree has: places come from files and tables, too.

        Raises:
            ValueError: A step leads to a child that is not there, or a leaf has children.
        """
        steps = zip(self.path, self.siblings, strict=False)
        if len(self.path) != len(self.siblings) or any(not 1 <= a <= b for a, b in steps):
            raise ValueError(
                f"path {self.path} and siblings {self.siblings}: want, for each step down from the "
                "root, which child is taken, from 1, and of how many"
            )
        if self.height < 0 or self.num_children < 0 or (self.height > 0) != (self.num_children > 0):
            raise ValueError(
                f"height {self.height} and num_children {self.num_children}: want 0 and 0 of a "
                "leaf, and both above 0 of any other node"
            )

    @property
    def node_id(self) -> str:
        """Its name within the text, e.g. "2.1"; "root" at the top."""
        return ".".join(map(str, self.path)) or "root"

    @property
    def depth(self) -> int:
        """Steps up to the root, which is at 0."""
        return len(self.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSummary:
    """What the policy wrote of a node, for the prompt of its parent."""

    document: int
    """Number of the text in its stream, from 0."""
    node: int
    """Number of the node in its tree, from 0."""
    text: str
    policy_versions: tuple[int, ...]
    """The versions that wrote it, rising, each once."""
    is_left_behind: bool = False
    """Whether a rollback left it behind: it stays only while a prompt made of it does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TreesState:
    """How far a stream of nodes is. A node is named by its text's number and its own."""

    next_document: int
    """The text whose leaves are handed out next."""
    next_leaf: int
    """The leaf of it that comes next."""
    ready: tuple[tuple[int, int], ...] = ()
    """Nodes that come before any leaf, first to last."""
    handed_out: tuple[tuple[str, int, int], ...] = ()
    """(prompt_id, text, node) of prompts of which nothing was heard yet."""
    summaries: tuple[NodeSummary, ...] = ()
    """Summaries of texts of which there is none of the whole yet."""
    texts: tuple[tuple[int, str], ...] = ()
    """(text, sha256 of its tree) of every text named here, by number: others may not be gone on
    with."""

    def with_all_due_again(self) -> TreesState:
        """Return the state after everything that was handed out came to nothing."""
        lost = tuple((document, node) for _, document, node in self.handed_out)
        return replace(self, ready=(*self.ready, *lost), handed_out=())
