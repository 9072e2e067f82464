"""The policy's tokenizer, on the actors' side of the house."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from protocol.model_errors import as_model_error
from protocol.tokenizer_files import TRIAL_TEXT

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """Return the tokenizer of a model folder.

    Raises:
        InputError: There is none, or one that cannot be loaded.
    """
    with as_model_error(folder, "its tokenizer cannot be loaded"):
        # Imported where it is used: transformers takes seconds.
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False)
        tokenizer.decode(tokenizer(TRIAL_TEXT)["input_ids"])  # some faults show only in use
        return tokenizer
