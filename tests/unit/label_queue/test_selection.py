from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest

from label_queue.asking.selection import Disagreement, Uniform, preference_variance
from protocol.errors import InputError
from tests.support.labels import make_draft

DRAFTS = [make_draft(i, num_candidates=2) for i in range(5)]
AGREED = replace(DRAFTS[0], heads=((1.0, 1.0), (0.0, 0.0)))
DISPUTED = replace(DRAFTS[1], heads=((1.0, 0.0), (0.0, 1.0)))


def test_uniform_logs_the_share_it_takes() -> None:
    chosen = Uniform().select(DRAFTS, 2, random.Random(0))
    assert [selection.probability for selection in chosen] == [0.4, 0.4]
    assert len({selection.draft.prompt.prompt_id for selection in chosen}) == 2


def test_uniform_chooses_every_draft_alike() -> None:
    rng = random.Random(0)
    counts: Counter[str] = Counter()
    for _ in range(2_000):
        counts.update(s.draft.prompt.prompt_id for s in Uniform().select(DRAFTS, 2, rng))
    # Binomial(2000, 0.4): mean 800, standard deviation 22.
    assert all(abs(count - 800) < 110 for count in counts.values())


def test_uniform_takes_all_there_are_when_asked_for_more() -> None:
    assert len(Uniform().select(DRAFTS, 9, random.Random(0))) == 5


def test_preference_variance_by_hand() -> None:
    # σ(1) = 0.7311 and σ(−1) = 0.2689: variance ((0.7311 − 0.2689)/2)².
    assert preference_variance(DISPUTED) == pytest.approx(0.2311**2, abs=1e-4)
    assert preference_variance(AGREED) == pytest.approx(0.0)


def test_disagreement_takes_what_the_heads_dispute() -> None:
    [chosen] = Disagreement(10).select([AGREED, DISPUTED], 1, random.Random(0))
    assert chosen.draft is DISPUTED
    assert chosen.probability == 1.0


def test_disagreement_is_uniform_before_the_first_fit() -> None:
    [chosen] = Disagreement(10).select(DRAFTS, 1, random.Random(0))
    assert chosen.probability == 0.2


def test_disagreement_refuses_drafts_scored_in_part() -> None:
    with pytest.raises(InputError, match="head scores of every candidate"):
        Disagreement(10).select([DISPUTED, DRAFTS[2]], 1, random.Random(0))
