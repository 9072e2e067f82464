"""Being a labeler, or the policy loop, in process."""

from __future__ import annotations

from dataclasses import replace

from label_queue.labeling.submissions import LabelAnswer, LabelSubmission
from label_queue.queue import LabelQueue
from protocol.errors import LabelError
from protocol.labels import Outcome
from protocol.messages import Rollout
from tests.support.labels import make_drafts
from tests.support.messages import make_prompt, make_request, make_rollout


async def answer_orders(queue: LabelQueue, *, version: int = 0) -> list[int]:
    """Be the policy loop until nothing is lacking; return the sizes of the orders."""
    sizes = []
    while orders := await queue.policy_loop.next_orders(0.0):
        for order in orders:
            drafts = make_drafts(order, version=version)
            assert await queue.policy_loop.offer(order.order_id, drafts) == order.num_queries
            sizes.append(order.num_queries)
    return sizes


async def submit(
    queue: LabelQueue, submission: LabelSubmission, labeler_id: str = "ann"
) -> LabelAnswer | LabelError:
    [result] = await queue.people.submit(labeler_id, [submission])
    return result


async def label(
    queue: LabelQueue, count: int, labeler_id: str = "ann", *, outcome: Outcome = "choice"
) -> None:
    """Answer the next `count` tasks, with the first candidate shown."""
    for _ in range(count):
        task = await queue.people.next_task(labeler_id, 0.0)
        assert task is not None, "nothing to label"
        submission = LabelSubmission(
            assignment_id=task.assignment_id,
            outcome=outcome,
            choice=task.candidates[0].candidate_id if outcome == "choice" else None,
        )
        assert isinstance(await submit(queue, submission, labeler_id), LabelAnswer)


async def choose(queue: LabelQueue, labeler_id: str, index: int | None) -> str:
    """Answer the next task with a candidate by the query's own index, or a tie; return its id."""
    task = await queue.people.next_task(labeler_id, 0.0)
    assert task is not None
    assignment = queue.state.board.assignments[task.assignment_id]
    query = queue.state.board.queries[assignment.query_id]
    await queue.people.submit(
        labeler_id,
        [
            LabelSubmission(
                assignment_id=task.assignment_id,
                outcome="tie" if index is None else "choice",
                choice=None if index is None else query.candidates[index].candidate_id,
            )
        ],
    )
    return query.query_id


def reference_rollouts(num_prompts: int, per_prompt: int = 2) -> list[Rollout]:
    """Responses of ρ, so many to each prompt."""
    return [
        make_rollout(replace(make_request(10 * i + j, "reference"), prompt=make_prompt(i)))
        for i in range(num_prompts)
        for j in range(per_prompt)
    ]
