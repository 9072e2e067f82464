"""What tripped a guard, kept in the run's folder: `guards/0001-kl_sign.json` and so on.

Numbered in the order in which they came, also over a restart; none is ever written over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from cluster.guards.verdict import Verdict
from cluster.run_folder import RunFolder, write_json

FORMAT = 1
"""Version of the form of a file; raised when an older reader could misread it."""


class Evidence:
    """Writes what guards saw.

    Args:
        run: Whose folder it is kept in.
    """

    def __init__(self, run: RunFolder) -> None:
        self._folder = run.guards

    def keep(self, verdict: Verdict, *, at: float, moment: Mapping[str, float]) -> str:
        """Write a verdict; return the file's path under the run's folder.

        Args:
            verdict: What is kept.
            at: Unix seconds.
            moment: Where the run stood, e.g. {"policy_version": 12, "episodes": 1536}.

        Raises:
            ResourceError: The disk refuses.
        """
        taken = [int(path.name[:4]) for path in self._folder.glob("[0-9][0-9][0-9][0-9]-*.json")]
        path = self._folder / f"{max(taken, default=0) + 1:04d}-{verdict.guard}.json"
        write_json(path, {"format": FORMAT, "at": at, **moment, **asdict(verdict)})
        return str(Path(self._folder.name) / path.name)
