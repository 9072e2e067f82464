from __future__ import annotations

import pytest

from label_queue.intake.durations import in_words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (2_592_000.0, "30 days"),
        (604_800.0, "7 days"),
        (172_799.0, "47 hours"),
        (86_400.0, "24 hours"),
        (5_400.0, "90 minutes"),
        (119.9, "119 seconds"),
        (1.0, "1 second"),
        (0.5, "0 seconds"),
    ],
)
def test_times_in_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == words
