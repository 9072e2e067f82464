"""What a full record must hold together: each record against those above it in the file.

A ledger keeps what it was given for good, so that what would lose a label there, or turn it, is
refused here, by line and field.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, get_args

from label_queue.exchange.model_fit import check_fit
from label_queue.folds.shown import is_shown_by
from label_queue.quality.gold_tasks import is_template
from label_queue.quality.preference import TRAINING
from protocol.cord import CordEvent
from protocol.distinct import first_alike
from protocol.errors import InputError
from protocol.fits import RewardVersion
from protocol.labels import (
    AnswerEvent,
    Assignment,
    Candidate,
    ComparisonQuery,
    GoldEvent,
    GoldMade,
    LabelChange,
    LabelEvent,
    Mark,
    PolicyProvenance,
    Submitted,
)
from protocol.model_folder import ModelFolder
from protocol.names import LONGEST_IDENTIFIER, can_be_key, is_identifier, is_labeler_id
from protocol.tokenizing import PolicyTokenizer

EXCERPT = 60
"""Characters of a response that an error quotes."""
MOST_WANTED = 1_000_000
"""Answers that a query may ask for, as the config has it."""
SURE = 1.0 + 1e-9
"""Largest probability: ledgers hold some that were added up, of what was certain, to a little more
than 1."""
TOO_LONG = "name the policy that wrote it, or leave the query and its labels out"

T = TypeVar("T")


@dataclass(slots=True)
class Known:
    """Ids seen so far, so that a reference into the void is named with its line."""

    queries: dict[str, ComparisonQuery] = field(default_factory=dict)
    assignments: dict[str, Assignment] = field(default_factory=dict)
    events: set[str] = field(default_factory=set)
    labels: dict[str, LabelChange] = field(default_factory=dict)
    """The newest event of each label."""
    cord_events: set[str] = field(default_factory=set)
    rewards: set[int] = field(default_factory=set)
    policies: set[int] = field(default_factory=set)
    tokenizer: PolicyTokenizer | None = None
    """The policy's, where it is known."""
    model: ModelFolder | None = None
    """The policy, where it is known."""


def _check_query(query: ComparisonQuery, known: Known, run_id: str, where: str) -> None:
    if query.run_id != run_id:
        raise InputError(f"{where}: run_id: is {query.run_id!r}, the header says {run_id!r}")
    _check_ids(where, query_id=query.query_id)
    _check_candidate_ids(query, where)
    if query.query_id in known.queries:
        raise InputError(f"{where}: query_id: {query.query_id!r} comes twice")
    if not 0 < query.selection_probability <= SURE:
        raise InputError(
            f"{where}: selection_probability: want more than 0 and at most 1, got "
            f"{query.selection_probability}"
        )
    if not 0 <= query.num_wanted <= MOST_WANTED:
        raise InputError(
            f"{where}: num_wanted: want a number of labelers, at most {MOST_WANTED}, got "
            f"{query.num_wanted}"
        )
    alike = first_alike(query.candidates)
    if alike is not None or len(query.candidates) < 2:
        problem = "are less than two" if alike is None else f"{alike[0]} and {alike[1]} are alike"
        raise InputError(
            f"{where}: candidates: {problem}, so that there is nothing to choose; leave the query "
            "and its labels out"
        )
    _check_gold_answer(query, where)
    _check_repeat(query, known, where)
    if known.model is not None and query.purpose in TRAINING:
        check_fit(query, known.model, where, TOO_LONG)
    known.queries[query.query_id] = query


def _check_candidate_ids(query: ComparisonQuery, where: str) -> None:
    """Refuse ids that do not tell the responses apart: a choice would be of the first of them."""
    names: set[str] = set()
    for number, candidate in enumerate(query.candidates):
        name = candidate.candidate_id
        _check_ids(where, candidate_id=name)
        if name in names:
            raise InputError(
                f"{where}: candidates.{number}.candidate_id: {name!r} comes twice in the query, so "
                "that no label tells which is meant: leave the query and its labels out"
            )
        names.add(name)


def _check_gold_answer(query: ComparisonQuery, where: str) -> None:
    """Refuse gold that nobody can answer rightly: it would suspend whoever is asked."""
    answer = query.gold_answer
    if answer is None and query.purpose != "gold":
        return
    if answer not in [candidate.candidate_id for candidate in query.candidates]:
        raise InputError(
            f"{where}: gold_answer: want the candidate of the query that is right, got {answer!r}: "
            "by it whoever answers would be judged"
        )


