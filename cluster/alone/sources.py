"""What somebody names to work on alone: a ledger or a run, its config, and its starting policy."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cluster.config import RunConfig
from cluster.config_file import load_config
from cluster.run_folder import RunFolder
from cluster.starting.policy_source import policy_folder
from label_queue.ledger.sql import SqlLedger
from label_queue.ledger_place import LedgerPlace, place_of
from protocol.errors import MissingError
from protocol.files import is_there, reading
from protocol.labels import ComparisonQuery

MEND_POLICY = "name the starting policy's folder with --policy"
MEND_LEDGER = "name a ledger.sqlite, a run's folder, or a postgresql:// URL"


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerSource:
    """A ledger, and where the rest of its run is looked for."""

    ledger: LedgerPlace
    folder: Path | None
    """The run's folder, or the one that a file lies in; None: nothing is beside a database."""


def find_ledger(given: str) -> LedgerSource:
    """Return the ledger that is meant: a file, a database's URL, or the one of a run's folder.

    Raises:
        MissingError: There is none.
        InputError: It is no path, and no URL of a ledger.
        ConfigError: The config in the run's folder is wrong.
        ResourceError: It may not be looked at.
    """
    place = place_of(given, "LEDGER")
    if not isinstance(place, Path):
        return LedgerSource(ledger=place, folder=None)
    with reading(place, "LEDGER", MEND_LEDGER):
        is_run = place.is_dir()
        folder = RunFolder(place if is_run else place.parent)
        has_config = is_run and folder.config.is_file()
        path = folder.ledger if is_run else place
    if has_config:
        labels = load_config(folder.config).labels
        if labels.ledger_url:
            return LedgerSource(ledger=labels.ledger_url, folder=folder.path)
    with reading(path, "LEDGER", MEND_LEDGER):
        is_there = path.is_file()
    if not is_there:
        raise MissingError(f"LEDGER: {path} is not a file; {MEND_LEDGER}")
    return LedgerSource(ledger=path, folder=folder.path)


def find_config(given: Path | None, source: LedgerSource, overrides: Iterable[str]) -> RunConfig:
    """Return the config that is meant: a file, a run's, or that beside the ledger.

    Raises:
        MissingError: There is none.
        ConfigError: It is wrong; names the key.
    """
    place = source.folder if given is None else given
    if place is None:
        raise MissingError(
            f"{source.ledger}: nothing beside a database says how to fit: name a run's config with "
            "--config"
        )
    with reading(place, "--config", "name a TOML file, or a run's folder"):
        path = RunFolder(place).config if place.is_dir() else place
        is_there = path.is_file()
    if given is None and not is_there:
        raise MissingError(
            f"{path} is not there, so nothing says how to fit: name a run's config with --config"
        )
    return load_config(path, overrides)


def find_policy(given: str | None, config: RunConfig, run: Path | None, runs: Path) -> Path:
    """Return the folder of ρ: the one given, the one the run says it began at, the config's.

    Args:
        given: With --policy; a folder or hub id.
        config: The resolved config.
        run: The folder of the ledger, which may be a run's; None: there is none.
        runs: Where base models are kept.

    Raises:
        MissingError: It is not there, or was not made yet.
        InputError: It holds no model.
    """
    if given is not None:
        return policy_folder(given, what="--policy")
    folder = None if run is None else RunFolder(run)
    if folder is not None and folder.state.exists():
        noted = folder.read_state().get("policy_path")
        if noted is not None and is_there(Path(noted), str(folder.state), MEND_POLICY):
            return policy_folder(noted)
    if config.policy is not None:
        return policy_folder(config.policy.path, config.policy.revision)
    from cluster.starting.base_model import made_base_model  # with Ray, which takes a second

    assert config.base_model is not None, "the config names one of the two"
    made = made_base_model(config.base_model, runs)
    if made is None:
        raise MissingError(
            f"base_model: none of this recipe was made under {runs}/: run the config once, or name "
            "the starting policy's folder with --policy"
        )
    return made


def fresh_out(source: LedgerSource, until_seq: int | None, fits: Path) -> Path:
    """Return `fits/RUN-SEQ`, or with the next free number after it.

    The run's name is that of its queries; the folder's where the ledger holds none.
    """
    opened = SqlLedger.open_to_read(source.ledger)
    try:
        queries: list[ComparisonQuery] = opened.queries()
        last_seq = max((event.seq for event in opened.events()), default=0)
    finally:
        opened.close()
    beside = "ledger" if source.folder is None else source.folder.absolute().name
    run_id = queries[0].run_id if queries else beside
    name = f"{run_id}-{last_seq if until_seq is None else until_seq}"
    places = (fits / (name if n == 1 else f"{name}.{n}") for n in itertools.count(1))
    mend = "name another place with --out"
    return next(each for each in places if not is_there(each, "where fits are kept", mend))
