"""What a bundle's `manifest.json` says of a reward version; reading it takes no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, model_validator

from protocol.errors import MissingError
from protocol.labels import RewardVersion
from protocol.limits import LARGEST_STORED
from protocol.schema import only
from protocol.settings import Closed, Stored
from reward_service.config import RewardModelConfig
from reward_service.manifests import parse_manifest

MANIFEST_FILE = "manifest.json"


class Manifest(Closed):
    """What `manifest.json` holds."""

    format: Annotated[Stored, AfterValidator(only(1))] = 1
    """Version of the format; raised when an older reader could misread the folder."""
    announcement: RewardVersion
    """The version as announced; its path is where the bundle was written, not where it may lie
    now."""
    reward_model: RewardModelConfig
    gain: tuple[float, ...]
    """[M], each head's gain; a copy for people, the weights file counts."""
    bias: tuple[float, ...]
    """[M], each head's bias; a copy for people, the weights file counts."""

    @model_validator(mode="after")
    def _counts_can_be_counted(self) -> Manifest:
        for name, least in (("version", 1), ("ledger_seq", 0), ("labels_used", 0)):
            count = getattr(self.announcement, name)
            if not least <= count <= LARGEST_STORED:
                raise ValueError(f"announcement.{name} {count} is not in {least} … 2⁶³ − 1")
        return self


def read_manifest(folder: Path) -> Manifest:
    """Return a bundle's manifest without loading its weights.

    Raises:
        MissingError: There is no bundle here.
        BundleCorrupt: The manifest is unreadable, or of another format.
    """
    path = folder / MANIFEST_FILE
    if not path.is_file():
        raise MissingError(f"no reward bundle at {folder}: {MANIFEST_FILE} is not there")
    return parse_manifest(path, Manifest)
