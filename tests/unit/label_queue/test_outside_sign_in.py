"""Whom a provider's word lets in, what of it the ledger keeps, and what ends it."""

from __future__ import annotations

import asyncio

import pytest

from label_queue.config import IntakeConfig
from label_queue.folds.access import Identity
from label_queue.folds.people import Person, token_id_of
from label_queue.ledger.records import LabelerToken
from label_queue.queue import LabelQueue
from protocol.errors import Forbidden, LabelConflict, ResourceError, Unauthenticated
from tests.support.labels import ManualClock, make_config
from tests.support.memory_ledger import MemoryLedger
from tests.support.people_contract import OIDC, vouched_for
from tests.unit.label_queue.conftest import MakeQueue

ANN = "ann@example.org"
ADDED = make_config(intake=IntakeConfig(oidc=OIDC))
OF_DOMAIN = make_config(
    intake=IntakeConfig(oidc=OIDC.model_copy(update={"domains": ("example.org",)}))
)
BY_SUB = make_config(intake=IntakeConfig(oidc=OIDC.model_copy(update={"claim": "sub"})))


@pytest.fixture
def queue(make_queue: MakeQueue) -> LabelQueue:
    return make_queue(ADDED)


async def sign_in(queue: LabelQueue, name: str = ANN) -> Identity:
    return await queue.people.authenticate(await queue.people.sign_in(vouched_for(name)))


async def person(queue: LabelQueue, name: str = ANN) -> Person:
    [found] = (await queue.owner.people(offset=0, limit=9, search=name)).people
    return found


def kinds(person: Person) -> list[str]:
    return sorted(way.kind for way in person.ways_in)


async def test_who_is_added_has_an_identity_beside_link_and_token(queue: LabelQueue) -> None:
    admission = await queue.owner.admit(ANN, "labeler", actor="olga")
    ann = await person(queue)
    assert kinds(ann) == ["identity", "link", "token"]
    assert sorted(admission.token_ids) == sorted(way.token_id for way in ann.ways_in)
    assert {way.made_by for way in ann.ways_in} == {"olga"}
    await queue.owner.admit(ANN)
    await queue.owner.add_labeler(ANN)
    assert kinds(await person(queue)).count("identity") == 1


async def test_a_provider_s_word_brings_the_role_somebody_has_here(queue: LabelQueue) -> None:
    await queue.owner.admit(ANN, "observer")
    assert (await sign_in(queue)).role == "observer"
    await queue.owner.change_role(ANN, "owner", "helps")
    assert (await sign_in(queue)).role == "owner"


async def test_the_session_and_whose_word_opened_it_are_in_the_ledger(
    queue: LabelQueue, make_queue: MakeQueue, ledger: MemoryLedger, clock: ManualClock
) -> None:
    await queue.owner.admit(ANN)
    clock.now += 60.0
    token = await queue.people.sign_in(vouched_for(ANN))
    session = ledger.read(LabelerToken)[-1]
    assert (session.kind, session.labeler_id, session.made_by) == ("session", ANN, ANN)
    assert session.signed_in_as == f"https://id.example.org of {ANN}"
    assert session.created_at == clock.now
    [used] = [way.last_used_at for way in (await person(queue)).ways_in if way.kind == "identity"]
    assert used == clock.now
    again = make_queue(ADDED)
    assert (await again.people.authenticate(token)).labeler_id == ANN
    assert (await sign_in(again)).labeler_id == ANN


async def test_no_identity_is_a_token(queue: LabelQueue, ledger: MemoryLedger) -> None:
    await queue.owner.admit(ANN)
    [identity] = [each for each in ledger.read(LabelerToken) if each.kind == "identity"]
    assert identity.expires_at is None
    for guess in (identity.token_sha256, ANN, vouched_for(ANN).provenance):
        with pytest.raises(Unauthenticated):
            await queue.people.authenticate(guess)
        with pytest.raises(Unauthenticated):
            await queue.people.open_link(guess)


async def test_who_was_let_in_before_there_was_a_provider_comes_in_too(
    make_queue: MakeQueue,
) -> None:
    before = make_queue(make_config())
    await before.owner.admit(ANN, "owner")
    await before.owner.admit("bob@example.org")
    await before.owner.revoke("bob@example.org", "left us")
    assert kinds(await person(before)) == ["link", "token"]
    queue = make_queue(ADDED)
    assert (await sign_in(queue)).role == "owner"
    assert kinds(await person(queue)) == ["identity", "link", "session", "token"]
    with pytest.raises(Forbidden, match="may not come in any more"):
        await sign_in(queue, "bob@example.org")


