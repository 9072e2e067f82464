"""Responses that somebody wrote, in a JSONL file: read as the reward model reads the policy's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from actors.prompts.records import prompt_from_record
from protocol.ending import EndRule
from protocol.errors import InputError, MissingError
from protocol.files import is_file, refuse_stream
from protocol.json_lines import line_of, read_json_lines
from protocol.messages import Prompt
from protocol.model_folder import ModelFolder
from protocol.tokenizing import PolicyTokenizer

MEND = "name a JSONL file"


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenLine:
    """One line of a file: a prompt, and responses under the names that were asked for."""

    prompt: Prompt
    texts: dict[str, str]
    sequences: dict[str, tuple[int, ...]]
    """Token ids of prompt and response, by name."""
    where: str
    """Names the line in errors."""


@dataclass(frozen=True, slots=True)
class ResponseReader:
    """Reads such files.

    Args:
        tokenizer: The policy's.
        rule: Where the run's responses end: those here end there, too.
        longest: Tokens the model's context has room for, prompt and response together.
        model: Whose embeddings the tokens must be within; None takes any token.
    """

    tokenizer: PolicyTokenizer
    rule: EndRule
    longest: int
    model: ModelFolder | None = None

    def lines(self, path: Path, key: str, *names: str) -> Iterator[WrittenLine]:
        """Give all lines of a file.

        Args:
            path: The JSONL file.
            key: The setting that names it, for errors.
            names: Under which a line holds its responses.

        Raises:
            MissingError: There is no such file.
            InputError: It is no path, or a pipe, or a line is not what it should be; the line is
                named.
            ResourceError: It may not be read.
        """
        refuse_stream(path, key, MEND)
        if not is_file(path, key, MEND):
            raise MissingError(f"{path}: no such file: check {key}")
        for number, record in read_json_lines(path, key, MEND, is_lenient=True):
            yield self._line(record, line_of(path, number), names)

    def _line(self, record: object, where: str, names: tuple[str, ...]) -> WrittenLine:
        prompt = prompt_from_record(
            record,
            field="prompt",
            where=where,
            prompt_id="",
            tokenizer=self.tokenizer,
            longest=None,
        )
        assert isinstance(record, dict), "prompt_from_record takes nothing else"
        texts = {}
        for name in names:
            text = record.get(name)
            if not isinstance(text, str) or not text.strip():
                wanted = ", ".join(f'"{each}": …' for each in ("prompt", *names))
                raise InputError(f'{where}: no "{name}": each line needs {{{wanted}}}')
            texts[name] = text
        sequences = {name: self._sequence(prompt, texts[name], name, where) for name in names}
        return WrittenLine(prompt=prompt, texts=texts, sequences=sequences, where=where)

    def _sequence(self, prompt: Prompt, text: str, name: str, where: str) -> tuple[int, ...]:
        tokens = self.tokenizer.written_ids(
            text, self.rule, is_chat=bool(prompt.messages), where=f'{where}: "{name}"'
        )
        sequence = prompt.token_ids + tokens
        if len(sequence) > self.longest:
            raise InputError(
                f'{where}: prompt and "{name}" are {len(sequence)} tokens long and the model\'s '
                f"context is {self.longest}: leave the line out, or take a model of longer context"
            )
        if self.model is not None:
            self.model.check_ids(sequence, where)
        return sequence
