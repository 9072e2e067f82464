import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from cluster.loops.prompt_cursor import PromptCursor
from cluster.loops.staleness import RolloutState, StalenessBound
from protocol.errors import VersionError
from protocol.messages import Prompt, Rollout, RolloutRequest, ScoredRollout
from protocol.text_tree import TreesState
from tests.support.messages import (
    make_policy,
    make_request,
    make_rollout,
    make_scored,
    with_version,
)


def requests(count: int, start: int = 0) -> list[RolloutRequest]:
    return [make_request(number) for number in range(start, start + count)]


def rollout_at(number: int, version: int) -> Rollout:
    return make_rollout(make_request(number), version)


def wait_in_line(bound: StalenessBound, rollouts: Sequence[Rollout]) -> list[ScoredRollout]:
    """Bring rollouts that were not admitted yet into the line."""
    asked = [
        replace(make_request(), rollout_id=each.rollout_id, prompt=each.prompt) for each in rollouts
    ]
    scored = [make_scored(each) for each in rollouts]
    bound.admit(asked)
    bound.drawing(asked)
    bound.drawn(rollouts)
    bound.add(scored)
    return scored


def ids(taken: Sequence[ScoredRollout]) -> list[str]:
    return [each.rollout.rollout_id for each in taken]


async def test_admits_a_batch_for_each_version_within_the_bound() -> None:
    bound = StalenessBound(batch_size=4, max_policy_lag=1)

    # Rollout n may start at version v if ⌊(n − 1)/4⌋ ≤ v + 1: at version 0 that is n ≤ 8.
    assert bound.room() == 8
    assert await bound.wait_for_room(6) == 6
    bound.admit(requests(6))
    assert await bound.wait_for_room(6) == 2
    bound.admit(requests(2, start=6))
    assert bound.room() == 0

    bound.announce(1)
    assert bound.room() == 4


async def test_a_bound_of_zero_is_synchronous() -> None:
    bound = StalenessBound(batch_size=4, max_policy_lag=0)
    assert await bound.wait_for_room(100) == 4
    bound.admit(requests(4))

    waiting = asyncio.ensure_future(bound.wait_for_room(1))
    await asyncio.sleep(0)
    assert not waiting.done()

    bound.announce(1)
    assert await waiting == 1


def test_no_more_is_admitted_than_there_is_room_for() -> None:
    bound = StalenessBound(batch_size=2, max_policy_lag=0)
    with pytest.raises(AssertionError, match="more rollouts admitted"):
        bound.admit(requests(3))


async def test_a_dropped_rollout_gives_its_slot_back() -> None:
    bound = StalenessBound(batch_size=2, max_policy_lag=0)
    bound.admit(requests(2))
    bound.drawing(requests(2))
    bound.drawn([rollout_at(0, 0), rollout_at(1, 0)])

    waiting = asyncio.ensure_future(bound.wait_for_room(2))
    await asyncio.sleep(0)
    bound.drop([rollout_at(1, 0)])

    assert await waiting == 1
    assert bound.counts() == {RolloutState.BEING_SCORED: 1}


def test_a_version_that_goes_backward_is_an_error() -> None:
    bound = StalenessBound(batch_size=2, max_policy_lag=0)
    bound.announce(3)

    with pytest.raises(VersionError, match="2 came after 3"):
        bound.announce(2)


def test_a_restored_version_makes_no_room_of_its_own() -> None:
    bound = StalenessBound(batch_size=4, max_policy_lag=1)
    bound.admit(requests(8))
    bound.announce(1)
    assert bound.room() == 4

    # Version 2 is version 0 again: nothing was trained to make it.
    bound.roll_back(replace(make_policy(2), restored_from=0))
    bound.announce(2)
    assert bound.room() == 4


async def test_every_state_has_its_name() -> None:
    bound = StalenessBound(batch_size=1, max_policy_lag=0)
    request, rollout = make_request(0), rollout_at(0, 0)
    scored = make_scored(rollout)

    def state() -> RolloutState | None:
        return bound.state(rollout.rollout_id)

    assert state() is None
    bound.admit([request])
    assert state() is RolloutState.ADMITTED
    bound.drawing([request])
    assert state() is RolloutState.BEING_DRAWN
    bound.drawn([rollout])
    assert state() is RolloutState.BEING_SCORED
    bound.add([scored])
    assert state() is RolloutState.WAITING
    await bound.take(1, policy_version=0)
    assert state() is RolloutState.BEING_TRAINED_ON
    bound.put_back([scored])
    assert state() is RolloutState.PUT_BACK
    await bound.take(1, policy_version=0)
    assert bound.score_again([scored]) == [rollout]
    assert state() is RolloutState.BEING_SCORED
    bound.add([scored])
    await bound.take(1, policy_version=0)
    bound.trained([scored])
    assert state() is None
    assert (bound.num_trained, bound.num_refused, bound.room()) == (1, 0, 0)


