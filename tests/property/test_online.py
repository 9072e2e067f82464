"""Coverage and latency of any run, against their definitions read out slowly."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain

from hypothesis import example, given, settings
from hypothesis import strategies as st

from label_queue.folds.dataset import build_dataset
from label_queue.folds.lineage import policies_touched
from label_queue.ledger.lookup import Lookup
from label_queue.ledger.records import Record
from label_queue.schedule import LabelSchedule
from label_queue.state import LabelState
from protocol.fits import DatasetRules, RewardVersion
from protocol.labels import AnswerEvent, ComparisonQuery, LabelChange
from protocol.seq_ranges import numbers_in
from tests.support.labels import (
    ManualClock,
    make_assignment,
    make_config,
    make_event,
    make_exclusion,
    make_provenance,
    make_query,
    make_reinstatement,
    make_retraction,
    make_reward,
)
from tests.support.memory_ledger import MemoryLedger

CONFIG = make_config()
PEOPLE = ("ann", "bob", "cid")
PERSON = st.sampled_from(PEOPLE)
PURPOSE = st.sampled_from(["train", "train", "overlap", "repeat"])
ASK = st.tuples(st.just("ask"), PURPOSE)
LABEL = st.tuples(st.just("label"), PERSON, st.sampled_from(["choice", "choice", "tie", "skip"]))
WHICH = st.integers(0, 20)
CHANGE = st.one_of(
    st.tuples(st.sampled_from(["revise", "retract"]), WHICH),
    st.tuples(st.sampled_from(["exclude", "reinstate"]), PERSON),
)
FIT = st.tuples(st.just("fit"), st.sampled_from(["refit", "warm"]), st.integers(1, 255))
STEP = st.tuples(st.just("step"), st.sampled_from([None, None, None, 0, 1, 2]))
SAMPLE = st.tuples(st.just("sample"), st.integers(0, 2))
ROUNDS = st.lists(
    st.tuples(ASK, LABEL, LABEL, CHANGE | LABEL, FIT | CHANGE, STEP | FIT, SAMPLE | STEP, SAMPLE),
    min_size=1,
    max_size=12,
)


class Run:
    """A ledger written step by step, looked at all the while, with what is true of it."""

    def __init__(self) -> None:
        self.ledger = MemoryLedger()
        self.live = new_state()
        self.now = 1_000.0
        self.samples: dict[int, float] = {}
        self.write(make_provenance(0), make_query(0, ledger_seq=0, created_at=self.now))

    def write(self, *records: Record) -> None:
        for record in self.ledger.write(list(records)):
            self.live.apply(record)
        self.live.figures.online()

    def take(self, step: tuple[object, ...]) -> None:
        self.now += 1.0
        name, *rest = step
        getattr(self, f"do_{name}")(*rest)

    @property
    def last_seq(self) -> int:
        return len(self.ledger.events())

    def do_ask(self, purpose: str) -> None:
        version = max(self.live.policies)
        number = len(self.ledger.queries())
        query = make_query(number, versions=(version,) * 2, purpose=purpose)
        self.write(replace(query, ledger_seq=self.last_seq, created_at=self.now))

    def do_label(self, person: str, outcome: str) -> None:
        query = self.ledger.queries()[-1]
        if any(e.query_id == query.query_id and e.labeler_id == person for e in self.labels()):
            return
        event = make_event(query, person, outcome=outcome, received_at=self.now)  # type: ignore[arg-type]
        self.write(make_assignment(query, person), event)

    def labels(self) -> list[LabelChange]:
        return [event for event in self.ledger.events() if isinstance(event, LabelChange)]

    def an_answer(self, which: int) -> AnswerEvent | None:
        newest = {event.label_id: event for event in self.labels()}
        answers = [event for event in newest.values() if isinstance(event, AnswerEvent)]
        return answers[which % len(answers)] if answers else None

    def do_revise(self, which: int) -> None:
        event = self.an_answer(which)
        if event is not None:
            again = make_event(
                self.live.board.queries[event.query_id],
                event.labeler_id,
                revision=event.revision + 1,
                choice=1,
                received_at=self.now,
            )
            self.write(again)

    def do_retract(self, which: int) -> None:
        event = self.an_answer(which)
        if event is not None:
            gone = make_retraction(
                self.live.board.queries[event.query_id],
                event.labeler_id,
                revision=event.revision + 1,
                received_at=self.now,
            )
            self.write(gone)

    def do_exclude(self, person: str) -> None:
        event = make_exclusion(person, number=self.last_seq, from_seq=self.last_seq // 2)
        self.write(replace(event, received_at=self.now))

    def do_reinstate(self, person: str) -> None:
        event = make_reinstatement(person, number=self.last_seq)
        self.write(replace(event, received_at=self.now))

    def do_fit(self, kind: str, mask: int) -> None:
        """Learn some of the training set: the rest is left out by the cap."""
        rewards = self.live.rewards
        dataset = [seq for _, seq in sorted(self.training(self.last_seq).items())]
        chosen = [seq for i, seq in enumerate(sorted(dataset)) if mask >> (i % 8) & 1]
        if chosen:
            reward = make_reward(
                len(rewards) + 1,
                ledger_seq=self.last_seq,
                kind=kind if rewards else "refit",
                learned=chosen,
            )
            self.write(replace(reward, announced_at=self.now))

    def do_step(self, back_to: int | None) -> None:
        version = max(self.live.policies) + 1
        if not self.live.rewards:
            return
        restored = None if back_to is None or back_to >= version else back_to
        policy = make_provenance(version, max(self.live.rewards), restored_from=restored)
        if restored is not None:
            policy = replace(policy, reward_version=self.live.policies[restored].reward_version)
        self.write(replace(policy, created_at=self.now))

    def do_sample(self, behind: int) -> None:
        version = max(self.live.policies) - behind
        if version >= 0 and version not in self.samples:
            self.samples[version] = self.now
            self.live.figures.first_sampled(version, self.now)

    # --- what is true ------------------------------------------------------------------------

    def training(self, seq: int) -> dict[str, int]:
        """The training set at a sequence number: label ids, each with the revision's own number."""
        names = {event.seq: event.label_id for event in self.labels()}
        dataset = build_dataset(
            self.live.board.queries, self.ledger.events(), seq, DatasetRules(), CONFIG.quality
        )
        return {names[each.seq]: each.seq for each in dataset}

    def memory(self, version: int) -> set[int]:
        """What a reward version learned: the lists since the last refit."""
        learned: set[int] = set()
        for reward in self.live.rewards.values():
            if reward.version <= version:
                own = set(numbers_in(reward.learned or ()))
                learned = own if reward.kind == "refit" else learned | own
        return learned

    def true_coverage(self) -> dict[str, float]:
        first: RewardVersion | None = self.live.rewards.get(1)
        names = {event.seq: event.label_id for event in self.labels()}
        found = {}
        for query in self.ledger.read(ComparisonQuery):
            if first is None or query.purpose == "repeat":
                continue
            assert query.ledger_seq is not None
            assert first.announced_at is not None
            training = self.training(query.ledger_seq).keys()
            if query.created_at >= first.announced_at and training:
                policy = self.live.policies[query.candidates[0].policy_version]
                known = {names[seq] for seq in self.memory(policy.reward_version)}
                found[query.query_id] = len(training & known) / len(training)
        return found

    def true_latencies(self) -> dict[str, float]:
        policies, rewards = self.live.policies.values(), self.live.rewards
        arrived: dict[str, tuple[float, int, float]] = {}
        for event in self.labels():
            taught = [v for v in rewards if event.seq in self.memory(v)]
            times = [
                self.samples[version]
                for version in policies_touched(policies, taught)
                if version in self.samples
            ]
            if times:
                this = (min(times), event.seq, min(times) - event.received_at)
                arrived[event.label_id] = min(arrived.get(event.label_id, this), this)
        return {label_id: seconds for label_id, (_, _, seconds) in arrived.items()}


