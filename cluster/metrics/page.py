"""`docs/METRICS.md`, made from the catalogue."""

from __future__ import annotations

from collections.abc import Iterable
from textwrap import fill

from cluster.metrics.definitions.section import Metric
from cluster.metrics.names import AXES, CATALOGUE, SECTIONS

WIDTH = 100
_HEAD = """\
# Metrics

<!-- Made from cluster/metrics/definitions/ by tools/metrics_page.py; change it there. -->

Every name that `metrics.jsonl`, wandb, Prometheus (`/` becomes `_`, prefix `andon_`) and the report
know. A name that is not here is rejected. One row is one JSON object whose names share a step axis;
every row also carries `time/wall_s`. Unit `1` is a share, a ratio or a plain number. A metric that
has no value yet is absent, never 0.
"""


def metrics_page() -> str:
    """Return the page as Markdown."""
    parts = [_HEAD, "## Step axes\n", _table(CATALOGUE[name] for name in AXES)]
    for section in SECTIONS:
        intro = f"Drawn against `{section.axis}`. {section.intro}"
        parts += [f"## {section.prefix}/\n", fill(intro, WIDTH) + "\n", _table(section.metrics)]
    return "\n".join(parts)


def _table(metrics: Iterable[Metric]) -> str:
    rows = [
        f"| `{each.name}` | {each.unit} | {_cell(each.meaning)} | {_cell(each.when)} |"
        for each in metrics
    ]
    head = ("| name | unit | meaning | written |", "| --- | --- | --- | --- |")
    return "\n".join([*head, *rows, ""])


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
