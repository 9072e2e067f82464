from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest

from label_queue.asking.response_choice import RULES
from label_queue.asking.selection import Disagreement, Uniform, WithinPrompt, make_selector
from label_queue.config import LabelsConfig
from protocol.errors import InputError
from protocol.labels import QueryDraft
from tests.support.labels import make_draft

DRAFTS = [make_draft(i, num_candidates=2) for i in range(5)]
AGREED = replace(DRAFTS[0], heads=((1.0, 1.0), (0.0, 0.0)))
DISPUTED = replace(DRAFTS[1], heads=((1.0, 0.0), (0.0, 1.0)))


def test_uniform_logs_the_share_it_takes() -> None:
    chosen = Uniform(2).select(DRAFTS, 2, random.Random(0))
    assert [selection.probability for selection in chosen] == [0.4, 0.4]
    assert len({selection.draft.prompt.prompt_id for selection in chosen}) == 2


def test_uniform_chooses_every_draft_alike() -> None:
    rng = random.Random(0)
    counts: Counter[str] = Counter()
    for _ in range(2_000):
        counts.update(s.draft.prompt.prompt_id for s in Uniform(2).select(DRAFTS, 2, rng))
    # Binomial(2000, 0.4): mean 800, standard deviation 22.
    assert all(abs(count - 800) < 110 for count in counts.values())


def test_uniform_takes_all_there_are_when_asked_for_more() -> None:
    assert len(Uniform(2).select(DRAFTS, 9, random.Random(0))) == 5


def test_disagreement_takes_what_the_heads_dispute() -> None:
    [chosen] = Disagreement(10, 2).select([AGREED, DISPUTED], 1, random.Random(0))
    assert chosen.draft is DISPUTED
    assert chosen.probability == 1.0


def test_disagreement_is_uniform_before_the_first_fit() -> None:
    [chosen] = Disagreement(10, 2).select(DRAFTS, 1, random.Random(0))
    assert chosen.probability == 0.2


def test_disagreement_refuses_drafts_scored_in_part() -> None:
    with pytest.raises(InputError, match="head scores of every candidate"):
        Disagreement(10, 2).select([DISPUTED, DRAFTS[2]], 1, random.Random(0))


def many(number: int, *, scored: bool = True) -> QueryDraft:
    draft = make_draft(number, num_candidates=6)
    if not scored:
        return draft
    heads = tuple((float(place), -float(place)) for place in range(6))
    return replace(draft, scores=tuple(map(float, range(6))), heads=heads)


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("count", [2, 4])
def test_k_of_many_responses_keep_their_scores(name: str, count: int) -> None:
    selector = make_selector(
        LabelsConfig(selector=name, selector_responses=6, num_candidates=count)
    )
    assert (selector.name, selector.pool_factor, selector.num_responses) == (name, 1, 6)
    assert selector.needs_scores
    drafts = [many(0), many(1)]
    for selection in selector.select(drafts, 1, random.Random(3)):
        whole = drafts[int(selection.draft.prompt.prompt_id[-1])]
        places = [whole.rollouts.index(each) for each in selection.draft.rollouts]
        assert len(places) == count
        assert selection.draft.heads == tuple(whole.heads[place] for place in places)
        assert selection.draft.scores == tuple(whole.scores[place] for place in places)
        assert 0 < selection.probability <= 0.5  # one of two prompts


def test_before_the_first_fit_any_k_of_the_responses_are_asked_about() -> None:
    selector = WithinPrompt("double_thompson", RULES["double_thompson"], 6, 2)
    [selection] = selector.select([many(0, scored=False)], 1, random.Random(0))
    assert len(selection.draft.rollouts) == 2
    assert selection.probability == pytest.approx(1 / 15)


def test_fewer_responses_than_are_compared_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"selector_responses \(3\) is below num_candidates \(4\)"):
        LabelsConfig(selector="double_thompson", selector_responses=3, num_candidates=4)
