"""How the gold tests find bad labelers and spare good ones, computed exactly.

    python -m benchmarks.gold_tests
    python -m benchmarks.gold_tests --good-run-length 5000 --fair-run-length 500

The tables are Markdown, as in docs/results.md. Takes a second; nothing is simulated.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence

import click

from label_queue.config import QualityConfig
from label_queue.quality.run_length import (
    Steps,
    drift_threshold,
    in_labels,
    run_length,
    sequential_test,
    share_suspended,
)

ACCURACIES = (0.95, 0.90, 0.85, 0.80, 0.75, 0.70, 0.60, 0.50, 0.25, 0.10)
"""Shares of right gold answers; 1/2 and 1/4 are chance among two candidates and among four."""
GOLDS = (20, 50, 100, 200, 500)
TURNED = (
    ("errs in 25 %", 0.75),
    ("errs in 40 %", 0.60),
    ("at random, of pairs", 1 / 2),
    ("at random, of four", 1 / 4),
    ("the opposite, of pairs", 0.10),
    ("never the best, of four", 0.03),
)
"""What a good labeler may turn to, and the share of gold tasks they then answer rightly."""
DOUBTS = (1, 2, 3)
BAD_ACCURACIES = (0.50, 0.55, 0.60, 0.65, 0.70)


def suspended_table(config: QualityConfig) -> str:
    """Return who is suspended by both tests within how many gold answers."""
    steps, threshold = Steps.of(config), drift_threshold(config)
    lines = [
        _row("accuracy", *(f"{n} golds" for n in GOLDS), "golds between alarms", "test says bad"),
        _row("---:", *("---:" for _ in GOLDS), "---:", "---:"),
    ]
    for accuracy in ACCURACIES:
        shares = share_suspended(config, accuracy, max(GOLDS))
        lines.append(
            _row(
                f"{accuracy:.2f}",
                *(_percent(float(shares[n - 1])) for n in GOLDS),
                f"{run_length(steps, accuracy, threshold):,.0f}",
                _percent(sequential_test(steps, accuracy, config).ends_high),
            )
        )
    return "\n".join(lines)


def delay_table(configs: Sequence[QualityConfig]) -> str:
    """Return how many gold answers it takes to find who turned bad, on average, by threshold."""
    lines = [
        _row("from the turn on", *(f"h = {drift_threshold(config):.2f}" for config in configs)),
        _row("---", *("---:" for _ in configs)),
    ]
    for words, accuracy in TURNED:
        delays = (run_length(Steps.of(each), accuracy, drift_threshold(each)) for each in configs)
        lines.append(_row(words, *(f"{delay:.1f}" for delay in delays)))
    return "\n".join(lines)


def doubt_table(config: QualityConfig) -> str:
    """Return what doubt by gold alone costs and brings, by how many wrong answers it begins with.

    The product's begins with one.
    """
    begins = [
        *((f"from {count} wrong on", Steps.of(config).up * count) for count in DOUBTS),
        ("no doubt", math.inf),
    ]
    lines = [
        _row("gold answered rightly", *(words for words, _ in begins)),
        _row("---:", *("---:" for _ in begins)),
    ]
    for accuracy in ACCURACIES:
        found = (in_labels(config, accuracy, nats) for _, nats in begins)
        cells = (f"{labels:,.0f} · {_percent(share)}" for labels, share in found)
        lines.append(_row(f"{accuracy:.2f}", *cells))
    return "\n".join(lines)


def bad_accuracy_table(config: QualityConfig) -> str:
    """Return what another `bad_accuracy` would cost and bring, at the same run lengths."""
    turned = [each for each in TURNED if each[1] in (0.75, 0.60, 0.50, 0.10)]
    lines = [
        _row("bad_accuracy", "h", *(words for words, _ in turned), "first test, at random"),
        _row(*("---:" for _ in range(len(turned) + 3))),
    ]
    for bad in BAD_ACCURACIES:
        try:
            other = QualityConfig(**{**config.model_dump(), "bad_accuracy": bad})
        except ValueError:
            lines.append(_row(f"{bad:.2f}", "refused", *("–" for _ in turned), "–"))
            continue
        steps, threshold = Steps.of(other), drift_threshold(other)
        lines.append(
            _row(
                f"{bad:.2f}",
                f"{threshold:.2f}",
                *(f"{run_length(steps, accuracy, threshold):.1f}" for _, accuracy in turned),
                f"{sequential_test(steps, 0.5, other).mean_length:.1f}",
            )
        )
    return "\n".join(lines)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def main() -> None:
    """Print the tables for the run lengths of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = QualityConfig()
    parser.add_argument("--good-run-length", type=float, default=default.good_run_length)
    parser.add_argument("--fair-run-length", type=float, default=default.fair_run_length)
    arguments = parser.parse_args()
    config = QualityConfig(
        good_run_length=arguments.good_run_length, fair_run_length=arguments.fair_run_length
    )
    fixed = QualityConfig(drift_threshold=4.0)
    click.echo(f"h = {drift_threshold(config):.2f}\n\n{suspended_table(config)}\n")
    click.echo(f"h = 4\n\n{suspended_table(fixed)}\n")
    click.echo(f"{delay_table([fixed, config])}\n")
    click.echo(f"{doubt_table(config)}\n")
    click.echo(bad_accuracy_table(config))


if __name__ == "__main__":
    main()
