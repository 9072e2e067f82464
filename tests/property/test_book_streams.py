"""A stream of books under any order of events: each node once, made of what was written below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from hypothesis import example, given
from hypothesis import strategies as st

from protocol.messages import Prompt
from protocol.text_tree import TextNode
from tests.support.prompt_source_contract import answers
from tests.support.small_books import small_books

SUFFIX = " TL;DR:"
EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["draw", "respond", "lose", "roll back", "resume"]), st.integers(0, 9)
    ),
    max_size=40,
)


def place_of(prompt: Prompt) -> tuple[str, TextNode]:
    assert prompt.node is not None
    return prompt.prompt_id.partition("/")[0], prompt.node


def are_before(first_standing: int, versions: Sequence[int]) -> bool:
    return min(versions) < first_standing


PASSAGES_SUMMED_UP = [("draw", 3), *[("respond", 0)] * 4]


@given(events=EVENTS)
# A prompt that was out as what it is made of was left behind, and then was lost.
@example(
    events=[*PASSAGES_SUMMED_UP, ("draw", 0), ("roll back", 0), ("lose", 0), *[("draw", 3)] * 2]
)
@example(
    events=[
        *PASSAGES_SUMMED_UP,
        *[("draw", 0), ("roll back", 0), ("resume", 0), ("lose", 0), ("draw", 3), ("draw", 3)],
    ]
)
def test_whatever_happens_prompts_are_made_of_summaries_that_stand(
    events: list[tuple[str, int]],
) -> None:
    source = small_books()
    out: list[Prompt] = []
    written: dict[tuple[str, tuple[int, ...]], str] = {}
    version = first_standing = 0
    for number, (event, which) in enumerate(events):
        if event == "draw":
            for prompt in source.draw(1 + which % 4):
                book, node = place_of(prompt)
                assert prompt not in out
                below = [
                    written[book, (*node.path, step)] for step in range(1, 1 + node.num_children)
                ]
                assert not below or prompt.text == "\n".join(below) + SUFFIX
                assert all(int(text.split()[1]) >= first_standing for text in below)
                out.append(prompt)
        elif event == "roll back":
            version, first_standing = version + 1, version + 1
            source.forget(partial(are_before, first_standing))
        elif event == "resume":
            again = small_books()
            again.resume(source.state)
            assert again.state == source.state
            source = again
        elif out:
            prompt = out.pop(which % len(out))
            if event == "lose":
                source.unanswered([prompt])
                continue
            book, node = place_of(prompt)
            text = f"by {version} at {number}"
            written[book, node.path] = text
            source.responded(answers([prompt], text, version))


@given(sizes=st.lists(st.integers(1, 12), min_size=20, max_size=40))
def test_every_node_of_a_book_that_is_done_came_once(sizes: list[int]) -> None:
    source = small_books()
    came: list[tuple[str, str]] = []
    for size in sizes:
        drawn = source.draw(size)
        source.responded([replace(each, text="so .") for each in answers(drawn, "")])
        came += [(book, node.node_id) for book, node in map(place_of, drawn)]
    assert len(set(came)) == len(came)
    for book in {book for book, node_id in came if node_id == "root"}:
        assert {node_id for other, node_id in came if other == book} == {
            *("1.1", "1.2", "2.1", "2.2", "1", "2", "root")
        }
