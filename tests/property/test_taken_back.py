"""What an exclusion changes, and what counts after it, against their definitions read slowly."""

from __future__ import annotations

import math
from collections.abc import Iterable, Set
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from label_queue.figures.validation import ValidationVote, win_share
from label_queue.figures.validation_votes import ValidationFold
from label_queue.folds.dataset import build_dataset
from label_queue.folds.history import LabelHistory
from label_queue.folds.lineage import policies_touched
from label_queue.folds.shift import FORCING_SHARE, Shift, find_shift
from label_queue.folds.training import states_preference
from label_queue.folds.view import LearnedLabels, LedgerView
from label_queue.ledger.records import Record
from label_queue.oversight.exclusion import ExclusionPreview, preview
from protocol.fits import DatasetRules
from protocol.labels import (
    ComparisonQuery,
    Excluded,
    LabelChange,
    OwnerEvent,
    Reinstated,
)
from tests.support.labels import (
    make_assignment,
    make_config,
    make_event,
    make_exclusion,
    make_provenance,
    make_query,
    make_reinstatement,
    make_retraction,
    make_reward,
    make_undoing,
)
from tests.support.memory_ledger import MemoryLedger

CONFIG = make_config().quality
PEOPLE = ("ann", "bob", "cid")
PERSON = st.sampled_from(PEOPLE)
PURPOSE = st.sampled_from(["train", "train", "validation", "repeat", "gold"])
OUTCOME = st.sampled_from(["choice", "choice", "tie", "skip"])
WEIGHT = st.sampled_from([0.1, 0.3, 0.7, 1.0])
STEP = st.one_of(
    st.tuples(st.just("label"), PERSON, PURPOSE, OUTCOME),
    st.tuples(st.just("label"), PERSON, PURPOSE, OUTCOME),
    st.tuples(st.just("revise"), st.integers(0, 20), OUTCOME),
    st.tuples(st.just("retract"), st.integers(0, 20)),
    st.tuples(st.just("exclude"), PERSON, st.integers(0, 30)),
    st.tuples(st.just("reinstate"), PERSON),
    st.tuples(st.just("undo"), PERSON),
    st.tuples(st.just("fit"), st.sampled_from(["refit", "warm"]), st.integers(0, 2**20), WEIGHT),
    st.tuples(st.just("step"), st.sampled_from([None, None, 0, 1])),
)
LAST = st.one_of(
    st.tuples(st.just("exclude"), PERSON, st.integers(0, 30)),
    st.tuples(st.just("reinstate"), PERSON),
    st.tuples(st.just("undo"), PERSON),
)


