"""The staleness bound, and the one owner of what becomes of every rollout.

    admitted ─▶ being drawn ─▶ being scored ─▶ waiting ─▶ being trained on ─▶ (trained)
                                    ▲                        │   ▲   │
                                    └──── by a newer reward ─┘   │   └─▶ put back ─▶ …
                                                                 └────────┘
    from "being scored" on, each may be dropped instead: its slot is released to another

The bound holds twice. *Admission* [A]: a rollout is started only if it cannot arrive too old. With
B episodes a step and bound η, rollout number n (from 1) is trained in step ⌊(n − 1)/B⌋ at the
earliest, at policy version ⌊(n − 1)/B⌋; so it may start once the actors hold version
⌊(n − 1)/B⌋ − η. *The learner's door*: what is older than η versions when it would be trained on is
dropped and counted. So is, after a rollback, whatever the versions left behind have written.

First admitted, first trained on: each has its place in the line from its admission on, and keeps
it, put back or scored again. So with η = 0 a batch is in the order of its prompts, whoever was
faster; and in that order, when a step was taken, a prompt source hears of responses. One whose
prompt was dropped takes it back.
What a checkpoint keeps of it is `BoundState`.
"""

from __future__ import annotations

from bisect import insort
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from cluster.loops.prompt_cursor import PromptCursor
from label_queue.signals import Change
from protocol.errors import VersionError
from protocol.messages import PolicyVersion, Rollout, RolloutRequest, ScoredRollout


class RolloutState(StrEnum):
    """Where a rollout of the policy loop is; one trained on or dropped is forgotten."""

    ADMITTED = "admitted"
    BEING_DRAWN = "being drawn"
    BEING_SCORED = "being scored"
    WAITING = "waiting"
    BEING_TRAINED_ON = "being trained on"
    PUT_BACK = "put back"


