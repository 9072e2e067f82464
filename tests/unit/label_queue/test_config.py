from __future__ import annotations

import pytest
from pydantic import ValidationError

from label_queue.config import LabelsConfig


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"total": 10, "initial": 11, "ahead": 1}, "initial"),
        ({"kind": "pair"}, "num_candidates must be 2"),
        ({"validation_share": 0.6, "overlap_share": 0.5}, "must stay below 1"),
        ({"lease": {"min_s": 700.0}}, "min_s <= first_s"),
        ({"totl": 3}, "Extra inputs"),
    ],
)
def test_rejects_what_cannot_work(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        LabelsConfig.model_validate(values)


def test_all_labels_before_rl_is_a_valid_config() -> None:
    assert LabelsConfig(total=100, initial=100, ahead=50).refits == 20


def test_only_a_stream_of_labels_can_run_too_far_ahead() -> None:
    config = LabelsConfig(ahead=100)
    with pytest.raises(ValueError, match="would expire unanswered"):
        config.check_pace("online", num_steps=100)
    for mode in ("batched", "offline", "fixed"):
        config.check_pace(mode, num_steps=100)
