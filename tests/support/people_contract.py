"""What the HTTP face relies on, of the real label queue and of its fake."""

from __future__ import annotations

from abc import abstractmethod

import pytest

from label_queue.folds.access import Identity
from label_queue.intake.app import FacedQueue
from label_queue.labeling.outside_identity import OutsideIdentity
from label_queue.labeling.submissions import LabelAnswer, LabelSubmission
from label_queue.labeling.tasks import Task
from label_queue.sign_in_config import OidcConfig
from protocol.errors import Forbidden, LabelConflict, Unauthenticated, UnknownTask
from tests.support.contract import Contract

OIDC = OidcConfig(
    issuer="https://id.example.org", client_id="andon", client_secret_env="ANDON_TEST_OIDC_SECRET"
)


def choose(task: Task, index: int = 0, revision: int = 0) -> LabelSubmission:
    return LabelSubmission(
        assignment_id=task.assignment_id,
        revision=revision,
        outcome="choice",
        choice=task.candidates[index].candidate_id,
    )


def vouched_for(name: str) -> OutsideIdentity:
    return OutsideIdentity(name=name, issuer=OIDC.issuer, subject=f"of {name}")


async def take(queue: FacedQueue, labeler_id: str) -> Task:
    task = await queue.people.next_task(labeler_id, 0.0)
    assert task is not None
    return task


