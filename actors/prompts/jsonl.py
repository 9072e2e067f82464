"""Prompts from a JSONL file: {"prompt": text} or {"prompt": [{"role": …, "content": …}, …]}.

A line may say in which language its prompt is: {"prompt": …, "language": "de"}.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from actors.prompts.config import PromptsConfig
from actors.prompts.records import PromptReader
from protocol.errors import InputError, MissingError
from protocol.files import is_file, refuse_stream
from protocol.json_lines import read_json_lines
from protocol.messages import Prompt

MEND = "name a JSONL file"


def read_jsonl(config: PromptsConfig, reader: PromptReader) -> list[Prompt]:
    """Read all prompts of `config.path`; blank lines are passed over.

    Raises:
        MissingError: There is no such file.
        InputError: It is empty, not JSON lines, or a prompt is bad; the line is named.
        ResourceError: It cannot be read.
    """
    path = Path(config.path)
    lines = prompt_lines(path, "prompt file")
    prompts = reader.prompts(lines, each=f"{path}, line", name=path.stem)
    if not prompts:
        raise InputError(f'{path}: empty: give one {{"{config.field}": …}} a line')
    return prompts


def prompt_lines(path: Path, what: str) -> Iterator[tuple[int, object]]:
    """Return the records of the file that `prompts.path` names, with their numbers.

    Args:
        path: The file.
        what: It should be, for the error, e.g. "prompt file".

    Raises:
        MissingError: There is no such file.
        InputError: It is no path, or a pipe; or a line is no JSON, said when it is read; it is
            named.
        ResourceError: The file cannot be read.
    """
    refuse_stream(path, "prompts.path", MEND)
    if not is_file(path, "prompts.path", MEND):
        raise MissingError(f"{path}: no such {what}: check prompts.path")
    return read_json_lines(path, "prompts.path", MEND, is_lenient=True)
