"""TRL's last PPO in a virtual environment of its own, on the torch and transformers used here."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path

from benchmarks.programs import run_program

TRL = "1.12.0"
"""The last version that has a PPO trainer."""


def make_venv(folder: Path) -> Path:
    """Return the environment's Python; makes what is not there yet, which takes minutes."""
    python, done = folder / "bin" / "python", folder / "made"
    if not done.exists():
        run_program([sys.executable, "-m", "venv", "--clear", str(folder)])
        ours = [f"{name}=={version(name).split('+')[0]}" for name in ("torch", "transformers")]
        # torch first: with none there, other packages may bring a build for GPUs.
        for wanted in (ours[:1], [*ours, "numpy", f"trl=={TRL}"]):
            run_program([str(python), "-m", "pip", "install", "-q", *wanted])
        done.touch()
    return python