def test_a_transition_that_cannot_be_is_a_bug() -> None:
    bound = StalenessBound(batch_size=4, max_policy_lag=0)
    bound.admit(requests(1))
    with pytest.raises(AssertionError, match="cannot be waiting: it is admitted"):
        bound.add([make_scored(rollout_at(0, 0))])
    with pytest.raises(AssertionError, match="cannot be admitted: it is admitted"):
        bound.admit(requests(1))
    with pytest.raises(AssertionError, match="cannot have been trained on: it is admitted"):
        bound.trained([make_scored(rollout_at(0, 0))])
    with pytest.raises(AssertionError, match="cannot have been dropped: it is admitted"):
        bound.drop([rollout_at(0, 0)])


async def test_takes_the_oldest_first() -> None:
    bound = StalenessBound(batch_size=2, max_policy_lag=2)
    wait_in_line(bound, [rollout_at(0, 0), rollout_at(1, 0), rollout_at(2, 1)])

    taken = await bound.take(2, policy_version=1)

    assert ids(taken) == ["t-000000", "t-000001"]
    assert bound.num_waiting == 1


async def test_what_is_put_back_or_scored_again_keeps_its_place() -> None:
    bound = StalenessBound(batch_size=4, max_policy_lag=2)
    scored = wait_in_line(bound, [rollout_at(number, 0) for number in range(6)])

    first = await bound.take(2, policy_version=0)
    second = await bound.take(2, policy_version=0)
    bound.put_back(second)
    bound.score_again(first)
    bound.add([make_scored(each.rollout, reward_version=2) for each in reversed(first)])

    assert ids(await bound.take(6, policy_version=0)) == ids(scored)


async def test_drops_what_is_older_than_the_bound_and_gives_the_slots_back() -> None:
    bound = StalenessBound(batch_size=4, max_policy_lag=1)
    wait_in_line(
        bound, [rollout_at(number, version) for number, version in enumerate((0, 1, 0, 2))]
    )
    room = bound.room()

    taken = await bound.take(2, policy_version=2)

    assert ids(taken) == ["t-000001", "t-000003"]
    assert bound.room() == room + 2
    assert bound.num_refused == 2


async def test_what_was_put_back_goes_stale_like_the_rest() -> None:
    bound = StalenessBound(batch_size=2, max_policy_lag=0)
    wait_in_line(bound, [rollout_at(0, 0), rollout_at(1, 0)])
    bound.put_back(await bound.take(2, policy_version=0))
    bound.announce(1)
    wait_in_line(bound, [rollout_at(2, 1), rollout_at(3, 1)])

    assert ids(await bound.take(2, policy_version=1)) == ["t-000002", "t-000003"]
    assert bound.num_refused == 2


async def test_one_old_token_makes_a_rollout_old() -> None:
    bound = StalenessBound(batch_size=2, max_policy_lag=1)
    wait_in_line(bound, [with_version(rollout_at(0, 0), 0, 2, 2, 2), rollout_at(1, 2)])

    assert ids(await bound.take(1, policy_version=2)) == ["t-000001"]
    assert bound.num_refused == 1


async def test_what_versions_left_behind_have_written_is_dropped_now_and_later() -> None:
    bound = StalenessBound(batch_size=4, max_policy_lag=9)
    # Versions 3 and 4 are left behind: 5 is version 2 again.
    wait_in_line(bound, [rollout_at(0, 2), rollout_at(1, 3), rollout_at(2, 4)])
    bound.roll_back(replace(make_policy(5), restored_from=2))
    assert (bound.num_waiting, bound.num_refused) == (1, 2)

    across = with_version(rollout_at(3, 2), 2, 2, 4, 5)
    wait_in_line(bound, [across, rollout_at(4, 5)])
    taken = await bound.take(2, policy_version=5)
    assert ids(taken) == ["t-000000", "t-000004"]
    assert bound.num_refused == 3


