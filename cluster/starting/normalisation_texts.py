"""The responses that shall score 0 on average: a data set's references, or demonstrations.

One JSON object a line, {"prompt": text or chat messages, "response": text}. Only the two "zero_at"
rules of `reward_model.normalisation` read such a file; the default normalises on samples of ρ.
"""

from __future__ import annotations

from pathlib import Path

from cluster.starting.written_responses import ResponseReader
from protocol.errors import InputError

KEY = "reward_model.normalisation_path"


def read_normalisation_texts(path: Path, reader: ResponseReader) -> list[tuple[int, ...]]:
    """Read the file; return [N][T_n] token ids of prompt and response.

    Raises:
        MissingError: There is no such file.
        InputError: A line is not what it should be; the line is named.
    """
    sequences = [line.sequences["response"] for line in reader.lines(path, KEY, "response")]
    if len(sequences) < 2:
        raise InputError(f"{path}: {len(sequences)} lines: normalisation needs at least 2")
    return sequences
