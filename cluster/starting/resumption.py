"""What a run that was stopped, or died, goes on from: read from its folder before all else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import TypeAdapter, ValidationError

from cluster.config import RunConfig
from cluster.loops.checkpoints import RunCheckpoint, RunCheckpoints
from cluster.metrics.jsonl_sink import is_finite_number, last_rows
from cluster.metrics.names import WALL_S
from cluster.recordings.streams import FIRST_SAMPLES, read
from cluster.run_folder import RunFolder
from cluster.starting.belonging import (
    Told,
    learned_through,
    prove_policy,
    refuse_missing_ledger,
    refuse_missing_reward,
    refuse_older_ledger,
)
from cluster.starting.given_reward import adopt
from cluster.starting.lost_work import half_kept, set_aside
from cluster.starting.ports import free_port
from label_queue.ledger.opening import LET_GO_S, open_when_free
from label_queue.ledger.patience import when_possible
from label_queue.shell import Recollection
from protocol.errors import (
    BundleCorrupt,
    InputError,
    MissingError,
    ResourceError,
)
from protocol.files import LOOK_INTO, flush, read_text, reading, writing
from protocol.fits import RewardVersion
from protocol.logs import logger_of
from protocol.messages import PolicyVersion, Rollout
from protocol.ports import Learner
from reward_service.bundle_manifest import read_manifest
from reward_service.retention import bundles_after, newest_bundle, withdraw_bundle

_log = logger_of("resumption")

REFERENCE_FILE = "reference.json"
_ROLLOUTS = TypeAdapter(list[Rollout])


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumption:
    """Everything that a run goes on from."""

    checkpoint: RunCheckpoint
    publish_as: int
    """Number under which the policy goes on: the checkpoint's, or above all that were used."""
    reward: RewardVersion | None
    """The reward version that was served last; None before the first."""
    unserved: tuple[RewardVersion, ...]
    """Newer reward versions, of which nobody was told, oldest first: the run made them, and died
    before every replica served them. Perhaps none will."""
    reference: tuple[Rollout, ...]
    """The samples of ρ that were drawn at the beginning."""
    ended_at: float
    """When the run ended or was last heard of, Unix seconds."""


def run_checkpoints(folder: RunFolder) -> RunCheckpoints:
    """Return a run's checkpoints, for reading."""
    return RunCheckpoints(folder.checkpoints, folder.policies)


def read_resumption(folder: RunFolder, config: RunConfig, version: int | None) -> Resumption | None:
    """Read what a run goes on from; None where it had no checkpoint yet, and begins anew.

    Args:
        folder: The run's; no process of it is left.
        config: As it goes on.
        version: The checkpoint to go on from; None: the newest.

    Raises:
        InputError: The run has finished, and all its episodes are trained; or its ledger is an
            older copy.
        MissingError: There is none of this version; or none at all, though there were some; or the
            reward that it served is not there.
        BundleCorrupt: It is not what was written; the one before it is named.
        ResourceError: A folder may not be looked into.
    """
    checkpoints = run_checkpoints(folder)
    found = checkpoints.versions()
    if not found and version is None:
        _check_nothing_was_trained(folder)
        return None
    checkpoint = checkpoints.read(found[-1] if version is None else version)
    # One that died while it saved its policy has that to do yet.
    is_over = folder.read_state().get("state") == "finished"
    if is_over and checkpoint.episodes >= config.run.episodes:
        raise InputError(
            f"{folder.path} has trained all its {checkpoint.episodes} episodes: see its report, or "
            "give it more with --set run.episodes=N"
        )
    at = checkpoint.policy_version
    told = _told_by_all_that_is_kept(folder, config, checkpoint, found)
    prove_policy(folder, checkpoints, at)
    on_disk = set(folder.restorable()) - set(half_kept(folder, at))
    return Resumption(
        checkpoint=checkpoint,
        publish_as=free_number(at, told.policy, on_disk),
        reward=_newest_reward(folder, config, told.reward),
        unserved=_unserved_rewards(folder, config, told.reward),
        reference=tuple(_read_reference(folder.checkpoints / REFERENCE_FILE)),
        ended_at=_ended_at(folder),
    )


def _check_nothing_was_trained(folder: RunFolder) -> None:
    """Refuse to begin anew beside policy versions whose checkpoints are gone."""
    trained = [each for each in folder.restorable() if each > 0]
    if trained:
        raise MissingError(
            f"{folder.checkpoints} holds no checkpoint, but {folder.policies} has policy versions "
            f"up to {trained[-1]}: put the checkpoints back, or begin another run; nothing was "
            "changed"
        )


