"""The configs that a run had before it was resumed with another: `RUN/configs/000002.toml`.

What it did under them is told again under them. A file is called by the resumption until which its
config held, from 1; where one changed nothing there is none, and the next later one counts.
"""

from __future__ import annotations

from pathlib import Path

from cluster.config import RunConfig
from cluster.config_file import load_config, save_config
from cluster.run_folder import RunFolder
from protocol.files import writing


def keep_earlier(folder: RunFolder, config: RunConfig) -> None:
    """Keep the config that a run had until now, as it is resumed with another. Again: no change.

    Args:
        folder: The run's, before it notes that it is resumed.
        config: As it had it.

    Raises:
        DiskFull, ResourceError: The disk refuses.
    """
    path = _path(folder, 1 + len(folder.read_state().get("resumed_at") or ()))
    # One that is there is of a resumption that died before it began: nothing was done since.
    if not path.exists():
        with writing(path):
            path.parent.mkdir(exist_ok=True)
        save_config(config, path)


def earlier_configs(folder: RunFolder) -> tuple[tuple[float, RunConfig], ...]:
    """Return until when each held, Unix seconds, and it, the oldest first.

    Raises ConfigError where one is not as it was written.
    """
    resumed_at = folder.read_state().get("resumed_at") or ()
    paths = [(at, _path(folder, number)) for number, at in enumerate(resumed_at, start=1)]
    return tuple((at, load_config(path)) for at, path in paths if path.is_file())


def _path(folder: RunFolder, resumption: int) -> Path:
    return folder.configs / f"{resumption:06d}.toml"
