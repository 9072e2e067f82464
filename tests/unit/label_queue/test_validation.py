from __future__ import annotations

from dataclasses import replace

from label_queue.figures.validation import validation_votes
from tests.support.synthetic_run import make_label, make_query


def test_validation_counts_choices_between_a_trained_policy_and_the_base_model() -> None:
    contest = make_query("contest", purpose="validation", versions=(5, 0, 0, 5))
    untrained = make_query("untrained", purpose="validation", versions=(0, 0, 0, 0))
    train = make_query("train", versions=(5, 0, 0, 5))
    queries = {query.query_id: query for query in (contest, untrained, train)}
    labels = [
        make_label(contest, "a", 0, 1.0),
        make_label(contest, "b", 1, 2.0),
        make_label(contest, "c", 3, 3.0),
        make_label(contest, "d", None, 4.0),
        make_label(untrained, "a", 0, 5.0),
        make_label(train, "a", 0, 6.0),
    ]
    assert [vote.is_win for vote in validation_votes(queries, labels)] == [True, False, True]


def test_a_ranking_votes_for_its_first() -> None:
    query = make_query("ranked", versions=(0, 2), purpose="validation")
    names = tuple(candidate.candidate_id for candidate in query.candidates)
    label = replace(make_label(query, "a", None, 1.0), outcome="ranking", ranking=names[::-1])
    assert [vote.is_win for vote in validation_votes({"ranked": query}, [label])] == [True]


def test_a_query_with_more_of_the_base_model_than_of_the_policy_is_no_even_contest() -> None:
    query = make_query("late", purpose="validation", versions=(0, 0, 0, 2))
    assert validation_votes({"late": query}, [make_label(query, "a", 3, 1.0)]) == []