_BEFORE: dict[RolloutState, frozenset[RolloutState | None]] = {
    RolloutState.ADMITTED: frozenset({None}),
    RolloutState.BEING_DRAWN: frozenset({RolloutState.ADMITTED}),
    RolloutState.BEING_SCORED: frozenset({RolloutState.BEING_DRAWN, RolloutState.BEING_TRAINED_ON}),
    RolloutState.WAITING: frozenset({RolloutState.BEING_SCORED}),
    RolloutState.BEING_TRAINED_ON: frozenset({RolloutState.WAITING, RolloutState.PUT_BACK}),
    RolloutState.PUT_BACK: frozenset({RolloutState.BEING_TRAINED_ON}),
}
"""The states from which each is reached; None is no state yet."""
_DROPPED_FROM = frozenset(
    {
        RolloutState.BEING_SCORED,
        RolloutState.WAITING,
        RolloutState.PUT_BACK,
        RolloutState.BEING_TRAINED_ON,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundState:
    """Everything the bound knows between two steps, as a checkpoint keeps it.

    Rollouts are in the order of their places in the line.
    """

    version: int
    """The learner's policy version."""
    num_skipped: int = 0
    """Policy versions that no batch was trained for: those that a rollback or a resume made."""
    left_behind: tuple[tuple[int, int], ...] = ()
    """First and last policy version of each stretch whose rollouts are refused."""
    num_trained: int = 0
    """Rollouts trained on since the start."""
    num_refused: int = 0
    """Rollouts refused at the learner's door since the start."""
    undrawn: tuple[tuple[int, RolloutRequest], ...] = ()
    """(place, request) of rollouts that no actor has returned yet: they are drawn anew."""
    unscored: tuple[tuple[int, Rollout], ...] = ()
    """(place, rollout) of those without a score."""
    scored: tuple[tuple[int, ScoredRollout], ...] = ()
    """(place, scored rollout) of those in the line."""


class StalenessBound:
    """Knows each rollout's state by name, and lets none through that is too stale.

    Methods that do not wait change everything at once; none needs a lock. A transition that the
    diagram does not have is a bug, and an AssertionError.

    Args:
        batch_size: B, episodes a step.
        max_policy_lag: η, in versions; 0 is synchronous.
        prompts: Hears what becomes of each rollout's prompt.
    """

    def __init__(
        self, batch_size: int, max_policy_lag: int, prompts: PromptCursor | None = None
    ) -> None:
        self._batch_size = batch_size
        self._max_policy_lag = max_policy_lag
        self._prompts = prompts
        self._states: dict[str, RolloutState] = {}
        self._places: dict[str, int] = {}
        self._requests: dict[str, RolloutRequest] = {}
        """What is being drawn, or is to be."""
        self._unscored: dict[str, Rollout] = {}
        self._next_place = 0
        self._line: list[ScoredRollout] = []
        self._taken: dict[str, ScoredRollout] = {}
        self._left_behind: list[range] = []
        self._version = 0
        self._num_skipped = 0
        self._change = Change()
        self.num_trained = 0
        """Rollouts trained on since the start."""
        self.num_refused = 0
        """Rollouts refused at the learner's door since the start."""

    @property
    def version(self) -> int:
        """The policy version all actors hold."""
        return self._version

    @property
    def num_waiting(self) -> int:
        """Rollouts in the line, those put back included."""
        return len(self._line)

    def counts(self) -> Counter[RolloutState]:
        """Return how many rollouts are in each state."""
        return Counter(self._states.values())

    def state(self, rollout_id: str) -> RolloutState | None:
        """Return a rollout's state; None before it is admitted and once it is over."""
        return self._states.get(rollout_id)

    # ── admission ────────────────────────────────────────────────────────────────────────────

    def room(self) -> int:
        """Return how many more rollouts may be admitted now."""
        num_batches = self._version - self._num_skipped + self._max_policy_lag + 1
        return num_batches * self._batch_size - self.num_trained - len(self._states)

    async def wait_for_room(self, most: int) -> int:
        """Wait until a rollout may be admitted; return for how many there is room, up to `most`."""
        while self.room() <= 0:
            await self._change.wait()
        return min(most, self.room())

    def admit(self, requests: Sequence[RolloutRequest]) -> None:
        """Admit rollouts, for which there must be room."""
        assert len(requests) <= self.room(), "more rollouts admitted than may arrive in time"
        for each in requests:
            self._move(each.rollout_id, RolloutState.ADMITTED)
            self._requests[each.rollout_id] = each
            self._places[each.rollout_id] = self._next_place
            self._next_place += 1

    def announce(self, version: int) -> None:
        """Version announced: every actor now holds `version`, which makes room.

        Raises:
            VersionError: The version is older than the one announced last.
        """
        if version < self._version:
            raise VersionError(f"policy version {version} came after {self._version}")
        self._version = version
        self._change.notify()

    # ── from the actors to the line ──────────────────────────────────────────────────────────

    def drawing(self, requests: Sequence[RolloutRequest]) -> None:
        """Note that an actor was given these requests."""
        for each in requests:
            self._move(each.rollout_id, RolloutState.BEING_DRAWN)

    def drawn(self, rollouts: Sequence[Rollout]) -> None:
        """Note that these came from an actor, and wait for their scores."""
        for each in rollouts:
            self._move(each.rollout_id, RolloutState.BEING_SCORED)
            del self._requests[each.rollout_id]
            self._unscored[each.rollout_id] = each

    @property
    def is_filling(self) -> bool:
        """Whether more rollouts will come before the actors take another version."""
        return bool(self._requests) or self.room() > 0

    def in_order(self, rollouts: Sequence[Rollout]) -> list[Rollout]:
        """Return rollouts in the order in which they were admitted."""
        return sorted(rollouts, key=lambda each: self._places[each.rollout_id])

    def add(self, scored: Sequence[ScoredRollout]) -> None:
        """Put scored rollouts into the line, each at its place."""
        self._enter_line(scored, RolloutState.WAITING)

    def rescored(self, scored: Sequence[ScoredRollout]) -> None:
        """Give what waits in the line the scores of a newer reward version.

        Where these are not all that wait they keep what they have: of a batch that is partly of a
        newer version the rest is scored again at the learner's door, while it waits. Responses that
        have not ended are not counted, whose score no version decides.
        """
        newer = {_id(each): each for each in scored}
        if any(each.rollout.is_complete and _id(each) not in newer for each in self._line):
            return
        self._line = [
            max(each, newer.get(_id(each), each), key=lambda one: one.score.reward_version)
            for each in self._line
        ]

    def drop(self, rollouts: Sequence[Rollout]) -> None:
        """Give up on rollouts, e.g. for want of a score. Slot released: others take their place."""
        for rollout in rollouts:
            self._end(rollout.rollout_id, "dropped", _DROPPED_FROM)
        self._line = [each for each in self._line if each.rollout.rollout_id in self._states]
        if self._prompts is not None:
            self._prompts.unanswered([rollout.prompt for rollout in rollouts])
        self._change.notify()

    # ── the learner's door ───────────────────────────────────────────────────────────────────

    async def take(self, count: int, policy_version: int) -> list[ScoredRollout]:
        """Wait for `count` rollouts fit to train on at `policy_version`, the first in the line."""
        while True:
            self._refuse_unfit(policy_version)
            if len(self._line) >= count:
                taken, self._line = self._line[:count], self._line[count:]
                for each in taken:
                    self._move(_id(each), RolloutState.BEING_TRAINED_ON)
                    self._taken[_id(each)] = each
                return taken
            await self._change.wait()

    def put_back(self, scored: Sequence[ScoredRollout]) -> None:
        """Return rollouts that were taken and not trained on to their places in the line."""
        self._enter_line(scored, RolloutState.PUT_BACK)

    def score_again(self, scored: Sequence[ScoredRollout]) -> list[Rollout]:
        """Return the rollouts, taken and not trained on, to have them scored by a newer reward."""
        for each in scored:
            self._move(_id(each), RolloutState.BEING_SCORED)
            del self._taken[_id(each)]
            self._unscored[_id(each)] = each.rollout
        return [each.rollout for each in scored]

    def trained(self, scored: Sequence[ScoredRollout]) -> None:
        """Note that a step was taken on these."""
        for each in scored:
            self._end(_id(each), "trained on", frozenset({RolloutState.BEING_TRAINED_ON}))
        self.num_trained += len(scored)
        if self._prompts is not None:
            self._prompts.responded([each.rollout for each in scored])

    def roll_back(self, restored: PolicyVersion) -> None:
        """Drop, now and from now on, what the versions that a rollback left behind have written.

        Nothing is trained to make the restored version: until the actors hold it, and after,
        there is room for a batch less than its number says.
        """
        assert restored.restored_from is not None, "only a rollback leaves versions behind"
        self._num_skipped += 1
        self._left_behind.append(range(restored.restored_from + 1, restored.version))
        self._refuse_unfit(restored.version)
        if self._prompts is not None:
            self._prompts.forget(self.are_left_behind)

    def is_left_behind(self, rollout: Rollout) -> bool:
        """Whether any of it was written by a version that a rollback, or a resume, left behind."""
        return self.are_left_behind(rollout.policy_versions)

    def are_left_behind(self, versions: Sequence[int]) -> bool:
        """Whether any of these versions is one that a rollback, or a resume, left behind."""
        return any(version in gone for gone in self._left_behind for version in versions)

    # ── over a restart ───────────────────────────────────────────────────────────────────────

    def state_at(self, version: int) -> BoundState:
        """Return what is to be kept, at the learner's policy version.

        What the learner has taken and not trained on is in the line again.
        """
        in_line = [*self._line, *self._taken.values()]
        return BoundState(
            version=version,
            num_skipped=self._num_skipped,
            left_behind=tuple((gone.start, gone.stop - 1) for gone in self._left_behind),
            num_trained=self.num_trained,
            num_refused=self.num_refused,
            undrawn=tuple((self._places[i], each) for i, each in self._requests.items()),
            unscored=tuple((self._places[i], each) for i, each in self._unscored.items()),
            scored=tuple((self._places[_id(each)], each) for each in in_line),
        )

    def resume(self, state: BoundState, version: int) -> None:
        """Go on from what was kept, before anything was admitted; the bound is in force at once.

        What is `undrawn` is to be drawn, and what is `unscored` to be scored, by whoever resumes.

        Args:
            state: What was kept.
            version: The number under which the policy goes on: that of `state`, or a higher one
                where later versions, now lost, had been announced.
        """
        assert not self._states, "a bound is resumed before it is used"
        self._num_skipped = state.num_skipped + version - state.version
        self._left_behind = [range(first, last + 1) for first, last in state.left_behind]
        if version > state.version:
            self._left_behind.append(range(state.version + 1, version))
        self.num_trained, self.num_refused = state.num_trained, state.num_refused
        for place, request in state.undrawn:
            self._enter(request.rollout_id, RolloutState.ADMITTED, place)
            self._requests[request.rollout_id] = request
        for place, rollout in state.unscored:
            self._enter(rollout.rollout_id, RolloutState.BEING_SCORED, place)
            self._unscored[rollout.rollout_id] = rollout
        for place, scored in sorted(state.scored, key=lambda entry: entry[0]):
            self._enter(_id(scored), RolloutState.WAITING, place)
            self._line.append(scored)
        self._next_place = max(self._places.values(), default=-1) + 1
        self._refuse_unfit(version)

    def _enter(self, rollout_id: str, state: RolloutState, place: int) -> None:
        self._states[rollout_id] = state
        self._places[rollout_id] = place

    def _refuse_unfit(self, policy_version: int) -> None:
        unfit = [
            each.rollout for each in self._line if not self._is_fit(each.rollout, policy_version)
        ]
        if unfit:
            self.num_refused += len(unfit)
            self.drop(unfit)

    def _is_fit(self, rollout: Rollout, policy_version: int) -> bool:
        is_fresh = policy_version - rollout.oldest_version <= self._max_policy_lag
        return is_fresh and not self.is_left_behind(rollout)

    def _enter_line(self, scored: Sequence[ScoredRollout], state: RolloutState) -> None:
        for each in scored:
            self._move(_id(each), state)
            self._unscored.pop(_id(each), None)
            self._taken.pop(_id(each), None)
            insort(self._line, each, key=lambda scored: self._places[_id(scored)])
        self._change.notify()

    def _move(self, rollout_id: str, state: RolloutState) -> None:
        before = self._states.get(rollout_id)
        assert before in _BEFORE[state], f"{rollout_id} cannot be {state}: it is {before}"
        self._states[rollout_id] = state

    def _end(self, rollout_id: str, end: str, before: frozenset[RolloutState]) -> None:
        state = self._states.get(rollout_id)
        assert state in before, f"{rollout_id} cannot have been {end}: it is {state}"
        del self._states[rollout_id]
        del self._places[rollout_id]
        self._unscored.pop(rollout_id, None)
        self._taken.pop(rollout_id, None)


def _id(scored: ScoredRollout) -> str:
    return scored.rollout.rollout_id
