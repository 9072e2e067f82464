"""A figure of whole runs over their episodes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cluster.metrics.jsonl_sink import read_metrics


def mean_curve(folders: Sequence[Path], figure: str) -> NDArray[Any]:
    """Return [2, N], the episodes at which a figure was written and its mean over runs.

    It ends where the shortest run does; N is 0 where there is none.

    Args:
        folders: Of the runs, one a seed.
        figure: Its name in the metrics.
    """
    curves = [_curve(folder, figure) for folder in folders]
    shortest = min((curve.shape[1] for curve in curves), default=0)
    if shortest == 0:
        return np.zeros((2, 0))
    mean: NDArray[Any] = np.mean([curve[:, :shortest] for curve in curves], axis=0)
    return mean


def _curve(folder: Path, figure: str) -> NDArray[Any]:
    """Return [2, N], episodes and the figure, from the rows with both."""
    rows = read_metrics(folder / "metrics.jsonl")
    found = [row for row in rows if figure in row and "policy/episodes" in row]
    return np.array([[row[key] for row in found] for key in ("policy/episodes", figure)])