class PeopleQueueContract(Contract):
    """Inherit, and give `queue`."""

    @abstractmethod
    async def queue(self) -> FacedQueue:
        """Return a queue with at least three tasks to give, where people sign in by `OIDC`."""

    async def test_a_link_opens_one_session(self) -> None:
        queue = await self.queue()
        admission = await queue.owner.admit("ann", "owner")
        code = admission.link.removeprefix("/enter/")
        session = await queue.people.open_link(code)
        whose = Identity(labeler_id="ann", role="owner")
        assert await queue.people.authenticate(session) == whose
        assert await queue.people.authenticate(admission.token) == whose
        with pytest.raises(Unauthenticated):
            await queue.people.open_link(code)
        with pytest.raises(Unauthenticated):
            await queue.people.authenticate(code)

    async def test_leaving_ends_one_session_and_revoking_all(self) -> None:
        queue = await self.queue()
        sessions = [
            await queue.people.open_link(
                (await queue.owner.admit("ann", "labeler")).link[len("/enter/") :]
            )
            for _ in range(2)
        ]
        await queue.people.leave(sessions[0])
        await queue.people.leave(sessions[0])
        with pytest.raises(Unauthenticated):
            await queue.people.authenticate(sessions[0])
        await queue.people.authenticate(sessions[1])
        await queue.owner.revoke("ann", "left")
        with pytest.raises(Unauthenticated):
            await queue.people.authenticate(sessions[1])

    async def test_a_provider_s_word_opens_a_session_of_who_was_added(self) -> None:
        queue = await self.queue()
        await queue.owner.admit("olga@example.org", "owner")
        olga = Identity(labeler_id="olga@example.org", role="owner")
        for _ in range(2):
            session = await queue.people.sign_in(vouched_for("olga@example.org"))
            assert await queue.people.authenticate(session) == olga
            await queue.people.leave(session)
            with pytest.raises(Unauthenticated):
                await queue.people.authenticate(session)
        with pytest.raises(Forbidden):
            await queue.people.sign_in(vouched_for("eve@example.org"))

    async def test_a_task_is_held_until_it_is_answered(self) -> None:
        queue = await self.queue()
        for name in ("ann", "bob"):
            await queue.owner.admit(name, "labeler")
        first, second = await take(queue, "ann"), await take(queue, "ann")
        held = (await queue.people.held_tasks("ann")).tasks
        assert [task.assignment_id for task in held] == [first.assignment_id, second.assignment_id]
        assert held[0].candidates == first.candidates
        assert (await queue.people.held_tasks("bob")).tasks == ()
        await queue.people.submit("ann", [choose(first)])
        [left] = (await queue.people.held_tasks("ann")).tasks
        assert left.assignment_id == second.assignment_id

    async def test_a_task_that_is_given_back_is_held_no_more_and_others_may_have_one(self) -> None:
        queue = await self.queue()
        for name in ("ann", "bob"):
            await queue.owner.admit(name, "labeler")
        task = await take(queue, "ann")
        await queue.people.give_back("bob", task.assignment_id)  # it is none of theirs
        assert (await queue.people.held_tasks("ann")).tasks != ()
        for _ in range(2):
            await queue.people.give_back("ann", task.assignment_id)
        assert (await queue.people.held_tasks("ann")).tasks == ()
        await queue.people.give_back("ann", "no such")
        assert (await take(queue, "bob")).assignment_id

    async def test_the_last_answer_can_be_changed(self) -> None:
        queue = await self.queue()
        await queue.owner.admit("ann", "labeler")
        assert (await queue.people.me("ann")).last is None
        for _ in range(2):
            task = await take(queue, "ann")
            await queue.people.submit("ann", [choose(task)])
        last = (await queue.people.me("ann")).last
        assert last is not None
        assert last.task.assignment_id == task.assignment_id
        assert last.task.candidates == task.candidates
        assert last.submission == choose(task)
        await queue.people.submit("ann", [choose(task, 1, revision=1)])
        me = await queue.people.me("ann")
        assert me.last is not None
        assert me.last.submission == choose(task, 1, revision=1)
        assert (me.labels, me.labels_today) == (2, 2)

    async def test_the_same_answer_again_and_another(self) -> None:
        queue = await self.queue()
        await queue.owner.admit("ann", "labeler")
        task = await take(queue, "ann")
        [first] = await queue.people.submit("ann", [choose(task)])
        [again] = await queue.people.submit("ann", [choose(task)])
        [other] = await queue.people.submit("ann", [choose(task, 1)])
        assert isinstance(first, LabelAnswer)
        assert again == first
        assert isinstance(other, LabelConflict)

    async def test_only_the_holder_renews_a_lease(self) -> None:
        queue = await self.queue()
        for name in ("ann", "bob"):
            await queue.owner.admit(name, "labeler")
        task = await take(queue, "ann")
        assert (await queue.people.heartbeat("ann", task.assignment_id)).is_held
        with pytest.raises(Forbidden):
            await queue.people.heartbeat("bob", task.assignment_id)
        with pytest.raises(UnknownTask):
            await queue.people.heartbeat("ann", "none")

    async def test_the_first_reason_stands_until_the_cord_is_released(self) -> None:
        queue = await self.queue()
        await queue.owner.admit("ann", "labeler")
        assert not (await queue.people.me("ann")).cord.is_pulled
        await queue.people.pull_cord("ann", "it insults people")
        cord = await queue.owner.pull_cord("me too")
        assert (cord.pulled_by, cord.reason) == ("ann", "it insults people")
        assert (await queue.people.me("ann")).cord.reason == "it insults people"
        shown = (await queue.owner.overview()).cord
        assert [each.actor for each in shown.reasons] == ["ann", "owner"]
        left = await queue.owner.release_cord("mended", shown.reasons[0].pull_id)
        assert (left.is_pulled, left.pulled_by) == (True, "owner")
        assert not (await queue.owner.release_cord("mended", left.reasons[0].pull_id)).is_pulled
        with pytest.raises(UnknownTask):
            await queue.owner.release_cord("which?", "no-such-pull")
        assert not (await queue.people.me("ann")).cord.is_pulled

    async def test_nobody_can_be_excluded_who_is_not_there(self) -> None:
        queue = await self.queue()
        with pytest.raises(UnknownTask):
            await queue.owner.preview_exclusion("nobody", 0)
        with pytest.raises(UnknownTask):
            await queue.owner.exclude("nobody", 0, "spam")
