"""Steps against the slower of generation and training: a law of lengths, and spans of a run."""

from __future__ import annotations

import math
import random
from pathlib import Path

import pytest
import torch
from transformers import GPT2LMHeadModel

from benchmarks.against_trl.task import PROMPT_TOKENS, VOCABULARY
from benchmarks.step_overlap.__main__ import Times, step_times, table
from benchmarks.step_overlap.ending_model import END, end_chances, write_ending_model
from benchmarks.step_overlap.late import late
from cluster.recordings.records import Span

MIDDLE = 16
NUM_TOKENS = 80


def test_chances_are_those_of_log_normal_lengths() -> None:
    chances = end_chances(1000, 100.0)
    left, ended = 1.0, []
    for chance in chances:
        ended.append(left * chance)
        left *= 1 - chance
    assert sum(ended[:100]) == pytest.approx(0.5, abs=0.01)
    # One standard deviation is a factor of e to either side.
    assert sum(ended[: round(100 / math.e)]) == pytest.approx(0.159, abs=0.01)
    assert left + sum(ended[round(100 * math.e) :]) == pytest.approx(0.159, abs=0.01)


@torch.no_grad()
def test_a_model_ends_responses_with_these_chances_whatever_they_say(tmp_path: Path) -> None:
    model = GPT2LMHeadModel.from_pretrained(write_ending_model(tmp_path / "model", MIDDLE)).eval()
    rng = random.Random(1)
    texts = [[rng.randrange(4, VOCABULARY) for _ in range(NUM_TOKENS)] for _ in range(4)]
    chances = model(torch.tensor(texts)).logits.softmax(-1)[:, PROMPT_TOKENS - 1 :, END]
    wanted = torch.tensor(end_chances(chances.shape[1], MIDDLE)).expand_as(chances)
    torch.testing.assert_close(chances, wanted, rtol=0.25, atol=0.002)


def test_a_step_is_counted_from_end_to_end_and_its_first_two_are_left_out() -> None:
    ends = (10.0, 20.0, 22.0, 25.0)
    spans = [Span(doing="step", started_at=end - 1.5, ended_at=end) for end in ends]
    spans.insert(2, Span(doing="rollouts", started_at=20.0, ended_at=20.5))
    assert step_times(spans) == (2.5, 1.5)


def test_the_ratio_is_to_the_longer_of_the_two() -> None:
    assert Times(step_s=2.2, training_s=2.0, generation_s=1.0).ratio == pytest.approx(1.1)
    slow = Times(step_s=4.4, training_s=2.0, generation_s=4.0)
    assert slow.ratio == pytest.approx(1.1)
    assert "| even | 4.40 | 2.00 | 4.00 | 1.10 | 1.10 |" in table({"even": [slow]})


async def test_what_is_late_answers_as_ever() -> None:
    class Adder:
        async def add(self, a: int, *, b: int) -> int:
            return a + b

    assert await late(Adder.add, 0.0, random.Random(1))(Adder(), 1, b=2) == 3
