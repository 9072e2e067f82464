"""Whether doubts are where a reward is wrong: worked out by hand, and of a tiny reward."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.label_efficiency.calibration import (
    HEADS,
    Judged,
    bins,
    correlation_table,
    draw,
    expected_error,
    judge,
    reliability_table,
)
from benchmarks.label_efficiency.world import PROMPT_TOKENS, World
from protocol.messages import Prompt
from reward_service.pretrained import load_tokenizer
from tests.support.plain_engine import PlainEngine
from tests.support.tiny_model import save_tiny_model


def logit(chance: float) -> float:
    return float(np.log(chance / (1 - chance)))


def alike(chance: float, so: float, number: int) -> Judged:
    """Pairs of which every particle says one chance, where another is so."""
    return Judged(
        differences=np.full((number, 3), logit(chance)), chances=np.full(number, float(so))
    )


def test_bins_are_of_the_response_that_the_reward_prefers() -> None:
    # Of those of 0.17 the reward prefers the second response: 0.83, and 0.7 is so.
    judged = [alike(0.83, 0.6, 20), alike(0.17, 0.3, 20), alike(0.55, 0.9, 40)]
    low, high = bins(judged)
    assert (low.said, low.so) == pytest.approx((0.55, 0.9))
    assert (high.said, high.so) == pytest.approx((0.83, 0.65))
    assert low.num_pairs == high.num_pairs == 40
    assert expected_error([low, high]) == pytest.approx((0.35 + 0.18) / 2)
    *_, row = reliability_table({"heads": judged}).splitlines()
    assert row == "| heads | 55% → 90% (40) | – | – | 83% → 65% (40) | – | 26.5 points |"


def test_a_spread_is_read_on_both_scales() -> None:
    """Two particles: where both are sure the spread of their logits is widest and means nothing."""
    centres, spreads = np.array([0.0, 1.0, 3.0, 6.0]), np.array([0.9, 1.0, 1.5, 2.0])
    differences = np.stack([centres - spreads, centres + spreads], axis=1)
    preferences = 1 / (1 + np.exp(-differences))
    wrong_by = 0.1 * preferences.std(axis=1)
    judged = Judged(differences=differences, chances=preferences.mean(axis=1) - wrong_by)
    of_preferences, of_logits, _ = judged.correlations()
    assert of_preferences == pytest.approx(1.0)
    assert of_logits < -0.5
    (row,) = correlation_table({"heads": [judged]}).splitlines()[2:]
    assert row.startswith(f"| heads | +1.00 | {of_logits:+.2f} |")


@pytest.mark.parametrize("heads", HEADS)
def test_heads_are_fitted_and_judged_on_pairs_that_they_have_not_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, heads: str
) -> None:
    monkeypatch.setattr("learners.ppo.Engine", PlainEngine)
    monkeypatch.setattr("learners.reward_fit.Engine", PlainEngine)
    policy = save_tiny_model(tmp_path)
    prompt = Prompt(prompt_id="p", text="we said", token_ids=tuple(range(5, 5 + PROMPT_TOKENS)))
    world = World(task="reviews", policy=policy, tokenizer=load_tokenizer(policy), prompts=[prompt])
    judged = judge(world, heads, budget=32, seed=1, num_pairs=24)
    assert judged.differences.shape == (24, 20)
    assert (judged.differences.std(axis=1) > 0).all()
    assert ((judged.chances > 0.04) & (judged.chances < 0.96)).all(), "a slip of one in twenty"
    assert sum(each.num_pairs for each in bins([judged])) == 24
    draw({heads: [judged]}, tmp_path / "made" / "it.png")
    assert (tmp_path / "made" / "it.png").read_bytes().startswith(b"\x89PNG")
