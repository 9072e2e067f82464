"""The model of human choice, for any utilities and any labeler."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from label_queue.simulated.choice import choice_probabilities
from label_queue.simulated.config import LabelerProfile
from label_queue.simulated.gold.reviews import gold_score
from label_queue.simulated.gold.valence import VALENCE

utilities = st.lists(st.floats(min_value=-50, max_value=50), min_size=2, max_size=8)
profiles = st.builds(
    LabelerProfile,
    beta=st.floats(min_value=0, max_value=10),
    eps_mistake=st.floats(min_value=0, max_value=1),
    is_adversarial=st.booleans(),
)
any_text = st.lists(
    st.sampled_from([*sorted(VALENCE)[:20], "the", "very", "not", "but", "although", ".", ","])
).map(" ".join)


@given(utilities=utilities, profile=profiles)
def test_probabilities_are_a_distribution(utilities: list[float], profile: LabelerProfile) -> None:
    probabilities = choice_probabilities(utilities, profile)
    assert all(0 <= probability <= 1 for probability in probabilities)
    assert sum(probabilities) == pytest.approx(1)


@given(utilities=utilities, profile=profiles)
def test_swapping_candidates_swaps_their_probabilities(
    utilities: list[float], profile: LabelerProfile
) -> None:
    forward = choice_probabilities(utilities, profile)
    backward = choice_probabilities(utilities[::-1], profile)
    assert backward == pytest.approx(forward[::-1])


@given(utilities=utilities, profile=profiles, shift=st.floats(min_value=-50, max_value=50))
def test_only_differences_of_utility_matter(
    utilities: list[float], profile: LabelerProfile, shift: float
) -> None:
    shifted = choice_probabilities([utility + shift for utility in utilities], profile)
    assert shifted == pytest.approx(choice_probabilities(utilities, profile), abs=1e-6)


@given(text=any_text)
def test_a_neutral_sentence_in_front_adds_nothing_to_any_text(text: str) -> None:
    assert gold_score(f"we met in june . {text}") == pytest.approx(gold_score(f"we . {text}"))
