"""Tokens, one-time links and sessions."""

from __future__ import annotations

import asyncio

import pytest

from label_queue.config import IntakeConfig
from label_queue.folds.access import Identity
from label_queue.folds.people import person
from label_queue.ledger.records import LabelerToken, Role, RoleChange, TokenRevocation
from label_queue.queue import LabelQueue
from protocol.errors import InvalidLabel, LabelConflict, ResourceError, Unauthenticated, UnknownTask
from tests.support.labels import ManualClock, make_config
from tests.support.memory_ledger import MemoryLedger
from tests.unit.label_queue.conftest import MakeQueue

INTAKE = IntakeConfig(link_ttl_s=100.0, session_ttl_s=1_000.0, session_max_age_s=2_500.0)
ANN = Identity(labeler_id="ann", role="labeler")


@pytest.fixture
def queue(make_queue: MakeQueue) -> LabelQueue:
    return make_queue(make_config(intake=INTAKE))


async def new_link(queue: LabelQueue, name: str = "ann") -> str:
    admission = await queue.owner.admit(name, "labeler")
    assert admission.link.startswith("/enter/")
    return admission.link.removeprefix("/enter/")


@pytest.mark.parametrize("name", ["owner", "guard", "learner"])
async def test_no_labeler_is_called_like_those_who_act_in_the_record(
    queue: LabelQueue, name: str
) -> None:
    with pytest.raises(InvalidLabel, match="choose another") as caught:
        await queue.owner.admit(name, "labeler")
    assert caught.value.field == "labeler_id"
    await queue.owner.admit("owner", "owner")


@pytest.mark.parametrize("name", ["guard", "learner", "import"])
async def test_no_owner_is_called_like_what_acts_for_the_run(queue: LabelQueue, name: str) -> None:
    for act in (queue.owner.admit(name, "owner"), queue.owner.add_labeler(name, "owner")):
        with pytest.raises(InvalidLabel, match="choose another"):
            await act
    assert not queue.state.access.knows(name)


async def test_who_is_admitted_has_a_token_and_a_link_to_a_session(queue: LabelQueue) -> None:
    admission = await queue.owner.admit("olga", "owner")
    olga = Identity(labeler_id="olga", role="owner")
    assert await queue.people.authenticate(admission.token) == olga
    session = await queue.people.open_link(admission.link.removeprefix("/enter/"))
    assert await queue.people.authenticate(session) == olga


async def test_a_link_is_no_token_and_a_token_no_link(queue: LabelQueue) -> None:
    code = await new_link(queue)
    with pytest.raises(Unauthenticated, match="not known"):
        await queue.people.authenticate(code)
    with pytest.raises(Unauthenticated, match="link is not known"):
        await queue.people.open_link(await queue.owner.add_labeler("ann"))


async def test_a_link_works_once_also_after_a_restart(make_queue: MakeQueue) -> None:
    first = make_queue()
    code = await new_link(first)
    session = await first.people.open_link(code)
    for queue in (first, make_queue()):
        with pytest.raises(Unauthenticated, match="used or revoked"):
            await queue.people.open_link(code)
        assert await queue.people.authenticate(session) == ANN


async def test_of_many_who_open_a_link_at_once_one_gets_in(
    queue: LabelQueue, ledger: MemoryLedger
) -> None:
    code = await new_link(queue)
    results = await asyncio.gather(
        *(queue.people.open_link(code) for _ in range(20)), return_exceptions=True
    )
    assert sum(isinstance(result, str) for result in results) == 1
    assert sum(isinstance(result, Unauthenticated) for result in results) == 19
    assert [token.kind for token in ledger.read(LabelerToken)].count("session") == 1


async def test_a_link_whose_use_could_not_be_written_is_still_good(
    queue: LabelQueue, ledger: MemoryLedger
) -> None:
    code = await new_link(queue)
    ledger.is_full = True
    with pytest.raises(ResourceError):
        await queue.people.open_link(code)
    ledger.is_full = False
    assert await queue.people.authenticate(await queue.people.open_link(code)) == ANN


