"""What the HTTP face relies on, of the real label queue and of its fake."""

from __future__ import annotations

from abc import abstractmethod

import pytest

from label_queue.intake.port import Identity, PeopleQueue
from label_queue.intake.schemas import LabelAnswer, LabelSubmission, Task
from protocol.errors import Forbidden, LabelConflict, Unauthenticated, UnknownTask
from tests.support.contract import Contract


def choose(task: Task, index: int = 0, revision: int = 0) -> LabelSubmission:
    return LabelSubmission(
        assignment_id=task.assignment_id,
        revision=revision,
        outcome="choice",
        choice=task.candidates[index].candidate_id,
    )


async def take(queue: PeopleQueue, labeler_id: str) -> Task:
    task = await queue.next_task(labeler_id, 0.0)
    assert task is not None
    return task


class PeopleQueueContract(Contract):
    """Inherit, and give `queue`."""

    @abstractmethod
    async def queue(self) -> PeopleQueue:
        """Return a queue with at least three tasks to give."""

    async def test_a_link_opens_one_session(self) -> None:
        queue = await self.queue()
        admission = await queue.admit("ann", "owner")
        code = admission.link.removeprefix("/enter/")
        session = await queue.open_link(code)
        whose = Identity(labeler_id="ann", role="owner")
        assert await queue.authenticate(session) == whose
        assert await queue.authenticate(admission.token) == whose
        with pytest.raises(Unauthenticated):
            await queue.open_link(code)
        with pytest.raises(Unauthenticated):
            await queue.authenticate(code)

    async def test_a_webhook_of_no_connector_is_unknown(self) -> None:
        queue = await self.queue()
        with pytest.raises(UnknownTask):
            await queue.ring("elsewhere", {}, b"")

    async def test_leaving_ends_one_session_and_revoking_all(self) -> None:
        queue = await self.queue()
        sessions = [
            await queue.open_link((await queue.admit("ann", "labeler")).link[len("/enter/") :])
            for _ in range(2)
        ]
        await queue.leave(sessions[0])
        await queue.leave(sessions[0])
        with pytest.raises(Unauthenticated):
            await queue.authenticate(sessions[0])
        await queue.authenticate(sessions[1])
        await queue.revoke("ann", "left")
        with pytest.raises(Unauthenticated):
            await queue.authenticate(sessions[1])

    async def test_a_task_is_held_until_it_is_answered(self) -> None:
        queue = await self.queue()
        for name in ("ann", "bob"):
            await queue.admit(name, "labeler")
        first, second = await take(queue, "ann"), await take(queue, "ann")
        held = (await queue.held_tasks("ann")).tasks
        assert [task.assignment_id for task in held] == [first.assignment_id, second.assignment_id]
        assert held[0].candidates == first.candidates
        assert (await queue.held_tasks("bob")).tasks == ()
        await queue.submit("ann", [choose(first)])
        [left] = (await queue.held_tasks("ann")).tasks
        assert left.assignment_id == second.assignment_id

    async def test_the_last_answer_can_be_changed(self) -> None:
        queue = await self.queue()
        await queue.admit("ann", "labeler")
        assert (await queue.me("ann")).last is None
        for _ in range(2):
            task = await take(queue, "ann")
            await queue.submit("ann", [choose(task)])
        last = (await queue.me("ann")).last
        assert last is not None
        assert last.task.assignment_id == task.assignment_id
        assert last.task.candidates == task.candidates
        assert last.submission == choose(task)
        await queue.submit("ann", [choose(task, 1, revision=1)])
        me = await queue.me("ann")
        assert me.last is not None
        assert me.last.submission == choose(task, 1, revision=1)
        assert (me.labels, me.labels_today) == (2, 2)

    async def test_the_same_answer_again_and_another(self) -> None:
        queue = await self.queue()
        await queue.admit("ann", "labeler")
        task = await take(queue, "ann")
        [first] = await queue.submit("ann", [choose(task)])
        [again] = await queue.submit("ann", [choose(task)])
        [other] = await queue.submit("ann", [choose(task, 1)])
        assert isinstance(first, LabelAnswer)
        assert again == first
        assert isinstance(other, LabelConflict)

    async def test_only_the_holder_renews_a_lease(self) -> None:
        queue = await self.queue()
        for name in ("ann", "bob"):
            await queue.admit(name, "labeler")
        task = await take(queue, "ann")
        assert await queue.heartbeat("ann", task.assignment_id) > 0
        with pytest.raises(Forbidden):
            await queue.heartbeat("bob", task.assignment_id)
        with pytest.raises(UnknownTask):
            await queue.heartbeat("ann", "none")

    async def test_the_first_reason_stands_until_the_cord_is_released(self) -> None:
        queue = await self.queue()
        await queue.admit("ann", "labeler")
        assert not (await queue.me("ann")).cord.is_pulled
        await queue.pull_as_labeler("ann", "it insults people")
        standing = await queue.pull("me too")
        assert (standing.pulled_by, standing.reason) == ("ann", "it insults people")
        assert (await queue.me("ann")).cord.reason == "it insults people"
        assert (await queue.overview()).cord.is_pulled
        assert not (await queue.release("mended")).is_pulled
        assert not (await queue.me("ann")).cord.is_pulled

    async def test_nobody_can_be_excluded_who_is_not_there(self) -> None:
        queue = await self.queue()
        with pytest.raises(UnknownTask):
            await queue.preview_exclusion("nobody", 0)
        with pytest.raises(UnknownTask):
            await queue.exclude("nobody", 0, "spam")
