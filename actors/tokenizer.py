"""The policy's tokenizer, on the actors' side of the house."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from protocol.tokenizer_files import loaded_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """Return the tokenizer of a model folder.

    Raises:
        InputError: There is none, or one that cannot be loaded.
    """
    # Imported where it is used: transformers takes seconds.
    from transformers import AutoTokenizer

    tokenizer: PreTrainedTokenizerBase = loaded_tokenizer(AutoTokenizer, folder)
    return tokenizer