def kept_version(resumption: Resumption | None) -> int:
    """Return the policy version that a run goes on from; -1 where it begins anew."""
    return -1 if resumption is None else resumption.checkpoint.policy_version


def free_number(version: int, announced: int, on_disk: Iterable[int]) -> int:
    """Return the number under which a policy goes on that no other weights have had.

    Args:
        version: The checkpoint's.
        announced: The newest that anybody was told of.
        on_disk: Those that stay on disk. One may be newer than any that was announced: its run
            died before it told of it, and is to go on from an older one.
    """
    newest = max(announced, *on_disk, version)
    return version if newest == version else newest + 1


def wait_for_ledger(
    folder: RunFolder,
    config: RunConfig,
    tell: Callable[[str], None],
    timeout_s: float = LET_GO_S,
) -> None:
    """Wait until the processes of a driver that was just killed have let go of the ledger.

    Args:
        folder: The run's.
        config: Of the run.
        tell: Hears at once, in a line, what is waited for, if anything is.
        timeout_s: How long is waited.

    Raises:
        ResourceError: Something holds it for longer than `timeout_s`.
        MissingError: It is not there, though the run has had one.
        InputError: It is another run's, or none.
    """
    place = config.labels.ledger_place(folder.ledger)

    def say(error: ResourceError) -> None:
        tell(f"waiting for the ledger, {timeout_s:g} s at most: {error}")

    when_possible(lambda: refuse_missing_ledger(folder, place), timeout_s, say)
    open_when_free(place, folder.run_id, timeout_s, say).close()


def with_own_reward(config: RunConfig, folder: RunFolder) -> RunConfig:
    """Return the config of a run with a given reward so that it takes its own copy of that.

    The one it was copied from may be gone, or the run on another machine.
    """
    bundle = newest_bundle(folder.rewards.resolve())
    if config.run.reward is None or bundle is None:
        return config
    return config.model_copy(update={"run": config.run.model_copy(update={"reward": str(bundle)})})


def at_the_old_port(config: RunConfig, state: Mapping[str, Any]) -> RunConfig:
    """Return the config with the ports at which the run was met before, if those are free.

    Only for those of which it took any: so the pages that people have open find the run again, and
    programs its reward.
    """
    ports: dict[str, int] = {}
    cluster = config.cluster
    # Beyond loopback the pages have another port than the run's own programs.
    pages = state.get("http_port") or urlsplit(state.get("url") or "").port
    reward = urlsplit(state.get("reward_url") or "").port
    opened_anew = "pages must be opened anew"
    if cluster.public_url is not None:
        opened_anew = "tell the proxy before it; `andon front` finds it by itself"
    faces = (
        ("http_port", cluster.http_host, pages, f"the pages have another port now: {opened_anew}"),
        ("reward_port", cluster.own_host, reward, "the reward's face has another port now"),
    )
    for name, host, at, means in faces:
        if at is None or getattr(cluster, name) or at == cluster.http_port:
            continue
        try:
            ports[name] = free_port(host, at, f"cluster.{name}")
        except ResourceError as error:
            _log.warning(means, why=str(error))
    return config.model_copy(update={"cluster": cluster.model_copy(update=ports)})


def after_a_death(config: RunConfig, folder: RunFolder) -> tuple[RunConfig, Resumption | None]:
    """Return what a run that lost a part goes on from, and as what; sets aside what was lost.

    Args:
        config: As it went on before.
        folder: The run's; no process of it is left.

    Raises:
        BundleCorrupt: The newest checkpoint is not what was written.
        ResourceError: The disk refuses.
    """
    resumption = read_resumption(folder, config, None)
    set_aside(folder, kept_version(resumption))
    own = with_own_reward(config, folder)
    return at_the_old_port(own, folder.read_state()), resumption


async def restored(
    learner: Learner,
    fresh: PolicyVersion,
    resumption: Resumption,
    checkpoints: RunCheckpoints,
) -> PolicyVersion:
    """Have a learner go on where another was kept; return the policy version at which it stands.

    Args:
        learner: Just started.
        fresh: The version at which it stands, which is ρ.
        resumption: What its run goes on from.
        checkpoints: The run's.

    Raises:
        BundleCorrupt: What was kept is not what was written; the checkpoint before it is named.
    """
    at = resumption.checkpoint.policy_version
    if at == resumption.publish_as == 0:
        return fresh
    try:
        return await learner.resume(at, resumption.publish_as)
    except BundleCorrupt as error:
        raise checkpoints.corrupt(at, str(error)) from error


