"""Cutting up a text loses nothing of it, and the tree over it holds each passage once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from actors.prompts.passages import passages
from actors.prompts.text_tree import TreeNode, tree_over

TEXTS = st.text(st.sampled_from("ab .!?\n\"'。é"), max_size=200) | st.text(max_size=60)


def bare(text: str) -> str:
    return "".join(text.split())


def num_letters(text: str) -> int:
    return len(bare(text))


@given(text=TEXTS, most=st.integers(1, 40))
def test_all_of_a_text_is_in_its_passages_and_none_is_too_long(text: str, most: int) -> None:
    found = passages(text, most, num_letters)
    assert bare("".join(found)) == bare(text)
    assert all(0 < num_letters(passage) <= most for passage in found)


@given(num_leaves=st.integers(1, 200), fan_out=st.integers(2, 9))
def test_every_node_but_the_root_has_one_parent_and_every_parent_has_something_to_sum_up(
    num_leaves: int, fan_out: int
) -> None:
    tree = tree_over([str(number) for number in range(num_leaves)], fan_out, "book")
    assert [node.passage for node in tree.nodes[: tree.num_leaves]] == [
        str(number) for number in range(num_leaves)
    ]
    roots = [number for number, node in enumerate(tree.nodes) if node.parent is None]
    assert roots == [len(tree.nodes) - 1]
    assert len({node.place.node_id for node in tree.nodes}) == len(tree.nodes)
    for number, node in enumerate(tree.nodes):
        place, below = node.place, [tree.nodes[child] for child in node.children]
        assert (place.height == 0) == (number < tree.num_leaves) == (not below)
        assert len(below) == place.num_children <= fan_out
        assert len(place.path) == len(place.siblings) == place.depth
        assert all(1 <= step <= most for step, most in zip(place.path, place.siblings, strict=True))
        for step, child in enumerate(below, start=1):
            assert child.parent == number
            assert child.place.path == (*place.path, step)
        if below:
            assert len(below) > 1
            assert place.height == 1 + max(child.place.height for child in below)
    assert leaves_below(tree.nodes, len(tree.nodes) - 1) == list(range(num_leaves))


def leaves_below(nodes: tuple[TreeNode, ...], number: int) -> list[int]:
    children = nodes[number].children
    return [leaf for child in children for leaf in leaves_below(nodes, child)] or [number]