class Run:
    """A ledger written step by step."""

    def __init__(self) -> None:
        self.ledger = MemoryLedger()
        self.ledger.write([make_provenance(0)])

    @property
    def changes(self) -> list[LabelChange]:
        return [event for event in self.ledger.events() if isinstance(event, LabelChange)]

    def take(self, step: tuple[object, ...]) -> None:
        name, *rest = step
        records = list(getattr(self, f"do_{name}")(*rest))
        self.ledger.write(records)

    def do_label(self, person: str, purpose: str, outcome: str) -> Iterable[Record]:
        versions = (0, 0, 1, 1) if purpose == "validation" else (1, 1, 1, 1)
        query = make_query(len(self.ledger.queries()), versions=versions, purpose=purpose)
        if purpose == "gold":
            query = replace(query, gold_answer=query.candidates[1].candidate_id)
        yield query
        yield make_assignment(query, person)
        said = {"outcome": outcome, "choice": query_number(query) % 4}
        yield make_event(query, person, **said)  # type: ignore[arg-type]

    def _again(self, which: int) -> tuple[ComparisonQuery, str, int] | None:
        labels = list({each.label_id: each for each in self.changes}.values())
        if not labels:
            return None
        newest = labels[which % len(labels)]
        query = LedgerView.of(self.ledger).queries[newest.query_id]
        return query, newest.labeler_id, newest.revision + 1

    def do_revise(self, which: int, outcome: str) -> Iterable[Record]:
        if found := self._again(which):
            query, person, revision = found
            yield make_event(query, person, revision=revision, outcome=outcome)  # type: ignore[arg-type]

    def do_retract(self, which: int) -> Iterable[Record]:
        if found := self._again(which):
            query, person, revision = found
            yield make_retraction(query, person, revision=revision)

    def do_exclude(self, person: str, from_seq: int) -> Iterable[Record]:
        yield make_exclusion(person, number=len(self.ledger.events()), from_seq=from_seq)

    def do_reinstate(self, person: str) -> Iterable[Record]:
        yield make_reinstatement(person, number=len(self.ledger.events()))

    def do_undo(self, person: str) -> Iterable[Record]:
        acts = [each for each in self.ledger.events() if isinstance(each, Excluded | Reinstated)]
        own = [each.event_id for each in acts if each.labeler_id == person]
        number = len(self.ledger.events())
        yield make_undoing(person, number=number, undoes=own[-1] if own else "owner:none")

    def do_fit(self, kind: str, which: int, weight: float) -> Iterable[Record]:
        version = len(LedgerView.of(self.ledger).rewards) + 1
        seqs = [each.seq for each in self.changes if which >> each.seq % 20 & 1]
        made = make_reward(
            version,
            kind=kind,
            ledger_seq=len(self.ledger.events()),
            learned=None if which == 0 else seqs,
        )
        yield replace(made, labeler_weights=(("ann", weight), ("cid", 0.9)))

    def do_step(self, restored_from: int | None) -> Iterable[Record]:
        view = LedgerView.of(self.ledger)
        version = len(view.policies)
        known = restored_from if restored_from is not None and restored_from < version else None
        yield make_provenance(version, len(view.rewards), restored_from=known)


def query_number(query: ComparisonQuery) -> int:
    return int(query.query_id[1:])


def with_event(view: LedgerView, event: OwnerEvent) -> LedgerView:
    return replace(view, events=(*view.events, replace(event, seq=view.last_seq + 1)))


def training_ids(view: LedgerView) -> frozenset[str]:
    """The training set, by a fold of all events."""
    found = build_dataset(view.queries, view.events, view.last_seq, DatasetRules(), CONFIG)
    return frozenset(names_of(view)[each.seq] for each in found)


def names_of(view: LedgerView) -> dict[int, str]:
    return {e.seq: e.label_id for e in view.events if isinstance(e, LabelChange)}


def ids_by_reward(view: LedgerView, learned: LearnedLabels) -> dict[int, frozenset[str]]:
    """The labels that each reward version has learned."""
    names, seqs = names_of(view), learned.seqs_by_reward(view)
    return {version: frozenset(names[seq] for seq in seqs[version]) for version in seqs}


def rows_of(view: LedgerView, labels: Iterable[str]) -> frozenset[int]:
    """Where labels begin."""
    rows: dict[str, int] = {}
    for seq, name in names_of(view).items():
        rows.setdefault(name, seq)
    return frozenset(rows[name] for name in labels)


def plain_weight(view: LedgerView, labels: Iterable[str]) -> float:
    weights = {} if view.live_reward is None else dict(view.live_reward.labeler_weights)
    labeler_of = {e.label_id: e.labeler_id for e in view.events if isinstance(e, LabelChange)}
    return math.fsum(weights.get(labeler_of[name], 1.0) for name in labels)


def plain_share(view: LedgerView, some: Iterable[str], whole: Iterable[str]) -> float:
    total = plain_weight(view, whole)
    return plain_weight(view, some) / total if total else 0.0


def let_train_since(view: LedgerView, seq: int) -> set[str]:
    """Return whom an act of the owner's, after some event, lets train by labels that did not."""

    def trains_until(name: str) -> float:
        until = history.standings[name].trains_until
        return math.inf if until is None else until

    history, found = LabelHistory(view.queries, CONFIG), set()
    for event in view.events:
        if not isinstance(event, OwnerEvent):
            history.apply(event)
            continue
        before = trains_until(event.labeler_id)
        history.apply(event)
        if event.seq > seq and trains_until(event.labeler_id) > before:
            found.add(event.labeler_id)
    return found