def keep_reference(folder: RunFolder, rollouts: list[Rollout]) -> None:
    """Write down the samples of ρ, which a resumed run must have again, flushed to disk."""
    path = folder.checkpoints / REFERENCE_FILE
    draft = path.with_name(f".draft-{path.name}")
    with writing(path):
        path.parent.mkdir(exist_ok=True)
        draft.write_bytes(_ROLLOUTS.dump_json(rollouts))
        flush(draft)
        draft.rename(path)
        flush(path.parent)


def _read_reference(path: Path) -> list[Rollout]:
    text = read_text(path, "the samples of the base model", "put it back")
    try:
        return _ROLLOUTS.validate_json(text)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        place = ".".join(map(str, problem["loc"]))
        raise BundleCorrupt(f"{path}: {place}: {problem['msg']}") from error


def recollect(folder: Path) -> Recollection:
    """Return what a run's folder keeps of what a restarted label queue must be told again."""
    run = RunFolder(folder)
    path = run.checkpoints / REFERENCE_FILE
    samples = read(run.recordings, FIRST_SAMPLES)
    return Recollection(
        reference=tuple(_read_reference(path)) if path.exists() else (),
        first_samples=tuple((each.version, each.sampled_at) for each in samples),
    )


def _told_by_all_that_is_kept(
    folder: RunFolder, config: RunConfig, checkpoint: RunCheckpoint, versions: Sequence[int]
) -> Told:
    """Return how far a run's ledger goes, which is as far as what else the run keeps.

    Of a given reward none of this run's labels are behind, and it is copied again where it is gone.
    """
    place, rewards = config.labels.ledger_place(folder.ledger), folder.rewards.resolve()
    told, is_own = Told.by(place), config.run.reward is None
    learned = learned_through(rewards) if is_own else {}
    refuse_older_ledger(told, place, checkpoint, versions, learned)
    if is_own:
        refuse_missing_reward(rewards, told.reward)
    return told


def _newest_reward(folder: RunFolder, config: RunConfig, announced: int) -> RewardVersion | None:
    """Return the reward version that every replica served last, as far as anybody was told."""
    bundle = newest_bundle(folder.rewards.resolve(), up_to=announced)
    if bundle is None:
        return None
    if config.run.reward is not None:
        return adopt(bundle, folder.rewards)
    return _announcement(bundle)


def _unserved_rewards(
    folder: RunFolder, config: RunConfig, announced: int
) -> tuple[RewardVersion, ...]:
    """Return the reward versions that came after; a given one is asked for anew.

    Of what cannot be read nothing is offered, nor of what goes on from it: it is withdrawn, so that
    the trainer goes on from an older one, and is made again.
    """
    if config.run.reward is not None:
        return ()
    bundles = bundles_after(folder.rewards.resolve(), announced)
    found: list[RewardVersion] = []
    for place, bundle in enumerate(bundles):
        try:
            found.append(_announcement(bundle))
        except BundleCorrupt as error:
            _log.warning("unserved_reward_is_corrupt", bundle=str(bundle), error=str(error))
            for unusable in bundles[place:]:
                withdraw_bundle(unusable, error)
            break
    return tuple(found)


def _announcement(bundle: Path) -> RewardVersion:
    """Return what was announced, or was to be, of the version in a bundle."""
    return replace(read_manifest(bundle).announcement, path=str(bundle))


def _ended_at(folder: RunFolder) -> float:
    """Return when a run ended, or, where it could not say so, when it last wrote a metric.

    It is not before the time of its last row: that is by a clock that nobody sets, and rows must
    go on from there, for wandb's are counted by it.
    """
    state = folder.read_state()
    said = state.get("ended_at")
    if said is not None and said < max(state.get("resumed_at", ()), default=0.0):
        said = None  # of the life before: this one was killed
    began_at = folder.began_at
    written = folder.metrics.stat().st_mtime if folder.metrics.exists() else began_at
    with reading(folder.metrics, "the run's metrics", LOOK_INTO):
        rows = last_rows(folder.metrics, 1)
    told_at: list[float] = [
        began_at + row[WALL_S] for row in rows if is_finite_number(row.get(WALL_S))
    ]
    return max([written if said is None else float(said), *told_at])
