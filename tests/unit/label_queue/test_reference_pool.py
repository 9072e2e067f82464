from __future__ import annotations

import random
from dataclasses import replace

from label_queue.asking.reference_pool import ReferencePool
from protocol.messages import Rollout
from tests.support.messages import make_prompt, make_request, make_rollout


def reference(prompt: int, number: int, *, is_complete: bool = True) -> Rollout:
    request = replace(make_request(number, "reference"), prompt=make_prompt(prompt))
    return make_rollout(request, is_complete=is_complete)


def make_pool() -> ReferencePool:
    return ReferencePool(per_query=2, rng=random.Random(0))


def test_a_prompt_is_ready_with_enough_different_responses() -> None:
    pool = make_pool()
    pool.add([reference(0, 1), reference(0, 1), reference(1, 2)])
    assert len(pool) == 0
    pool.add([reference(0, 3), reference(0, 4)])
    assert len(pool) == 1
    assert [prompt.prompt_id for prompt in pool.next_prompts(5)] == ["p-0"]
    drawn = pool.draw("p-0")
    assert len({rollout.rollout_id for rollout in drawn}) == 2
    assert pool.draw("p-1") == pool.draw("p-9") == ()


def test_responses_that_are_alike_count_once() -> None:
    pool = make_pool()
    first = reference(0, 1)
    pool.add([first, replace(first, rollout_id="r-000002", text=f"{first.text} ")])
    pool.add([replace(first, rollout_id="r-000003", text="another of the same tokens")])
    assert len(pool) == 0
    pool.add([other := reference(0, 4)])
    assert len(pool) == 1
    for _ in range(20):
        drawn = pool.draw("p-0")
        assert {rollout.token_ids for rollout in drawn} == {first.token_ids, other.token_ids}


def test_what_the_policy_said_is_not_set_beside_it() -> None:
    pool = make_pool()
    pool.add(reference(0, number) for number in range(3))
    policy = replace(reference(0, 1), rollout_id="q-000007", policy_versions=(3,) * 4)
    for _ in range(20):
        drawn = pool.draw("p-0", unlike=[policy])
        assert {rollout.rollout_id for rollout in drawn} == {"r-000000", "r-000002"}
    assert pool.draw("p-0", unlike=[policy, reference(0, 2)]) == ()


def test_unfinished_responses_are_left_out() -> None:
    pool = make_pool()
    pool.add([reference(0, 1), reference(0, 2, is_complete=False)])
    assert len(pool) == 0


def test_prompts_take_turns() -> None:
    pool = make_pool()
    pool.add(reference(prompt, 10 * prompt + i) for prompt in range(3) for i in range(2))
    turns = [prompt.prompt_id for _ in range(2) for prompt in pool.next_prompts(2)]
    assert turns == ["p-0", "p-1", "p-2", "p-0"]