async def test_links_end(queue: LabelQueue, clock: ManualClock) -> None:
    late = await new_link(queue)
    clock.now += 100.0
    with pytest.raises(Unauthenticated, match="link has expired"):
        await queue.people.open_link(late)


async def test_a_session_lasts_while_it_is_used_up_to_its_age(
    queue: LabelQueue, clock: ManualClock
) -> None:
    session = await queue.people.open_link(await new_link(queue))
    for passed_s in (999.0, 999.0, 501.0):
        clock.now += passed_s
        assert await queue.people.authenticate(session) == ANN
    clock.now += 1.0
    with pytest.raises(Unauthenticated, match="expired"):
        await queue.people.authenticate(session)


async def test_a_session_that_is_left_alone_ends(queue: LabelQueue, clock: ManualClock) -> None:
    session = await queue.people.open_link(await new_link(queue))
    clock.now += 999.0
    assert await queue.people.authenticate(session) == ANN
    clock.now += 1_000.0
    for _ in range(2):
        with pytest.raises(Unauthenticated, match="expired"):
            await queue.people.authenticate(session)


async def test_a_token_lasts_without_use(queue: LabelQueue, clock: ManualClock) -> None:
    token = await queue.owner.add_labeler("ann")
    clock.now += 1e6
    assert await queue.people.authenticate(token) == ANN


async def test_a_restarted_queue_takes_its_beginning_for_the_last_use_and_keeps_the_age(
    make_queue: MakeQueue, clock: ManualClock
) -> None:
    config = make_config(intake=INTAKE)
    queue = make_queue(config)
    session = await queue.people.open_link(await new_link(queue))
    for passed_s in (900.0, 900.0, 699.0):
        clock.now += passed_s
        queue = make_queue(config)
        assert await queue.people.authenticate(session) == ANN
    clock.now += 1.0
    with pytest.raises(Unauthenticated, match="expired"):
        await make_queue(config).people.authenticate(session)


def test_a_session_cannot_slide_beyond_its_age() -> None:
    with pytest.raises(ValueError, match=r"session_ttl_s .*above session_max_age_s"):
        IntakeConfig(session_ttl_s=101.0, session_max_age_s=100.0)


async def test_leaving_ends_a_session_and_nothing_else(
    queue: LabelQueue, ledger: MemoryLedger
) -> None:
    token = await queue.owner.add_labeler("ann")
    session = await queue.people.open_link(await new_link(queue))
    for left in (session, session, token, "unheard of"):
        await queue.people.leave(left)
    with pytest.raises(Unauthenticated, match="revoked"):
        await queue.people.authenticate(session)
    assert await queue.people.authenticate(token) == ANN
    assert [each.reason for each in ledger.read(TokenRevocation)] == ["used", "left"]


async def test_revoking_voids_all_that_somebody_has(
    queue: LabelQueue, make_queue: MakeQueue
) -> None:
    token = await queue.owner.add_labeler("ann")
    session = await queue.people.open_link(await new_link(queue))
    code = await new_link(queue)
    bob = await queue.owner.add_labeler("bob")
    await queue.owner.revoke("ann", "left the project")
    await queue.owner.revoke("ann", "left the project")
    for each in (queue, make_queue()):
        for void in (token, session):
            with pytest.raises(Unauthenticated, match="revoked"):
                await each.people.authenticate(void)
        with pytest.raises(Unauthenticated, match="used or revoked"):
            await each.people.open_link(code)
        assert (await each.people.authenticate(bob)).labeler_id == "bob"
    again = await queue.owner.add_labeler("ann")
    assert await queue.people.authenticate(again) == ANN


async def test_no_session_that_is_being_opened_outlasts_a_revocation(queue: LabelQueue) -> None:
    code = await new_link(queue)
    session, _ = await asyncio.gather(
        queue.people.open_link(code), queue.owner.revoke("ann", "left the project")
    )
    with pytest.raises(Unauthenticated, match="revoked"):
        await queue.people.authenticate(session)
    assert queue.state.access.live("ann") == []


