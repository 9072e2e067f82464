"""The texts that a base model can be made from, by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from actors.prompts import articles, book_summaries, dialogues, grammar

CorpusName = Literal["reviews", "articles", "summaries", "books", "dialogues"]
"""As `base_model.texts` names them: reviews; articles, a few of which a summary follows;
articles that one follows each, which are demonstrations; those of the nodes of books; and dialogues
with their last turn."""


def corpus(name: CorpusName, count: int, seed: int) -> list[str]:
    """Write `count` texts, words and marks between single spaces; the seed decides them."""
    match name:
        case "reviews":
            return grammar.review_corpus(count, seed)
        case "articles":
            return articles.article_corpus(count, seed, summarised_share=articles.SUMMARISED_SHARE)
        case "summaries":
            return articles.article_corpus(count, seed)
        case "books":
            return book_summaries.book_corpus(count, seed)
        case "dialogues":
            return dialogues.dialogue_corpus(count, seed)


def corpus_vocabulary(name: CorpusName) -> Sequence[str]:
    """Return every word and mark that such texts can hold, sorted."""
    match name:
        case "reviews":
            return grammar.vocabulary()
        case "dialogues":
            return dialogues.vocabulary()
        case _:
            return articles.vocabulary()
