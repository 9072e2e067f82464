"""A reward version that is given and stays: what mode "fixed" has in the reward trainer's place.

A critic may start from one, too.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from cluster.run_folder import RunFolder
from protocol.context_length import context_of
from protocol.errors import InputError, MissingError
from protocol.files import is_file, is_there, reading, writing
from protocol.fits import FitRequest, RewardVersion
from protocol.folders import versions_in
from protocol.json_object import read_json_object
from protocol.model_folder import CONFIG_FILE
from reward_service.base_weights import base_folder
from reward_service.bundle_manifest import MANIFEST_FILE, read_manifest
from reward_service.retention import WITHDRAWN_FILE, bundle_path, newest_bundle

MEND = "name the folder of a reward version, of a fit, or of a run with RUN@VERSION"
MEND_CRITIC = "name the folder of one, e.g. runs/demo-1/reward/v000009"
MEND_COPY = "put a whole copy back"


class GivenReward:
    """A reward trainer (see `protocol.ports.RewardTrainer`) that has learned all it ever will.

    The label queue of such a run orders one fit, of no labels, and this is its answer.

    Args:
        version: As this run announces it.
    """

    def __init__(self, version: RewardVersion) -> None:
        self._version = version

    async def advance(self, request: FitRequest, num_steps: int) -> bool:
        """Say that nothing is left to do. May be called twice."""
        return True

    async def fit(self, request: FitRequest) -> RewardVersion:
        """Return the version, whatever is asked. May be called twice."""
        return self._version


def find_bundle(reference: str, what: str = "run.reward") -> Path:
    """Return the folder of the reward version that somebody names.

    Args:
        reference: A bundle's folder; the folder of a fit, or of a run, for the newest in it
            that replicas have not refused; or with "@7" after it for version 7.
        what: Names it in errors: the key or option by which it was given.

    Raises:
        MissingError: There is no such version; names those there are.
        InputError: What follows the "@" is no version, or it is no path.
        ResourceError: It may not be read.
    """
    path, version = _parted(reference, what)
    with reading(path, what, MEND):
        if version is None and (path / MANIFEST_FILE).is_file():
            return path.absolute()
        root = RunFolder(path).rewards if RunFolder(path).state.exists() else path
        kept = {int(each.name[1:]): each for each in versions_in(root)}
        chosen = newest_bundle(root) if version is None else kept.get(version)
    if not kept or (version is None and chosen is None):
        raise MissingError(f"{what}: {reference} holds no reward version; {MEND}")
    if chosen is None:
        raise MissingError(
            f"{what}: {path} has no reward version {version}; it has "
            f"{', '.join(map(str, sorted(kept)))}"
        )
    return chosen.absolute()


def check_given(bundle: Path, policy: Path, *, pays_marks: bool = False) -> None:
    """Raise InputError where a reward cannot read what the policy writes, as far as can be told.

    Args:
        bundle: The reward version's folder.
        policy: ρ, a folder.
        pays_marks: Whether `ppo.mark_coefficient` is above 0.

    Raises:
        MissingError: There is no bundle, or no model that its adapters belong to.
        BundleCorrupt: Its manifest is not as one is written.
        InputError: The two know different numbers of tokens, or marks are paid that it has not
            learned.
    """
    manifest = read_manifest(bundle)
    if pays_marks and manifest.reward_model.marks is None:
        raise InputError(
            f"run.reward: {bundle} has learned no marks, and ppo.mark_coefficient is above 0: take "
            "one that was fitted with [reward_model.marks], or set the coefficient to 0"
        )
    if manifest.base is not None:
        base_folder(manifest.base, bundle)
    _check_vocabulary("run.reward", bundle, policy)


def check_critic(bundle: Path, policy: Path | None) -> None:
    """Raise UserError where a critic cannot start from a reward, as far as can be told.

    Args:
        bundle: The reward version's folder, which `ppo.critic_path` names.
        policy: ρ, a folder; None: it is yet to be made.

    Raises:
        MissingError: There is no bundle, or no model that its adapters belong to.
        BundleCorrupt: Its manifest is not as one is written.
        InputError: The path is none, the two know different numbers of tokens, or the reward is no
            linear function of the last token's state.
        ResourceError: It may not be read.
    """
    key = "ppo.critic_path"
    if not is_file(bundle / MANIFEST_FILE, key, MEND_CRITIC):
        raise MissingError(f"{key}: {bundle} is no reward version; {MEND_CRITIC}")
    manifest = read_manifest(bundle)
    reward = manifest.reward_model
    if not reward.is_linear_in_last_state:
        raise InputError(
            f"{key}: {bundle} has heads = {reward.heads!r}, pooling = {reward.pooling!r}, "
            f"embeddings = {str(reward.embeddings).lower()} and layers = {reward.layers or 'all'}, "
            "which no value of one token can start from: take a reward with linear heads on the "
            "last token's state alone, after all layers, or leave the key out"
        )
    if manifest.base is not None:
        base_folder(manifest.base, bundle)
    if policy is not None:
        _check_vocabulary(key, bundle, policy)


def contexts_of_given(reward: str | None, critic_path: str | None) -> list[tuple[int, str]]:
    """Return the tokens of the longest texts that given rewards take, each with what takes them.

    Args:
        reward: As `run.reward` names it; None: none is given.
        critic_path: The reward version's folder that a critic starts from; None: none is.

    Raises:
        MissingError: There is no such version, or no config beside it.
        InputError: What names it is no path, or the config is none.
        ResourceError: It may not be read.
    """
    given = []
    if reward is not None:
        given.append(("run.reward", find_bundle(reward)))
    if critic_path is not None:
        given.append(("ppo.critic_path", Path(critic_path)))
    found = ((context_of(_backbone(key, bundle)), f"{key} {bundle}") for key, bundle in given)
    return [(context, what) for context, what in found if context is not None]


def adopt(bundle: Path, root: Path) -> RewardVersion:
    """Copy a bundle into a run's own folder; return its announcement there.

    It keeps its number. Of this run's ledger it has learned nothing, and says so; what it did
    learn, and where, its manifest tells. A run that adopted one keeps it, whatever it is offered
    later: where its config names another run, that one's newest version may be another by now.

    Args:
        bundle: The reward version's folder; not looked at where one was adopted before.
        root: The run's `reward` folder.

    Raises:
        InputError: The run had adopted it, and its replicas refused it.
        BundleCorrupt: The manifest is not as one is written.
        ResourceError: The disk refuses.
    """
    adopted = newest_bundle(root.resolve())
    announced = read_manifest(bundle if adopted is None else adopted).announcement
    place = bundle_path(root.resolve(), announced.version)
    if adopted is None and place.exists():
        raise InputError(
            f"run.reward: replicas refused version {announced.version}, says "
            f"{place / WITHDRAWN_FILE}: begin another run with another reward, or remove that file "
            "to have it tried again"
        )
    if adopted is None:
        draft = place.with_name(f".draft-{place.name}")
        with writing(place):
            root.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(draft, ignore_errors=True)
            shutil.copytree(bundle, draft)
            draft.rename(place)
    return replace(
        announced,
        path=str(place),
        kind="refit",
        ledger_seq=0,
        learned=(),
        labels_used=0,
        labeler_weights=(),
        metrics={},
    )


def _parted(reference: str, what: str) -> tuple[Path, int | None]:
    """Return path and version of a reference; a path that has an "@" of its own stays whole."""
    before, at, after = reference.rpartition("@")
    if not at or is_there(Path(reference), what, MEND):
        return Path(reference), None
    if not (after.isascii() and after.isdecimal() and len(after) < 16):
        raise InputError(f"{what}: {reference}: want a number after the @; {MEND}")
    return Path(before), int(after)


def _check_vocabulary(key: str, bundle: Path, policy: Path) -> None:
    ours, theirs = _vocabulary(key, policy), _vocabulary(key, bundle)
    if ours != theirs:
        raise InputError(
            f"{key}: {bundle} was fitted on a model of {theirs} tokens, and the policy "
            f"{policy} has {ours}: take a reward fitted on this policy"
        )


def _vocabulary(key: str, folder: Path) -> int:
    """Return how many tokens a model's config names."""
    content = _backbone(key, folder)
    text = content.get("text_config")
    found = (text if isinstance(text, dict) else content).get("vocab_size")
    if not isinstance(found, int):
        raise InputError(f"{folder / CONFIG_FILE}: names no vocab_size: {MEND_COPY}")
    return found


def _backbone(key: str, folder: Path) -> dict[str, Any]:
    """Return the config of a model, or of that under a reward's heads."""
    with reading(folder / CONFIG_FILE, key, MEND_COPY):
        return read_json_object(folder / CONFIG_FILE)
