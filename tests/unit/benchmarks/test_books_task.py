"""The task's config fits together: with its demonstrations, its model's context and its labels."""

from __future__ import annotations

from actors.prompts.articles import SUFFIX
from actors.prompts.book_summaries import FAN_OUT, LEAF_TOKENS, REFERENCE_TOKENS, book_corpus
from cluster.config_file import load_config
from tests.support.present import present
from tests.support.small_task import TASKS

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
