"""What stands in the pages' templates and scripts as text: words that no language can change.

A script is read as far as it takes to find its strings: comments, regular expressions and the code
within template strings are told apart. Of a string, its place says whether it is technical.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser

LETTER = re.compile(r"[^\W\d_]")
READ_OUT = ("title", "aria-label", "alt", "placeholder")
"""Attributes whose values people read or hear."""
BRAND = "Andon"
JINJA = re.compile(r"\{% block body_class %\}.*?\{% endblock %\}|\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)
ESCAPED = re.compile(r"\\(?:u[0-9a-fA-F]{4}|.)")
BEFORE_REGEX = re.compile(r"(?:^|[(,=:\[!&|?{};]|=>|\breturn)\s*$")
TECHNICAL_PLACE = re.compile(
    r"(?:class: |querySelector(?:All)?\(|matches\(|closest\(|matchMedia\(|new Error\(|\bfrom )$"
)
"""What stands before class names, selectors, messages to developers and the names of modules."""
TECHNICAL = re.compile(r"[a-z0-9#/:.?=&_-]*")
"""One word without capitals: an id, an event, a part of an address, a state."""
NAMES = frozenset(
    {
        *("GET", "POST", "Accept", "Content-Type", "Retry-After", "X-Andon-CSRF"),
        *("Enter", "Escape", "Backspace", "Delete"),
        *("ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight"),
        *("QueueClosed", "SecurityError"),
        *("A", "U+"),
    }
)
"""Names that have capitals: of headers, methods, keys, errors and notations."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JsString:
    """A string, or a stretch of a template string, in a script."""

    text: str
    before: str
    """The code just before it."""
    line: int


class _Script:
    def __init__(self, source: str) -> None:
        self.source = source
        self.at = 0
        self.found: list[JsString] = []

    def read_code(self, until: str = "") -> None:
        """Read code up to its end, or past the brace that closes it."""
        depth = 0
        while self.at < len(self.source):
            here = self.source[self.at]
            if self.source.startswith("//", self.at):
                self.at = self._past("\n")
            elif self.source.startswith("/*", self.at):
                self.at = self._past("*/")
            elif here in "\"'":
                self._read_quoted(here)
            elif here == "`":
                self._read_template()
            elif here == "/" and BEFORE_REGEX.search(self.source[: self.at]):
                self.at = self._after_regex()
            else:
                depth += {"{": 1, "}": -1}.get(here, 0)
                self.at += 1
                if until and depth < 0:
                    return

    def _past(self, mark: str) -> int:
        end = self.source.find(mark, self.at + 2)
        return len(self.source) if end == -1 else end + len(mark)

    def _after_regex(self) -> int:
        found = re.compile(r"/(?:\\.|\[(?:\\.|[^\]\\])*\]|[^/\\\[\n])+/[a-z]*").match(
            self.source, self.at
        )
        return self.at + 1 if found is None else found.end()

    def _note(self, start: int, end: int, before_at: int) -> None:
        self.found.append(
            JsString(
                text=self.source[start:end],
                before=self.source[max(0, before_at - 60) : before_at],
                line=self.source.count("\n", 0, start) + 1,
            )
        )

    def _read_quoted(self, quote: str) -> None:
        start = self.at + 1
        end = start
        while self.source[end] != quote:
            end += 2 if self.source[end] == "\\" else 1
        self._note(start, end, self.at)
        self.at = end + 1

    def _read_template(self) -> None:
        opened = self.at
        self.at += 1
        start = self.at
        while self.source[self.at] != "`":
            if self.source.startswith("${", self.at):
                self._note(start, self.at, opened)
                self.at += 2
                self.read_code(until="}")
                start = self.at
            else:
                self.at += 2 if self.source[self.at] == "\\" else 1
        self._note(start, self.at, opened)
        self.at += 1


def js_strings(source: str) -> list[JsString]:
    """Return the strings of a script, in no order that matters."""
    script = _Script(source)
    script.read_code()
    return script.found


def js_text(source: str, names: frozenset[str]) -> list[str]:
    """Return what a script says in words of its own, with the lines; `names` are those of words."""
    return [
        f"line {each.line}: {each.text}"
        for each in js_strings(source)
        if LETTER.search(ESCAPED.sub("", each.text))
        and each.text not in names | NAMES
        and not TECHNICAL.fullmatch(each.text)
        and not TECHNICAL_PLACE.search(each.before)
    ]


class _Template(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._is_key = False

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self._is_key = tag == "kbd"
        self.found += [
            f"{name}: {value}"
            for name, value in attributes
            if name in READ_OUT and LETTER.search(value or "")
        ]

    def handle_endtag(self, tag: str) -> None:
        self._is_key = False

    def handle_data(self, data: str) -> None:
        if not self._is_key and LETTER.search(data.replace(BRAND, "")):
            self.found.append(data.strip())


def html_text(source: str) -> list[str]:
    """Return what a template says in words of its own: text, and attributes that are read out."""
    template = _Template()
    template.feed(JINJA.sub("", source))
    template.close()
    return template.found


def names_said(source: str) -> Iterator[str]:
    """Yield the names of words that a template or script asks for, where it names them there."""
    yield from re.findall(r"\b(?:say|phrase)\(\s*\"([^\"]+)\"", source)