def plain_shift(view: LedgerView, learned: LearnedLabels) -> Shift:
    live = view.live_reward
    if live is None:
        return Shift()
    known, present, labels = (
        ids_by_reward(view, learned)[live.version],
        training_ids(view),
        view.labels(),
    )
    back = let_train_since(view, live.ledger_seq)
    left = {name for name in known - present if states_preference(labels.get(name))}
    returned = {
        name
        for name in present - known
        if labels[name].labeler_id in back and labels[name].seq <= live.ledger_seq
    }
    share = plain_share(view, left | returned, known | returned)
    return Shift(left=rows_of(view, left), returned=rows_of(view, returned), weight_share=share)


def plain_preview(view: LedgerView, learned: LearnedLabels, change: OwnerEvent) -> ExclusionPreview:
    from_seq = (change.from_seq or 0) if isinstance(change, Excluded) else 0
    after = with_event(view, change)
    before_set, after_set = training_ids(view), training_ids(after)
    leaving, returning = before_set - after_set, after_set - before_set
    own = {
        name
        for name, label in view.labels().items()
        if label.labeler_id == change.labeler_id and label.seq >= from_seq
    }
    by_reward = ids_by_reward(view, learned)
    rewards = tuple(version for version, ids in by_reward.items() if ids & own)
    touched = policies_touched(view.policies, rewards)
    live = view.live_reward
    known = before_set if live is None else by_reward[live.version]
    whole = known | (after_set - before_set)
    return ExclusionPreview(
        labeler_id=change.labeler_id,
        from_seq=from_seq,
        labels_leaving=len(leaving),
        labels_returning=len(returning),
        weight_share=plain_share(view, (leaving | returning) & whole, whole),
        forces_refit=plain_shift(after, learned).weight_share > FORCING_SHARE,
        reward_versions=rewards,
        policy_versions=(touched[0], touched[-1]) if touched else None,
    )


@given(st.lists(STEP, max_size=40), LAST)
@settings(max_examples=150)
def test_what_an_exclusion_changes_is_its_definition(
    steps: list[tuple[object, ...]], last: tuple[object, ...]
) -> None:
    run = Run()
    for step in steps:
        run.take(step)
    view = LedgerView.of(run.ledger)
    [change] = getattr(run, f"do_{last[0]}")(*last[1:])
    history = LabelHistory(view.queries, CONFIG)
    for event in view.events:
        history.apply(event)
    learned, slowly = LearnedLabels(CONFIG), LearnedLabels(CONFIG)
    assert find_shift(view, learned, history.table()) == plain_shift(view, slowly)
    wanted = plain_preview(view, slowly, change)
    standing = history.standings.after(change)
    assert preview(view, learned, change, standing, history.table()) == wanted
    assert preview(view, learned, change, standing) == wanted
    after = with_event(view, change)
    assert find_shift(after, learned) == plain_shift(after, slowly)


class _Counted(ValidationFold):
    """Counts how often all votes are gone through."""

    num_passes = 0

    def votes(
        self, last: int | None = None, left_behind: Set[int] = frozenset()
    ) -> list[ValidationVote]:
        self.num_passes += last is None
        return super().votes(last, left_behind)


@given(st.lists(STEP, max_size=40))
def test_the_win_share_kept_as_labels_come_is_that_of_the_votes_that_count(
    steps: list[tuple[object, ...]],
) -> None:
    run = Run()
    for step in steps:
        run.take(step)
    view = LedgerView.of(run.ledger)
    history = LabelHistory(view.queries, CONFIG)
    kept = _Counted(view.queries, history)
    for event in view.events:
        history.apply(event)
        wanted = win_share(ValidationFold(view.queries, history).votes())
        assert kept.win_share() == pytest.approx(wanted, nan_ok=True, abs=0, rel=0)
    assert kept.num_passes == history.num_moves
