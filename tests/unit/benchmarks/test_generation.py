"""Tokens a second of a rollout actor beside vLLM's own."""

from __future__ import annotations

from benchmarks.generation import row


def test_the_ratio_is_the_median_of_the_turns_own() -> None:
    # A neighbour halved all of the second turn.
    found = {"vLLM alone": [1000.0, 500.0, 1000.0], "rollout actor": [900.0, 450.0, 950.0]}
    assert row(24, found) == "| 24 | 1,000 | 900 | 0.90 (0.90 to 0.95) | 0.9 |"