async def test_revoking_nobody_or_the_only_owner_is_refused(queue: LabelQueue) -> None:
    with pytest.raises(UnknownTask, match="'eve'"):
        await queue.owner.revoke("eve", "who?")
    token = await queue.owner.add_labeler("owner", "owner")
    with pytest.raises(LabelConflict, match="only owner"):
        await queue.owner.revoke("owner", "by mistake")
    await queue.owner.add_labeler("olga", "owner")
    await queue.owner.revoke("owner", "replaced")
    with pytest.raises(Unauthenticated):
        await queue.people.authenticate(token)


async def test_owners_and_the_revoked_are_no_labelers_to_ask(make_queue: MakeQueue) -> None:
    queue = make_queue(make_config(overlap_share=0.5, overlap_labelers=5))
    for name in ("ann", "bob", "carl"):
        await queue.owner.add_labeler(name)
    await queue.owner.add_labeler("owner", "owner")
    await queue.owner.revoke("carl", "left")
    assert queue.state.access.labelers == {"ann", "bob"}
    assert queue.state.access.known == {"ann", "bob", "carl"}


# --- people and their roles ----------------------------------------------------------------------


def ways_in(queue: LabelQueue, name: str = "ann") -> list[tuple[str, float, str, float | None]]:
    """What lets somebody in, newest first: its kind, when and by whom it was made, last use."""
    who = person(queue.state.access, name)
    return [(way.kind, way.made_at, way.made_by, way.last_used_at) for way in who.ways_in]


async def test_who_may_come_in_is_listed_with_when_and_by_whom(
    queue: LabelQueue, clock: ManualClock
) -> None:
    start = clock.now
    admission = await queue.owner.admit("ann", "labeler", actor="olga")
    clock.now += 10.0
    await queue.people.authenticate(admission.token)
    clock.now += 10.0
    session = await queue.people.open_link(admission.link.removeprefix("/enter/"))
    assert ways_in(queue) == [
        ("session", start + 20.0, "ann", None),
        ("token", start, "olga", start + 10.0),
    ]
    clock.now += 5.0
    await queue.people.authenticate(session)
    assert ways_in(queue)[0] == ("session", start + 20.0, "ann", start + 25.0)
    [ann] = (await queue.owner.people(offset=0, limit=10)).people
    assert (ann.labeler_id, ann.role, ann.let_in_at) == ("ann", "labeler", start)
    assert ann.last_used_at == start + 25.0
    await queue.owner.revoke("ann", "left", actor="olga")
    [ann] = (await queue.owner.people(offset=0, limit=10)).people
    assert (ann.ways_in, ann.role) == ((), "labeler")


async def test_one_token_is_revoked_and_the_others_stay(
    queue: LabelQueue, ledger: MemoryLedger, make_queue: MakeQueue
) -> None:
    lost = await queue.owner.admit("ann")
    kept = await queue.owner.admit("ann")
    assert len({*lost.token_ids, *kept.token_ids}) == 4
    for name in lost.token_ids:
        await queue.owner.revoke_token("ann", name, "sent to the wrong one", actor="olga")
    for each in (queue, make_queue(make_config(intake=INTAKE))):
        with pytest.raises(Unauthenticated, match="revoked"):
            await each.people.authenticate(lost.token)
        with pytest.raises(Unauthenticated, match="used or revoked"):
            await each.people.open_link(lost.link.removeprefix("/enter/"))
        assert await each.people.authenticate(kept.token) == ANN
    assert {each.actor for each in ledger.read(TokenRevocation)} == {"olga"}
    for name, token_id in (("ann", "0" * 16), ("eve", kept.token_ids[0])):
        with pytest.raises(UnknownTask):
            await queue.owner.revoke_token(name, token_id, "which?")
    await queue.owner.admit("bob")
    with pytest.raises(UnknownTask):  # of somebody else
        await queue.owner.revoke_token("bob", kept.token_ids[0], "which?")