def _check_repeat(query: ComparisonQuery, known: Known, where: str) -> None:
    """Refuse what asks again a query that is not there: nothing could be compared with it."""
    if query.purpose == "repeat" and query.repeat_of is None:
        raise InputError(f"{where}: repeat_of: want the query that this one asks again, got none")
    if query.repeat_of is not None and query.repeat_of not in known.queries:
        raise InputError(
            f"{where}: repeat_of: no query {query.repeat_of!r} above, which comes before what asks "
            "it again: put it there, or leave this query and its labels out"
        )


def _check_assignment(assignment: Assignment, known: Known, run_id: str, where: str) -> None:
    query = known.queries.get(assignment.query_id)
    if query is None:
        raise InputError(f"{where}: query_id: no query {assignment.query_id!r} above")
    if sorted(assignment.shown_order) != sorted(c.candidate_id for c in query.candidates):
        raise InputError(f"{where}: shown_order: want each candidate of the query once")
    _check_ids(where, assignment_id=assignment.assignment_id)
    _check_labeler(where, assignment.labeler_id)
    if assignment.assignment_id in known.assignments:
        raise InputError(f"{where}: assignment_id: {assignment.assignment_id!r} comes twice")
    known.assignments[assignment.assignment_id] = assignment


def _check_event(event: LabelEvent, known: Known, run_id: str, where: str) -> None:
    if event.seq != len(known.events) + 1:
        raise InputError(f"{where}: seq: want {len(known.events) + 1}, got {event.seq}")
    if isinstance(event, GoldEvent):
        _check_gold(event, known, where)
    else:
        _check_labeler(where, event.labeler_id)
    if not can_be_key(event.event_id):
        raise InputError(f"{where}: event_id: no ledger holds a NUL or half a surrogate pair")
    if event.event_id in known.events:
        raise InputError(f"{where}: event_id: {event.event_id!r} comes twice")
    known.events.add(event.event_id)
    if isinstance(event, LabelChange):
        _check_label(event, known, where)


def _check_gold(event: GoldEvent, known: Known, where: str) -> None:
    replaces = event.replaces if isinstance(event, GoldMade) else None
    for field_name, name in (("query_id", event.query_id), ("replaces", replaces)):
        query = known.queries.get(name or "")
        if name is not None and (query is None or not is_template(query)):
            raise InputError(f"{where}: {field_name}: no gold query {name!r} above")


def _check_label(event: LabelChange, known: Known, where: str) -> None:
    assignment = known.assignments.get(event.assignment_id)
    if assignment is None:
        raise InputError(f"{where}: assignment_id: no assignment {event.assignment_id!r} above")
    if (assignment.query_id, assignment.labeler_id) != (event.query_id, event.labeler_id):
        raise InputError(f"{where}: query_id: not that of assignment {event.assignment_id!r}")
    if event.label_id != event.assignment_id:
        raise InputError(
            f"{where}: label_id: want {event.assignment_id!r}, its assignment's id, got "
            f"{event.label_id!r}: a label is of one assignment, and would take another's place"
        )
    _check_revision(event, known, where)
    known.labels[event.label_id] = event
    if isinstance(event, AnswerEvent):
        _check_answer(event, known, where)


def _check_revision(event: LabelChange, known: Known, where: str) -> None:
    """Refuse what is not the next revision of its label: the newest event is what counts.

    In ledgers of before somebody may have answered on the page and in a tool at one moment: then
    both answers have the same number, and the later one counts, as it did in the run.
    """
    before = known.labels.get(event.label_id)
    is_first = isinstance(event, Submitted)
    if before is None and not is_first:
        raise InputError(
            f"{where}: type: no submit of label {event.label_id!r} above, which comes before all "
            "else of a label: put it there, or write this one as the submit"
        )
    if is_first and event.revision != 0:
        raise InputError(
            f"{where}: revision: want 0, the submit's, got {event.revision}: write a later answer "
            "as a revise"
        )
    if before is None or _came_at_once(before, event):
        return
    wanted = before.revision + 1
    if is_first:
        raise InputError(
            f"{where}: type: a submit of label {event.label_id!r} is above: write a later answer "
            f"as a revise, of revision {wanted}"
        )
    if event.revision != wanted:
        raise InputError(
            f"{where}: revision: want {wanted}, the next of label {event.label_id!r}, got "
            f"{event.revision}: number a label's events as they came"
        )


def _came_at_once(before: LabelChange, event: LabelChange) -> bool:
    """Say whether neither of two events knew of the other: one is of the page, one of a tool."""
    is_other_way = before.source.system != event.source.system
    return is_other_way and event.revision == before.revision


