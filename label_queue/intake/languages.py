"""The languages of the labelers' pages: their words, and which of them somebody is shown.

All that a labeler reads comes from one file for each language, in templates by `say` here and in
scripts by `shared/words.js`:

    "answer.tie": "Tie"                                      words
    "cord.pulled": "{by}: “{reason}” …"                      with what is filled in
    "progress.all": {"one": "{count} in all", "other": …}    plural forms, which scripts choose
    "keys.confirm": "[enter] confirms"                       with keys, named by "key.enter"

Whoever chose a language is shown that; else what their browser asks for, found as RFC 4647 looks it
up; else what the config names.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from fastapi import Request
from markupsafe import Markup, escape

from label_queue.config import IntakeConfig
from label_queue.page_languages import PAGE_LANGUAGES, WORDS

ENGLISH = "en"
"""What the owner's pages are in, and every refusal of the API."""
CHOICE = "language"
"""Name of the query's parameter by which somebody chooses a language."""
COOKIE = "andon_language"
"""Keeps the choice; runs at the same host share it, since it is the person's."""
COOKIE_S = 400 * 86_400
"""The longest that browsers keep a cookie."""
MOST_ASKED = 10
"""Languages that a browser asks for which are looked at."""
MOST_PARTS = 8
"""Parts of a tag that are looked at."""
KEY = re.compile(r"\[([^\]]+)\]")
"""A key in words: "[enter]"."""

Direction = Literal["ltr", "rtl"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Language:
    """One language of the pages."""

    tag: str
    words: Mapping[str, str | Mapping[str, str]]
    """The words by their names, or the plural forms of them."""

    @property
    def name(self) -> str:
        """What the language calls itself, e.g. "Deutsch"."""
        return str(self.words["language.name"])

    @property
    def direction(self) -> Direction:
        """Which way its lines run."""
        return cast(Direction, self.words["language.direction"])

    def say(self, name: str, **filled_in: object) -> Markup:
        """Return words as markup, with `filled_in` escaped and the keys as keys.

        Raises KeyError for words that there are not, and TypeError for plural forms: which is
        right, browsers know.
        """
        words = self.words[name]
        if not isinstance(words, str):
            raise TypeError(f"{name} has plural forms: scripts choose one")
        return Markup(KEY.sub(self._key, str(escape(words)))).format(**filled_in)

    def _key(self, found: re.Match[str]) -> str:
        key = found[1]
        return f"<kbd>{escape(self.words.get(f'key.{key}', key))}</kbd>"


def load_languages(folder: Path = WORDS) -> dict[str, Language]:
    """Return all languages by their tags."""
    return {
        tag: Language(tag=tag, words=json.loads((folder / f"{tag}.json").read_text("utf-8")))
        for tag in PAGE_LANGUAGES
    }


def language_of(request: Request) -> Language:
    """Return the language to answer a request in."""
    languages: dict[str, Language] = request.app.state.languages
    limits: IntakeConfig = request.app.state.limits
    asked = request.headers.get("accept-language", "")
    kept = request.cookies.get(COOKIE)
    # A cookie is of the host: a run of another version may have let them choose what is none here.
    found = chosen(request) or (kept if kept in languages else _look_up(asked))
    return languages.get(found or "", languages[limits.language])


def english(request: Request) -> Language:
    """Return English."""
    languages: dict[str, Language] = request.app.state.languages
    return languages[ENGLISH]


def chosen(request: Request) -> str | None:
    """Return the language that is chosen by this very request, if one is."""
    choice = request.query_params.get(CHOICE)
    return choice if choice in PAGE_LANGUAGES else None


def _look_up(accept_language: str) -> str | None:
    """Return the first of our languages that a browser asks for; None: it asks for none.

    What is asked for gets shorter until it is one of ours: who wants "de-AT" is content with "de".
    """
    ours = {tag.lower(): tag for tag in PAGE_LANGUAGES}
    for tag in _asked_for(accept_language):
        parts = tag.lower().split("-", MOST_PARTS)
        for length in range(min(len(parts), MOST_PARTS), 0, -1):
            found = ours.get("-".join(parts[:length]))
            if found is not None:
                return found
    return None


def _asked_for(accept_language: str) -> Iterator[str]:
    """Yield the tags of an `Accept-Language`, the most wanted first, those not wanted left out."""
    weighed: list[tuple[float, str]] = []
    for part in accept_language.split(",")[:MOST_ASKED]:
        tag, _, parameter = part.strip().partition(";")
        weight = re.fullmatch(r"\s*q\s*=\s*([01](?:\.\d{0,3})?)\s*", parameter or "q=1")
        if weight is not None and float(weight[1]) > 0:
            weighed.append((float(weight[1]), tag.strip()))
    # Sorting keeps the order of what is wanted alike.
    for _, tag in sorted(weighed, key=lambda each: -each[0]):
        yield tag
