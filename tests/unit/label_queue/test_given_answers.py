"""A labeler's own answers beside others', and who agrees with whom, a page at a time."""

from __future__ import annotations

import pytest

from label_queue.labeling.submissions import LabelSubmission
from label_queue.quality.gold_tasks import GoldTask
from label_queue.quality_config import QualityConfig
from label_queue.queue import LabelQueue
from protocol.errors import UnknownTask
from tests.support.labels import make_config
from tests.unit.label_queue.conftest import MakeQueue
from tests.unit.label_queue.labeling import answer_orders, choose

SOUP = GoldTask(prompt="the soup was", candidates=("warm", "cold", "wet", "there"), answer=0)
CONFIG = make_config(
    total=200,
    initial=200,
    refits=1,
    overlap_share=0.99,
    overlap_labelers=3,
    quality=QualityConfig(repeat_share=0.0),
)


@pytest.fixture
async def queue(make_queue: MakeQueue) -> LabelQueue:
    """Three labelers answer the same eight queries; cid chooses otherwise in every second."""
    queue = make_queue(CONFIG)
    for name in ("ann", "bob", "cid"):
        await queue.owner.add_labeler(name)
    await answer_orders(queue)
    for number in range(8):
        for name in ("ann", "bob", "cid"):
            await choose(queue, name, int(name == "cid" and number % 2))
    return queue


async def test_an_answer_has_the_number_by_which_an_exclusion_counts_it(queue: LabelQueue) -> None:
    oldest = (await queue.owner.answers_of("ann", offset=7, limit=1)).answers[0]
    change = LabelSubmission(assignment_id=oldest.label_id, revision=1, outcome="tie")
    await queue.people.submit("ann", [change])
    changed = (await queue.owner.answers_of("ann", offset=7, limit=1)).answers[0]
    assert changed.label_id == oldest.label_id
    assert changed.seq == queue.state.history.last_seq > oldest.seq
    assert (await queue.owner.preview_exclusion("ann", changed.seq)).labels_leaving == 1


async def test_answers_come_newest_first_with_what_others_said(queue: LabelQueue) -> None:
    page = await queue.owner.answers_of("cid", offset=0, limit=3)
    assert (page.total, page.offset, len(page.answers)) == (8, 0, 3)
    newest = page.answers[0]
    assert newest.outcome == "choice"
    assert newest.choice == newest.candidates[1].candidate_id
    shared = [vote for vote in newest.others if vote.labeler_id in ("ann", "bob")]
    assert {vote.choice for vote in shared} == {newest.candidates[0].candidate_id}
    seqs = [each.seq for each in page.answers]
    assert seqs == sorted(seqs, reverse=True)
    rest = await queue.owner.answers_of("cid", offset=3, limit=100)
    assert len({each.label_id for each in (*page.answers, *rest.answers)}) == 8


async def test_only_the_disputed_ones(queue: LabelQueue, make_queue: MakeQueue) -> None:
    page = await queue.owner.answers_of("ann", offset=0, limit=100, only_disputed=True)
    assert page.total == len(page.answers) == 4
    for each in page.answers:
        others = {vote.labeler_id: vote.choice for vote in each.others}
        assert others["bob"] == each.choice != others["cid"]
    again = make_queue(CONFIG)
    assert await again.owner.answers_of("ann", offset=0, limit=100, only_disputed=True) == page


async def test_gold_says_whether_it_was_right_and_what_was_taken_back_says_nothing(
    make_queue: MakeQueue,
) -> None:
    quality = QualityConfig.model_validate({"gold": {"share_first": 0.99}, "repeat_share": 0.0})
    queue = make_queue(make_config(total=200, initial=200, refits=1, quality=quality))
    await queue.owner.write_gold(SOUP)
    await answer_orders(queue)
    for index in (0, 1, None):
        await choose(queue, "ann", index)
    newest, wrong, right = (await queue.owner.answers_of("ann", offset=0, limit=3)).answers
    assert [each.purpose for each in (newest, wrong, right)] == ["gold"] * 3
    assert (right.is_right, wrong.is_right, newest.is_right) == (True, False, False)
    await queue.people.submit(
        "ann", [LabelSubmission(assignment_id=wrong.label_id, revision=1, outcome="skip")]
    )
    [_, changed, _] = (await queue.owner.answers_of("ann", offset=0, limit=3)).answers
    assert (changed.outcome, changed.choice, changed.is_right) == ("skip", None, None)


async def test_nobody_unknown_has_answers(queue: LabelQueue) -> None:
    with pytest.raises(UnknownTask, match="'eve'"):
        await queue.owner.answers_of("eve", offset=0, limit=1)


async def test_the_matrix_says_who_agrees_with_whom(
    queue: LabelQueue, make_queue: MakeQueue
) -> None:
    matrix = await queue.owner.agreement(offset=0, limit=20)
    assert (matrix.names, matrix.total) == (("ann", "bob", "cid"), 3)
    shares = [
        [None if each is None else (each.share, each.num_queries) for each in row.with_others]
        for row in matrix.rows
    ]
    assert shares == [
        [None, (1.0, 8), (0.5, 8)],
        [(1.0, 8), None, (0.5, 8)],
        [(0.5, 8), (0.5, 8), None],
    ]
    page = await queue.owner.agreement(offset=1, limit=1)
    assert (page.names, page.rows, page.offset) == (matrix.names, matrix.rows[1:2], 1)
    assert await make_queue(CONFIG).owner.agreement(offset=0, limit=20) == matrix
