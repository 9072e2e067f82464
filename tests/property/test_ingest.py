"""Any interleaving of deliveries, then one complete sweep, leaves the labels that the tool holds.

Deliveries are doubled, late, lost and reordered; the ledger says the same after a restart.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from label_queue.connector_config import JsonlConfig
from label_queue.connectors.ingest import IngestCounts
from label_queue.connectors.port import Annotation, Answer, Deletion, Sweep
from label_queue.connectors.translation import outside_task
from tests.support.labels import ManualClock, changes, make_query
from tests.support.memory_ledger import MemoryLedger
from tests.support.outside import OutsideRun

TOOL = "jsonl"
CONFIG = JsonlConfig.model_validate({"kind": "jsonl", "path": "unused.jsonl"})
LETTERS = "abcd"


@dataclass(frozen=True)
class Edit:
    """Somebody answers, changes an answer or deletes it."""

    answer: int
    letter: str
    is_deletion: bool


EDITS = st.lists(
    st.builds(
        Edit,
        answer=st.integers(0, 5),
        letter=st.sampled_from(LETTERS),
        is_deletion=st.booleans(),
    ),
    max_size=12,
)
DELIVERIES = st.lists(
    st.tuples(st.integers(0, 11), st.sampled_from(["change", "restart", "sweep"])), max_size=20
)


class Tool:
    """Answers 0 … 5: two each of two users to two queries, and a second one of user 0 to each."""

    def __init__(self) -> None:
        self.now = 0
        self.present: dict[str, Annotation] = {}
        self.gone: set[str] = set()

    def apply(self, edit: Edit) -> Annotation | Deletion | None:
        """Return what the tool would tell of an edit; a deleted id is never used again."""
        external_id = str(edit.answer)
        if edit.is_deletion:
            if self.present.pop(external_id, None) is None:
                return None
            self.gone.add(external_id)
            return Deletion(external_id=external_id)
        if external_id in self.gone:
            return None
        self.now += 1
        self.present[external_id] = Annotation(
            external_id=external_id,
            updated_at=f"2026-01-01T00:00:{self.now:02d}.000000Z",
            payload_sha256=edit.letter,
            user=str(edit.answer % 2 if edit.answer < 4 else 0),
            query_id=f"q{edit.answer // 2 % 2}",
            answer=Answer(outcome="choice", choice=edit.letter),
        )
        return self.present[external_id]

    def labels(self) -> dict[tuple[str, str], str]:
        """What should stand: of a labeler's answers to one query the newest."""
        newest: dict[tuple[str, str], Annotation] = {}
        for annotation in sorted(self.present.values(), key=lambda a: a.updated_at):
            newest[f"{TOOL}:{annotation.user}", annotation.query_id] = annotation
        return {
            label: shown(annotation.query_id, annotation.answer.choice or "")
            for label, annotation in newest.items()
        }


def shown(query_id: str, letter: str) -> str:
    return outside_task(TOOL, make_query(int(query_id[1:]))).order[LETTERS.index(letter)]


async def play(edits: list[Edit], deliveries: list[tuple[int, str]]) -> None:
    ledger, clock, tool = MemoryLedger(), ManualClock(), Tool()
    run = OutsideRun(ledger, [CONFIG], clock)
    await run.ask(make_query(0), make_query(1))
    told = [change for edit in edits if (change := tool.apply(edit)) is not None]
    for which, how in deliveries:
        if how == "restart":
            run = OutsideRun(ledger, [CONFIG], clock)
        elif told and how == "change":
            await run.labels.ingest(TOOL, Sweep(answers=(told[which % len(told)],)))
        elif told:
            # As a sweep of a while ago would have been: no more than what was told until then.
            past: dict[str, Annotation] = {}
            for change in told[: which % len(told)]:
                if isinstance(change, Deletion):
                    past.pop(change.external_id, None)
                else:
                    past[change.external_id] = change
            await run.labels.ingest(TOOL, Sweep(answers=tuple(past.values()), is_complete=True))

    everything = Sweep(answers=tuple(tool.present.values()), is_complete=True)
    await run.labels.ingest(TOOL, everything)

    assert {label: event.choice for label, event in run.current_labels().items()} == tool.labels()
    num_events = len(ledger.events())
    again = OutsideRun(ledger, [CONFIG], clock)
    counts = await again.labels.ingest(TOOL, everything)
    assert counts == IngestCounts(duplicate=counts.duplicate)
    assert len(ledger.events()) == num_events
    revisions: dict[str, int] = {}
    for event in changes(ledger.events()):
        assert event.revision == revisions.get(event.label_id, -1) + 1
        revisions[event.label_id] = event.revision


@settings(max_examples=100, deadline=None)
@given(edits=EDITS, deliveries=DELIVERIES)
def test_a_sweep_ends_every_interleaving_in_the_tools_labels(
    edits: list[Edit], deliveries: list[tuple[int, str]]
) -> None:
    asyncio.run(play(edits, deliveries))
