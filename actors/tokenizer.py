"""The policy's tokenizer, on the actors' side of the house."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from protocol.json_object import read_json_object
from protocol.tokenizer_files import CONFIG_FILE, loaded_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

GENERAL_CLASSES = ("PreTrainedTokenizerFast", "TokenizersBackend")
"""The library's names of the class that reads a `tokenizer.json` and adds nothing of its own."""


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """Return the tokenizer of a model folder.

    Raises:
        InputError: There is none, or one that cannot be loaded.
    """
    tokenizer: PreTrainedTokenizerBase = loaded_tokenizer(_library(folder), folder)
    return tokenizer


def _library(folder: Path) -> Any:
    """Return the class that loads the folder's tokenizer; imported here, for it takes seconds.

    AutoTokenizer imports torch and all models' classes besides. Where the folder names the general
    class, that is what it would come to.
    """
    config = folder / CONFIG_FILE
    named = read_json_object(config) if config.is_file() else {}
    if named.get("tokenizer_class") in GENERAL_CLASSES and "auto_map" not in named:
        from transformers import PreTrainedTokenizerFast

        return PreTrainedTokenizerFast
    from transformers import AutoTokenizer

    return AutoTokenizer
