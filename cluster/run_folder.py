"""Everything of one run lies in one folder; this module knows where.

The folder is also how other processes speak with a run without joining its Ray cluster:
`run.json` says how it stands, and a request left under `control/` is read within a second.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from cluster.run_state import parse_state, refuse_lack
from protocol.errors import ConfigError, InputError, MissingError, ResourceError
from protocol.files import put_whole, read_text, reading, writing
from protocol.folders import clear_left, versions_in
from protocol.names import run_id_of

MEND_FOLDER = "name another folder with --folder"
MEND_RUN = "name the folder of a run"
_UPDATING = threading.Lock()
"""Held by the thread that changes `run.json`, in the one process that does."""
OWNER = "owner"
"""Name of whoever oversees a run from the command line; no labeler may be called so."""
DRIVER_LOCK = ".driver.lock"
"""File that the process which drives a run holds a lock on, for as long as it lives."""


class RunFolder:
    """Paths of a run and its small JSON state.

    Args:
        path: The folder, e.g. `runs/demo-2`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        """The run's folder, as it was given."""
        self.config = path / "config.toml"
        self.configs = path / "configs"
        self.state = path / "run.json"
        self.ledger = path / "ledger.sqlite"
        self.ledger_folds = path / "ledger.folds"
        self.metrics = path / "metrics.jsonl"
        self.inspection = path / "inspect.json"
        self.policies = path / "policy"
        self.checkpoints = path / "checkpoints"
        self.rewards = path / "reward"
        self.pretraining = path / "pretraining.safetensors"
        self.recordings = path / "recordings"
        self.report = path / "report"
        self.guards = path / "guards"
        self.wandb = path / "wandb"
        self.lineage = path / "lineage"
        self.logs = path / "logs"
        self.tokens = path / "tokens"
        self._stop = path / "control" / "stop"

    @classmethod
    def create(cls, path: Path) -> RunFolder:
        """Make a new run's folder.

        Raises:
            ConfigError: The folder already holds a run.
            InputError: No folder can be called so.
            ResourceError: The disk is full or read-only, or this user may not write there.
        """
        folder = cls(path)
        with writing(path, MEND_FOLDER):
            if folder.state.exists():
                raise ConfigError(
                    f"{path} already holds a run; name another folder with --folder, or remove "
                    "this one"
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
            InputError: It is no path.
            ResourceError: This user may not look into it.
        """
        folder = cls(path)
        with reading(folder.state, "run", MEND_RUN):
            str(path).encode()  # other bytes could not be shown
            is_there = folder.state.exists()
        if not is_there:
            raise MissingError(f"{path} holds no run (no run.json); {MEND_RUN}")
        return folder

    @contextmanager
    def driven(self) -> Iterator[None]:
        """Be the one process that drives the run, from before its first look at what is there.

        What a run that went on here before was asked is forgotten: from now on this one is.

        Raises:
            ResourceError: Another process is that, or the disk refuses.
        """
        lock = self.path / DRIVER_LOCK
        with writing(lock):
            handle = lock.open("a")
        with handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ResourceError(
                    f"{self.path}: another process drives this run, or is about to; see `andon "
                    f"status {self.path}`"
                ) from error
            self.forget_stop()
            yield

    def is_driven(self) -> bool:
        """Whether a process drives the run: also one that is yet to say so, or has said its end.

        Raises:
            ResourceError: The disk refuses.
        """
        lock = self.path / DRIVER_LOCK
        with reading(lock, "the driver's lock", MEND_RUN):
            try:
                handle = lock.open("rb")
            except (FileNotFoundError, PermissionError):
                return False  # of a run of before there was one; or another user's, who may look
        with handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    @property
    def run_id(self) -> str:
        """The run's id, which it keeps where its folder is moved.

        Before it has one, by the folder's name; raises InputError where that can be none.
        """
        said = self.read_state().get("run_id") if self.state.exists() else None
        return run_id_of(self.path) if said is None else str(said)

    def read_state(self, *needed: str) -> dict[str, Any]:
        """Return `run.json`.

        Args:
            needed: Keys without which whoever asks can do nothing.

        Raises:
            InputError: It is garbled, or lacks one of those; the key is named.
            MissingError: It is not there.
            ResourceError: It may not be read.
        """
        state = parse_state(self.state, read_text(self.state, "run", MEND_RUN))
        refuse_lack(self.state, state, *needed)
        return state

    @property
    def began_at(self) -> float:
        """When the run began, Unix seconds: all of its clocks count from here."""
        return float(self.read_state()["started_at"])

    def update_state(self, **changes: object) -> None:
        """Merge changes into `run.json`, whole and on disk. One process of a run calls this.

        Raises:
            InputError: What is there is garbled.
            ResourceError: The disk refuses.
        """
        with _UPDATING:
            state = self.read_state() if self.state.exists() else {}
            put_whole(self.state, _as_json({**state, **changes}))

    def clear_left(self) -> None:
        """Delete what killed processes left half written or half removed, while none writes.

        Raises:
            ResourceError: The disk refuses.
        """
        for root in (self.policies, self.rewards):
            with writing(root, MEND_FOLDER):
                clear_left(root)

    def forget_picture(self) -> None:
        """Remove `inspect.json`: what goes on from here has not looked at anything yet.

        Raises ResourceError where the disk refuses.
        """
        with writing(self.inspection):
            self.inspection.unlink(missing_ok=True)

    def restorable(self) -> tuple[int, ...]:
        """Return the policy versions that can be restored, oldest first."""
        return tuple(int(folder.name[1:]) for folder in versions_in(self.policies))

    def write_token(self, name: str, token: str) -> None:
        """Keep somebody's token in a file that only the user who runs this may read.

        Raises DiskFull or ResourceError where the disk refuses; what was there stays.
        """
        put_whole(self.tokens / name, f"{token}\n".encode(), mode=0o600)

    def has_token(self, name: str) -> bool:
        """Whether somebody's token is kept: an empty file, which a full disk once left, is none.

        Raises ResourceError where it may not be read.
        """
        file = self.tokens / name
        with reading(file, "token", MEND_RUN):
            return file.is_file() and bool(file.read_bytes().strip())

    def read_token(self, name: str) -> str:
        """Return somebody's token.

        Raises:
            MissingError: There is no such file.
            ResourceError: It may not be read.
            InputError: It holds something else.
        """
        file = self.tokens / name
        with reading(file, "token", MEND_RUN):
            if not file.exists():
                raise MissingError(f"{file} is not there: the run made none, or it was moved")
        token = read_text(file, "token", MEND_RUN).strip()
        if not token.isascii() or not token.isprintable() or " " in token or not token:
            raise InputError(f"{file} holds no token: take it from where the run wrote it")
        return token

    def request_stop(self, reason: str, *, at_once: bool = False) -> None:
        """Ask the run to stop, or to stop at once. May be asked twice, and more urgently.

        Raises ResourceError where that is forbidden.
        """
        write_json(self._stop, {"reason": reason, "at_once": at_once})

    def forget_stop(self) -> None:
        """Take back what was asked of a run that has ended since."""
        with writing(self._stop):
            self._stop.unlink(missing_ok=True)

    def stop_requested(self) -> str | None:
        """Return the reason of a stop request, or None.

        That the file is there is the request, whatever somebody wrote into it, and whether or not
        this user may read it: it may have been asked by another.
        """
        try:
            return str(json.loads(self._stop.read_bytes())["reason"])
        except OSError as error:
            # Not raised: who listens here hears the signals too.
            is_there = os.path.lexists(self._stop)
            return f"{self._stop} is there ({error.strerror})" if is_there else None
        except (ValueError, LookupError, TypeError, RecursionError):
            return f"{self._stop} is there, without a reason"

    def is_stop_urgent(self) -> bool:
        """Return whether a stop request is not to wait for the step under way."""
        try:
            return json.loads(self._stop.read_bytes())["at_once"] is True
        except (OSError, ValueError, LookupError, TypeError, RecursionError):
            return False


def write_json(path: Path, content: Mapping[str, object]) -> None:
    """Write JSON so that a reader sees the old file or the new one, never half of one.

    Raises:
        ResourceError: The disk is full or read-only, or this user may not write there.
    """
    text = _as_json(content)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(text)
            temporary.replace(path)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _as_json(content: Mapping[str, object]) -> bytes:
    return (json.dumps(content, indent=2, sort_keys=True) + "\n").encode()
