"""How the gold tests find bad labelers and spare good ones, computed exactly.

    python -m benchmarks.gold_tests
    python -m benchmarks.gold_tests --good-run-length 5000 --fair-run-length 500

The tables are Markdown, as in docs/results/labelers.md. Takes a second; nothing is simulated.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence

import click

from label_queue.quality.run_length import (
    Steps,
    drift_threshold,
    in_labels,
    run_length,
    sequential_test,
    share_suspended,
)
from label_queue.quality_config import QualityConfig

ACCURACIES = (0.95, 0.90, 0.85, 0.80, 0.75, 0.70, 0.60, 0.50, 0.25, 0.10)
"""Shares of right gold answers; 1/2 and 1/4 are chance among two candidates and among four."""
GOLDS = (20, 50, 100, 200, 500)
PAIRS, FOUR = 2, 4
CANDIDATES = (2, 3, 4, 6, 9)
TURNED = (
    ("errs in 25 %", 0.75, PAIRS),
    ("errs in 40 %", 0.60, PAIRS),
    ("at random, of pairs", 1 / 2, PAIRS),
    ("at random, of four", 1 / 4, FOUR),
    ("the opposite, of pairs", 0.10, PAIRS),
    ("never the best, of four", 0.03, FOUR),
)
"""What a good labeler may turn to, the share of gold tasks they then answer rightly, and K."""
DOUBTS = (1, 2, 3)
BAD_ACCURACIES = (0.50, 0.55, 0.60, 0.65, 0.70)


def suspended_table(config: QualityConfig) -> str:
    """Return who is suspended by both tests within how many gold answers on pairs."""
    steps, threshold = Steps.of(config, PAIRS), drift_threshold(config, PAIRS)
    lines = [
        _row("accuracy", *(f"{n} golds" for n in GOLDS), "golds between alarms", "test says bad"),
        _row("---:", *("---:" for _ in GOLDS), "---:", "---:"),
    ]
    for accuracy in ACCURACIES:
        shares = share_suspended(config, PAIRS, accuracy, max(GOLDS))
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
        _row("from the turn on", *(f"h = {_thresholds(config)}" for config in configs)),
        _row("---", *("---:" for _ in configs)),
    ]
    for words, accuracy, k in TURNED:
        delays = (
            run_length(Steps.of(each, k), accuracy, drift_threshold(each, k)) for each in configs
        )
        lines.append(_row(words, *(f"{delay:.1f}" for delay in delays)))
    return "\n".join(lines)


def _thresholds(config: QualityConfig) -> str:
    """Return h of pairs and, where it is another, of four."""
    found = (f"{drift_threshold(config, k):.2f}" for k in (PAIRS, FOUR))
    return " and ".join(dict.fromkeys(found))


def candidates_table(config: QualityConfig) -> str:
    """Return what gold with more candidates says: p₀, h, and how soon chance is found."""
    lines = [
        _row("candidates", "p₀", "h", "first test, at random", "turned to chance", "golds at 0.90"),
        _row(*("---:" for _ in range(6))),
    ]
    for k in CANDIDATES:
        steps, threshold = Steps.of(config, k), drift_threshold(config, k)
        lines.append(
            _row(
                str(k),
                f"{config.bad_accuracy_of(k):.2f}",
                f"{threshold:.2f}",
                f"{sequential_test(steps, 1 / k, config).mean_length:.1f}",
                f"{run_length(steps, 1 / k, threshold):.1f}",
                f"{run_length(steps, 0.90, threshold):,.0f}",
            )
        )
    return "\n".join(lines)


def doubt_table(config: QualityConfig) -> str:
    """Return what doubt by gold alone costs and brings, by how many wrong answers it begins with.

    The product's begins with one.
    """
    begins = [
        *((f"from {count} wrong on", Steps.of(config, PAIRS).up * count) for count in DOUBTS),
        ("no doubt", math.inf),
    ]
    lines = [
        _row("gold answered rightly", *(words for words, _ in begins)),
        _row("---:", *("---:" for _ in begins)),
    ]
    for accuracy in ACCURACIES:
        found = (in_labels(config, PAIRS, accuracy, nats) for _, nats in begins)
        cells = (f"{labels:,.0f} · {_percent(share)}" for labels, share in found)
        lines.append(_row(f"{accuracy:.2f}", *cells))
    return "\n".join(lines)


def bad_accuracy_table(config: QualityConfig) -> str:
    """Return what another `bad_accuracy` would cost and bring, at the same run lengths."""
    turned = [each for each in TURNED if each[1] in (0.75, 0.60, 0.50, 0.10)]
    lines = [
        _row("bad_accuracy", "h", *(words for words, *_ in turned), "first test, at random"),
        _row(*("---:" for _ in range(len(turned) + 3))),
    ]
    for bad in BAD_ACCURACIES:
        try:
            other = QualityConfig(**{**config.model_dump(), "bad_accuracy": bad})
        except ValueError:
            lines.append(_row(f"{bad:.2f}", "refused", *("–" for _ in turned), "–"))
            continue
        steps, threshold = Steps.of(other, PAIRS), drift_threshold(other, PAIRS)
        lines.append(
            _row(
                f"{bad:.2f}",
                f"{threshold:.2f}",
                *(f"{run_length(steps, accuracy, threshold):.1f}" for _, accuracy, _ in turned),
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
    click.echo(f"h = {drift_threshold(config, PAIRS):.2f}\n\n{suspended_table(config)}\n")
    click.echo(f"h = 4\n\n{suspended_table(fixed)}\n")
    click.echo(f"{delay_table([fixed, config])}\n")
    click.echo(f"{doubt_table(config)}\n")
    click.echo(f"{candidates_table(config)}\n")
    click.echo(bad_accuracy_table(config))


if __name__ == "__main__":
    main()
