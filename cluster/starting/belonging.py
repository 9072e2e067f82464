"""Whether what a run keeps belongs together: asked before a run that is resumed changes anything.

Folders are copied in part, and ledgers put back from a day before. A run would go on all the same:
without labels that it was given, with numbers that it has used, from weights that are not whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cluster.loops.checkpoints import RunCheckpoint, RunCheckpoints
from cluster.run_folder import OWNER, RunFolder
from label_queue.ledger.sql import SqlLedger
from label_queue.ledger_place import LedgerPlace
from protocol.errors import BundleCorrupt, InputError, MissingError
from protocol.fits import RewardVersion
from protocol.folders import versions_in
from protocol.labels import LabelEvent, PolicyProvenance
from reward_service.bundle_manifest import read_manifest
from reward_service.retention import bundle_path

UNCHANGED = "nothing was changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """How far a ledger goes."""

    policy: int
    """The newest policy version that anybody was told of; 0: of none."""
    reward: int
    """The newest reward version that every replica served; 0: none."""
    last_seq: int
    """Sequence number of the last label event; 0: none."""

    @classmethod
    def by(cls, place: LedgerPlace) -> Told:
        """Read it off a ledger. Errors as `SqlLedger.open_to_read`."""
        ledger = SqlLedger.open_to_read(place)
        try:
            return cls(
                policy=max((each.version for each in ledger.read(PolicyProvenance)), default=0),
                reward=max((each.version for each in ledger.read(RewardVersion)), default=0),
                last_seq=ledger.newest(LabelEvent),
            )
        finally:
            ledger.close()


def refuse_missing_ledger(folder: RunFolder, place: LedgerPlace) -> None:
    """Refuse to make a ledger anew for a run that has had one, and labelers let in by it.

    Args:
        folder: The run's.
        place: Where its ledger lies.

    Raises:
        MissingError: It is not there.
        InputError: There is something else.
        ResourceError: It may not be looked at.
    """
    kept = RunCheckpoints(folder.checkpoints, folder.policies).versions()
    if not kept and not folder.has_token(OWNER):
        return  # it died before it had labels, and perhaps before it had a ledger
    try:
        SqlLedger.open_to_read(place).close()
    except MissingError as error:
        raise MissingError(
            f"{place}: the run's ledger is not there, and with it all its labels: put it back; "
            f"{UNCHANGED}"
        ) from error


def refuse_older_ledger(
    told: Told,
    place: LedgerPlace,
    checkpoint: RunCheckpoint,
    versions: Sequence[int],
    rewards: Mapping[int, int],
) -> None:
    """Refuse a ledger that lacks what the run once wrote into it; it never goes back.

    Args:
        told: How far it goes.
        place: Where it lies.
        checkpoint: The one that is gone on from.
        versions: Policy versions of all checkpoints, oldest first.
        rewards: Up to which label event each reward version on disk has learned.

    Raises:
        InputError: It ends too early; says by what.
    """
    learned = {**checkpoint.ledger_seq_of_reward, **rewards}
    reward = max(learned, key=lambda each: learned[each], default=0)
    lacks = ""
    # The newest checkpoint is written before anybody is told of its version; those before, after.
    if versions[:-1] and versions[-2] > told.policy:
        lacks = f"knows no policy version after {told.policy}, and there is a checkpoint of "
        lacks += str(versions[-2])
    elif reward and learned[reward] > told.last_seq:
        lacks = f"ends with label event {told.last_seq}, and reward version {reward} has learned "
        lacks += f"up to {learned[reward]}"
    if lacks:
        beside = ", with its -wal file where there is one" if isinstance(place, Path) else ""
        raise InputError(
            f"{place}: is an older copy of the run's ledger: it {lacks}; put back the one that the "
            f"run wrote last{beside}; {UNCHANGED}"
        )


def learned_through(rewards: Path) -> dict[int, int]:
    """Return up to which label event each reward version of a run's has learned.

    What cannot be read says nothing of it.
    """
    found = {}
    for bundle in versions_in(rewards):
        try:
            announced = read_manifest(bundle).announcement
        except (BundleCorrupt, MissingError):
            continue
        found[announced.version] = announced.ledger_seq
    return found


def refuse_missing_reward(rewards: Path, version: int) -> None:
    """Refuse to go on from an older reward than was served: the next would get a number again.

    Args:
        rewards: The run's `reward` folder.
        version: The newest that anybody was told of; 0: none.

    Raises:
        MissingError: Neither it nor a newer one is there, which may have had it retired.
    """
    newest = max((int(each.name[1:]) for each in versions_in(rewards)), default=0)
    if newest < version:
        from learners.reward_state import FOLDER  # with torch, which takes seconds

        raise MissingError(
            f"{bundle_path(rewards, version)}: the reward version that the run served last is not "
            f"there: put it back, and {FOLDER}/ beside it; {UNCHANGED}"
        )


def prove_policy(folder: RunFolder, checkpoints: RunCheckpoints, version: int) -> None:
    """Check the learner's part of a checkpoint before later ones are set aside for it.

    Its learner proves it by its digests when it takes it up. Here that is done only where there is
    a later one: it reads all of it.

    Args:
        folder: The run's.
        checkpoints: The run's.
        version: The checkpoint's.

    Raises:
        BundleCorrupt: It is not what was written; the one before it is named.
    """
    from learners.checkpoint import prove_kept  # with torch, which takes seconds

    try:
        prove_kept(
            folder.policies / f"v{version:06d}", by_digests=version < checkpoints.versions()[-1]
        )
    except BundleCorrupt as error:
        raise checkpoints.corrupt(version, f"{error}; {UNCHANGED}") from error
