"""Pairs of responses whose order the ledger knows: from gold, and from people who agree."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass

from label_queue.quality.gold_tasks import is_template
from label_queue.quality.preference import best_id
from label_queue.shelf import each_of
from protocol.chat import in_one_text
from protocol.labels import AnswerEvent, Candidate, ComparisonQuery

AGREEING = 0.8
"""Share of the labelers of a query who must have chosen the same response."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownPair:
    """Two responses to one prompt, of which one is known, or held by people, to be better."""

    prompt: str
    """In one text; of a chat, its turns with their roles."""
    better: str
    worse: str
    better_tokens: tuple[int, ...]
    """[T], prompt and response, as the reward model reads it."""
    worse_tokens: tuple[int, ...]
    """[T], likewise."""


def known_pairs(
    queries: Mapping[str, ComparisonQuery],
    labels: Iterable[AnswerEvent],
    *,
    most: int,
    least_votes: int,
    retired: Set[str] = frozenset(),
) -> list[KnownPair]:
    """Return the first pairs, in the order of their queries, that gold or agreement tells.

    Args:
        queries: By id.
        labels: Those that count.
        most: Pairs wanted.
        least_votes: Labelers who must have answered where there is no gold answer.
        retired: Gold that the owner has taken back, or corrected: what it said is not known.
    """
    votes: dict[str, dict[str, str]] = defaultdict(dict)
    for label in labels:
        best = best_id(label)
        if best is not None:
            votes[label.query_id][label.labeler_id] = best
    templates = (each for each in each_of(queries) if is_template(each))
    made_gold = {each.repeat_of for each in templates if each.query_id not in retired}
    pairs = []
    for query in each_of(queries):
        # What is asked again is looked at itself; a past query that became gold, as gold.
        is_asked_again = query.repeat_of is not None and not is_template(query)
        if is_asked_again or query.query_id in made_gold or query.query_id in retired:
            continue
        best = query.gold_answer or _agreed(votes.get(query.query_id, {}), least_votes)
        pair = None if best is None else _pair(query, best, votes.get(query.query_id, {}))
        if pair is not None:
            pairs.append(pair)
        if len(pairs) == most:
            break
    return pairs


def lost_votes(
    queries: Mapping[str, ComparisonQuery],
    labels: Sequence[AnswerEvent],
    most: int,
    left_behind: Set[int] = frozenset(),
) -> list[KnownPair]:
    """Return the newest validation votes in which a response of ρ was chosen over π's, in order.

    Args:
        queries: By id.
        labels: That count, by `seq`.
        most: Votes at most.
        left_behind: Policy versions whose responses are passed over.
    """
    lost: list[KnownPair] = []
    for label in reversed(labels):
        if len(lost) == most:
            break
        query, best = queries[label.query_id], best_id(label)
        if query.purpose != "validation" or best is None:
            continue
        by_id = {each.candidate_id: each for each in query.candidates}
        others = [each for each in query.candidates if each.policy_version > 0]
        is_left = not left_behind.isdisjoint(each.policy_version for each in others)
        if by_id[best].policy_version == 0 and others and not is_left:
            lost.append(_made(query, by_id[best], others[0]))
    return lost[::-1]


def _agreed(votes: Mapping[str, str], least_votes: int) -> str | None:
    """Return what nearly all labelers of a query chose."""
    if len(votes) < least_votes:
        return None
    [(best, count)] = Counter(votes.values()).most_common(1)
    return best if count >= AGREEING * len(votes) else None


def _pair(query: ComparisonQuery, best: str, votes: Mapping[str, str]) -> KnownPair | None:
    """Return the best response beside one that nobody chose; None where tokens are not known."""
    chosen = {best, *votes.values()}
    by_id = {each.candidate_id: each for each in query.candidates}
    worse = next((each for name, each in by_id.items() if name not in chosen), None)
    if worse is None or not (by_id[best].token_ids and worse.token_ids):
        return None
    return _made(query, by_id[best], worse)


def _made(query: ComparisonQuery, better: Candidate, worse: Candidate) -> KnownPair:
    return KnownPair(
        prompt=in_one_text(query.prompt_text, query.prompt_messages),
        better=better.text,
        worse=worse.text,
        better_tokens=query.prompt_token_ids + better.token_ids,
        worse_tokens=query.prompt_token_ids + worse.token_ids,
    )
