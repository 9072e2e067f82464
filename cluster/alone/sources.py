"""What somebody names to work on alone: a ledger or a run, its config, and its starting policy."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path

from cluster.config import RunConfig, load_config
from cluster.run_folder import RunFolder
from cluster.starting.policy_source import policy_folder
from label_queue.ledger.sql import SqlLedger
from protocol.errors import MissingError
from protocol.files import reading
from protocol.labels import ComparisonQuery

MEND_LEDGER = "name a ledger.sqlite, or a run's folder"


def find_ledger(given: Path) -> Path:
    """Return the ledger that is meant: a file, or the one of a run's folder.

    Raises:
        MissingError: There is none.
        InputError: It is no path.
        ResourceError: It may not be looked at.
    """
    with reading(given, "LEDGER", MEND_LEDGER):
        path = RunFolder(given).ledger if given.is_dir() else given
        is_there = path.is_file()
    if not is_there:
        raise MissingError(f"LEDGER: {path} is not a file; {MEND_LEDGER}")
    return path


def find_config(given: Path | None, ledger: Path, overrides: Iterable[str]) -> RunConfig:
    """Return the config that is meant: a file, a run's, or that beside the ledger.

    Raises:
        MissingError: There is none.
        ConfigError: It is wrong; names the key.
    """
    place = ledger.parent if given is None else given
    with reading(place, "--config", "name a TOML file, or a run's folder"):
        path = RunFolder(place).config if place.is_dir() else place
        is_there = path.is_file()
    if given is None and not is_there:
        raise MissingError(
            f"{path} is not there, so nothing says how to fit: name a run's config with --config"
        )
    return load_config(path, overrides)


def find_policy(given: str | None, config: RunConfig, run: Path, runs: Path) -> Path:
    """Return the folder of ρ: the one given, the one the run says it began at, the config's.

    Args:
        given: With --policy; a folder or hub id.
        config: The resolved config.
        run: The folder of the ledger, which may be a run's.
        runs: Where base models are kept.

    Raises:
        MissingError: It is not there, or was not made yet.
        InputError: It holds no model.
    """
    if given is not None:
        return policy_folder(given)
    folder = RunFolder(run)
    if folder.state.exists():
        noted = folder.read_state().get("policy_path")
        if noted is not None and Path(noted).exists():
            return policy_folder(noted)
    if config.policy is not None:
        return policy_folder(config.policy.path)
    from cluster.starting.base_model import made_base_model  # with Ray, which takes a second

    assert config.base_model is not None, "the config names one of the two"
    made = made_base_model(config.base_model, runs)
    if made is None:
        raise MissingError(
            f"base_model: none of this recipe was made under {runs}/: run the config once, or name "
            "the starting policy's folder with --policy"
        )
    return made


def fresh_out(ledger: Path, until_seq: int | None, fits: Path) -> Path:
    """Return `fits/RUN-SEQ`, or with the next free number after it.

    The run's name is that of its queries; the ledger's folder's where it holds none.
    """
    opened = SqlLedger.open_to_read(ledger)
    try:
        queries: list[ComparisonQuery] = opened.queries()
        last_seq = max((event.seq for event in opened.events()), default=0)
    finally:
        opened.close()
    run_id = queries[0].run_id if queries else ledger.absolute().parent.name
    name = f"{run_id}-{last_seq if until_seq is None else until_seq}"
    places = (fits / (name if n == 1 else f"{name}.{n}") for n in itertools.count(1))
    return next(place for place in places if not place.exists())