async def test_a_role_changes_for_all_that_somebody_comes_by(
    queue: LabelQueue, ledger: MemoryLedger, make_queue: MakeQueue
) -> None:
    await queue.owner.add_labeler("owner", "owner")
    first = await queue.owner.admit("ann")
    session = await queue.people.open_link(first.link.removeprefix("/enter/"))
    unopened = (await queue.owner.admit("ann")).link.removeprefix("/enter/")
    changed = await queue.owner.change_role("ann", "observer", "watches now", actor="olga")
    assert changed.role == "observer"
    again = make_queue(make_config(intake=INTAKE))
    for each in (queue, again):
        for token in (first.token, session):
            assert (await each.people.authenticate(token)).role == "observer"
        assert each.state.access.labelers == set()
    opened = await queue.people.open_link(unopened)
    assert (await queue.people.authenticate(opened)).role == "observer"
    [change] = ledger.read(RoleChange)
    assert (change.labeler_id, change.role, change.actor) == ("ann", "observer", "olga")
    assert (await queue.owner.change_role("ann", "labeler", "labels again")).role == "labeler"
    assert queue.state.access.labelers == {"ann"}


async def test_nobody_is_let_in_twice_in_two_roles(queue: LabelQueue) -> None:
    await queue.owner.add_labeler("owner", "owner")
    await queue.owner.admit("ann", "observer")
    with pytest.raises(LabelConflict, match="'ann' is in as observer: change their role"):
        await queue.owner.admit("ann", "labeler")
    with pytest.raises(LabelConflict, match="change their role"):
        await queue.owner.add_labeler("ann", "owner")
    again = await queue.owner.admit("ann")
    assert again.role == "observer"
    await queue.owner.revoke("ann", "left")
    back = await queue.owner.admit("ann", "labeler")
    assert (await queue.people.authenticate(back.token)).role == "labeler"


async def test_the_role_of_the_only_owner_stays(queue: LabelQueue, make_queue: MakeQueue) -> None:
    admission = await queue.owner.admit("olga", "owner")
    with pytest.raises(LabelConflict, match="only owner"):
        await queue.owner.change_role("olga", "labeler", "by mistake")
    await queue.owner.revoke_token("olga", admission.token_ids[0], "opened another")
    with pytest.raises(LabelConflict, match="only owner"):
        await queue.owner.revoke_token("olga", admission.token_ids[1], "by mistake")
    await queue.owner.admit("ove", "labeler")
    await queue.owner.change_role("ove", "owner", "helps")
    assert (await queue.owner.change_role("olga", "labeler", "hands over")).role == "labeler"
    with pytest.raises(LabelConflict, match="only owner"):
        await make_queue().owner.revoke("ove", "by mistake")


async def test_of_two_owners_who_revoke_each_other_one_stays(queue: LabelQueue) -> None:
    for name in ("olga", "ove"):
        await queue.owner.admit(name, "owner")
    results = await asyncio.gather(
        queue.owner.revoke("olga", "a quarrel", actor="ove"),
        queue.owner.change_role("ove", "labeler", "a quarrel", actor="olga"),
        return_exceptions=True,
    )
    assert [type(each) for each in results] == [type(None), LabelConflict]


async def test_what_the_run_itself_is_called_is_no_observer(queue: LabelQueue) -> None:
    await queue.owner.add_labeler("owner", "owner")
    await queue.owner.admit("olga", "owner")
    for act in (
        queue.owner.change_role("owner", "observer", "x"),
        queue.owner.admit("guard", "observer"),
    ):
        with pytest.raises(InvalidLabel, match="choose another"):
            await act
    with pytest.raises(UnknownTask, match="'eve'"):
        await queue.owner.change_role("eve", "owner", "who?")


async def test_in_older_ledgers_a_name_in_two_roles_is_shown_in_the_higher(
    make_queue: MakeQueue, ledger: MemoryLedger
) -> None:
    roles: tuple[Role, ...] = ("owner", "labeler")
    old = [
        LabelerToken(
            token_sha256=role, labeler_id="ann", created_at=1.0, expires_at=None, role=role
        )
        for role in roles
    ]
    ledger.write(old)
    [ann] = (await make_queue().owner.people(offset=0, limit=10)).people
    assert (ann.role, [way.made_by for way in ann.ways_in]) == ("owner", ["", ""])
