"""A reward version on disk: `reward/v000007/` with weights, manifest and backbone config.

    model.safetensors   the state dict of RewardModel
    manifest.json       the announcement (RewardVersion, with the weights' sha256) and the heads
    config.json         the backbone's Hugging Face config

Of a model with adapters, or whose trunk nobody trains, the weights of ρ are left out: the manifest
names the folder that holds them, with their digest.

A folder appears whole or not at all, and nothing in it is a pickle.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from safetensors import safe_open
from torch import Tensor
from transformers import AutoConfig

from protocol.errors import BundleCorrupt, ConfigError, InputError, NotFinite, VersionError
from protocol.files import writing
from protocol.fits import RewardVersion
from protocol.folders import FoldersHere, discarded_on_failure, files_in
from protocol.model_errors import as_model_error
from protocol.ports import FolderStore
from reward_service.adapters import add_adapters, sharing
from reward_service.base_weights import BaseWeights, proved_base
from reward_service.bundle_manifest import BASED, MANIFEST_FILE, WHOLE, Manifest, read_manifest
from reward_service.config import RewardModelConfig
from reward_service.lazy_tensors import LazyTensors, outline, outlines_of
from reward_service.pretrained import load_backbone, quiet_library
from reward_service.retention import bundle_path
from reward_service.reward_model import BACKBONE, SECTION, RewardModel
from reward_service.tensor_files import write_tensors
from reward_service.weightless import without_weights

WEIGHTS_FILE = "model.safetensors"
Giving = Callable[[], AbstractContextManager[object]]
MEND_DISK = "see to the disk of the run's reward folder"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A reward version in memory."""

    version: RewardVersion
    model: RewardModel
    """The reward model, in evaluation mode, on CPU."""


def write_bundle(
    root: Path,
    model: RewardModel,
    announcement: RewardVersion,
    store: FolderStore | None = None,
    tensors: Mapping[str, Tensor] | None = None,
) -> RewardVersion:
    """Write a bundle atomically and return its announcement with `path` and `sha256` filled in.

    It is drafted, flushed to disk, then made to appear: a reader, or a crash, sees a whole bundle
    or none.

    Args:
        root: The run's `reward` folder, absolute, as the run's own node names it; made if missing.
        model: On any device; unchanged. Weights of its base need not be there; where `tensors` are
            given, none of its weights.
        announcement: The version to announce; its `path` and `sha256` are ignored.
        store: How this process reaches the folder; by default it is on the run's own node.
        tensors: Its whole tensors by state-dict name, asked for once, in order; None: its own.

    Raises:
        VersionError: The version is below 1 or was written before.
        NotFinite: A weight or a metric is NaN or infinity.
        DiskFull: There is no room for it; nothing is left behind.
        ResourceError: The disk or the store refuses otherwise.
    """
    store = FoldersHere() if store is None else store
    if announcement.version < 1:
        raise VersionError(f"reward versions start at 1, not {announcement.version}")
    for name, value in announcement.metrics.items():
        if not math.isfinite(value):
            raise _not_finite(announcement, name)
    own = _own_tensors(model, announcement, tensors)
    folder = bundle_path(root, announcement.version)
    if folder in store.versions(root):
        raise VersionError(f"reward version {announcement.version} was written before: {folder}")
    with writing(folder, MEND_DISK), discarded_on_failure(store, folder):
        store.discard(folder)  # what a killed trainer may have left
        draft = store.draft(folder)
        with writing(draft, MEND_DISK):  # which may be elsewhere than the folder
            written = _write_files(draft, model, own, replace(announcement, path=str(folder)))
        files = files_in(draft)
        for file in files:
            store.put(folder, file)
        store.complete(folder, files)
    return written


