"""Everything of one run lies in one folder; this module knows where.

The folder is also how other processes speak with a run without joining its Ray cluster:
`run.json` says how it stands, and a request left under `control/` is read within a second.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from protocol.errors import ConfigError, MissingError, ResourceError

OWNER = "owner"
"""Who oversees a run from the command line; no labeler may be called so."""


class RunFolder:
    """Paths of a run and its small JSON state.

    Args:
        path: The folder, e.g. `runs/demo-2`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.toml"
        self.state = path / "run.json"
        self.ledger = path / "ledger.sqlite"
        self.metrics = path / "metrics.jsonl"
        self.policies = path / "policy"
        self.rewards = path / "reward"
        self.recordings = path / "recordings"
        self.report = path / "report"
        self.wandb = path / "wandb"
        self.logs = path / "logs"
        self.tokens = path / "tokens"
        self._stop = path / "control" / "stop"

    @classmethod
    def create(cls, path: Path) -> RunFolder:
        """Make a new run's folder.

        Raises:
            ConfigError: The folder already holds a run.
        """
        folder = cls(path)
        if folder.state.exists():
            raise ConfigError(
                f"{path} already holds a run; name another folder with --folder, or remove this one"
            )
        for part in (folder.policies, folder.rewards, folder.recordings, folder.logs):
            part.mkdir(parents=True, exist_ok=True)
        # Labelers' secrets: nobody else on the machine needs to read them.
        folder.tokens.mkdir(mode=0o700, exist_ok=True)
        folder._stop.parent.mkdir(exist_ok=True)
        return folder

    @classmethod
    def existing(cls, path: Path) -> RunFolder:
        """Open a folder that holds a run.

        Raises:
            MissingError: There is no run there.
        """
        folder = cls(path)
        if not folder.state.exists():
            raise MissingError(f"{path} holds no run (no run.json); name the folder of a run")
        return folder

    def read_state(self) -> dict[str, Any]:
        """Return `run.json`."""
        return dict(json.loads(self.state.read_text()))

    @property
    def began_at(self) -> float:
        """When the run began, Unix seconds: all of its clocks count from here."""
        return float(self.read_state()["started_at"])

    def update_state(self, **changes: object) -> None:
        """Merge changes into `run.json`, atomically. One process of a run calls this."""
        state = self.read_state() if self.state.exists() else {}
        write_json(self.state, {**state, **changes})

    def checkpoints(self) -> tuple[int, ...]:
        """Return the policy versions that can be restored, oldest first."""
        return tuple(sorted(int(path.name[1:]) for path in self.policies.glob("v[0-9]*")))

    def write_token(self, name: str, token: str) -> None:
        """Keep somebody's token in a file that only the user who runs this may read."""
        file = self.tokens / name
        file.touch(mode=0o600)
        file.write_text(token + "\n")

    def read_token(self, name: str) -> str:
        """Return somebody's token.

        Raises:
            MissingError: There is no such file.
            ResourceError: It may not be read.
        """
        file = self.tokens / name
        try:
            return file.read_text().strip()
        except FileNotFoundError as error:
            raise MissingError(
                f"{file} is not there: the run made none, or it was moved"
            ) from error
        except PermissionError as error:
            raise ResourceError(f"{file} is another user's: ask whoever started the run") from error

    def request_stop(self, reason: str) -> None:
        """Ask the run to stop. May be asked twice."""
        write_json(self._stop, {"reason": reason})

    def stop_requested(self) -> str | None:
        """Return the reason of a stop request, or None."""
        if not self._stop.exists():
            return None
        return str(json.loads(self._stop.read_text())["reason"])


def write_json(path: Path, content: Mapping[str, object]) -> None:
    """Write JSON so that a reader sees the old file or the new one, never half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")
    temporary.replace(path)
