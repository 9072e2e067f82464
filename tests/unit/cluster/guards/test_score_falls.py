"""The guard on the policy's own score, on the steps of clean runs and of one trained against it."""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, pvariance

import pytest
from pydantic import TypeAdapter

from cluster.config_file import load_config
from cluster.guards.score_falls import ScoreFallsConfig, ScoreFallsState, judge
from cluster.guards.state import GuardsState
from cluster.guards.verdict import Verdict
from protocol.messages import ScoredRollout
from tests.support.messages import make_request, make_rollout, make_scored, with_version

BATCH = 128
NORMALISED = 256
ROOT = Path(__file__).parents[4]
DEMO = ROOT / "cluster" / "demo.toml"
INJECTED = ROOT / "benchmarks" / "guard_injections" / "results" / "855dc35.jsonl"
CLEAN = (-0.02, 0.05, 0.11, 0.23, 0.56, 0.8, 1.1, 1.4, 1.9, 2.2, 2.0, 2.4)
"""Mean score of the first steps of a demo run, about."""


def batch(
    mean: float, version: int, rng: random.Random, size: int = BATCH, reward_version: int = 1
) -> list[ScoredRollout]:
    scored = []
    for number in range(size):
        rollout = with_version(make_rollout(make_request(number)), *[version] * 4)
        scored.append(make_scored(rollout, rng.gauss(mean, 1.0), reward_version))
    return scored