def _check_answer(event: AnswerEvent, known: Known, where: str) -> None:
    query = known.queries[event.query_id]
    names = {candidate.candidate_id: candidate for candidate in query.candidates}
    if event.choice is not None and event.choice not in names:
        raise InputError(f"{where}: choice: {event.choice!r} is no candidate of the query")
    if event.ranking is not None and sorted(event.ranking) != sorted(names):
        raise InputError(f"{where}: ranking: want each candidate of the query once")
    if event.strength is not None and not 1 <= event.strength <= 4:
        raise InputError(f"{where}: strength: want 1 to 4, got {event.strength}")
    if not _is_whole(event):
        raise InputError(f"{where}: outcome: {event.outcome!r} lacks what it says")
    for number, (name, start, end, mark) in enumerate(event.spans or ()):
        place = f"{where}: spans.{number}"
        if name not in names or mark not in get_args(Mark):
            raise InputError(
                f"{place}: want a candidate of the query, start, end, and one of "
                f"{', '.join(get_args(Mark))}; got {name!r} and {mark!r}"
            )
        text = names[name].text
        if not 0 <= start < end <= len(text):
            raise InputError(
                f"{place}: want 0 <= start < end <= {len(text)}, the characters of {name!r}, got "
                f"{start} and {end}"
            )
        if known.tokenizer is not None and query.purpose in TRAINING:
            _check_shown(names[name], known.tokenizer, place)


def _check_shown(candidate: Candidate, tokenizer: PolicyTokenizer, place: str) -> None:
    if not is_shown_by(candidate, tokenizer):
        raise InputError(
            f"{place}: labelers saw {candidate.text[:EXCERPT]!r} of {candidate.candidate_id!r}, "
            f"and by the policy's tokenizer its tokens read "
            f"{tokenizer.shown_text(candidate.token_ids)[:EXCERPT]!r}: name the policy that wrote "
            "it, or leave the marks out"
        )


def _check_ids(where: str, **ids: str) -> None:
    """Refuse what the labelling API could not say: then no labeler would ever be asked."""
    for field_name, text in ids.items():
        if not is_identifier(text):
            raise InputError(
                f"{where}: {field_name}: want 1 to {LONGEST_IDENTIFIER} characters, none a NUL or "
                f"half a surrogate pair, got {len(text)}: {text[:EXCERPT]!r}"
            )


def _check_labeler(where: str, labeler_id: str) -> None:
    if not is_labeler_id(labeler_id):
        raise InputError(f"{where}: labeler_id: want a labeler's id, got {labeler_id!r}")


def _is_whole(event: AnswerEvent) -> bool:
    """Say whether a label carries exactly what its outcome needs."""
    return (event.outcome == "choice") == (event.choice is not None) and (
        event.outcome == "ranking"
    ) == (event.ranking is not None)


def _check_reward(reward: RewardVersion, known: Known, run_id: str, where: str) -> None:
    if reward.version in known.rewards:
        raise InputError(f"{where}: version: reward version {reward.version} comes twice")
    known.rewards.add(reward.version)
    before = 0
    for first, last in reward.learned or ():
        if not before < first <= last <= len(known.events):
            raise InputError(
                f"{where}: learned: want rising ranges of sequence numbers from 1 to "
                f"{len(known.events)}, got {[first, last]}"
            )
        before = last


def _check_policy(policy: PolicyProvenance, known: Known, run_id: str, where: str) -> None:
    said = f"version: policy version {policy.version}"
    _take_once(policy.version, known.policies, where, said)
    parent = policy.restored_from
    if parent is not None and parent >= policy.version:
        raise InputError(
            f"{where}: restored_from: want a version before {policy.version}, which was made of "
            f"it, got {parent}"
        )


def _check_cord(event: CordEvent, known: Known, run_id: str, where: str) -> None:
    _take_once(event.event_id, known.cord_events, where, f"event_id: {event.event_id!r}")


def _take_once(name: T, known: set[T], where: str, said: str) -> None:
    """Take note of what a ledger has once; raises InputError where it comes again."""
    if name in known:
        raise InputError(
            f"{where}: {said} comes twice, and a ledger keeps the first: leave one of them out"
        )
    known.add(name)


CHECKS: Mapping[Any, Callable[[Any, Known, str, str], None]] = {
    ComparisonQuery: _check_query,
    Assignment: _check_assignment,
    LabelEvent: _check_event,
    CordEvent: _check_cord,
    PolicyProvenance: _check_policy,
    RewardVersion: _check_reward,
}
