"""A session ends with the link that opened it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from label_queue.config import IntakeConfig
from label_queue.folds.access import Access, Identity
from label_queue.ledger.records import LabelerToken
from label_queue.ledger.tables import STREAMS
from label_queue.queue import LabelQueue
from protocol.errors import LabelConflict, Unauthenticated
from tests.support.labels import ManualClock, make_config
from tests.unit.label_queue.conftest import MakeQueue

INTAKE = IntakeConfig(link_ttl_s=100.0, session_ttl_s=1_000.0, session_max_age_s=2_500.0)
ANN = Identity(labeler_id="ann", role="labeler")


async def test_a_session_ends_with_the_link_that_opened_it(
    queue: LabelQueue, make_queue: MakeQueue
) -> None:
    """What the page's *Undo* does where the link was opened meanwhile, by whomever."""
    await queue.owner.add_labeler("olga", "owner")
    wrong = await queue.owner.admit("mallory", "owner", actor="olga")
    other = await queue.owner.admit("mallory", actor="olga")
    session = await queue.people.open_link(wrong.link.removeprefix("/enter/"))
    kept = await queue.people.open_link(other.link.removeprefix("/enter/"))
    for _ in range(2):
        for name in wrong.token_ids:
            await queue.owner.revoke_token("mallory", name, "undone", actor="olga")
    for each in (queue, make_queue(make_config(intake=INTAKE))):
        for void in (session, wrong.token):
            with pytest.raises(Unauthenticated, match="revoked"):
                await each.people.authenticate(void)
        for good in (kept, other.token):
            assert (await each.people.authenticate(good)).role == "owner"


async def test_the_last_owner_keeps_the_session_that_their_link_opened(queue: LabelQueue) -> None:
    admission = await queue.owner.admit("olga", "owner")
    link, token = admission.token_ids
    session = await queue.people.open_link(admission.link.removeprefix("/enter/"))
    await queue.owner.revoke_token("olga", token, "never used")
    with pytest.raises(LabelConflict, match="only owner"):
        await queue.owner.revoke_token("olga", link, "by mistake")
    assert (await queue.people.authenticate(session)).role == "owner"


def test_in_older_ledgers_a_session_does_not_say_what_opened_it() -> None:
    line = {
        "token_sha256": "5e55",
        "labeler_id": "ann",
        "created_at": 1.0,
        "expires_at": None,
        "kind": "session",
    }
    session = STREAMS[LabelerToken].adapter.validate_python(line)
    access = Access(per_s=1.0, burst=1, session_ttl_s=9.0, clock=ManualClock())
    access.add(session)
    link = replace(session, token_sha256="117c", kind="link")
    assert access.opened_by("ann", [link]) == []
