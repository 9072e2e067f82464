"""Prompts, and other texts, from a Hugging Face dataset."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from actors.prompts.config import PromptsConfig
from actors.prompts.records import PromptReader
from protocol.errors import InputError, MissingError, ResourceError
from protocol.files import is_there
from protocol.messages import Prompt
from protocol.said import said_by

_COMMIT = re.compile(r"[0-9a-f]{40}")
_AT_COMMIT = re.compile(r"hf://datasets/[^@]+@([0-9a-f]{40})/")
"""How the library names a file that it fetched."""
_NO_SUCH_PART = re.compile(
    "(Unknown|Bad) split|BuilderConfig .* not found|Config name is missing|instruction format"
)
"""What the library's ValueErrors say where a dataset lacks the split or configuration."""
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

    @property
    def revision(self) -> str | None:
        """A branch, tag or commit of it; None: its main branch."""
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

    _refuse_revision_of_folder(config, section)
    try:
        found = load_dataset(
            config.dataset, config.subset or None, split=config.split, revision=config.revision
        )
    except DatasetNotFoundError as error:
        wanted = "" if config.revision is None else f" at revision {config.revision}"
        check = "" if config.revision is None else f" and {section}.revision"
        raise MissingError(
            f"{config.dataset}{wanted}: no such dataset that you may read: check "
            f"{section}.dataset{check}"
        ) from error
    except ValueError as error:
        if not _NO_SUCH_PART.search(str(error)):
            raise _unreadable(config, section, error) from error
        raise MissingError(
            f"{config.dataset}: no split {config.split!r} in configuration "
            f"{config.subset or 'default'!r} ({said_by(error)}): check {section}.subset and "
            f"{section}.split"
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
    _refuse_another_commit(config, section, found)
    return found


def _refuse_another_commit(config: DatasetChoice, section: str, found: Any) -> None:
    """Refuse what the library has of another commit: with the hub out of reach it takes any."""
    commit = config.revision or ""
    sources = getattr(getattr(found, "info", None), "download_checksums", None) or {}
    commits = {match[1] for url in sources if (match := _AT_COMMIT.match(url))}
    if _COMMIT.fullmatch(commit) and commits and commit not in commits:
        raise MissingError(
            f"{config.dataset} at revision {commit}: the hub did not give it, and the cache has "
            f"{min(commits)}: connect, or check {section}.revision; a resumed run needs the commit "
            "that it began with"
        )


def _refuse_revision_of_folder(config: DatasetChoice, section: str) -> None:
    mend = "name a dataset's id, or a folder"
    if config.revision is None or not is_there(Path(config.dataset), f"{section}.dataset", mend):
        return
    raise InputError(
        f"{section}.revision {config.revision!r} is of a dataset of the hub, and {section}.dataset "
        f"{config.dataset} is here: leave {section}.revision out, or name the dataset's id"
    )


def _unreadable(config: DatasetChoice, section: str, error: Exception) -> InputError:
    return InputError(
        f"{name_of(config)}: the datasets library cannot read it ({said_by(error)}): choose "
        f'another {section}.dataset, or give a file with {section}.source = "jsonl"'
    )
