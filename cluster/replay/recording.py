"""A recorded run, opened to replay a part of it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cluster.config import RunConfig
from cluster.config_file import load_config
from cluster.earlier_configs import earlier_configs
from cluster.loops.scoring import scored_sequence
from cluster.recordings.crossings import ADD_REFERENCE, START, StreamName
from cluster.recordings.exchanges import Exchange, read_exchanges
from cluster.recordings.segment_files import FOLDER, segment_files
from cluster.run_folder import RunFolder
from cluster.starting.base_model import made_base_model
from cluster.starting.policy_source import policy_folder
from protocol.errors import MissingError


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """What a run left on record, and what it was made of."""

    folder: RunFolder
    config: RunConfig
    policy_path: Path
    """ρ, a folder."""
    earlier: tuple[tuple[float, RunConfig], ...] = ()
    """Until when each config held that the run had before `config`, Unix seconds, and it."""

    def config_at(self, at: float) -> RunConfig:
        """Return the config that the run had at a moment, Unix seconds."""
        return next((config for until, config in self.earlier if at < until), self.config)

    @classmethod
    def of(cls, path: Path, caches: tuple[Path, ...]) -> Recording:
        """Open the run in a folder.

        Args:
            path: The run's folder.
            caches: Where the base model that the run made may be kept, if not where it says.

        Raises:
            MissingError: There is no run, or its starting policy is gone.
            UserError: Its config cannot be read.
        """
        folder = RunFolder.existing(path)
        config, state = load_config(folder.config), folder.read_state()
        if noted := state.get("policy_path"):
            caches = (Path(noted).parent, *caches)
        policy = _starting_policy(config, caches, (state.get("revisions") or {}).get("policy"))
        return cls(
            folder=folder, config=config, policy_path=policy, earlier=earlier_configs(folder)
        )

    def exchanges(self, *streams: StreamName) -> Iterator[Exchange]:
        """Give what was recorded of some streams; see `read_exchanges`.

        Raises:
            MissingError: A stream was not recorded.
        """
        crossings = self.folder.recordings / FOLDER
        there = {file.stream for file in segment_files(crossings)}
        for stream in streams:
            if stream not in there:
                wanted = "labels" if stream == START else stream
                raise MissingError(
                    f"{self.folder.path} has no record of its {wanted}: set recording.record = "
                    f'["{wanted}"] in the config of a run that shall be replayed'
                )
        return read_exchanges(crossings, *streams)

    def reference_sequences(self) -> list[tuple[int, ...]]:
        """Return the scored sequences of the samples of ρ that the run drew, [N][T_n].

        Raises:
            MissingError: They were not recorded.
        """
        for exchange in self.exchanges(START):
            if exchange.crossing is ADD_REFERENCE:
                return [scored_sequence(rollout) for rollout in exchange.ask]
        raise MissingError(f"{self.folder.path} has no record of the samples of its first policy")


@contextmanager
def scratch() -> Iterator[Path]:
    """Give an empty folder that is gone afterwards: a replay writes nothing into the run's."""
    with tempfile.TemporaryDirectory(prefix="andon-replay-") as folder:
        yield Path(folder)


def _starting_policy(config: RunConfig, caches: tuple[Path, ...], commit: str | None) -> Path:
    if config.policy is not None:
        return policy_folder(config.policy.path, commit or config.policy.revision)
    assert config.base_model is not None, "the config names one of the two"
    for cache in caches:
        if (folder := made_base_model(config.base_model, cache)) is not None:
            return folder
    raise MissingError(
        "the base model that the run made is not kept any more: it was in "
        f"{' or '.join(map(str, caches))}"
    )
