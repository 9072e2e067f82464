"""Simulated labelers: processes of their own that know nothing but the HTTP address and a token."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from cluster.config import SimulatedLabeler
from cluster.run_folder import RunFolder
from cluster.supervision.config import RestartsConfig
from cluster.supervision.restarts import Restarts
from label_queue.simulated.config import GoldName
from protocol.errors import LabelerDied, LabelerFailed
from protocol.files import writing

STOP_TIMEOUT_S = 10.0
POLL_S = 0.5


class SimulatedLabelers:
    """Starts one process a profile, and ends them with the `with` block.

    Args:
        profiles: Who labels, and how well.
        gold: The score they judge by; None where there are none.
        url: The intake's address, e.g. "http://127.0.0.1:8000".
        folder: The run's, with a token file for each; reports and logs go there.
        restarts: How often one that a signal has ended may be started again.
    """

    def __init__(
        self,
        profiles: Sequence[SimulatedLabeler],
        gold: GoldName | None,
        url: str,
        folder: RunFolder,
        restarts: Restarts | None = None,
    ) -> None:
        self._profiles = profiles
        self._gold = gold
        self._url = url
        self._folder = folder
        self._restarts = restarts or Restarts(RestartsConfig())
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._is_ending = False

    def __enter__(self) -> SimulatedLabelers:
        try:
            for profile in self._profiles:
                self._processes[profile.name] = self._start(profile)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._is_ending = True
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    async def stop(self) -> None:
        """End all labelers; each finishes the request it is in, so that its count is true."""
        await asyncio.to_thread(self.__exit__, None, None, None)

    async def watch(self) -> None:
        """Return when all have ended by themselves, or are told to.

        One that a signal has ended, as an out-of-memory killer's, is started again.

        Raises:
            LabelerFailed: One gave up or failed: without its labels the run would wait for ever.
            LabelerDied: One was ended more often than it may be started again.
        """
        minding = [asyncio.ensure_future(self._mind(name)) for name in self._processes]
        try:
            await asyncio.gather(*minding)
        finally:
            for each in minding:
                each.cancel()

    async def _mind(self, name: str) -> None:
        while not self._is_ending:
            # Polled: a thread that waited for each would leave none to others on a small machine.
            code = self._processes[name].poll()
            if code == 0:
                return
            if code is not None:
                await self._restart(name, code)
            await asyncio.sleep(POLL_S)

    async def _restart(self, name: str, code: int) -> None:
        who = f"simulated labeler {name}"
        if code > 0:
            raise LabelerFailed(f"{who} ended with {self._why(name, code)}")
        died = LabelerDied(f"{who} was ended by signal {-code}; see {self._log(name)}")
        await self._restarts.allow(who, died)
        if not self._is_ending:
            self._processes[name] = self._start(self._profile(name))

    def num_acknowledged(self) -> int:
        """Distinct labels the labelers saw acknowledged, by their own count."""
        reports = (self._report(profile) for profile in self._profiles)
        return sum(json.loads(r.read_bytes())["acknowledged"] for r in reports if r.exists())

    def _profile(self, name: str) -> SimulatedLabeler:
        return next(profile for profile in self._profiles if profile.name == name)

    def _why(self, name: str, code: int) -> str:
        """Return an exit code and the last thing its process said."""
        log = self._log(name)
        lines = (
            log.read_text(encoding="utf-8", errors="replace").split("\n") if log.exists() else []
        )
        last = next((line.strip() for line in reversed(lines) if line.strip()), "no word")
        return f"code {code}: {last}; see {log}"

    def _start(self, profile: SimulatedLabeler) -> subprocess.Popen[bytes]:
        assert self._gold is not None, "there is a gold score where labelers are simulated"
        # Absolute: a relative path may begin with a dash.
        token_file = self._folder.tokens.absolute() / profile.name
        with writing(self._log(profile.name)):
            log = self._log(profile.name).open("ab")
        with log:
            return subprocess.Popen(
                [
                    *(sys.executable, "-m", "label_queue.simulated"),
                    *("--url", self._url),
                    *("--token-file", str(token_file)),
                    *("--profile", profile.model_dump_json(exclude={"name"})),
                    *("--gold", self._gold),
                    *("--report", str(self._report(profile))),
                    *("--parent", str(os.getpid())),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # A signal to the driver's process group is the driver's: it ends them in order.
                start_new_session=True,
            )

    def _report(self, profile: SimulatedLabeler) -> Path:
        return self._folder.logs.absolute() / f"labeler-{profile.name}.json"

    def _log(self, name: str) -> Path:
        return self._folder.logs / f"labeler-{name}.log"
