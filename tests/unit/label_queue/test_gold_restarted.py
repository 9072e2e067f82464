"""Whether gold was there when somebody began is the same after a restart, and so are their labels.

The ledger's streams do not say what came before what in two of them: a start reads the gold of a
file before the first event about somebody, wherever it lies.
"""

from __future__ import annotations

from pathlib import Path

from label_queue.queue import LabelQueue
from tests.unit.label_queue.conftest import MakeQueue
from tests.unit.label_queue.gold_tasks import config_with, with_gold
from tests.unit.label_queue.labeling import answer_orders, label


def held(queue: LabelQueue) -> tuple[str, int, int]:
    """How ann stands, and how many labels train and are held."""
    history = queue.state.history
    return history.standings["ann"].state, history.num_preferences, history.num_held


async def test_who_began_with_an_older_query_is_on_probation_after_a_restart_too(
    make_queue: MakeQueue, tmp_path: Path
) -> None:
    """The gold file came with a resumption; what is open was asked before it."""
    before = make_queue(config_with(repeat_share=0.0))
    await answer_orders(before)
    await label(before, 1, "bob")
    config = with_gold(tmp_path, share=0.0, share_first=0.0)
    queue = make_queue(config)
    assert await queue.people.next_task("ann", 0.0) is not None
    await label(queue, 2, "ann")
    assert held(queue) == ("probation", 1, 2)
    assert held(make_queue(config)) == held(queue)


async def test_who_was_taken_in_again_before_their_first_label_is_on_probation_after_a_restart_too(
    make_queue: MakeQueue, tmp_path: Path
) -> None:
    config = with_gold(tmp_path, share=0.0, share_first=0.0)
    queue = make_queue(config)
    await queue.owner.add_labeler("ann")
    done = await queue.owner.exclude("ann", 0, "a script")
    assert done.undoable is not None
    await queue.owner.undo("ann", done.undoable, "it was another's")
    assert held(queue) == ("probation", 0, 0)
    again = make_queue(config)
    assert held(again) == held(queue)
    await answer_orders(again)
    await label(again, 3, "ann")
    assert held(again) == ("probation", 0, 3)
