"""The page: one HTML file that needs nothing else, neither a server nor a network.

Text from a model is escaped by the template, and the page's policy lets nothing run or load:
whatever a policy writes stays text.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from cluster.report.summary import Summary
from label_queue.quality.assessment import Assessment

TEMPLATE = "page.html"
TILES = (
    ("episodes", "episodes trained", ",.0f"),
    ("labels_in_ledger", "labels in the ledger", ",.0f"),
    ("reward_versions", "reward versions served", ",.0f"),
    ("gold_base_mean", "gold score, base model", "+.2f"),
    ("gold_final_mean", "gold score, last tenth", "+.2f"),
    ("validation_winrate", "of validation labels prefer the policy", ".0%"),
    ("kl_final_mean", "nats from the base model", ".1f"),
    ("coverage_median", "median coverage", ".0%"),
    ("label_to_policy_latency_p50_s", "s from label to policy, median", ".0f"),
    ("wall_s", "s in all", ",.0f"),
)
"""The figures at the head of the page: name in the summary, name for people, and format."""

_templates = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture that was drawn, and what it shows."""

    path: Path
    caption: str

    @property
    def in_base64(self) -> str:
        """The picture as it stands in the page."""
        return base64.b64encode(self.path.read_bytes()).decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A response, as shown in the page."""

    prompt: str
    text: str
    gold: float | None
    """The task's hidden score of the response; None where the task has none."""


def render_page(
    summary: Summary,
    pictures: Sequence[Picture],
    before: Sequence[Sample],
    after: Sequence[Sample],
    labelers: Sequence[Assessment] = (),
) -> str:
    """Return the page as HTML.

    Args:
        summary: The run in figures.
        pictures: In the order they are shown.
        before: Responses of the base model.
        after: As many of the policy at the end.
        labelers: By name, with their quality.
    """
    return _templates.get_template(TEMPLATE).render(
        title=f"Andon: {summary['run_id'] or 'a run'}",
        lead=f"{summary['mode']} run, seed {summary['seed']}, {summary['state'] or ''}",
        tiles=[(text, _written(summary[name], form)) for name, text, form in TILES],
        pictures=pictures,
        labelers=[(row, _numbers(row)) for row in labelers],
        samples=list(zip(before, after, strict=False)),
        figures=list(_figures(summary)),
    )


def _written(value: object, form: str) -> str | None:
    """Return a figure as the page has it; None where it is not known."""
    if isinstance(value, int | float):
        return format(value, form)
    return None if value is None else str(value)


def _numbers(row: Assessment) -> tuple[str, ...]:
    """Return the cells between a labeler's state and flags; of what is not known, empty ones."""
    has_gold = row.gold_right + row.gold_wrong > 0
    gold = f"{row.gold_accuracy:.0%} ({row.gold_low:.0%}-{row.gold_high:.0%})" if has_gold else ""
    return (
        *(str(row.labels), str(row.labels_held), gold),
        *("" if x is None else f"{x:.0%}" for x in (row.self_agreement, row.peer_agreement)),
        f"{row.weight_share:.0%}",
    )


def _figures(summary: Summary) -> Iterator[tuple[str, str | None, str]]:
    """Return every figure's name, how it is written, and why it is not known where it is not."""
    unknown = summary["unknown"]
    assert isinstance(unknown, dict)
    for name, value in summary.items():
        if name == "unknown":
            continue
        if isinstance(value, dict):
            shown: str | None = ", ".join(f"{key} {item}" for key, item in sorted(value.items()))
        else:
            shown = _written(value, "" if isinstance(value, int) else ".4g")
        yield name, shown, unknown[name] if shown is None else ""