async def test_an_identity_outlives_what_was_given_with_it(
    make_queue: MakeQueue, clock: ManualClock
) -> None:
    intake = IntakeConfig(oidc=OIDC, token_ttl_s=100.0)
    queue = make_queue(make_config(intake=intake))
    await queue.owner.admit(ANN)
    clock.now += 1e7
    assert kinds(await person(queue)) == ["identity"]
    assert (await sign_in(queue)).labeler_id == ANN


async def test_with_an_identity_end_the_sessions_that_it_let_in_and_no_others(
    queue: LabelQueue, make_queue: MakeQueue
) -> None:
    admission = await queue.owner.admit(ANN)
    by_link = await queue.people.open_link(admission.link.removeprefix("/enter/"))
    by_word = [await queue.people.sign_in(vouched_for(ANN)) for _ in range(2)]
    [identity] = [way for way in (await person(queue)).ways_in if way.kind == "identity"]
    await queue.owner.revoke_token(ANN, identity.token_id, "lost their account")
    for each in (queue, make_queue(ADDED)):
        for session in by_word:
            with pytest.raises(Unauthenticated, match="revoked"):
                await each.people.authenticate(session)
        assert (await each.people.authenticate(by_link)).labeler_id == ANN


async def test_a_session_of_a_domain_s_newcomer_ends_with_the_identity_made_with_it(
    make_queue: MakeQueue,
) -> None:
    queue = make_queue(OF_DOMAIN)
    session = await queue.people.sign_in(vouched_for(ANN))
    [identity] = [way for way in (await person(queue)).ways_in if way.kind == "identity"]
    await queue.owner.revoke_token(ANN, identity.token_id, "not one of ours")
    with pytest.raises(Unauthenticated, match="revoked"):
        await queue.people.authenticate(session)


@pytest.mark.parametrize("is_one", [False, True], ids=["all", "the identity alone"])
async def test_who_was_revoked_stays_out_until_they_are_added_again(
    queue: LabelQueue, make_queue: MakeQueue, ledger: MemoryLedger, is_one: bool
) -> None:
    await queue.owner.admit(ANN)
    if is_one:
        [identity] = [each for each in ledger.read(LabelerToken) if each.kind == "identity"]
        await queue.owner.revoke_token(ANN, token_id_of(identity), "lost their account")
    else:
        await queue.owner.revoke(ANN, "left us")
    for each in (queue, make_queue(ADDED), make_queue(OF_DOMAIN)):
        with pytest.raises(Forbidden, match="may not come in any more"):
            await sign_in(each)
    await queue.owner.admit(ANN)
    assert (await sign_in(queue)).labeler_id == ANN


async def test_all_is_revoked_with_the_session_that_a_provider_s_word_opened(
    queue: LabelQueue,
) -> None:
    await queue.owner.admit(ANN)
    session = await queue.people.sign_in(vouched_for(ANN))
    await queue.owner.revoke(ANN, "left us")
    with pytest.raises(Unauthenticated):
        await queue.people.authenticate(session)


async def test_a_labeler_who_was_excluded_stays_out_until_they_are_reinstated(
    queue: LabelQueue,
) -> None:
    await queue.owner.admit(ANN)
    await queue.owner.exclude(ANN, 0, "spam")
    with pytest.raises(Forbidden, match="were excluded"):
        await sign_in(queue)
    await queue.owner.reinstate(ANN, "a mistake")
    assert (await sign_in(queue)).labeler_id == ANN


async def test_an_owner_whose_labels_were_excluded_can_come_in_to_undo_it(
    queue: LabelQueue,
) -> None:
    await queue.owner.admit(ANN, "owner")
    await queue.owner.exclude(ANN, 0, "was only trying")
    assert (await sign_in(queue)).role == "owner"


async def test_by_default_nobody_new_is_let_in(queue: LabelQueue, ledger: MemoryLedger) -> None:
    with pytest.raises(Forbidden, match="ask the run's owner to add you"):
        await sign_in(queue)
    assert ledger.read(LabelerToken) == []