async def test_waits_until_enough_is_there() -> None:
    bound = StalenessBound(batch_size=2, max_policy_lag=1)
    taking = asyncio.ensure_future(bound.take(2, policy_version=0))
    wait_in_line(bound, [rollout_at(0, 0)])
    await asyncio.sleep(0)
    assert not taking.done()

    wait_in_line(bound, [rollout_at(1, 0)])

    assert len(await taking) == 2


class Heard:
    """A listening prompt source that writes down what it is told."""

    state = TreesState(next_document=0, next_leaf=0)

    def __init__(self) -> None:
        self.told: list[str] = []

    def draw(self, count: int) -> list[Prompt]:
        return []

    def skip(self, count: int) -> None:
        pass

    def responded(self, rollouts: Sequence[Rollout]) -> None:
        self.told += [f"responded {each.prompt.prompt_id}" for each in rollouts]

    def unanswered(self, prompts: Sequence[Prompt]) -> None:
        self.told += [f"unanswered {each.prompt_id}" for each in prompts]

    def forget(self, is_left_behind: Callable[[Sequence[int]], bool]) -> None:
        self.told.append(f"forget {[v for v in range(9) if is_left_behind((v,))]}")

    def resume(self, state: TreesState) -> None:
        self.told.append("resume")


async def test_a_prompt_source_that_listens_hears_once_what_became_of_each_prompt() -> None:
    heard = Heard()
    bound = StalenessBound(batch_size=2, max_policy_lag=3, prompts=PromptCursor(heard))
    wait_in_line(bound, [rollout_at(number, 0) for number in (1, 0, 2, 3, 4)])
    taken = await bound.take(2, 0)
    bound.put_back(taken)
    assert heard.told == []
    taken = await bound.take(2, 0)
    bound.trained(taken)
    bound.drop([rollout_at(2, 0)])
    assert heard.told == ["responded p-1", "responded p-0", "unanswered p-2"]


async def test_it_hears_of_rollouts_refused_and_left_behind() -> None:
    heard = Heard()
    bound = StalenessBound(batch_size=1, max_policy_lag=2, prompts=PromptCursor(heard))
    bound.announce(4)
    wait_in_line(bound, [rollout_at(0, 0), rollout_at(1, 4), rollout_at(2, 3)])
    await bound.take(1, 4)
    assert heard.told == ["unanswered p-0"]
    bound.roll_back(replace(make_policy(5), restored_from=2))
    assert heard.told[1:] == ["unanswered p-2", "forget [3, 4]"]


def test_a_resumed_bound_hands_back_what_the_lost_versions_made_unfit() -> None:
    heard = Heard()
    first = StalenessBound(batch_size=1, max_policy_lag=1)
    wait_in_line(first, [rollout_at(0, 0), rollout_at(1, 1)])
    again = StalenessBound(batch_size=1, max_policy_lag=1, prompts=PromptCursor(heard))
    again.resume(first.state_at(1), 2)
    assert heard.told == ["unanswered p-0"]


def scored_by(version: int, scored: Sequence[ScoredRollout]) -> list[ScoredRollout]:
    return [
        replace(each, score=replace(each.score, reward_version=version, value=float(version)))
        for each in scored
    ]


async def test_what_waits_gets_the_scores_of_a_newer_reward_if_all_of_it_does() -> None:
    bound = StalenessBound(batch_size=3, max_policy_lag=1)
    waiting = wait_in_line(bound, [rollout_at(number, 0) for number in range(3)])
    await bound.take(1, 0)
    bound.rescored(scored_by(2, waiting))  # the first is trained on, by its own score
    bound.rescored(scored_by(1, waiting))  # told late
    assert [each.score.reward_version for each in await bound.take(2, 0)] == [2, 2]
    whole = wait_in_line(bound, [rollout_at(3, 0), rollout_at(4, 0)])
    endless = wait_in_line(bound, [make_rollout(make_request(5), 0, is_complete=False)])
    bound.rescored(scored_by(3, whole[:1]))
    first = await bound.take(1, 0)
    assert first == whole[:1]
    bound.rescored(scored_by(3, whole[1:]))
    assert await bound.take(2, 0) == [*scored_by(3, whole[1:]), *endless]
