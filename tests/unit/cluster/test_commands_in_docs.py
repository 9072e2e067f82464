"""Every command of the pages is one: what it names is there, its options are, its keys are keys."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import click
import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from cluster.cli import main
from cluster.config import RunConfig
from cluster.config_file import load_config
from protocol.errors import ConfigError

ROOT = Path(__file__).parents[3]
PAGES = sorted(
    page
    for folder in ("*.md", "docs/**/*.md", "examples/**/*.md")
    for page in ROOT.glob(folder)
    if page.name != "CHANGELOG.md"  # which tells of what was, too
)
CONFIGS = {"demo": "cluster/demo.toml", "example": "cluster/smollm2/run.toml"}
"""Which config a command runs that is given none."""
PLACEHOLDERS = {
    "N": "1",
    "VERSION": "1",
    "SEQ": "1",
    "CONFIG": "config.toml",
    "…": "",
    "FILE.jsonl": "prompts.jsonl",
    "DIR": "folder",
}
"""What pages write for what a reader puts there, where a command reads more than a text."""
NEEDS_MORE = ("Missing argument", "Missing option")
"""What click says of a command of which running text gives the name, or a part."""


@cache
def tokens(page: Path) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8"))


def spans(page: Path) -> Iterator[str]:
    """Yield what stands in backticks in running text."""
    for token in tokens(page):
        for child in token.children or ():
            if child.type == "code_inline":
                yield " ".join(child.content.split())


def block_lines(page: Path) -> Iterator[str]:
    """Yield the lines of code blocks, those that a backslash joins as one."""
    for token in tokens(page):
        if token.type in ("fence", "code_block"):
            yield from re.sub(r"\\\n\s*", " ", token.content).splitlines()


def words_of(line: str) -> list[str]:
    """Return the words of a command line after `andon`; none where it is of another program."""
    found = re.search(r"(?:^|[\s/|])andon (?=[a-zA-Z…-])(.*)", line)
    if found is None or line.startswith("redis-cli"):  # where a user is called so
        return []
    command = re.split(r"\s#|\s\|\s|\s>\s", found[1])[0]
    return [PLACEHOLDERS.get(word, word) for word in shlex.split(command) if word != "…"]


def problem(words: Sequence[str], *, is_whole: bool) -> str | None:
    """Return what is wrong with a command line."""
    command: click.Command = main
    names = list(words)
    while isinstance(command, click.Group):
        name = names.pop(0) if names else ""
        if name not in command.commands:
            is_named = not name or name.isupper() or name.startswith("-")
            return None if is_named and not is_whole else f"no command {name!r}"
        command = command.commands[name]
    try:
        context = command.make_context(command.name, names)
    except click.ClickException as error:
        said = error.format_message()
        return None if said.startswith(NEEDS_MORE) and not is_whole else said
    return settings_problem(command.name or "", context.params)


def settings_problem(command: str, given: dict[str, object]) -> str | None:
    """Return what is wrong with the keys that a command line sets in a config of this folder."""
    settings = (*(given.get("overrides") or ()), *(given.get("settings") or ()))  # type: ignore[misc]
    path = ROOT / str(CONFIGS.get(command) or given.get("config") or "none")
    if not settings or not path.is_file():
        return None
    filled = [re.sub(r"FILE\.jsonl|DIR$", "there", each) for each in settings]
    try:
        config = load_config(path, filled)
    except ConfigError as error:
        return str(error)
    assert isinstance(config, RunConfig)
    return None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_is_one(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    found = [(words_of(f" {span}"), False) for span in spans(page) if span.startswith("andon ")]
    found += [(words_of(line), True) for line in block_lines(page)]
    problems = {
        " ".join(words): said
        for words, is_whole in found
        if words and (said := problem(words, is_whole=is_whole))
    }
    assert problems == {}


def test_each_module_that_a_page_runs_is_there() -> None:
    names = {
        name
        for page in PAGES
        for text in (*spans(page), *block_lines(page))
        for name in re.findall(r"(?:^|python -m )((?:benchmarks|examples|tools)\.[\w.]*\w)", text)
    }
    files = {name: ROOT / name.replace(".", "/") for name in names}
    assert len(names) > 20
    assert {
        name
        for name, file in files.items()
        if not (file.with_suffix(".py").is_file() or (file / "__main__.py").is_file())
    } <= {"examples.tasks.NAME"}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("andon fly RUN", "no command 'fly'"),
        ("andon status RUN --jsno", "No such option"),
        ("andon status", "Missing argument"),
        ("andon rollback RUN --to x --reason y", "Invalid value"),
        ("andon run examples/reviews.toml --set labels.inital=3", "labels.inital"),
        ("andon demo --set ppo.lr=2", "ppo.lr"),
    ],
)
def test_what_is_no_command_is_found(line: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert said in (problem(words_of(line), is_whole=True) or "nothing")