async def test_a_domain_lets_its_people_in_as_labelers(
    make_queue: MakeQueue, ledger: MemoryLedger
) -> None:
    queue = make_queue(OF_DOMAIN)
    assert await sign_in(queue, "Ann@EXAMPLE.org") == Identity(labeler_id=ANN, role="labeler")
    assert [each.kind for each in ledger.read(LabelerToken)] == ["identity", "session"]
    assert {each.made_by for each in ledger.read(LabelerToken)} == {ANN}
    await sign_in(queue)
    await queue.owner.revoke(ANN, "left us")
    with pytest.raises(Forbidden, match="may not come in any more"):
        await sign_in(queue)


async def test_of_many_sign_ins_at_once_one_makes_the_identity(
    make_queue: MakeQueue, ledger: MemoryLedger
) -> None:
    queue = make_queue(OF_DOMAIN)
    await asyncio.gather(*(sign_in(queue) for _ in range(10)))
    made = [each.kind for each in ledger.read(LabelerToken)]
    assert (made.count("identity"), made.count("session")) == (1, 10)


@pytest.mark.parametrize(
    "name",
    ["eve@example.com", "eve@sub.example.org", "eve@notexample.org", "example.org", "@example.org"],
)
async def test_a_domain_lets_nobody_else_in(make_queue: MakeQueue, name: str) -> None:
    queue = make_queue(OF_DOMAIN)
    with pytest.raises(Forbidden):
        await sign_in(queue, name)


@pytest.mark.parametrize("name", ["owner", "Owner", "guard", "learner", "import"])
async def test_nobody_comes_in_by_a_name_of_the_run_s_own(make_queue: MakeQueue, name: str) -> None:
    queue = make_queue(BY_SUB)
    await queue.owner.add_labeler("owner", "owner")
    assert kinds(await person(queue, "owner")) == ["token"]
    with pytest.raises(Forbidden, match="cannot be anybody's name"):
        await sign_in(queue, name)


async def test_other_claims_are_taken_to_the_letter(make_queue: MakeQueue) -> None:
    queue = make_queue(BY_SUB)
    await queue.owner.admit("Ann")
    assert (await sign_in(queue, "Ann")).labeler_id == "Ann"
    with pytest.raises(Forbidden, match="nobody called 'ann'"):
        await sign_in(queue, "ann")


async def test_an_address_finds_its_person_in_whatever_case_they_were_added(
    queue: LabelQueue,
) -> None:
    await queue.owner.admit("Ann.Lee@Example.org", "observer")
    assert (await sign_in(queue, "ann.LEE@example.org")).labeler_id == "Ann.Lee@Example.org"
    await queue.owner.admit("ANN.LEE@example.org", "owner")
    with pytest.raises(Forbidden, match="may be any of"):
        await sign_in(queue, "ann.lee@example.org")
    await queue.owner.admit("ann.lee@example.org", "labeler")
    assert (await sign_in(queue, "ann.lee@EXAMPLE.org")).labeler_id == "ann.lee@example.org"


async def test_where_no_provider_is_configured_no_word_counts(
    make_queue: MakeQueue, ledger: MemoryLedger
) -> None:
    queue = make_queue()
    await queue.owner.admit(ANN)
    with pytest.raises(Forbidden, match="nobody signs in by a provider here"):
        await queue.people.sign_in(vouched_for(ANN))
    assert [each.kind for each in ledger.read(LabelerToken)] == ["link", "token"]


async def test_a_session_that_could_not_be_written_lets_nobody_in(
    queue: LabelQueue, ledger: MemoryLedger
) -> None:
    await queue.owner.admit(ANN)
    ledger.is_full = True
    with pytest.raises(ResourceError):
        await queue.people.sign_in(vouched_for(ANN))
    ledger.is_full = False
    assert (await sign_in(queue)).labeler_id == ANN


async def test_an_owner_s_last_way_in_may_be_their_identity_and_is_kept(
    queue: LabelQueue, ledger: MemoryLedger
) -> None:
    admission = await queue.owner.admit(ANN, "owner")
    [identity] = [each for each in ledger.read(LabelerToken) if each.kind == "identity"]
    for token_id in admission.token_ids:
        if token_id != token_id_of(identity):
            await queue.owner.revoke_token(ANN, token_id, "not needed")
    with pytest.raises(LabelConflict, match="only owner"):
        await queue.owner.revoke_token(ANN, token_id_of(identity), "by mistake")
