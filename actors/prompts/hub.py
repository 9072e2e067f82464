"""Prompts, and other texts, from a Hugging Face dataset."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from actors.prompts.config import PromptsConfig
from actors.prompts.records import PromptReader
from protocol.errors import InputError, MissingError, ResourceError
from protocol.messages import Prompt

PATTERN_CHARACTERS = "*?["
"""Characters that `datasets` does not take literally, even in the path of an existing folder."""


class DatasetChoice(Protocol):
    """The section of a config that names a dataset."""

    @property
    def dataset(self) -> str:
        """A dataset's id."""
        ...

    @property
    def subset(self) -> str:
        """Name of its configuration, where it has several."""
        ...

    @property
    def split(self) -> str:
        """Its split."""
        ...


def read_hub(config: PromptsConfig, reader: PromptReader) -> list[Prompt]:
    """Read all prompts of a dataset's split, from the local cache or the hub.

    Raises:
        MissingError: There is no such dataset, configuration or split.
        ResourceError: The hub cannot be reached and the dataset is not in the cache.
        InputError: The dataset is empty or a prompt is bad; the row is named.
    """
    name = name_of(config)
    rows = enumerate(dataset_rows(config, "prompts"))
    prompts = reader.prompts(rows, each=f"{name}, row", name=_in_ids(config.dataset))
    if not prompts:
        raise InputError(f"{name}: empty: choose another prompts.split or prompts.dataset")
    return prompts


def name_of(config: DatasetChoice) -> str:
    """Return how errors name a dataset, e.g. "trl-lib/tldr [train]"."""
    return f"{config.dataset} [{config.split}]"


def _in_ids(dataset: str) -> str:
    """Return how ids of prompts name a dataset: a folder of this machine without those above it."""
    path = Path(dataset)
    return path.name if path.is_absolute() else dataset


def dataset_rows(config: DatasetChoice, section: str) -> Iterator[Any]:
    """Yield the rows; what `datasets` raises becomes ours, whatever it is.

    Args:
        config: Names the dataset.
        section: Of the config, for errors, e.g. "prompts".

    Raises:
        MissingError: There is no such dataset, configuration or split.
        ResourceError: The hub cannot be reached and the dataset is not in the cache.
        InputError: It cannot be read.
    """
    rows = iter(_loaded(config, section))
    while True:
        try:
            row = next(rows)
        except StopIteration:
            return
        except Exception as error:
            raise _unreadable(config, section, error) from error
        yield row


def _loaded(config: DatasetChoice, section: str) -> Any:  # datasets.Dataset, which is not typed
    from datasets import load_dataset  # heavy, and only this source needs it
    from datasets.exceptions import DatasetNotFoundError

    try:
        return load_dataset(config.dataset, config.subset or None, split=config.split)
    except DatasetNotFoundError as error:
        raise MissingError(
            f"{config.dataset}: no such dataset that you may read: check {section}.dataset"
        ) from error
    except ValueError as error:
        raise MissingError(
            f"{config.dataset}: no split {config.split!r} in configuration "
            f"{config.subset or 'default'!r}: check {section}.subset and {section}.split"
        ) from error
    except ConnectionError as error:
        raise ResourceError(
            f"{config.dataset}: not in the cache, and the Hugging Face hub cannot be reached: "
            f'connect, or give a file with {section}.source = "jsonl"'
        ) from error
    except FileNotFoundError as error:
        patterns = [c for c in PATTERN_CHARACTERS if c in config.dataset]
        mend = (
            f"a folder's path is taken for a pattern where it holds {' '.join(patterns)}: rename it"
            if patterns
            else f"check {section}.dataset"
        )
        raise MissingError(f"{config.dataset}: no data files there: {mend}") from error
    except Exception as error:
        raise _unreadable(config, section, error) from error


def _unreadable(config: DatasetChoice, section: str, error: Exception) -> InputError:
    why = " ".join(str(error).split())[:200] or type(error).__name__
    return InputError(
        f"{name_of(config)}: the datasets library cannot read it ({why}): choose another "
        f'{section}.dataset, or give a file with {section}.source = "jsonl"'
    )
