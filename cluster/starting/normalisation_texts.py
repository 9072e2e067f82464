"""The responses that shall score 0 on average: a data set's references, or demonstrations.

One JSON object a line, {"prompt": text or chat messages, "response": text}. Only the two "zero_at"
rules of `reward_model.normalisation` read such a file; the default normalises on samples of ρ.
"""

from __future__ import annotations

from pathlib import Path

from actors.prompts.records import prompt_from_record
from protocol.ending import EndRule
from protocol.errors import InputError, MissingError
from protocol.json_lines import line_of, read_json_lines
from protocol.model_folder import ModelFolder
from protocol.tokenizing import PolicyTokenizer


def read_normalisation_texts(
    path: Path,
    tokenizer: PolicyTokenizer,
    rule: EndRule,
    longest: int,
    model: ModelFolder | None = None,
) -> list[tuple[int, ...]]:
    """Read the file as the reward model reads responses.

    Args:
        path: The JSONL file.
        tokenizer: The policy's.
        rule: Where the run's responses end: those here end there, too.
        longest: Tokens the model's context has room for, prompt and response together.
        model: Whose embeddings the tokens must be within; None takes any token.

    Returns:
        [N][T_n] token ids of prompt and response.

    Raises:
        MissingError: There is no such file.
        InputError: A line is not what it should be; the line is named.
    """
    if not path.is_file():
        raise MissingError(f"{path}: no such file: check reward_model.normalisation_path")
    lines = read_json_lines(
        path, "reward_model.normalisation_path", "name a JSONL file", takes_nan=True
    )
    sequences = [
        _sequence(record, line_of(path, number), tokenizer, rule, longest, model)
        for number, record in lines
    ]
    if len(sequences) < 2:
        raise InputError(f"{path}: {len(sequences)} lines: normalisation needs at least 2")
    return sequences


def _sequence(
    record: object,
    where: str,
    tokenizer: PolicyTokenizer,
    rule: EndRule,
    longest: int,
    model: ModelFolder | None,
) -> tuple[int, ...]:
    prompt = prompt_from_record(
        record, field="prompt", where=where, prompt_id="", tokenizer=tokenizer, longest=None
    )
    assert isinstance(record, dict), "prompt_from_record takes nothing else"
    response = record.get("response")
    if not isinstance(response, str) or not response.strip():
        raise InputError(f'{where}: no "response": each line needs {{"prompt": …, "response": …}}')
    tokens = tokenizer.written_ids(
        response, rule, is_chat=bool(prompt.messages), where=f'{where}: "response"'
    )
    sequence = prompt.token_ids + tokens
    if len(sequence) > longest:
        raise InputError(
            f"{where}: prompt and response are {len(sequence)} tokens long and the model's context "
            f"is {longest}: leave the line out, or take a model of longer context"
        )
    if model is not None:
        model.check_ids(sequence, where)
    return sequence