def load_bundle(
    folder: Path,
    beside: Bundle | None = None,
    store: FolderStore | None = None,
    giving: Giving = nullcontext,
) -> Bundle:
    """Read a bundle, proving its weights against the manifest's digest first.

    Args:
        folder: Of the bundle, on this node.
        beside: A version in memory: where both have the same base, its weights are not loaded
            again, but shared.
        store: Where its base is looked for; by default on this node.
        giving: What goes on while the backbone is given its weights, one after the other, each in
            memory of its own.

    Returns:
        The version, its path being `folder`, and the model in evaluation mode on CPU, or where the
        weights are that it shares, in their type.

    Raises:
        MissingError: There is no bundle here, or its base is not where it says.
        BundleCorrupt: A file is missing or unreadable, or the weights are not those announced.
    """
    manifest = read_manifest(folder)
    weights = folder / WEIGHTS_FILE
    if not weights.is_file():
        raise BundleCorrupt(f"{folder} has no {WEIGHTS_FILE}")
    digest = _sha256(weights)
    if digest != manifest.announcement.sha256:
        raise BundleCorrupt(
            f"{weights} has sha256 {digest}, announced was {manifest.announcement.sha256}"
        )
    try:
        with as_model_error(folder, "it cannot be loaded"), quiet_library():
            model = _blank(folder, manifest, beside, store or FoldersHere(), giving)
            _fill(model, weights, giving)
    except (InputError, ConfigError) as error:
        raise BundleCorrupt(str(error)) from error
    return Bundle(version=replace(manifest.announcement, path=str(folder)), model=model.eval())


def _blank(
    folder: Path, manifest: Manifest, beside: Bundle | None, store: FolderStore, giving: Giving
) -> RewardModel:
    """Return a model that lacks a bundle's own tensors, or has others in their place."""
    config, base = manifest.reward_model, manifest.base
    if base is None:
        backbone = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        with without_weights():
            return RewardModel.from_config(backbone, config)
    if beside is not None and _is_alike(beside.model, config, base):
        return sharing(beside.model, beside.model.base_parameters().values())
    with giving():
        reference = load_backbone(proved_base(base, folder, store), config.layers)
    with without_weights():
        if config.lora is not None:
            add_adapters(reference, config.lora, 0, SECTION)
        model = RewardModel(reference, config)
    model.base = base
    return model


def _fill(model: RewardModel, weights: Path, giving: Giving) -> None:
    """Give a model the tensors of a file, one after the other.

    Raises InputError where they are not those it asks for.
    """
    asked = model.own_state()
    with safe_open(weights, framework="pt") as file:
        names = file.keys()
        if wrong := sorted(asked.keys() ^ set(names)):
            raise InputError(f"{weights}: {wrong[0]} is not both there and asked for")
        for name in names:
            tensor, old = file.get_tensor(name), asked[name]
            if old.is_meta:
                tensor = tensor.to(old.dtype, copy=True)  # into memory that is not the file's
            with giving() if name.startswith(BACKBONE) else nullcontext():
                model.load_state_dict({name: tensor}, strict=False, assign=old.is_meta)


def _is_alike(model: RewardModel, config: RewardModelConfig, base: BaseWeights) -> bool:
    same_weights = model.base is not None and model.base.sha256 == base.sha256
    return same_weights and model.config == config


def _own_tensors(
    model: RewardModel, announcement: RewardVersion, given: Mapping[str, Tensor] | None
) -> LazyTensors:
    """Return what a bundle holds, in float32, each of it proved to be finite when it is made.

    Weights are of one type, and so their order is that of those given.
    """
    outlines = {name: outline(x) for name, x in model.own_state().items()}
    found = model.own_state() if given is None else given
    assert outlines.keys() == outlines_of(found).keys(), "a bundle holds all that training changes"

    def make(name: str) -> Tensor:
        tensor = found[name].detach().to(outlines[name].dtype)
        if not tensor.isfinite().all():
            raise _not_finite(announcement, name)
        return tensor

    return LazyTensors(outlines, make)


def _not_finite(announcement: RewardVersion, name: str) -> NotFinite:
    return NotFinite(f"reward version {announcement.version}: {name} is NaN or infinity")


def _write_files(
    draft: Path, model: RewardModel, tensors: LazyTensors, announcement: RewardVersion
) -> RewardVersion:
    with (draft / WEIGHTS_FILE).open("wb") as file:
        digest = write_tensors(file, tensors).sha256
    model.backbone.config.save_pretrained(draft)
    written = replace(announcement, sha256=digest)
    manifest = Manifest(
        format=WHOLE if model.base is None else BASED,
        announcement=written,
        reward_model=model.config,
        gain=tuple(model.gain.tolist()),
        bias=tuple(model.bias.tolist()),
        base=model.base,
    )
    (draft / MANIFEST_FILE).write_text(manifest.to_json(), encoding="utf-8")
    return written


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
