"""Long texts as prompts: what is handed out when, and of what it is made."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import structlog

from actors.prompts.articles import vocabulary
from actors.prompts.book_prompts import BookPrompts
from actors.prompts.books import book
from actors.prompts.config import PromptsConfig
from actors.prompts.jsonl import prompt_lines
from actors.prompts.source import build_prompt_source
from protocol.errors import ConfigError, InputError, MissingError
from protocol.messages import Prompt
from protocol.ports import ListeningPromptSource
from protocol.text_tree import TextNode, TreesState
from protocol.tokenizing import PolicyTokenizer
from tests.support import tokenizers_of_all_kinds as kinds
from tests.support.prompt_source_contract import ListeningPromptSourceContract, answers
from tests.unit.actors.test_prompt_sources import word_tokenizer, write_lines

SHORT = {"leaf_tokens": 3, "fan_out": 2, "suffix": " so:"}
TEXT = "a b . c d . e f ."
"""Of three passages: the first goes up beside the parent of the other two."""


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return word_tokenizer(vocabulary())


@pytest.fixture
def letters() -> Any:
    return word_tokenizer(("a", "b", "c", "d", "e", "f", "x", "y", ".", "so:", "very", "good"))


def file_config(path: Path, books: Mapping[str, object] = SHORT, **changes: Any) -> PromptsConfig:
    return PromptsConfig.model_validate(
        {"source": "books", "path": str(path), "books": books, "shuffle": False, **changes}
    )


@pytest.fixture
def source(letters: Any, tmp_path: Path) -> BookPrompts:
    path = write_lines(tmp_path / "novels.jsonl", {"prompt": TEXT}, {"prompt": "b a ."})
    made = build_prompt_source(file_config(path), letters)
    assert isinstance(made, BookPrompts)
    return made


def ids(prompts: list[Prompt]) -> list[str]:
    return [prompt.prompt_id for prompt in prompts]


class TestGeneratedBooks(ListeningPromptSourceContract, of=BookPrompts):
    @pytest.fixture(autouse=True)
    def _given(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def source(self) -> ListeningPromptSource:
        made = build_prompt_source(PromptsConfig(source="books", seed=9), self._tokenizer)
        assert isinstance(made, BookPrompts)
        return made


class TestBooksOfAFile(ListeningPromptSourceContract, of=BookPrompts):
    @pytest.fixture(autouse=True)
    def _given(self, tokenizer: Any, tmp_path: Path) -> None:
        texts = [book(random.Random(number)).text for number in range(5)]
        self._path = write_lines(tmp_path / "b.jsonl", *({"prompt": text} for text in texts))
        self._tokenizer = tokenizer

    def source(self) -> ListeningPromptSource:
        config = PromptsConfig(source="books", path=str(self._path), seed=9)
        made = build_prompt_source(config, self._tokenizer)
        assert isinstance(made, BookPrompts)
        return made


def test_leaves_come_in_the_order_of_the_text_and_say_where_they_stand(
    source: BookPrompts, letters: Any
) -> None:
    drawn = source.draw(5)
    assert [(prompt.prompt_id, prompt.text) for prompt in drawn] == [
        ("novels-000001-0/1", "a b . so:"),
        ("novels-000001-0/2.1", "c d . so:"),
        ("novels-000001-0/2.2", "e f . so:"),
        ("novels-000002-0/root", "b a . so:"),
        ("novels-000001-1/1", "a b . so:"),
    ]
    assert [letters.decode(prompt.token_ids) for prompt in drawn] == [p.text for p in drawn]
    assert drawn[1].node == TextNode(
        document_id="novels-000001", path=(2, 1), siblings=(2, 2), height=0, num_children=0
    )


def test_what_the_policy_writes_below_is_what_it_is_asked_about_above(source: BookPrompts) -> None:
    first, second, third = source.draw(3)
    source.responded(answers([third], " y ."))
    source.responded(answers([second], " x ."))
    (above,) = source.draw(1)
    assert (above.prompt_id, above.text) == ("novels-000001-0/2", "x .\ny . so:")
    assert above.node == TextNode(
        document_id="novels-000001", path=(2,), siblings=(2,), height=1, num_children=2
    )
    source.responded(answers([above, first], "very good ."))
    (root,) = source.draw(1)
    assert (root.prompt_id, root.text) == ("novels-000001-0/root", "very good .\nvery good . so:")
    assert root.node is not None
    assert (root.node.height, root.node.depth, root.node.node_id) == (2, 0, "root")
    source.responded(answers([root], "x"))
    beginning = source.state
    assert [number for number, _ in beginning.texts] == [1]
    assert replace(beginning, texts=()) == TreesState(next_document=1, next_leaf=0)


def test_nodes_whose_children_are_done_come_before_leaves_in_the_order_in_which_they_were(
    source: BookPrompts,
) -> None:
    drawn = source.draw(7)
    source.responded(answers([drawn[i] for i in (5, 1, 2, 6)], "x ."))
    assert ids(source.draw(3)) == [
        "novels-000001-0/2",
        "novels-000001-1/2",
        "novels-000002-1/root",
    ]


def test_a_prompt_above_that_is_lost_is_made_again_of_the_same_summaries(
    source: BookPrompts,
) -> None:
    source.responded(answers(source.draw(3), "x ."))
    (above,) = source.draw(1)
    source.unanswered([above])
    assert source.draw(1) == [above]


def test_summaries_that_a_rollback_leaves_behind_are_written_again(source: BookPrompts) -> None:
    first, second, third = source.draw(3)
    source.responded(answers([second], "x .", version=4))
    source.responded(answers([third], "y .", version=5))
    source.responded(answers([first], "x .", version=5))
    source.forget(lambda versions: 5 in versions)
    assert ids(source.draw(3)) == [first.prompt_id, third.prompt_id, "novels-000002-0/root"]
    source.responded(answers([third], "a .", version=6))
    (above,) = source.draw(1)
    assert above.text == "x .\na . so:"


def test_a_prompt_made_of_them_that_is_being_answered_stays(source: BookPrompts) -> None:
    _, second, third = source.draw(3)
    source.responded(answers([second, third], "x .", version=5))
    (above,) = source.draw(1)
    source.forget(lambda versions: True)
    source.responded(answers([above], "y .", version=6))
    assert source.state.ready == ()
    assert [each.text for each in source.state.summaries] == ["x .", "x .", "y ."]
    source.forget(lambda versions: 5 in versions)  # what was made of them counts
    assert source.state.ready == ()


def test_a_node_above_what_a_rollback_leaves_behind_waits_for_it_anew(
    source: BookPrompts,
) -> None:
    first, second, third = source.draw(3)
    source.responded(answers([second, first], "x .", version=4))
    source.responded(answers([third], "y .", version=5))
    (above,) = source.draw(1)
    source.responded(answers([above], "x .", version=5))
    source.forget(lambda versions: 5 in versions)
    assert ids(source.draw(2)) == [third.prompt_id, "novels-000002-0/root"]
    source.responded(answers([third], "a .", version=6))
    (again,) = source.draw(1)
    assert (again.prompt_id, again.text) == (above.prompt_id, "x .\na . so:")
    source.responded(answers([again], "b .", version=6))
    assert source.draw(1)[0].text == "x .\nb . so:"


def test_of_what_a_rollback_leaves_behind_above_only_that_is_written_again(
    source: BookPrompts,
) -> None:
    first, second, third = source.draw(3)
    source.responded(answers([first, second, third], "x .", version=4))
    (above,) = source.draw(1)
    source.responded(answers([above], "y .", version=5))
    assert source.state.ready == ((0, 4),)
    source.forget(lambda versions: 5 in versions)
    assert source.draw(1) == [above]


@pytest.mark.parametrize(
    "texts",
    [["b a ."], [TEXT, "b a ."], ["a . b . c . d . e . f .", TEXT]],
    ids=["fewer-nodes", "fewer-leaves", "other-children"],
)
def test_a_stream_of_other_texts_is_not_gone_on_with(
    letters: Any, tmp_path: Path, texts: list[str]
) -> None:
    def stream(*texts: str) -> BookPrompts:
        path = write_lines(tmp_path / "n.jsonl", *({"prompt": text} for text in texts))
        made = build_prompt_source(file_config(path), letters)
        assert isinstance(made, BookPrompts)
        return made

    first = stream(TEXT, TEXT)
    first.responded(answers(first.draw(3), "x ."))
    first.draw(2)
    state = first.state
    stream(TEXT, TEXT).resume(state)
    with pytest.raises(InputError, match="not those that the run goes on from: resume it with"):
        stream(*texts).resume(state)


def test_a_summary_without_words_leaves_no_line(source: BookPrompts) -> None:
    _, second, third = source.draw(3)
    source.responded([*answers([second], ""), *answers([third], " x .")])
    assert source.draw(1)[0].text == "x . so:"
    source.unanswered([])


def test_a_summary_that_no_prompt_may_hold_is_left_out_and_told(
    source: BookPrompts,
) -> None:
    _, second, third = source.draw(3)
    with structlog.testing.capture_logs() as logs:
        source.responded([*answers([second], "x \ud83d"), *answers([third], "y .")])
    assert "half of a surrogate pair" in logs[0]["why"]
    assert source.draw(1)[0].text == "y . so:"


def test_summaries_that_grew_by_being_read_again_lose_words_at_their_ends(
    letters: Any, tmp_path: Path
) -> None:
    path = write_lines(tmp_path / "n.jsonl", {"prompt": TEXT})
    source = build_prompt_source(file_config(path), letters, room_tokens=7, response_tokens=3)
    assert isinstance(source, BookPrompts)
    _, second, third = source.draw(3)
    source.responded([*answers([second], "a b c d e f"), *answers([third], "x y .")])
    (above,) = source.draw(1)
    assert above.text == "a b c\nx y . so:"
    assert len(above.token_ids) == 7


def test_a_generated_book_is_cut_into_passages_that_are_all_of_it(tokenizer: Any) -> None:
    drawn = build_prompt_source(PromptsConfig(source="books", seed=5), tokenizer).draw(40)
    leaves = [prompt for prompt in drawn if prompt.prompt_id.startswith("books-000000/")]
    text = " ".join(leaf.text.removesuffix(" TL;DR:") for leaf in leaves)
    assert text == book(random.Random("5-0")).text
    for prompt in drawn:
        assert len(prompt.token_ids) <= 65
        assert prompt.text.endswith(" . TL;DR:")


def test_a_tokenizer_of_other_words_is_refused(letters: Any) -> None:
    with pytest.raises(InputError, match="train it on generated books, or name a file"):
        build_prompt_source(PromptsConfig(source="books"), letters)


@pytest.mark.parametrize(
    ("room", "response", "says"),
    [
        (64, 20, r"prompts\.books\.leaf_tokens 64 and the suffix make prompts of up to 65 tokens"),
        (70, 24, r"fan_out 3 times response\.max_tokens 24 .* up to 73 tokens, and at most 70"),
    ],
)
def test_prompts_without_room_are_refused_before_anything_is_read(
    tokenizer: Any, room: int, response: int, says: str
) -> None:
    config = PromptsConfig(source="books", path="none.jsonl")
    with pytest.raises(ConfigError, match=says):
        build_prompt_source(config, tokenizer, room_tokens=room, response_tokens=response)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ({"text": "a ."}, 'line 2: no "prompt": .* under the key that prompts.field names'),
        (["a ."], 'line 2: no "prompt"'),
        ({"prompt": ["a ."]}, 'line 2: "prompt" is of type list: give a text'),
        ({"prompt": " \n"}, 'line 2: "prompt" is empty: give at least one word'),
        ({"prompt": "a \ud83d"}, "line 2: character 2 is .* half of a surrogate pair"),
        ({"prompt": "a .", "language": "xx-!"}, 'line 2: "language": '),
    ],
)
def test_a_bad_line_is_named(letters: Any, tmp_path: Path, line: object, says: str) -> None:
    path = write_lines(tmp_path / "n.jsonl", {"prompt": "a ."}, line)
    with pytest.raises(InputError, match=says):
        build_prompt_source(file_config(path), letters)


def test_a_file_that_is_not_there_or_empty_is_told(letters: Any, tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"no such file of long texts: check prompts\.path"):
        build_prompt_source(file_config(tmp_path / "none.jsonl"), letters)
    with pytest.raises(InputError, match=r'empty: give one \{"prompt": text\} a line'):
        build_prompt_source(file_config(write_lines(tmp_path / "n.jsonl")), letters)


def test_a_pipe_is_refused_since_a_run_reads_it_more_than_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match=r"prompts\.path: .*pipe is a pipe .* write it to a file"):
        prompt_lines(tmp_path / "pipe", "prompt file")


def test_a_line_may_name_its_language_and_the_config_the_key(letters: Any, tmp_path: Path) -> None:
    path = write_lines(tmp_path / "n.jsonl", {"text": "a .", "language": "pt-BR"})
    (prompt,) = build_prompt_source(file_config(path, field="text"), letters).draw(1)
    assert (prompt.language, prompt.text) == ("pt-BR", "a . so:")


@pytest.mark.parametrize("kind", [kinds.chatml, kinds.unigram, kinds.wordpiece])
def test_passages_keep_to_their_length_with_tokenizers_of_parts_of_words(
    kind: Callable[[], Any], tmp_path: Path
) -> None:
    suffix, tokenizer = "\n\nTL;DR:", kind()
    path = write_lines(tmp_path / "n.jsonl", {"prompt": "We went home, and it rained! " * 20})
    source = build_prompt_source(
        file_config(path, {"leaf_tokens": 40, "suffix": suffix}), tokenizer
    )
    drawn = source.draw(4)
    asking = len(PolicyTokenizer(tokenizer).prompt_ids(suffix, where=""))
    assert all(prompt.text.endswith("!" + suffix) for prompt in drawn)
    assert 20 < max(len(prompt.token_ids) for prompt in drawn) <= 40 + asking
