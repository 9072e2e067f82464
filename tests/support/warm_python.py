"""`python -m MODULE …` without its imports: a fork of a process that has imported what it needs.

Torch, transformers and DeepSpeed take ten seconds and more of a core to import, which is what most
short programs of the tests would spend their time on. Each still runs in a process of its own, from
its first line to its exit code.

    python -m tests.support.warm_python

is that process. It takes a line of JSON for each program, [module, arguments, folder, output], and
answers with a line of its exit code.
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO

from tests.support.patience import PATIENCE_S

IMPORTED = (
    *("torch", "transformers", "deepspeed", "peft"),
    *("learners.ppo", "learners.reward_fit", "learners.supervised", "cluster.replay.recording"),
)


class WarmPython:
    """A process that stands ready to run modules, one at a time; it is started when first asked."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def begin(self, module: str, *arguments: str, folder: Path, output: Path) -> None:
        """Start `python -m MODULE ARGUMENTS…` in a folder; what it writes goes to a file."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.warm_python"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        jobs = self._process.stdin
        assert jobs is not None
        jobs.write(json.dumps([module, arguments, str(folder), str(output)]) + "\n")
        jobs.flush()

    def wait(self) -> int:
        """Return the exit code of what was begun.

        Raises:
            AssertionError: It did not end in time, or died of what is imported first; all is ended.
        """
        assert self._process is not None
        codes = self._process.stdout
        assert codes is not None
        has_said, _, _ = select.select([codes], [], [], PATIENCE_S)
        code = codes.readline() if has_said else ""
        if not code:
            self.end()
            raise AssertionError(f"no exit code within {PATIENCE_S:g} s of what was begun")
        return int(code)

    def end(self) -> None:
        """End it, and what it runs; it may be asked again."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.communicate()
            self._process = None


def next_program(codes: IO[str]) -> tuple[str, list[str]] | None:
    """Run what is asked for, and return when there is no more: in a program's process, with it."""
    for line in sys.stdin:
        module, arguments, folder, output = json.loads(line)
        if not (child := os.fork()):
            os.chdir(folder)
            with Path(output).open("wb") as file, Path(os.devnull).open("rb") as nothing:
                os.dup2(nothing.fileno(), sys.stdin.fileno())
                os.dup2(file.fileno(), sys.stdout.fileno())
                os.dup2(file.fileno(), sys.stderr.fileno())
            return module, arguments
        _, status = os.waitpid(child, 0)
        codes.write(f"{os.waitstatus_to_exitcode(status)}\n")
        codes.flush()
    return None


def main() -> None:
    """Import what programs need, whose words must not be taken for exit codes; then serve."""
    with os.fdopen(os.dup(sys.stdout.fileno()), "w") as codes:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        for name in IMPORTED:
            importlib.import_module(name)
        program = next_program(codes)
    if program is not None:
        module, arguments = program
        sys.argv = [module, *arguments]
        runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
