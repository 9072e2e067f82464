"""The staleness bound as the controller uses it, under any order of events."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from pydantic import TypeAdapter

from cluster.loops.staleness import BoundState, RolloutState, StalenessBound
from protocol.messages import Rollout, RolloutRequest, ScoredRollout
from tests.support.messages import (
    make_policy,
    make_request,
    make_rollout,
    make_scored,
    with_version,
)

# Turns of the event loop in which everything that can go on has gone on.
TURNS = 4

STATES = TypeAdapter(BoundState)


class StalenessMachine(RuleBasedStateMachine):
    """Every rollout is admitted, drawn, scored, in the line, taken, trained on, or dropped.

    One who waits for room and one `take` at most wait at a time, as in the controller's loops;
    both stay waiting from rule to rule until the bound lets them go. What is taken stays taken
    (the learner waits for scores, or at the cord) until a rule says what becomes of it.
    """

    @initialize(batch_size=st.integers(1, 4), max_policy_lag=st.integers(0, 3))
    def start(self, batch_size: int, max_policy_lag: int) -> None:
        self.loop = asyncio.new_event_loop()
        self.batch_size = batch_size
        self.max_policy_lag = max_policy_lag
        self.bound = StalenessBound(batch_size, max_policy_lag)
        self.waiting_for_room: asyncio.Task[int] | None = None
        self.taking: asyncio.Task[list[ScoredRollout]] | None = None

        self.version = 0
        self.num_restored = 0
        self.left_behind: set[int] = set()
        self.num_started = 0
        self.admitted: list[RolloutRequest] = []
        self.in_flight: list[tuple[RolloutRequest, int]] = []  # with the version it began under
        self.unscored: list[Rollout] = []
        self.line: list[ScoredRollout] = []
        self.taken: list[ScoredRollout] = []
        self.place: dict[str, int] = {}
        self.put_back_ids: set[str] = set()
        self.num_trained = 0
        self.num_refused = 0

    def teardown(self) -> None:
        if not hasattr(self, "loop"):
            return
        for task in (self.waiting_for_room, self.taking):
            if task is not None:
                task.cancel()
        self.go_on()
        self.loop.close()

    # ── the actors' side ─────────────────────────────────────────────────────────────────────

    @rule(most=st.integers(1, 6))
    def admit(self, most: int) -> None:
        if self.waiting_for_room is None:
            self.waiting_for_room = self.loop.create_task(self.bound.wait_for_room(most))
        self.settle()

    @rule(count=st.integers(1, 6))
    def give_to_an_actor(self, count: int) -> None:
        given, self.admitted = self.admitted[:count], self.admitted[count:]
        self.bound.drawing(given)
        self.in_flight += [(request, self.bound.version) for request in given]

    @rule(
        index=st.integers(0, 100),
        versions=st.tuples(*[st.integers(0, 100)] * 4),
    )
    def finish(self, index: int, versions: tuple[int, ...]) -> None:
        """One rollout ends; its tokens came under versions from its start's to the newest."""
        if self.in_flight:
            request, oldest = self.in_flight.pop(index % len(self.in_flight))
            drawn = sorted(oldest + version % (self.version - oldest + 1) for version in versions)
            rollout = with_version(make_rollout(request), *drawn)
            self.bound.drawn([rollout])
            self.unscored.append(rollout)

    @rule(late=st.integers(0, 3))
    def announce(self, late: int) -> None:
        """The actors hold the newest version, or only one of those before it."""
        self.bound.announce(max(self.bound.version, self.version - late))
        self.settle()

    # ── scoring ──────────────────────────────────────────────────────────────────────────────

    @rule(count=st.integers(1, 6))
    def score(self, count: int) -> None:
        scored = [make_scored(rollout) for rollout in self.unscored[:count]]
        del self.unscored[:count]
        self.enter_line(scored)
        self.bound.add(scored)
        self.settle()

    @rule(count=st.integers(1, 6))
    def fail_to_score(self, count: int) -> None:
        dropped = self.unscored[:count]
        del self.unscored[:count]
        self.bound.drop(dropped)
        self.settle()

    # ── the learner's side ───────────────────────────────────────────────────────────────────

    @rule()
    def take(self) -> None:
        if self.taking is None and not self.taken:
            self.taking = self.loop.create_task(self.bound.take(self.batch_size, self.version))
        self.settle()

    @rule()
    def train(self) -> None:
        """The learner takes its step."""
        if self.taken:
            self.bound.trained(self.taken)
            self.num_trained += len(self.taken)
            self.taken = []
            self.version += 1

    @rule()
    def put_back(self) -> None:
        if self.taken:
            taken, self.taken = self.taken, []
            self.put_back_ids |= {each.rollout.rollout_id for each in taken}
            self.enter_line(taken)
            self.bound.put_back(taken)
            self.settle()

    @rule()
    def send_to_be_scored_again(self) -> None:
        """A forced refit came: what the reward before it scored is not trained on."""
        self.unscored += self.bound.score_again(self.taken)
        self.taken = []

    @rule()
    def fail_to_score_anew(self) -> None:
        self.bound.drop([each.rollout for each in self.taken])
        self.taken = []
        self.settle()

    @rule(steps_back=st.integers(0, 3))
    def roll_back(self, steps_back: int) -> None:
        """The owner goes back while the learner stands at the cord with its batch, or has none."""
        if self.taking is not None:
            return
        restored = max(0, self.version - steps_back)
        self.left_behind |= set(range(restored + 1, self.version + 1))
        self.version += 1
        self.num_restored += 1
        self.bound.roll_back(replace(make_policy(self.version), restored_from=restored))
        self.refuse_unfit()
        self.put_back()
        self.settle()

    # ── over a restart ───────────────────────────────────────────────────────────────────────

    @rule(num_lost=st.integers(0, 2))
    def restart(self, num_lost: int) -> None:
        """All goes on from a checkpoint; versions after it may have been announced and lost."""
        if self.taking is not None or self.taken:
            return
        if self.waiting_for_room is not None:
            self.waiting_for_room.cancel()
            self.waiting_for_room = None
            self.go_on()
        kept = json.dumps(STATES.dump_python(self.bound.state_at(self.version), mode="json"))
        self.left_behind |= set(range(self.version + 1, self.version + num_lost))
        self.version += num_lost
        self.bound = StalenessBound(self.batch_size, self.max_policy_lag)
        self.bound.resume(STATES.validate_json(kept), self.version)
        again = self.admitted + [request for request, _ in self.in_flight]
        self.admitted = sorted(again, key=lambda each: self.place[each.rollout_id])
        self.in_flight = []
        self.put_back_ids = set()
        self.refuse_unfit()
        self.bound.announce(self.version)
        self.settle()

    # ── several at once ──────────────────────────────────────────────────────────────────────

    @rule(num_behind=st.integers(1, 3), num_steps=st.integers(1, 3))
    def overtake(self, num_behind: int, num_steps: int) -> None:
        """The oldest in flight are slow, and steps are taken without them: so they go stale."""
        for _ in range(num_steps):
            self.announce(late=0)
            self.admit(most=6)
            self.give_to_an_actor(count=len(self.admitted))
            for index in reversed(range(num_behind, len(self.in_flight))):
                self.finish(index, versions=(0, 0, 0, 1))
            self.score(count=len(self.unscored))
            self.take()
            self.train()

    @rule()
    def no_slot_is_lost(self) -> None:
        """Once all that is under way arrives, the learner gets its batch."""
        before = self.version
        for _ in range(6):
            self.announce(late=0)
            self.admit(most=self.batch_size)
            self.give_to_an_actor(count=len(self.admitted))
            while self.in_flight:
                self.finish(index=0, versions=(0, 0, 0, 0))
            self.score(count=len(self.unscored))
            self.take()
            self.train()
            if self.version > before:
                return
        raise AssertionError(f"stuck at version {before} with room {self.bound.room()}")

    # ── what always holds ────────────────────────────────────────────────────────────────────

    @invariant()
    def every_rollout_is_in_the_state_it_is_in(self) -> None:
        if hasattr(self, "bound"):
            in_line = [each.rollout.rollout_id for each in self.line]
            expected = {
                RolloutState.ADMITTED: len(self.admitted),
                RolloutState.BEING_DRAWN: len(self.in_flight),
                RolloutState.BEING_SCORED: len(self.unscored),
                RolloutState.WAITING: sum(name not in self.put_back_ids for name in in_line),
                RolloutState.PUT_BACK: sum(name in self.put_back_ids for name in in_line),
                RolloutState.BEING_TRAINED_ON: len(self.taken),
            }
            assert self.bound.counts() == {state: n for state, n in expected.items() if n}
            assert self.bound.num_waiting == len(self.line)
            assert self.bound.num_trained == self.num_trained
            assert self.bound.num_refused == self.num_refused

    @invariant()
    def no_more_is_admitted_than_may_arrive_in_time(self) -> None:
        if hasattr(self, "bound"):
            under_way = sum(self.bound.counts().values())
            batches = self.bound.version + self.max_policy_lag + 1
            assert self.num_trained + under_way <= batches * self.batch_size

    @invariant()
    def nobody_waits_for_what_is_there(self) -> None:
        if hasattr(self, "bound"):
            assert self.waiting_for_room is None or self.bound.room() <= 0
            assert self.taking is None or len(self.line) < self.batch_size

    def go_on(self) -> None:
        for _ in range(TURNS):
            self.loop.run_until_complete(asyncio.sleep(0))

    def settle(self) -> None:
        """Let the waiting tasks go as far as they can, and tell the model what they did."""
        self.go_on()
        if self.taking is not None:
            self.refuse_unfit()
            if self.taking.done():
                self.check_taken(self.taking.result())
                self.taking = None
                self.go_on()
        if self.waiting_for_room is not None and self.waiting_for_room.done():
            granted = min(self.waiting_for_room.result(), self.bound.room())
            requests = [make_request(self.num_started + number) for number in range(granted)]
            self.bound.admit(requests)
            self.admitted += requests
            self.num_started += granted
            for request in requests:
                self.place[request.rollout_id] = len(self.place)
            self.waiting_for_room = None

    def enter_line(self, scored: list[ScoredRollout]) -> None:
        """Into the line of the model, in the order of admission."""
        entered = [*self.line, *scored]
        self.line = sorted(entered, key=lambda each: self.place[each.rollout.rollout_id])

    def refuse_unfit(self) -> None:
        fit = [
            each
            for each in self.line
            if self.lag(each) <= self.max_policy_lag
            and self.left_behind.isdisjoint(each.rollout.policy_versions)
        ]
        self.num_refused += len(self.line) - len(fit)
        self.line = fit

    def check_taken(self, taken: list[ScoredRollout]) -> None:
        assert taken == self.line[: self.batch_size], "not the oldest, in order"
        assert max(map(self.lag, taken)) <= self.max_policy_lag
        written_by = {version for each in taken for version in each.rollout.policy_versions}
        assert self.left_behind.isdisjoint(written_by)
        del self.line[: self.batch_size]
        self.put_back_ids -= {each.rollout.rollout_id for each in taken}
        self.taken = taken

    def lag(self, scored: ScoredRollout) -> int:
        return self.version - scored.rollout.oldest_version


TestStaleness = StalenessMachine.TestCase
TestStaleness.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
