"""The border to the libraries that load models: whatever they raise over a folder becomes ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from protocol.errors import AndonError, InputError

_LONGEST_REASON = 300


@contextmanager
def as_model_error(folder: Path, what: str) -> Iterator[None]:
    """Turn what a library raises over a file into InputError; the libraries name no set of errors.

    Args:
        folder: The model's.
        what: What is being done, e.g. "its tokenizer cannot be loaded".

    Raises:
        InputError: Anything went wrong, short of memory that is used up.
    """
    try:
        yield
    except (AndonError, MemoryError):
        raise
    except Exception as error:
        raise _as_input_error(folder, what, error) from error
    except BaseException as error:
        # A panic of the Rust code under `tokenizers` and `safetensors` is no Exception.
        if type(error).__name__ != "PanicException":
            raise
        raise _as_input_error(folder, what, error) from error


def _as_input_error(folder: Path, what: str, error: BaseException) -> InputError:
    reason = " ".join(str(error).split())
    if len(reason) > _LONGEST_REASON:
        reason = reason[:_LONGEST_REASON] + " …"
    kind = type(error).__name__
    return InputError(f"{folder}: {what} ({kind}{': ' if reason else ''}{reason})")
