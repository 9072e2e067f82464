"""What a page of figures shows of the catalogue: names that share a picture, and its range."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cluster.metrics.definitions.section import Metric, Section
from cluster.metrics.names import CATALOGUE

STATISTICS = ("mean", "max", "std", "p05", "p50", "p95")
"""Last parts of names that say which figure of one quantity it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One picture: some metrics of one axis."""

    title: str
    names: tuple[str, ...]
    low: float | None = None
    high: float | None = None
    """The range shown; None: what the values take."""

    @property
    def axis(self) -> str:
        """The metric all of them are drawn against."""
        (axis,) = {CATALOGUE[name].axis for name in self.names}
        return axis

    @property
    def unit(self) -> str:
        """What they are counted in."""
        return ", ".join(dict.fromkeys(CATALOGUE[name].unit for name in self.names))


SHARES = frozenset(
    (
        "policy/clip_fraction",
        "policy/winrate_vs_reference",
        "policy/winrate_recent",
        "policy/winrate_judges",
        "rollout/truncated_rate",
        "staleness/importance_weight_capped",
        "reward_model/train_accuracy",
        "reward_model/mark_accuracy",
        "reward_model/validation_accuracy",
        "reward_model/validation_accuracy_current_policy",
        "reward_model/ece",
        "reward_model/anchor_accuracy",
        "labels/tie_rate",
        "labels/skip_rate",
        "labels/both_bad_rate",
        "labels/first_position_rate",
        "labels/gold_accuracy",
        "labelers/median_gold_accuracy",
        "labelers/max_share",
        "online/coverage",
        "throughput/learner_idle",
        "throughput/actor_idle",
        "cord/is_pulled",
    )
)
"""Metrics between 0 and 1."""
CORRELATIONS = frozenset(
    (
        "reward/length_correlation",
        "reward_model/correlation_with_previous",
        "reward_model/correlation_on_recent",
        "reward_model/correlation_after_exclusion",
        "labels/agreement_alpha",
        "policy/winrate_gap",
    )
)
"""Metrics between -1 and 1."""


def _share(title: str, *names: str) -> Panel:
    return Panel(title=title, names=names, low=0.0, high=1.0)


def _panel(title: str, *names: str, low: float | None = None) -> Panel:
    return Panel(title=title, names=names, low=low)


OVERVIEW = (
    _panel("Score, and the hidden one where there is one", "reward/score_mean", "reward/gold_mean"),
    _share(
        "Preferred to ρ by labelers, and by judges",
        "policy/winrate_vs_reference",
        "policy/winrate_recent",
        "policy/winrate_judges",
    ),
    _panel("KL to ρ, and its target", "kl/reference_mean", "kl/target"),
    _panel("Entropy of the policy", "policy/entropy", low=0.0),
    _share(
        "The reward model on labels it has not learned",
        "reward_model/validation_accuracy",
        "reward_model/validation_accuracy_current_policy",
    ),
    _panel("Labels, and those wanted by now", "labels/counted", "labels/scheduled", low=0.0),
    _panel("Agreement of labelers", "labels/agreement_alpha", "labels/gold_accuracy"),
    _share("How online: labels learned before a query", "online/coverage"),
    _panel(
        "From label to policy",
        "online/label_to_policy_latency_p50",
        "online/label_to_policy_latency_p95",
        low=0.0,
    ),
    _panel("Versions behind", "staleness/policy_lag_mean", "staleness/policy_lag_max", low=0.0),
    _share("Who waits", "throughput/learner_idle", "throughput/actor_idle"),
    _panel("Length of responses", "rollout/length_mean", low=0.0),
)
"""The dozen pictures one watches."""

REPORT_TABLES = ("pictures", "before_and_after", "responses", "labelers", "disagreements")
"""What a run that has ended has in its summary, under `report/`."""


def section_panels(section: Section) -> Iterator[Panel]:
    """Yield a section's panels, in the order of the catalogue, without what is not written yet.

    Figures of one quantity, such as its mean and its maximum, share one.
    """
    quantities: dict[tuple[str, str], list[Metric]] = {}
    for metric in section.metrics:
        if metric.is_written:
            quantities.setdefault((_quantity(metric.name), metric.unit), []).append(metric)
    for (title, _), metrics in quantities.items():
        names = tuple(metric.name for metric in metrics)
        low, high = _range(names)
        yield Panel(title=title, names=names, low=low, high=high)


def _quantity(name: str) -> str:
    """Return what a metric is a figure of, e.g. "reference" for "kl/reference_mean"."""
    words = name.partition("/")[2].split("_")
    if len(words) > 1 and words[-1] in STATISTICS:
        words.pop()
    return " ".join(words)


def _range(names: tuple[str, ...]) -> tuple[float | None, float | None]:
    if SHARES.issuperset(names):
        return 0.0, 1.0
    if CORRELATIONS.issuperset(names):
        return -1.0, 1.0
    return None, None
