"""Pairs of known order: gold says one, and so do people who agree."""

from __future__ import annotations

from dataclasses import replace

from label_queue.figures.known_order import known_pairs, lost_votes
from label_queue.quality.gold_tasks import AskMoment, gold_showing, past_template
from protocol.labels import AnswerEvent, ComparisonQuery
from tests.support.labels import make_event, make_query


def query(number: int, **changes: object) -> ComparisonQuery:
    return replace(make_query(number), **changes)  # type: ignore[arg-type]


def votes(asked: ComparisonQuery, *choices: int) -> list[AnswerEvent]:
    return [
        replace(make_event(asked, choice=choice), labeler_id=f"labeler-{n}")
        for n, choice in enumerate(choices)
    ]


def found(
    queries: list[ComparisonQuery], labels: list[AnswerEvent], *retired: ComparisonQuery
) -> list[tuple[str, str]]:
    by_id = {each.query_id: each for each in queries}
    taken_back = {each.query_id for each in retired}
    pairs = known_pairs(by_id, labels, most=10, least_votes=3, retired=taken_back)
    return [(each.better, each.worse) for each in pairs]


def test_enough_people_who_agree_tell_a_pair() -> None:
    agreed, disputed, few = query(0), query(1), query(2)
    labels = [*votes(agreed, 1, 1, 1), *votes(disputed, 0, 1, 1), *votes(few, 1, 1)]
    texts = [each.text for each in agreed.candidates]
    [pair] = found([agreed, disputed, few], labels)
    assert pair[0] == texts[1]
    assert pair[1] in texts
    assert pair[1] != texts[1]


def test_gold_made_of_a_past_query_is_a_pair_once_whoever_else_answered() -> None:
    past, moment = query(0), AskMoment(now=1.0, labels=3)
    template = past_template(past, past.candidates[2].candidate_id, moment)
    showing = gold_showing(template, "shown", moment)
    [pair] = found([past, template, showing], votes(past, 1, 1, 1))
    assert pair[0] == past.candidates[2].text


def test_gold_that_was_taken_back_says_nothing_and_people_do_again() -> None:
    past, moment = query(0), AskMoment(now=1.0, labels=3)
    wrong, right = (
        past_template(past, past.candidates[place].candidate_id, moment) for place in (2, 0)
    )
    labels = votes(past, 1, 1, 1)
    [pair] = found([past, wrong, right], labels, wrong)
    assert pair[0] == past.candidates[0].text
    [pair] = found([past, wrong, right], labels, wrong, right)
    assert pair[0] == past.candidates[1].text


def test_a_repetition_is_no_pair_of_its_own() -> None:
    asked = query(0)
    again = query(1, purpose="repeat", repeat_of=asked.query_id)
    [pair] = found([asked, again], [*votes(asked, 1, 1, 1), *votes(again, 2, 2, 2)])
    assert pair[0] == asked.candidates[1].text


def test_a_pair_is_read_with_its_prompt_and_only_where_its_tokens_are_known() -> None:
    known = query(0)
    unknown = query(
        1, candidates=tuple(replace(each, token_ids=()) for each in query(1).candidates)
    )
    labels = [*votes(known, 0, 0, 0), *votes(unknown, 0, 0, 0)]
    by_id = {each.query_id: each for each in (known, unknown)}
    [pair] = known_pairs(by_id, labels, most=10, least_votes=3)
    assert pair.better_tokens == known.prompt_token_ids + known.candidates[0].token_ids


def test_no_more_than_are_wanted_and_those_of_the_oldest_queries() -> None:
    queries = [query(number) for number in range(4)]
    labels = [vote for each in queries for vote in votes(each, 0, 0, 0)]
    by_id = {each.query_id: each for each in queries}
    pairs = known_pairs(by_id, labels, most=2, least_votes=3)
    assert [pair.better for pair in pairs] == [each.candidates[0].text for each in queries[:2]]


def test_a_lost_vote_shows_what_the_base_model_wrote_better() -> None:
    asked = query(0, purpose="validation")
    rho, pi, *rest = asked.candidates
    both = (replace(rho, policy_version=0), replace(pi, policy_version=7), *rest)
    asked = replace(asked, candidates=both)
    lost, won = votes(asked, 0, 1)
    [pair] = lost_votes({asked.query_id: asked}, [lost, won], 4)
    assert (pair.better, pair.worse) == (rho.text, pi.text)
    assert lost_votes({asked.query_id: asked}, [lost, won], 4, frozenset({7})) == []
