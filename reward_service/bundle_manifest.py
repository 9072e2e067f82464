"""What a bundle's `manifest.json` says of a reward version; reading it takes no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, model_validator

from protocol.errors import MissingError
from protocol.files import is_file
from protocol.fits import RewardVersion
from protocol.limits import LARGEST_STORED
from protocol.schema import only
from protocol.settings import Closed, Stored
from reward_service.base_weights import BaseWeights
from reward_service.config import RewardModelConfig
from reward_service.manifests import parse_manifest

MANIFEST_FILE = "manifest.json"
WHOLE, BASED = 1, 2
"""Formats of a bundle."""
_LATER_KEYS = ("lora", "marks", "layers", "frozen_trunk")
"""Keys of a reward model that bundles are not told of where they are not used, so that a reader
from before there were any reads them."""


class Manifest(Closed):
    """What `manifest.json` holds."""

    format: Annotated[Stored, AfterValidator(only(BASED, oldest=WHOLE))] = WHOLE
    """Version of the format; raised when an older reader could misread the folder. 1: all weights
    are in the bundle; 2: adapters if it has any, heads, gain and bias are, and `base` names the
    rest."""
    announcement: RewardVersion
    """The version as announced; its path is where the bundle was written, not where it may lie
    now."""
    reward_model: RewardModelConfig
    gain: tuple[float, ...]
    """[M], each head's gain; a copy for people, the weights file counts."""
    bias: tuple[float, ...]
    """[M], each head's bias; a copy for people, the weights file counts."""
    base: BaseWeights | None = None
    """The model whose weights format 2 leaves out."""

    @model_validator(mode="after")
    def _counts_can_be_counted(self) -> Manifest:
        for name, least in (("version", 1), ("ledger_seq", 0), ("labels_used", 0)):
            count = getattr(self.announcement, name)
            if not least <= count <= LARGEST_STORED:
                raise ValueError(f"announcement.{name} {count} is not in {least} … 2⁶³ − 1")
        return self

    @model_validator(mode="after")
    def _base_is_named(self) -> Manifest:
        has_base = self.reward_model.has_base
        if (self.format == BASED, self.base is not None) != (has_base, has_base):
            raise ValueError(
                "format 2 and base belong together, with reward_model.lora or frozen_trunk"
            )
        return self

    def to_json(self) -> str:
        """Return the file's content, without what a bundle says that has no use for it."""
        unused = {key for key in _LATER_KEYS if not getattr(self.reward_model, key)}
        left_out: dict[str, Any] = {"reward_model": unused} if unused else {}
        left_out |= {"base": True} if self.base is None else {}
        return self.model_dump_json(indent=2, exclude=left_out) + "\n"


def read_manifest(folder: Path) -> Manifest:
    """Return a bundle's manifest without loading its weights.

    Raises:
        MissingError: There is no bundle here.
        BundleCorrupt: The manifest is unreadable, or of another format.
        InputError: The folder's path is none.
        ResourceError: This user may not look into it.
    """
    path = folder / MANIFEST_FILE
    if not is_file(path, "reward bundle", "name the folder of a reward version"):
        raise MissingError(f"no reward bundle at {folder}: {MANIFEST_FILE} is not there")
    return parse_manifest(path, Manifest)