def new_state(lookup: Lookup | None = None) -> LabelState:
    schedule = LabelSchedule.of(CONFIG, num_episodes=100, mode="online")
    return LabelState(CONFIG, schedule, ManualClock(), lookup=lookup)


LEARNED_AND_STEPPED = (("fit", "refit", 255), ("step", None))
REVISED_BEFORE_IT_ARRIVED: list[tuple[tuple[object, ...], ...]] = [
    (("ask", "train"), ("label", "ann", "choice"), *LEARNED_AND_STEPPED * 6, ("sample", 0)),
    (("label", "bob", "choice"), *LEARNED_AND_STEPPED, ("revise", 1)),
    (*LEARNED_AND_STEPPED, ("sample", 0)),
]
"""Both revisions of bob's label arrive with one sample: the first is the one that counts."""


@settings(deadline=None, max_examples=150)
@given(ROUNDS)
@example(REVISED_BEFORE_IT_ARRIVED)
def test_live_and_report_say_what_is_true(rounds: list[tuple[tuple[object, ...], ...]]) -> None:
    run = Run()
    for step in chain.from_iterable(rounds):
        run.take(step)
    live = run.live.figures.online()
    assert {each.query_id: each.share for each in live.coverage} == run.true_coverage()
    assert {each.label_id: each.seconds for each in live.latencies} == run.true_latencies()
    waiting = run.training(run.last_seq).keys() - run.true_latencies().keys()
    assert live.num_waiting == len(waiting)
    report = new_state()
    report.load(run.ledger)
    for version, at in run.samples.items():
        report.figures.first_sampled(version, at)
    assert report.figures.online() == live
