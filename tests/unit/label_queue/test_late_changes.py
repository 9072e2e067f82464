"""Changes of mind that come after a reward had learned what was said before: seen by the owner."""

from __future__ import annotations

from label_queue.folds.changes import Changes
from label_queue.labeling.submissions import LabelAnswer, LabelSubmission
from label_queue.queue import LabelQueue
from protocol.labels import Submitted
from tests.support.labels import make_reward
from tests.support.memory_ledger import MemoryLedger
from tests.unit.label_queue.labeling import answer_orders, label


def test_a_change_is_late_if_a_fit_took_what_it_changes() -> None:
    changes = Changes()
    changes.take("ann", 2, 6)  # fits at 4 and 5 took event 2
    changes.take("ann", 6, 7)  # none took event 6
    changes.take("bob", 4, 9)  # the one at 4 took event 4
    changes.take("cid", 8, 12)  # the one at 12 took what it became
    assert changes.late([4, 5, 12]) == {"ann": 1, "bob": 1}
    assert changes.late([]) == {}
    assert Changes().late([4]) == {}


def test_a_snapshot_stays_as_it_is() -> None:
    changes = Changes()
    changes.take("ann", 2, 6)
    before = changes.snapshot()
    changes.take("bob", 3, 7)
    assert before.late([4]) == {"ann": 1}
    assert changes.late([4]) == {"ann": 1, "bob": 1}


async def change(queue: LabelQueue, first: Submitted, revision: int = 1) -> None:
    submission = LabelSubmission(
        assignment_id=first.assignment_id, revision=revision, outcome="tie"
    )
    [result] = await queue.people.submit(first.labeler_id, [submission])
    assert isinstance(result, LabelAnswer)


async def test_the_owner_sees_who_changed_what_was_learned(
    queue: LabelQueue, ledger: MemoryLedger
) -> None:
    await answer_orders(queue)
    await label(queue, 4, "bob")
    early, learned, kept, _ = (e for e in ledger.events() if isinstance(e, Submitted))
    await change(queue, early)
    await queue.policy_loop.reward_served(make_reward(1, ledger_seq=5))
    await change(queue, learned)
    await change(queue, learned, 2)
    rows = {row.labeler_id: row for row in (await queue.owner.overview()).labelers}
    assert rows["bob"].late_changes == 1
    page = await queue.owner.answers_of("bob", offset=0, limit=10)
    found = {answer.label_id: answer.changed_after for answer in page.answers}
    assert found[learned.label_id] == 1
    assert found[early.label_id] is None
    assert found[kept.label_id] is None
