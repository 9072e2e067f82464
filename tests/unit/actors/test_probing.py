"""When an engine's log-probabilities are taken for those of the learner's weights."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from actors.config import RolloutConfig
from actors.probing import why_refused
from protocol.messages import Probe

CONFIG = RolloutConfig()
NUM_TOKENS = 255
ROUNDING = 0.05
"""Standard deviation of what rounding does, nats: of a small language model in bfloat16."""


def around(logprobs: list[float], spread: float, seed: int) -> tuple[float, ...]:
    draw = random.Random(seed)
    return tuple(each + draw.gauss(0, spread) for each in logprobs)


def probe(logprobs: list[float], seed: int = 1) -> Probe:
    return Probe(
        token_ids=tuple(range(len(logprobs) + 1)),
        logprobs=tuple(logprobs),
        rounded=around(logprobs, ROUNDING, seed),
    )


BEFORE = list(around([-4.0] * NUM_TOKENS, 2.0, 2))
NOW = list(around(BEFORE, 2 * ROUNDING, 3))
"""A step that moves log-probabilities by twice what rounding does."""


def test_what_rounding_explains_is_accepted_though_no_token_is_within_the_tolerance() -> None:
    for seed in range(10, 210):
        scored = around(NOW, ROUNDING, seed)
        assert max(abs(a - b) for a, b in zip(scored, NOW, strict=True)) > 0.05
        assert why_refused(scored, probe(NOW), probe(BEFORE, seed=4), CONFIG) is None


def test_a_version_that_hardly_differs_from_the_one_before_is_not_taken_for_it() -> None:
    for seed in range(10, 1010):
        scored = around(NOW, ROUNDING, seed)
        assert why_refused(scored, probe(NOW), probe(NOW, seed=4), CONFIG) is None


def test_the_version_before_is_found_though_the_mean_is_within_what_rounding_does() -> None:
    for seed in range(10, 110):
        scored = around(BEFORE, ROUNDING, seed)
        assert why_refused(scored, probe(NOW), None, CONFIG) is None
        words = why_refused(scored, probe(NOW), probe(BEFORE, seed=4), CONFIG)
        assert words == "as those of the version before do: the load changed nothing"


def test_of_weights_that_lose_a_step_by_being_added_up_it_is_not_asked() -> None:
    now = replace(probe(NOW), arrives_whole=False)
    assert why_refused(around(BEFORE, ROUNDING, 9), now, probe(BEFORE, seed=4), CONFIG) is None


def test_too_few_tokens_are_not_sure_of_the_version_before() -> None:
    few = 32
    now, before = probe(NOW[:few]), probe(BEFORE[:few], seed=4)
    assert why_refused(before.rounded, now, before, CONFIG) is None


def test_another_probe_says_nothing_of_the_version_before() -> None:
    other = replace(probe(BEFORE, seed=4), token_ids=tuple(range(9, NUM_TOKENS + 10)))
    assert why_refused(around(BEFORE, ROUNDING, 9), probe(NOW), other, CONFIG) is None


def test_a_larger_mean_is_named_with_what_is_allowed() -> None:
    scored = around(NOW, 6 * ROUNDING, 9)
    words = why_refused(scored, probe(NOW), None, CONFIG)
    assert words is not None
    assert words.startswith("by 0.2")
    assert "on average of the probe" in words
    assert "3 times that is allowed" in words


def test_an_eighth_of_the_tokens_is_enough() -> None:
    """As where one of several shards of a head is another's."""
    scored = [each + (0.4 if n % 8 == 0 else 0) for n, each in enumerate(around(NOW, 0.02, 9))]
    words = why_refused(scored, probe(NOW), None, CONFIG)
    assert words is not None
    assert "at one token in ten" in words


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_number_is_refused_in_any_type(odd: float) -> None:
    scored = (odd, *around(NOW[1:], ROUNDING, 9))
    words = why_refused(scored, probe(NOW), None, CONFIG)
    assert words is not None
    assert "nats at token 1" in words


def test_an_engine_of_a_shorter_context_is_judged_by_what_it_scored() -> None:
    scored = around(BEFORE, ROUNDING, 9)[:200]
    assert why_refused(scored, probe(NOW), None, CONFIG) is None
    assert why_refused(scored, probe(NOW), probe(BEFORE, seed=4), CONFIG) is not None