def judged(
    means: Sequence[float],
    *,
    reference: float = 0.0,
    seed: int = 1,
    steps_a_version: int = 5,
    num_normalised: int = NORMALISED,
) -> tuple[list[Verdict | None], ScoreFallsState]:
    rng, state, verdicts = random.Random(seed), ScoreFallsState(), []
    for step, mean in enumerate((reference, reference, *means)):
        version = max(0, step - 1)
        scored = batch(mean, version, rng, reward_version=1 + step // steps_a_version)
        state, verdict = judge(ScoreFallsConfig(), state, scored, num_normalised)
        verdicts.append(verdict)
    return verdicts, state


def first(verdicts: Sequence[Verdict | None]) -> int | None:
    return next((step for step, verdict in enumerate(verdicts, 1) if verdict is not None), None)


def test_a_policy_that_climbs_is_left_alone() -> None:
    assert first(judged(CLEAN)[0]) is None


def test_a_policy_trained_against_its_reward_is_found_within_six_low_steps() -> None:
    verdicts, _ = judged([-mean for mean in CLEAN])
    step = first(verdicts)
    assert step == 12  # two steps of ρ, four too near it to tell, six that are low
    found = verdicts[step - 1]
    assert found is not None
    assert found.figures["num_steps"] == 6
    assert found.figures["mean"] < -1.2
    assert "does not rise, as if it were trained against its reward" in found.reason


def test_a_policy_that_stays_down_is_found_too() -> None:
    assert first(judged([-0.8] * 8)[0]) == 8


@pytest.mark.parametrize("seed", range(5))
def test_one_that_a_new_reward_thinks_less_of_and_that_climbs_back_is_not(seed: int) -> None:
    assert first(judged([-2.4 + 0.2 * step for step in range(20)], seed=seed)[0]) is None


def test_what_counts_as_a_climb_is_gained_under_one_version() -> None:
    """Each version thinks less of the policy than the one before, and it climbs under each."""
    means = [-1.2 + 0.4 * (step % 3) - 0.4 * (step // 3) for step in range(2, 14)]
    assert first(judged(means, steps_a_version=3, seed=2)[0]) is None
    assert first(judged(means, steps_a_version=1, seed=2)[0]) == 9


def scores(values: Sequence[float], version: int, reward_version: int) -> list[ScoredRollout]:
    rollout = with_version(make_rollout(make_request(0)), *[version] * 4)
    return [make_scored(rollout, value, reward_version) for value in values]


@pytest.mark.parametrize(
    ("reward_version", "variance"),
    [(1, 1 / 4 + 1 / 4), (2, 1 / 4 + 1 / 4 + 2 / 8)],
    ids=["one version", "another version"],
)
def test_the_threshold_has_the_errors_of_both_means_and_of_what_versions_were_normalised_on(
    reward_version: int, variance: float
) -> None:
    """Four scores a step, of variance 1; each version was normalised on eight."""
    state, verdict = ScoreFallsState(), None
    state, _ = judge(ScoreFallsConfig(), state, scores((-1, 1, -1, 1), 0, 1), 8)
    assert state.reference_versions == (1,)
    for step in range(1, 7):
        low = scores((-6, -4, -6, -4), step, reward_version)
        state, verdict = judge(ScoreFallsConfig(), state, low, 8)
    assert verdict is not None
    assert verdict.figures["threshold"] == pytest.approx(-3 * math.sqrt(variance))


def test_a_reward_normalised_on_few_responses_stops_nothing_by_its_own_error() -> None:
    """On 16 responses ρ's mean is off by ¼ under each version, as here, both against the policy."""
    rng = random.Random(1)
    for num_normalised, is_stopped in ((16, False), (100_000, True)):
        state, verdicts = ScoreFallsState(), []
        for step in range(20):
            mean, version = (-0.25, 2) if step > 1 else (0.25, 1)
            scored = batch(mean, max(0, step - 1), rng, reward_version=version)
            state, verdict = judge(ScoreFallsConfig(), state, scored, num_normalised)
            verdicts.append(verdict)
        assert any(verdicts) is is_stopped


def test_the_injections_on_record_are_still_found() -> None:
    """By what the policy and ρ scored when the line was stopped."""
    found = [
        (float(told[1]), float(told[2]))
        for line in INJECTED.read_text(encoding="utf-8").splitlines()
        for reason in json.loads(line)["reasons"]
        if (told := re.search(r"the policy scores ([-.\d]+), and ρ ([-.\d]+):", reason))
    ]
    assert len(found) == 2
    for mean, reference in found:
        verdicts, _ = judged([mean] * 8, reference=reference, steps_a_version=1)
        assert first(verdicts) == 8  # two steps of ρ, six that are low


def test_a_low_step_now_and_then_is_none() -> None:
    assert first(judged([-0.8, -0.8, -0.8, -0.8, -0.8, 0.0] * 5)[0]) is None


def test_a_policy_that_is_still_the_reference_never_trips_by_accident() -> None:
    assert all(first(judged([0.0] * 60, seed=seed)[0]) is None for seed in range(8))


def test_what_counts_is_the_score_of_the_policy_that_training_began_with() -> None:
    """A reward that is given was normalised elsewhere: ρ need not score 0."""
    assert first(judged([-2.0] * 20, reference=-2.0)[0]) is None
    assert first(judged([1.2] * 8, reference=2.0)[0]) == 8


def test_a_run_that_began_before_the_guard_looked_is_not_judged() -> None:
    rng, state = random.Random(1), ScoreFallsState()
    for step in range(1, 20):
        state, verdict = judge(ScoreFallsConfig(), state, batch(-3.0, step, rng), NORMALISED)
        assert verdict is None
    assert state == ScoreFallsState()


def test_what_counts_is_what_ppo_is_paid_without_an_end_too() -> None:
    """A policy that learns to end its responses gains, though its ended ones score less."""
    rng, state = random.Random(1), ScoreFallsState()
    cut = [
        make_scored(make_rollout(make_request(number), is_complete=False), -1.0)
        for number in range(BATCH)
    ]
    state, _ = judge(ScoreFallsConfig(), state, [*batch(0.3, 0, rng), *cut], NORMALISED)
    assert state.reference_mean == pytest.approx(-0.35, abs=0.1)
    for step in range(1, 20):
        state, verdict = judge(ScoreFallsConfig(), state, batch(-0.2, step, rng), NORMALISED)
        assert verdict is None


def test_steps_of_the_reference_are_put_together() -> None:
    rng = random.Random(3)
    batches = [batch(mean, 0, rng, size) for mean, size in ((0.4, 50), (-0.3, 9), (1.0, 128))]
    state = ScoreFallsState()
    for each in batches:
        state, _ = judge(ScoreFallsConfig(), state, each, NORMALISED)
    values = [scored.score.value for each in batches for scored in each]
    assert state.num_reference == len(values)
    assert state.reference_mean == pytest.approx(fmean(values))
    assert state.reference_variance == pytest.approx(pvariance(values))


def test_it_says_so_once_and_again_only_after_a_step_that_was_not_low() -> None:
    verdicts, _ = judged([-0.8] * 20 + [0.3] + [-0.8] * 6)
    assert [step for step, verdict in enumerate(verdicts, 1) if verdict] == [8, 29]


def test_its_memory_comes_back_from_a_checkpoint() -> None:
    _, state = judged([-0.8] * 4)
    assert len(state.low) == 4
    as_kept = TypeAdapter(GuardsState)
    text = as_kept.dump_json(GuardsState(score_falls=state))
    assert as_kept.validate_json(text).score_falls == state


@pytest.mark.parametrize(
    ("settings", "is_so"),
    [
        ((), True),
        (("reward_model.combine=min", "reward_model.num_heads=2"), False),
        (
            (
                "reward_model.normalisation=zero_at_reference",
                "reward_model.normalisation_path=references.jsonl",
            ),
            False,
        ),
        (("ppo.mark_coefficient=0.3", "reward_model.marks={}"), False),
    ],
    ids=["demo", "least head", "zero at references", "marks"],
)
def test_scores_are_held_against_each_other_only_where_all_versions_mean_the_same(
    settings: tuple[str, ...], is_so: bool
) -> None:
    assert load_config(DEMO, settings).compares_scores is is_so
