"""The task's config fits together; its climbing and its measures, by hand; what it makes once."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from actors.prompts.articles import SUFFIX
from actors.prompts.book_summaries import FAN_OUT, LEAF_TOKENS, REFERENCE_TOKENS, book_corpus
from actors.prompts.node_prompts import NodePrompts
from cluster.config_file import load_config
from examples.tasks import whole_run
from examples.tasks.books import __main__ as task
from examples.tasks.books.climbing import SummedUp, by_people, climb, fresh_books, lead
from examples.tasks.books.measures import Measures, told_of
from examples.tasks.drawing import Response
from label_queue.simulated.config import LabelerProfile
from label_queue.simulated.gold.books import BooksGold
from learners.text_config import BaseModelConfig
from learners.word_tokenizer import build_tokenizer
from protocol.tokenizing import PolicyTokenizer
from tests.support.present import present
from tests.support.small_task import TASKS
from tests.support.tiny_model import save_tiny_model

RUN = load_config(TASKS / "books" / "run.toml")
SUFFIX_TOKENS = 1


def test_prompts_are_cut_as_the_demonstrations_are() -> None:
    books, recipe = RUN.prompts.books, present(RUN.base_model)
    assert (RUN.prompts.source, recipe.texts, RUN.gold) == ("books", "books", "books")
    assert (books.leaf_tokens, books.fan_out) == (LEAF_TOKENS, FAN_OUT)
    assert (books.suffix, recipe.training.loss_after) == (f" {SUFFIX}", SUFFIX)
    assert RUN.response.max_tokens == REFERENCE_TOKENS + 1  # the end token


def test_every_prompt_and_demonstration_has_room() -> None:
    books, recipe, response = RUN.prompts.books, present(RUN.base_model), RUN.response.max_tokens
    longest = max(books.leaf_tokens, books.fan_out * response) + SUFFIX_TOKENS
    assert longest + response <= recipe.context_tokens
    assert recipe.training.block_tokens == recipe.context_tokens
    demonstrations = book_corpus(2_000, recipe.seed)
    assert max(len(text.split()) for text in demonstrations) < recipe.context_tokens


def test_all_labels_are_wanted_by_its_end() -> None:
    assert RUN.label_schedule.wanted(RUN.run.episodes) == RUN.labels.total == 960


BOOKS = fresh_books(3)
CAREFUL = LabelerProfile(beta=2.0)


def climbed(*writes: object) -> list[SummedUp]:
    write = writes[0] if writes else lead
    words = PolicyTokenizer(build_tokenizer([made.text for made in BOOKS]))
    assert callable(write)
    return climb(BOOKS, RUN.prompts.books, NodePrompts(words, RUN.prompts.books), write)


def measured(found: Sequence[SummedUp]) -> Measures:
    return Measures.of(found, by_people(BOOKS, RUN.prompts.books), [CAREFUL])


def saying(found: SummedUp, whole: str) -> SummedUp:
    """Return a book with another summary of its whole."""
    return replace(found, summaries=(*found.summaries[:-1], Response(text=whole)))


def test_what_is_judged_was_not_trained_on() -> None:
    learned = "\n".join(book_corpus(2_000, present(RUN.base_model).seed))
    assert not any(chapter.text in learned for made in BOOKS for chapter in made.chapters)
    assert fresh_books(2) == BOOKS[:2]


def test_a_height_is_written_at_once_and_what_stands_above_is_made_of_it() -> None:
    calls: list[Sequence[str]] = []

    def write(prompts: Sequence[str]) -> list[Response]:
        calls.append(prompts)
        return [Response(text=f"town {len(calls)} {number} .") for number in range(len(prompts))]

    found = climbed(write)
    assert sum(map(len, calls)) == sum(len(each.tree.nodes) for each in found)
    assert len(calls) == 1 + max(each.tree.nodes[-1].place.height for each in found)
    for each in found:
        assert len(each.prompts) == len(each.summaries) == len(each.tree.nodes)
        for node, prompt in zip(each.tree.nodes, each.prompts, strict=True):
            below = [each.summaries[child].text for child in node.children]
            assert prompt == ("\n".join(below) or node.passage) + f" {SUFFIX}"


def test_people_s_summaries_are_those_of_the_demonstrations_node_by_node() -> None:
    for each in by_people(BOOKS, RUN.prompts.books):
        assert len(each.summaries) == len(each.tree.nodes)
        for node, prompt in zip(each.tree.nodes, each.prompts, strict=True):
            below = " ".join(each.summaries[child].text for child in node.children)
            assert prompt == (below or node.passage) + f" {SUFFIX}"


@pytest.mark.parametrize(
    ("prompt", "written"),
    [
        ("a b . c d .", "a b . c d ."),
        (f"{'x ' * 26}. c d .", f"{'x ' * 26}."),
        # Of two summaries the first sentence each comes before a second.
        (f"{'x ' * 9}. {'y ' * 19}.\n{'z ' * 9}.", f"{'x ' * 9}. {'z ' * 9}."),
        (f"{'x ' * 27}.", ""),
    ],
)
def test_the_lead_is_as_many_first_sentences_as_there_is_room_for(
    prompt: str, written: str
) -> None:
    assert lead([f"{prompt} {SUFFIX}"]) == [Response(text=written)]


def test_what_is_told_is_who_did_what_to_what() -> None:
    made = BOOKS[0]
    news = [chapter.news for chapter in made.chapters]
    first = f"the {news[0].who} {news[0].deed} the {news[0].what} ."
    second = f"the {news[0].who} {news[1].deed} the {news[1].what} ."
    assert told_of(made, first) == 1 / len(news)
    assert told_of(made, f"{first} {second}") == 1 / len(news)
    assert told_of(made, "") == 0.0


def test_an_error_below_is_true_of_the_prompt_above_and_false_of_the_book() -> None:
    found = climbed()[0]
    news = found.book.chapters[0].news
    true, false = (
        f"the {who} {news.deed} the {news.what} ." for who in (news.who, "nobody-of-the-book")
    )
    wrong = replace(saying(found, false), prompts=(*found.prompts[:-1], f"{false} {SUFFIX}"))
    people = by_people(BOOKS[:1], RUN.prompts.books)
    said_wrong = Measures.of([wrong], people, [CAREFUL])
    assert (said_wrong.true_of_prompt, said_wrong.true_of_book) == (1.0, 2 / 3)
    assert (said_wrong.wholly_true, said_wrong.told, said_wrong.words) == (0.0, 0.0, 6.0)
    said_right = Measures.of([saying(found, true)], people, [CAREFUL])
    assert (said_right.true_of_book, said_right.wholly_true) == (1.0, 1.0)
    # Three facts of news in six words; and one of the three false in the other.
    assert said_right.gold_of_book == pytest.approx(3.0 - 0.6)
    assert said_wrong.gold_of_book == pytest.approx(2.0 - 1.0 - 0.6)
    assert said_wrong.gold_wholes == pytest.approx(3.0 - 0.6)
    assert said_right.win_gold == said_wrong.win_gold == 0.0
    assert said_wrong.win_labelers < said_right.win_labelers < 0.5


def test_each_node_s_gold_is_of_its_own_prompt_and_people_are_their_own_equals() -> None:
    people = by_people(BOOKS, RUN.prompts.books)
    own = measured(people)
    assert (own.win_gold, own.win_labelers, own.finished) == (0.5, 0.5, 1.0)
    leaves = [
        BooksGold().score(prompt, summary.text)
        for each in people
        for node, prompt, summary in zip(each.tree.nodes, each.prompts, each.summaries, strict=True)
        if not node.children
    ]
    assert own.gold_passages == pytest.approx(sum(leaves) / len(leaves))


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the task makes: whole runs, drawings and base models; nothing is run."""
    made: list[str] = []
    save_tiny_model(tmp_path / "policy" / "final")

    def fake_run(config: Path, folder: Path, settings: dict[str, object]) -> None:
        made.append(f"run {settings['run.seed']}")
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "policy").exists():
            (folder / "policy").symlink_to(tmp_path / "policy")
        heights = [f"reward/gold_mean_height_{height}" for height in range(3)]
        rows = [
            {"policy/step": n, "policy/episodes": 128 * n, **dict.fromkeys(heights, float(n))}
            for n in range(8)
        ]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def fake_draw(folder: Path, prompts: list[str], response: object, seed: int) -> list[Response]:
        made.append(f"drawn {len(prompts)}")
        return lead(prompts)

    def fake_base(recipe: BaseModelConfig, runs: Path) -> Path:
        made.append(f"base {recipe.texts} {recipe.seed}")
        return tmp_path / "policy" / "final"

    def fake_words(folder: Path) -> object:
        return build_tokenizer([each.text for each in BOOKS])

    monkeypatch.setattr(task, "FOLDER", tmp_path / "runs")
    monkeypatch.setattr(whole_run, "run_to_end", fake_run)
    monkeypatch.setattr(task, "draw_summaries", fake_draw)
    monkeypatch.setattr(task, "load_tokenizer", fake_words)
    monkeypatch.setattr(whole_run, "base_model", fake_base)
    monkeypatch.setattr(sys, "argv", ["books", "--books", "3", "--seeds", "4"])
    return made


def test_everything_is_made_once(
    made: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task.main()
    levels = [each for each in made if each.startswith("drawn")]
    assert [each for each in made if each not in levels] == ["base books 4", "run 4"]
    assert len(levels) == 6  # three heights, of two policies
    rows = capsys.readouterr().out.splitlines()
    names = [row.split("|")[1].strip() for row in rows if row.startswith("| ")]
    assert names[2:] == ["people", "lead", "supervised", "online"]
    # What was drawn is the lead.
    assert rows[3].split("|")[2:] == rows[5].split("|")[2:]
    assert (tmp_path / "runs" / "books.png").read_bytes().startswith(b"\x89PNG")
    made.clear()
    task.main()
    assert made == ["run 4"]  # which looks whether it has ended, and returns


def test_without_a_seed_people_and_the_lead_alone_are_measured(
    made: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["books", "--books", "3", "--seeds"])
    task.main()
    assert made == []
    assert capsys.readouterr().out.count("\n| ") == 3
