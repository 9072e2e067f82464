"""Prompts from a JSONL file: {"prompt": text} or {"prompt": [{"role": …, "content": …}, …]}."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from actors.prompts.config import PromptsConfig
from actors.prompts.records import prompt_from_record
from protocol.errors import InputError, MissingError, ResourceError
from protocol.messages import Prompt
from protocol.model_folder import ModelFolder
from protocol.tokenizing import PolicyTokenizer


def read_jsonl(
    config: PromptsConfig,
    tokenizer: PolicyTokenizer,
    longest: int | None,
    model: ModelFolder | None = None,
) -> list[Prompt]:
    """Read all prompts of `config.path`; blank lines are passed over.

    Raises:
        MissingError: There is no such file.
        InputError: It is empty, not JSON lines, or a prompt is bad; the line is named.
        ResourceError: It cannot be read.
    """
    path = Path(config.path)
    if not path.is_file():
        raise MissingError(f"{path}: no such prompt file: check prompts.path")
    prompts = [
        prompt_from_record(
            record,
            field=config.field,
            where=f"{path}, line {number}",
            prompt_id=f"{path.stem}-{number:06d}",
            tokenizer=tokenizer,
            longest=longest,
            model=model,
        )
        for number, record in records(path)
    ]
    if not prompts:
        raise InputError(f'{path}: empty: give one {{"{config.field}": …}} a line')
    return prompts


def records(path: Path) -> Iterator[tuple[int, object]]:
    """Yield (line number from 1, parsed line); blank lines are passed over.

    Raises:
        InputError: It is not JSON lines in UTF-8; the line is named.
        ResourceError: The file cannot be read.
    """
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield number, _parsed(line, f"{path}, line {number}")
    except OSError as error:
        raise ResourceError(f"{path}: cannot be read ({error.strerror})") from error


def _parsed(line: bytes, where: str) -> object:
    try:
        return json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: not UTF-8 text: give one JSON object a line") from error
    except (ValueError, RecursionError) as error:
        why = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        raise InputError(f"{where}: not JSON ({why}): give one JSON object a line") from error
