"""Prompts from a Hugging Face dataset."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from actors.prompts.config import PromptsConfig
from actors.prompts.records import PromptReader
from protocol.errors import InputError, MissingError, ResourceError
from protocol.messages import Prompt

PATTERN_CHARACTERS = "*?["
"""Characters that `datasets` does not take literally, even in the path of an existing folder."""


def read_hub(config: PromptsConfig, reader: PromptReader) -> list[Prompt]:
    """Read all prompts of a dataset's split, from the local cache or the hub.

    Raises:
        MissingError: There is no such dataset, configuration or split.
        ResourceError: The hub cannot be reached and the dataset is not in the cache.
        InputError: The dataset is empty or a prompt is bad; the row is named.
    """
    name = f"{config.dataset} [{config.split}]"
    rows = enumerate(_rows(config, name))
    prompts = reader.prompts(rows, each=f"{name}, row", name=config.dataset)
    if not prompts:
        raise InputError(f"{name}: empty: choose another prompts.split or prompts.dataset")
    return prompts


def _rows(config: PromptsConfig, name: str) -> Iterator[Any]:
    """Yield the rows; what `datasets` raises becomes ours, whatever it is."""
    rows = iter(_loaded(config, name))
    while True:
        try:
            row = next(rows)
        except StopIteration:
            return
        except Exception as error:
            raise _unreadable(name, error) from error
        yield row


def _loaded(config: PromptsConfig, name: str) -> Any:  # datasets.Dataset, which is not typed
    from datasets import load_dataset  # heavy, and only this source needs it
    from datasets.exceptions import DatasetNotFoundError

    try:
        return load_dataset(config.dataset, config.subset or None, split=config.split)
    except DatasetNotFoundError as error:
        raise MissingError(
            f"{config.dataset}: no such dataset that you may read: check prompts.dataset"
        ) from error
    except ValueError as error:
        raise MissingError(
            f"{config.dataset}: no split {config.split!r} in configuration "
            f"{config.subset or 'default'!r}: check prompts.subset and prompts.split"
        ) from error
    except ConnectionError as error:
        raise ResourceError(
            f"{config.dataset}: not in the cache, and the Hugging Face hub cannot be reached: "
            'connect, or give a file with prompts.source = "jsonl"'
        ) from error
    except FileNotFoundError as error:
        patterns = [c for c in PATTERN_CHARACTERS if c in config.dataset]
        mend = (
            f"a folder's path is taken for a pattern where it holds {' '.join(patterns)}: rename it"
            if patterns
            else "check prompts.dataset"
        )
        raise MissingError(f"{config.dataset}: no data files there: {mend}") from error
    except Exception as error:
        raise _unreadable(name, error) from error


def _unreadable(name: str, error: Exception) -> InputError:
    why = " ".join(str(error).split())[:200] or type(error).__name__
    return InputError(
        f"{name}: the datasets library cannot read it ({why}): choose another prompts.dataset, or "
        'give a file with prompts.source = "jsonl"'
    )
