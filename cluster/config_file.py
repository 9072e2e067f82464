"""The file a config is read from: TOML, overridden by `key=value`.

Unknown keys are errors that suggest the nearest known one.
"""

from __future__ import annotations

import difflib
import textwrap
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import tomli_w
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from cluster.config import RunConfig
from cluster.inert_text import is_utf8
from protocol.errors import ConfigError, MissingError
from protocol.files import put_whole, reading, writing
from protocol.settings import DISGUISED, UNSHOWN

MEND_CONFIG = "name a TOML file, as those in examples/"
KIND = "kind"
"""The key that says of which kind a section of a list is, where they are of several."""
PROBLEMS_SAID = 5
"""Problems that are told at once; of more their number."""


def load_config(path: Path, overrides: Iterable[str] = ()) -> RunConfig:
    """Read a config file and apply `key=value` overrides.

    Raises:
        MissingError: The file is not there.
        ConfigError: It is not TOML, or a key or value is wrong; names the key and the mend.
        InputError: The path is none.
        ResourceError: It may not be read.
    """
    with reading(path, "config", MEND_CONFIG):
        is_file = path.is_file()
        raw = path.read_bytes() if is_file else b""
    if not is_file:
        raise MissingError(f"config {path} is not a file; {MEND_CONFIG}")
    try:
        content = tomllib.loads(raw.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:  # also what `int` says of 5,000 digits
        raise ConfigError(f"config {path} is not valid TOML: {error}") from error
    for override in overrides:
        _apply(content, override)
    return parse_config(content, str(path))


def parse_config(content: Mapping[str, Any], origin: str) -> RunConfig:
    """Check a config given as nested mappings.

    Raises:
        ConfigError: One line, naming `origin`, each key, and what is wrong with it.
    """
    try:
        return RunConfig.model_validate(content)
    except ValidationError as error:
        raise ConfigError(f"config {origin}: {_problems(error)}") from error


def save_config(config: RunConfig, path: Path) -> None:
    """Write the resolved config, defaults included, as TOML that `load_config` reads back.

    A file that says so already is left alone: every resume comes here, and needs no room then.

    Raises:
        DiskFull: There is no room; what was there stays.
        ResourceError: The disk refuses otherwise.
    """
    content = tomli_w.dumps(config.model_dump(mode="json", exclude_none=True))
    with writing(path):
        raw = content.encode()
        is_there = path.is_file() and path.read_bytes() == raw
    if not is_there:
        put_whole(path, raw)


def _apply(content: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator or not key.strip():
        raise ConfigError(f"setting {override!r} is not key=value, e.g. ppo.lr=1e-4")
    if not is_utf8(override):
        raise ConfigError(f"setting {override!r} is not UTF-8 text")
    *sections, last = key.strip().split(".")
    place = content
    for section in sections:
        place = place.setdefault(section, {})
        if not isinstance(place, dict):
            raise ConfigError(f"setting {key}: {section} is a value, not a section")
    place[last] = _parse_value(text.strip())


def _parse_value(text: str) -> object:
    """Read a value as TOML; what is not TOML is a string, so that paths need no quotes."""
    try:
        content = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    # More than one key: the text goes on after a line's end, and is a string like any other.
    return content["value"] if len(content) == 1 else text


def _problems(error: ValidationError) -> str:
    """Say what is wrong, the first few things of many, in one line."""
    found = [_problem(each) for each in error.errors()]
    if len(found) == 1:
        return found[0]
    unsaid = len(found) - PROBLEMS_SAID
    more = f"; and {unsaid} more" if unsaid > 0 else ""
    return f"{len(found)} problems: {'; '.join(found[:PROBLEMS_SAID])}{more}"


def _problem(found: ErrorDetails) -> str:
    """Say one of them."""
    place = _place(found["loc"])
    key = place.key
    if found["type"] in ("union_tag_invalid", "union_tag_not_found"):
        given = found["input"].get(KIND)
        what = "is missing" if given is None else f"is {_shown(given)}"
        kinds = ", ".join(f'"{_kind(each)}"' for each in place.sections)
        return f"{key}.{KIND} {what}: must be one of {kinds}"
    if found["type"] == "extra_forbidden":
        return f"{key} is not a known key{_suggestion(found['loc'])}"
    if found["type"] == "missing":
        return f"{key} is missing"
    message = _kind_wanted(found) or found["msg"].removeprefix("Value error, ")
    if found["type"] == DISGUISED:
        return f"{key}{'.' if key else ''}{message}"
    is_shown = found["type"] != UNSHOWN and not isinstance(found["input"], dict)
    given = f", but got {_shown(found['input'])}" if is_shown else ""
    return f"{key}: {message}{given}" if key else f"{message}{given}"


def _kind_wanted(found: ErrorDetails) -> str | None:
    """Say as TOML has it which kind a value must be of; None where its kind is not what is wrong.

    Pydantic speaks of tuples, dictionaries and instances, which no config file has.
    """
    key = ".".join(part for part in found["loc"] if isinstance(part, str))
    of_list = bool(found["loc"]) and isinstance(found["loc"][-1], int)
    if found["type"] == "tuple_type":
        is_section = isinstance(found["input"], dict)
        return f"must be a list{f' of sections ([[{key}]])' if is_section else ', in [ ]'}"
    if found["type"] in ("model_type", "model_attributes_type", "dict_type"):
        if of_list:
            return f"must be a section ([[{key}]])"
        is_within = any(isinstance(part, int) for part in found["loc"])
        return "must be a section" if is_within else f"must be a section ([{key}])"
    return {
        "string_type": "must be a text, in quotes",
        "path_type": "must be a path, in quotes",
    }.get(found["type"])


def _shown(value: object) -> str:
    """Return a value as text of bounded length; Python refuses to write huge numbers out at all."""
    try:
        return textwrap.shorten(repr(value), 200)
    except ValueError:
        return "a huge number"


def _suggestion(location: tuple[int | str, ...]) -> str:
    """Name the known key nearest to an unknown one."""
    within = _place(location).within
    if len(within) != 1:
        return ""
    [section] = within
    near = difflib.get_close_matches(str(location[-1]), section.model_fields, n=1)
    return f"; did you mean {near[0]}?" if near else f"; known: {', '.join(section.model_fields)}"


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in a config something is."""

    key: str
    """As the file has it."""
    within: tuple[type[BaseModel], ...]
    """The section it is in; none where that has no keys of its own."""
    sections: tuple[type[BaseModel], ...]
    """What may be there, if sections may."""


def _place(location: tuple[int | str, ...]) -> _Place:
    """Return where something is.

    Where sections of a list are of several kinds, pydantic has the kind among the keys.
    """
    keys: list[str] = []
    sections: tuple[type[BaseModel], ...] = (RunConfig,)
    within: tuple[type[BaseModel], ...] = ()
    for part in location:
        if of_kind := tuple(s for s in sections if len(sections) > 1 and _kind(s) == part):
            sections = of_kind
            continue
        keys.append(str(part))
        if isinstance(part, str):
            within = sections
            fields = sections[0].model_fields if len(sections) == 1 else {}
            sections = _sections(fields[part].annotation) if part in fields else ()
    return _Place(".".join(keys), within, sections)


def _kind(section: type[BaseModel]) -> str | None:
    """Return the kind that a section must name to be this one."""
    field = section.model_fields.get(KIND)
    return None if field is None else get_args(field.annotation)[0]


def _sections(annotation: Any) -> tuple[type[BaseModel], ...]:
    """Return the sections that a value may be, or may hold."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return (annotation,)
    return tuple(each for part in get_args(annotation) for each in _sections(part))
