"""Long texts as prompts, node by node: summaries of passages, then summaries of summaries.

    leaves of text n ─▶ handed out ─▶ responded ─▶ kept for the parent
                            ▲  │                        │ all children are
                 unanswered └──┘      ready ◀───────────┘
                                        │
                     handed out, before any leaf ─▶ … ─▶ the root: the text is done

The summaries that an upper node's prompt is made of are those that the policy of the moment wrote
of its children: what it learns below is what it has to work with above. They come in as responses
do, and nothing else decides the stream: the same responses in the same order give the same prompts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from actors.prompts.node_prompts import NodePrompts
from actors.prompts.shelves import Shelf, ShelvedText
from actors.prompts.text_tree import TreeNode
from protocol.errors import InputError
from protocol.messages import Prompt, Rollout
from protocol.text_tree import NodeSummary, TreesState


class _Node(NamedTuple):
    """A node by its numbers."""

    document: int
    node: int


class BookPrompts:
    """A `protocol.ports.ListeningPromptSource` over a shelf of long texts."""

    def __init__(self, shelf: Shelf, prompts: NodePrompts) -> None:
        """Take the texts, and what makes prompts of their nodes; the stream is at its beginning."""
        self._shelf = shelf
        self._prompts = prompts
        self._texts: dict[int, ShelvedText] = {}
        """Texts in use, so that none is cut up twice meanwhile."""
        self._next = _Node(0, 0)
        self._ready: deque[_Node] = deque()
        self._handed_out: dict[str, _Node] = {}
        self._summaries: dict[_Node, NodeSummary] = {}

    def reseeded(self, seed: int) -> BookPrompts:
        """Return another stream, of texts in the order of that seed, at its beginning."""
        return BookPrompts(self._shelf.reseeded(seed), self._prompts)

    def draw(self, count: int) -> list[Prompt]:
        """Return the next `count` prompts: nodes whose children are summed up, then leaves.

        Raises:
            InputError: The tokenizer cannot take a generated text.
        """
        drawn = []
        for _ in range(count):
            node = self._taken()
            prompt = self._prompt(node)
            self._handed_out[prompt.prompt_id] = node
            drawn.append(prompt)
        return drawn

    def skip(self, count: int) -> None:
        """Pass over the next `count` prompts; what is above them never comes."""
        for _ in range(count):
            self._taken()

    def responded(self, rollouts: Sequence[Rollout]) -> None:
        """Keep each response for its parent's prompt, ended or not; see `ListeningPromptSource`."""
        for rollout in rollouts:
            node = self._handed_out.pop(rollout.prompt.prompt_id, None)
            if node is not None:
                self._keep(node, rollout)

    def unanswered(self, prompts: Sequence[Prompt]) -> None:
        """See `ListeningPromptSource`: the nodes wait behind those that are ready.

        One made of summaries that were left behind meanwhile waits for others.
        """
        for prompt in prompts:
            node = self._handed_out.pop(prompt.prompt_id, None)
            if node is not None:
                self._ready.append(node)
        self._drop_left_behind()

    def forget(self, is_left_behind: Callable[[Sequence[int]], bool]) -> None:
        """See `ListeningPromptSource`; a prompt that was handed out stays as it is.

        A node above one that is forgotten waits for it anew, and so on up.
        """
        for node, summary in self._summaries.items():
            if is_left_behind(summary.policy_versions):
                self._summaries[node] = replace(summary, is_left_behind=True)
        self._drop_left_behind()

    @property
    def state(self) -> TreesState:
        """See `ListeningPromptSource`."""
        return TreesState(
            next_document=self._next.document,
            next_leaf=self._next.node,
            ready=tuple((node.document, node.node) for node in self._ready),
            handed_out=tuple((name, *node) for name, node in self._handed_out.items()),
            summaries=tuple(self._summaries.values()),
            texts=self._digests(),
        )

    def resume(self, state: TreesState) -> None:
        """See `ListeningPromptSource`.

        Raises:
            InputError: The texts are cut up in another way than those that the state is of.
        """
        self._next = _Node(state.next_document, state.next_leaf)
        self._ready = deque(_Node(*node) for node in state.ready)
        self._handed_out = {name: _Node(*node) for name, *node in state.handed_out}
        self._summaries = {_Node(each.document, each.node): each for each in state.summaries}
        if self._digests() != state.texts:
            raise InputError(
                "the long texts are not those that the run goes on from: resume it with the file "
                "that prompts.path named, as it was, and the same prompts.books"
            )

    # ── nodes ────────────────────────────────────────────────────────────────────────────────

    def _taken(self) -> _Node:
        """Return the node that comes next, and go on to the one after."""
        if self._ready:
            return self._ready.popleft()
        node = self._next
        is_last = node.node + 1 == self._text(node.document).tree.num_leaves
        self._next = _Node(node.document + 1, 0) if is_last else node._replace(node=node.node + 1)
        return node

    def _prompt(self, node: _Node) -> Prompt:
        text, found = self._text(node.document), self._found(node)
        if found.children:
            below = [self._summaries[child].text for child in self._below(node)]
            content, token_ids = self._prompts.of_summaries(below)
        else:
            content, token_ids = self._prompts.of_passage(found.passage, text.name)
        return Prompt(
            prompt_id=f"{text.name}/{found.place.node_id}",
            text=content,
            token_ids=token_ids,
            language=text.language,
            node=found.place,
        )

    def _keep(self, node: _Node, rollout: Rollout) -> None:
        """Keep a node's summary until the whole text is summed up: a rollback may ask for it."""
        parent = self._above(node)
        if parent is None:
            self._texts.pop(node.document, None)
            for done in [each for each in self._summaries if each.document == node.document]:
                del self._summaries[done]
            return
        self._summaries[node] = NodeSummary(
            document=node.document,
            node=node.node,
            text=self._prompts.readable(rollout.text),
            policy_versions=tuple(sorted(set(rollout.policy_versions))),
        )
        if self._is_ready(parent):
            self._ready.append(parent)

    def _drop_left_behind(self) -> None:
        """Forget what was left behind and no prompt that is out or answered is made of."""
        used = set(self._handed_out.values())
        gone = []
        for node in sorted(self._summaries, reverse=True):  # what is above comes first
            if self._above(node) in used or not self._summaries[node].is_left_behind:
                used.add(node)
            else:
                gone.append(node)
        for node in gone:
            del self._summaries[node]
        for node in reversed(gone):
            parent = self._above(node)
            if parent is not None and parent in self._ready:
                self._ready.remove(parent)
            if self._is_ready(node):
                self._ready.append(node)

    def _is_ready(self, node: _Node) -> bool:
        return all(child in self._summaries for child in self._below(node))

    def _below(self, node: _Node) -> list[_Node]:
        return [node._replace(node=child) for child in self._found(node).children]

    def _above(self, node: _Node) -> _Node | None:
        parent = self._found(node).parent
        return None if parent is None else node._replace(node=parent)

    def _found(self, node: _Node) -> TreeNode:
        return self._text(node.document).tree.nodes[node.node]

    def _digests(self) -> tuple[tuple[int, str], ...]:
        """Return the numbers and digests of all texts that the stream is in the midst of."""
        nodes = (self._next, *self._ready, *self._handed_out.values(), *self._summaries)
        numbers = sorted({node.document for node in nodes})
        return tuple((number, self._text(number).tree.digest) for number in numbers)

    def _text(self, number: int) -> ShelvedText:
        if number not in self._texts:
            self._texts[number] = self._shelf.at(number)
        return self._texts[number]
