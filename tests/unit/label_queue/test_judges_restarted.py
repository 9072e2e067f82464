"""What a judge holds is theirs after a restart too, whatever came since."""

from __future__ import annotations

from label_queue.labeling.submissions import LabelAnswer, LabelSubmission
from label_queue.queue import LabelQueue
from tests.support.labels import ManualClock, make_config
from tests.support.messages import make_policy
from tests.unit.label_queue.conftest import MakeQueue
from tests.unit.label_queue.labeling import answer_orders, reference_rollouts, submit


async def held(queue: LabelQueue) -> list[str]:
    return [each.assignment_id for each in (await queue.people.held_tasks("dot")).tasks]


async def test_a_task_is_held_though_its_query_has_expired_and_others_came(
    make_queue: MakeQueue, clock: ManualClock
) -> None:
    config = make_config(validation_share=0.9, query_expiry_s=60.0)
    queue = make_queue(config)
    await queue.policy_loop.add_reference(reference_rollouts(20))
    await queue.policy_loop.set_progress(0, make_policy(1))
    await queue.owner.add_labeler("dot", judges=True)
    await answer_orders(queue)
    first, answered = [await queue.people.next_task("dot", 0.0) for _ in range(2)]
    assert first is not None
    assert answered is not None
    tie = LabelSubmission(assignment_id=answered.assignment_id, outcome="tie")
    assert isinstance(await submit(queue, tie, "dot"), LabelAnswer)
    clock.now += 61.0
    await answer_orders(queue)
    assert await held(queue) == [first.assignment_id]
    again = make_queue(config)
    assert await held(again) == [first.assignment_id]
    assert (await again.people.heartbeat("dot", first.assignment_id)).is_held
    # It is asked of nobody anew, and gone once it is answered.
    fresh = await again.people.next_task("dot", 0.0)
    assert fresh is not None
    assert fresh.query_id not in (first.query_id, answered.query_id)
    said = LabelSubmission(assignment_id=first.assignment_id, outcome="tie")
    assert isinstance(await submit(again, said, "dot"), LabelAnswer)
    assert await held(again) == [fresh.assignment_id]
