"""A start from a snapshot is the start from the whole ledger, whatever happened and whenever."""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import replace
from itertools import chain, pairwise
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from label_queue.ledger.lookup import Lookup
from label_queue.ledger.records import ConnectorOffset, LabelerToken
from label_queue.quality.gold_tasks import AskMoment, gold_showing
from label_queue.snapshot.folding import load, take
from label_queue.state import LabelState
from protocol.cord import Pulled
from protocol.labels import AnswerEvent, GoldMade, GoldRetired, Submitted
from tests.property.test_online import CONFIG, ROUNDS, Run, new_state
from tests.support.held_folds import held_by
from tests.support.labels import (
    make_assignment,
    make_cord_event,
    make_event,
    make_gold_event,
    make_query,
    make_role_change,
)

PEOPLE = ("ann", "bob", "cid", "dan")
PERSON = st.sampled_from(PEOPLE)
WHICH = st.integers(0, 20)
MORE = st.one_of(
    st.tuples(st.just("lease"), WHICH, PERSON),
    st.tuples(st.just("answer_held"), WHICH),
    st.tuples(st.just("make_gold")),
    st.tuples(st.just("show_gold"), WHICH, PERSON, st.integers(0, 1)),
    st.tuples(st.just("decide_gold"), WHICH, st.booleans()),
    st.tuples(st.just("vote"), PERSON, st.integers(0, 3)),
    st.tuples(st.just("ask_widely")),
    st.tuples(st.just("else")),
)
STEPS = st.tuples(ROUNDS, st.lists(st.lists(MORE, max_size=4), min_size=12, max_size=12))


class Everything(Run):
    """A run in which also gold, votes on ρ and all else is written, and tasks are left open."""

    def do_lease(self, which: int, person: str) -> None:
        """Give somebody a task that is open, as the desk does."""
        open_queries = self.live.board.open_queries(self.now)
        query = open_queries[which % len(open_queries)] if open_queries else None
        if query is not None and f"{query.query_id}/{person}" not in self.live.board.assignments:
            until = self.now + 60.0
            self.write(replace(make_assignment(query, person, lease_until=until)))

    def do_answer_held(self, which: int) -> None:
        answered = {each.assignment_id for each in self.submits()}
        held = [a for name, a in self.live.board.assignments.items() if name not in answered]
        if held:
            assignment = held[which % len(held)]
            query = self.live.board.queries[assignment.query_id]
            self.write(make_event(query, assignment.labeler_id, received_at=self.now))

    def do_make_gold(self) -> None:
        number = len(self.ledger.queries())
        template = make_query(
            number,
            purpose="gold",
            num_wanted=0,
            gold_answer=f"q{number}-a",
            selector="owner",
            ledger_seq=None,
            repeat_of=f"q{number - 1}" if number % 2 else None,
        )
        self.write(
            template, replace(make_gold_event(GoldMade, f"q{number}"), event_id=f"g{number}")
        )

    def do_show_gold(self, which: int, person: str, choice: int) -> None:
        golds = self.live.gold.newest_first()
        if golds:
            number = len(self.ledger.queries())
            moment = AskMoment(now=self.now, labels=self.live.history.num_submitted)
            showing = gold_showing(golds[which % len(golds)].template, f"q{number}", moment)
            answer = make_event(showing, person, choice=choice, received_at=self.now)
            self.write(showing, make_assignment(showing, person), answer)

    def do_decide_gold(self, which: int, is_asked: bool) -> None:
        golds = self.live.gold.newest_first()
        if golds:
            name = golds[which % len(golds)].template.query_id
            event = make_gold_event(GoldMade if is_asked else GoldRetired, name)
            self.write(replace(event, event_id=f"d{self.last_seq}"))

    def do_vote(self, person: str, choice: int) -> None:
        version = max(self.live.policies)
        query = make_query(
            len(self.ledger.queries()),
            versions=(0, 0, version, version),
            purpose="validation",
            ledger_seq=self.last_seq,
            created_at=self.now,
        )
        vote = make_event(query, person, choice=choice, received_at=self.now)
        self.write(query, make_assignment(query, person), vote)

    def do_ask_widely(self) -> None:
        query = make_query(
            len(self.ledger.queries()),
            versions=(max(self.live.policies),) * 4,
            purpose="overlap",
            num_wanted=3,
            ledger_seq=self.last_seq,
            created_at=self.now,
        )
        self.write(query)

    def do_else(self) -> None:
        """All that is in no snapshot."""
        number = self.last_seq
        self.write(
            LabelerToken(
                token_sha256=f"t{number}", labeler_id="ann", created_at=self.now, expires_at=None
            ),
            make_role_change(number=number),
            replace(make_cord_event(Pulled), event_id=f"c{number}"),
            ConnectorOffset(connector="jsonl", offset=str(number), at=self.now),
        )

    def submits(self) -> list[AnswerEvent]:
        return [event for event in self.ledger.events() if isinstance(event, Submitted)]


def folded(run: Run, path: Path | None) -> LabelState:
    """The state of a start, with what is in the run's folder."""
    state = new_state(Lookup(run.ledger))
    load(state, run.ledger, path, CONFIG.quality)
    for version, at in run.samples.items():
        state.figures.first_sampled(version, at)
    return state


@settings(deadline=None, max_examples=80)
@given(STEPS, st.integers(0, 150), st.integers(0, 150))
def test_a_snapshot_and_what_came_after_are_the_whole_ledger(
    steps: tuple[list[tuple[tuple[object, ...], ...]], list[list[tuple[object, ...]]]],
    first: int,
    second: int,
) -> None:
    run, (rounds, more) = Everything(), steps
    with tempfile.TemporaryDirectory() as folder:
        path, taken = Path(folder) / "ledger.folds", Counter[int]()
        taken_at = {first, first + second}
        for number, step in enumerate(
            chain.from_iterable((*each, *other) for each, other in zip(rounds, more, strict=False))
        ):
            run.take(step)
            if number in taken_at:  # the second goes on from the first
                state = new_state(Lookup(run.ledger))
                load(state, run.ledger, path, CONFIG.quality)
                places = take(state, run.ledger, path, CONFIG.quality)
                taken[places.label_events] += 1
        restored = new_state(Lookup(run.ledger))
        places = load(restored, run.ledger, path, CONFIG.quality)
        assert places.label_events == max(taken, default=0), "the snapshot was of no use"
        assert held_by(folded(run, path)) == held_by(folded(run, None))


@settings(deadline=None, max_examples=30)
@given(STEPS)
def test_the_training_set_is_as_large_as_is_counted_for_each_moment(
    steps: tuple[list[tuple[tuple[object, ...], ...]], list[list[tuple[object, ...]]]],
) -> None:
    run = Everything()
    for step in chain.from_iterable((*a, *b) for a, b in zip(*steps, strict=False)):
        run.take(step)
    for seq in range(run.last_seq + 1):
        counted = run.live.history.num_training(seq)
        assert counted == len(run.live.view().dataset(seq, CONFIG.quality))
    sizes = [run.live.history.num_training(seq) for seq in range(run.last_seq + 1)]
    for seq in range(run.last_seq + 1):
        joined = sum(max(0, after - before) for before, after in pairwise(sizes[seq:]))
        assert run.live.history.num_joined(seq) == joined
