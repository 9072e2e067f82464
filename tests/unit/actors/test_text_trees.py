"""A long text's passages and the tree over them, worked out by hand."""

from __future__ import annotations

import pytest

from actors.prompts.passages import passages
from actors.prompts.text_tree import TextTree, tree_over
from protocol.text_tree import TextNode, TreesState


def num_words(text: str) -> int:
    return len(text.split())


def tree(num_leaves: int, fan_out: int) -> TextTree:
    return tree_over([f"p{number}" for number in range(num_leaves)], fan_out, "book")


def shape(made: TextTree) -> list[str]:
    """Each node's id, its height, and the passages or ids below it."""
    return [
        f"{node.place.node_id}@{node.place.height}:"
        + (node.passage or ",".join(made.nodes[child].place.node_id for child in node.children))
        for node in made.nodes
    ]


@pytest.mark.parametrize(
    ("text", "most", "cut"),
    [
        ("we went home . it rained .", 4, ["we went home .", "it rained ."]),
        ("we went home . it rained .", 6, ["we went home .", "it rained ."]),
        ("we went home . it rained .", 7, ["we went home . it rained ."]),
        ('He said "No!" and left. We stayed.', 6, ['He said "No!" and left.', "We stayed."]),
        ("One.\n\nTwo. Three", 2, ["One.\n\nTwo.", "Three"]),
        ("A heading\n\nA line", 3, ["A heading", "A line"]),
        ("a b c d e . f .", 3, ["a b c", "d e .", "f ."]),
        ("你好。再见。", 1, ["你好。", "再见。"]),
        ("  \n ", 3, []),
        ("", 3, []),
    ],
)
def test_a_text_is_cut_where_sentences_end(text: str, most: int, cut: list[str]) -> None:
    assert passages(text, most, num_words) == cut


def test_a_word_longer_than_a_passage_is_cut_within() -> None:
    assert passages("ab abcdefg.", 4, len) == ["ab", "abcd", "efg."]
    assert passages("ab", 1, lambda _: 9) == ["a", "b"]


def test_a_text_of_one_passage_is_its_own_root() -> None:
    assert shape(tree(1, 3)) == ["root@0:p0"]
    (node,) = tree(1, 3).nodes
    assert (node.parent, node.place.depth, node.place.num_children) == (None, 0, 0)


def test_nodes_are_shared_out_evenly_up_to_one_root() -> None:
    made = tree(5, 3)
    assert shape(made) == [
        "1.1@0:p0",
        "1.2@0:p1",
        "2.1@0:p2",
        "2.2@0:p3",
        "2.3@0:p4",
        "1@1:1.1,1.2",
        "2@1:2.1,2.2,2.3",
        "root@2:1,2",
    ]
    assert [node.parent for node in made.nodes] == [5, 5, 6, 6, 6, 7, 7, None]
    assert (made.num_leaves, made.document_id) == (5, "book")
    assert made.nodes[3].place == TextNode(
        document_id="book", path=(2, 2), siblings=(2, 3), height=0, num_children=0
    )
    assert made.nodes[6].place.num_children == 3


def test_an_only_child_goes_up_instead() -> None:
    assert shape(tree(3, 2)) == ["1@0:p0", "2.1@0:p1", "2.2@0:p2", "2@1:2.1,2.2", "root@2:1,2"]


def test_what_was_handed_out_and_lost_is_due_again_after_what_was_ready() -> None:
    state = TreesState(
        next_document=4, next_leaf=1, ready=((0, 5),), handed_out=(("a", 3, 0), ("b", 2, 6))
    )
    assert state.with_all_due_again() == TreesState(
        next_document=4, next_leaf=1, ready=((0, 5), (3, 0), (2, 6))
    )
