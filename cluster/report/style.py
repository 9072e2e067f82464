"""How the pictures look: one palette, quiet axes, and drawing without a display."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

INK = "#1f2933"
QUIET = "#8b98a5"
FAINT = "#d9dfe5"
BLUE = "#2364aa"
ORANGE = "#e07a1f"
GREEN = "#2f8f5b"
RED = "#c0392b"
PURPLE = "#7b4fa3"

WIDTH_IN = 8.4
DOTS_PER_INCH = 130

_PARAMETERS: dict[Any, object] = {
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "text.color": INK,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "grid.color": "#eef1f4",
    "grid.linewidth": 0.9,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
    "legend.frameon": False,
    "legend.columnspacing": 1.4,
    "legend.handlelength": 1.6,
    "legend.fontsize": 8.5,
}


@contextmanager
def picture(path: Path, *, rows: int, height_in: float) -> Iterator[list[Axes]]:
    """Draw a picture of `rows` panels one above the other and write it as PNG.

    Uses no pyplot: nothing global is kept, and no display is needed.
    """
    with mpl.rc_context(_PARAMETERS):
        figure = Figure(figsize=(WIDTH_IN, height_in), layout="constrained", facecolor="white")
        FigureCanvasAgg(figure)
        axes = figure.subplots(rows, 1, squeeze=False)
        yield [axes[row][0] for row in range(rows)]
        # Without the software's name and version the same run gives the same bytes.
        figure.savefig(path, dpi=DOTS_PER_INCH, metadata={"Software": None})


def thousands(axes: Axes) -> None:
    """Write the numbers along x with a thin space between thousands."""
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}".replace(",", "\u2009"))


def legend(axes: Axes) -> None:
    """Put the legend in one line above the panel, where it covers nothing."""
    entries = len(axes.get_legend_handles_labels()[0])
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0.1, ncols=entries)


def say_empty(axes: Axes, reason: str) -> None:
    """Say why a panel has nothing in it."""
    axes.text(0.5, 0.5, reason, transform=axes.transAxes, ha="center", va="center", color=QUIET)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
