"""The second task of `benchmarks.label_efficiency`: what it wants is beyond what ρ writes."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from scipy.stats import binom

from benchmarks.label_efficiency.sampling import Sampler
from benchmarks.label_efficiency.world import ADDRESS, World, make_world
from learners.engine import free_port, join_ranks, leave_ranks

pytestmark = [pytest.mark.timeout(1800), pytest.mark.long]

NUM_RESPONSES = 16_384
MOST = 1e-3
"""Share of ρ's responses that may address their reader."""


@pytest.fixture
def letters(tmp_path: Path) -> Iterator[World]:
    join_ranks(0, 1, "127.0.0.1", free_port("127.0.0.1"))
    yield make_world("letters", tmp_path)
    leave_ranks()


def test_the_reference_addresses_its_reader_less_than_once_in_a_thousand(letters: World) -> None:
    sampler, rng = Sampler(letters.policy, letters.tokenizer, seed=1), random.Random(1)
    addressed = sum(
        ADDRESS in rollout.text.split()
        for _ in range(NUM_RESPONSES // 1_024)
        for rollout in sampler.draw(rng.choices(letters.prompts, k=1_024))
    )
    # Of one in a thousand more would come in one try of ten, of half that hardly ever.
    assert addressed <= binom.isf(0.1, NUM_RESPONSES, MOST)
    assert addressed > 0, "else no policy could ever find it"
