"""Whether the policy can read what is imported: said with the line, and not by the first fit."""

from __future__ import annotations

from protocol.errors import InputError
from protocol.labels import ComparisonQuery
from protocol.model_folder import ModelFolder


def check_fit(query: ComparisonQuery, model: ModelFolder, where: str, mend: str) -> None:
    """Refuse a query whose prompt and responses the model cannot read.

    Args:
        query: What is imported.
        model: The policy.
        where: Names the line.
        mend: What to leave out, or to name instead, where a text is too long.

    Raises:
        InputError: A prompt and response are longer than the context, or a token has no embedding.
    """
    longest = model.context_length
    for candidate in query.candidates:
        sequence = query.prompt_token_ids + candidate.token_ids
        model.check_ids(sequence, where)
        if longest is not None and len(sequence) > longest:
            raise InputError(
                f"{where}: prompt and response are {len(sequence)} tokens long and the context of "
                f"{model.path} is {longest}: {mend}"
            )
