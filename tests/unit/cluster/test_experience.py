import asyncio
from collections.abc import Sequence
from dataclasses import replace

from cluster.loops.experience import ExperienceBuffer, with_one_reward_version
from protocol.messages import Rollout, ScoredRollout
from tests.support.messages import (
    make_policy,
    make_request,
    make_rollout,
    make_scored,
    with_version,
)


async def released(_: int) -> None:
    return None


def scored_at(number: int, version: int, reward_version: int = 1) -> ScoredRollout:
    return make_scored(make_rollout(make_request(number), version), reward_version=reward_version)


async def test_takes_the_oldest_first() -> None:
    buffer = ExperienceBuffer(max_policy_lag=2, on_drop=released)
    await buffer.add([scored_at(0, 0), scored_at(1, 0), scored_at(2, 1)])

    taken = await buffer.take(2, policy_version=1)

    assert [item.rollout.rollout_id for item in taken] == ["t-000000", "t-000001"]
    assert len(buffer) == 1


async def test_drops_what_is_older_than_the_bound_and_gives_the_slots_back() -> None:
    slots: list[int] = []

    async def on_drop(count: int) -> None:
        slots.append(count)

    buffer = ExperienceBuffer(max_policy_lag=1, on_drop=on_drop)
    await buffer.add([scored_at(0, 0), scored_at(1, 1), scored_at(2, 0), scored_at(3, 2)])

    taken = await buffer.take(2, policy_version=2)

    assert [item.rollout.rollout_id for item in taken] == ["t-000001", "t-000003"]
    assert slots == [2]
    assert buffer.num_dropped == 2


async def test_one_old_token_makes_a_rollout_old() -> None:
    buffer = ExperienceBuffer(max_policy_lag=1, on_drop=released)
    mixed = make_scored(with_version(make_rollout(), 0, 2, 2, 2))
    await buffer.add([mixed, scored_at(1, 2)])

    taken = await buffer.take(1, policy_version=2)

    assert taken[0].rollout.rollout_id == "t-000001"
    assert buffer.num_dropped == 1


async def test_what_versions_left_behind_have_written_is_dropped_now_and_later() -> None:
    slots: list[int] = []

    async def on_drop(count: int) -> None:
        slots.append(count)

    buffer = ExperienceBuffer(max_policy_lag=9, on_drop=on_drop)
    # Versions 3 and 4 are left behind: 5 is version 2 again.
    await buffer.add([scored_at(0, 2), scored_at(1, 3), scored_at(2, 4)])
    await buffer.forget(replace(make_policy(5), restored_from=2))
    assert (len(buffer), slots) == (1, [2])

    across = make_scored(with_version(make_rollout(make_request(3)), 2, 2, 4, 5))
    await buffer.add([across, scored_at(4, 5)])
    taken = await buffer.take(2, policy_version=5)
    assert [item.rollout.rollout_id for item in taken] == ["t-000000", "t-000004"]
    assert (slots, buffer.num_dropped) == ([2, 1], 3)


async def test_waits_until_enough_is_there() -> None:
    buffer = ExperienceBuffer(max_policy_lag=1, on_drop=released)
    taking = asyncio.ensure_future(buffer.take(2, policy_version=0))
    await buffer.add([scored_at(0, 0)])
    await asyncio.sleep(0)
    assert not taking.done()

    await buffer.add([scored_at(1, 0)])

    assert len(await taking) == 2


async def test_a_batch_of_one_reward_version_is_left_alone() -> None:
    async def never(_: Sequence[Rollout]) -> list[ScoredRollout]:
        raise AssertionError("nothing was to be scored again")

    batch = [scored_at(0, 0), scored_at(1, 0)]
    assert await with_one_reward_version(batch, never) == batch


async def test_scores_again_until_all_agree_even_when_the_service_swaps_meanwhile() -> None:
    live = iter([3, 4, 4])
    asked: list[list[str]] = []

    async def score(rollouts: Sequence[Rollout]) -> list[ScoredRollout]:
        version = next(live)
        asked.append([rollout.rollout_id for rollout in rollouts])
        return [make_scored(rollout, value=version, reward_version=version) for rollout in rollouts]

    batch = [scored_at(0, 0, 2), scored_at(1, 0, 3), scored_at(2, 0, 2)]
    result = await with_one_reward_version(batch, score)

    # The two of version 2 come back as 3; all agree, so nobody asks for version 4.
    assert [item.score.reward_version for item in result] == [3, 3, 3]
    assert asked == [["t-000000", "t-000002"]]

    batch = [scored_at(0, 0, 2), scored_at(1, 0, 3)]
    result = await with_one_reward_version(batch, score)

    # Version 4 came for the first; then the second is older than it, and scored again too.
    assert [item.score.reward_version for item in result] == [4, 4]
    assert asked[1:] == [["t-000000"], ["t-000001"]]
    assert [item.rollout.rollout_id for item in result] == ["t-000000", "t-000001"]
