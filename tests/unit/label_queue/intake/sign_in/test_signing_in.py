"""Signing in by a provider: who comes in, with what, and where to."""

from __future__ import annotations

import pytest

from label_queue.folds.access import Identity
from label_queue.intake.identity import CSRF_HEADER, csrf_token
from label_queue.intake.public_address import Site
from label_queue.ledger.records import LabelerToken
from label_queue.queue import LabelQueue
from tests.support.labels import make_config
from tests.support.memory_ledger import MemoryLedger
from tests.support.oidc_provider import ANN, OidcProvider
from tests.unit.label_queue.conftest import MakeQueue
from tests.unit.label_queue.intake.client import LIMITS, client_of
from tests.unit.label_queue.intake.sign_in.browser import SITE, Clocks, Visit, Visitor


async def test_a_provider_s_word_opens_the_session_that_a_link_opens(
    ann: Visitor, queue: LabelQueue, ledger: MemoryLedger, provider: OidcProvider
) -> None:
    answer = await ann.sign_in()
    assert (answer.status_code, answer.headers["location"]) == (303, "/run-a/")
    session = ann.here.cookies[SITE.session_cookie]
    whose = Identity(labeler_id="ann@example.org", role="labeler")
    assert await queue.people.authenticate(session) == whose
    assert (await ann.here.get("/")).status_code == 200
    kept = ledger.read(LabelerToken)[-1]
    assert (kept.kind, kept.made_by) == ("session", "ann@example.org")
    assert kept.signed_in_as == f"{provider.issuer} {ANN['sub']}"
    link = (await queue.owner.admit("ann@example.org")).link
    by_link = await ann.here.post(link, headers={"Origin": "http://127.0.0.1"})
    assert _attributes(by_link.headers.get_list("set-cookie")[0]) == _attributes(
        next(each for each in answer.headers.get_list("set-cookie") if "session" in each)
    )


def _attributes(cookie: str) -> set[str]:
    return {part.strip().lower() for part in cookie.split(";")[1:]}


async def test_leaving_ends_the_session_and_the_button_is_there_again(ann: Visitor) -> None:
    await ann.sign_in()
    csrf = csrf_token(ann.here.cookies[SITE.session_cookie])
    headers = {"Origin": "http://127.0.0.1", CSRF_HEADER: csrf}
    assert (await ann.here.post("/leave", headers=headers)).status_code == 204
    page = await ann.here.get("/")
    assert page.status_code == 401
    assert 'href="http://127.0.0.1/run-a/sign-in"' in page.text
    assert "Sign in with Example ID" in page.text
    assert "one-time link" in page.text


async def test_the_attempt_s_cookie_is_out_of_reach_and_gone_afterwards(ann: Visitor) -> None:
    begun = await ann.here.get("/sign-in")
    [cookie] = begun.headers.get_list("set-cookie")
    assert cookie.startswith("andon_sign_in_run-1=")
    wanted = {"httponly", "samesite=lax", "path=/run-a/sign-in", "max-age=600"}
    assert wanted <= _attributes(cookie)
    assert "andon_sign_in_run-1" in ann.here.cookies
    await ann.sign_in()
    assert "andon_sign_in_run-1" not in ann.here.cookies


async def test_an_answer_is_good_once(ann: Visitor) -> None:
    answer = await ann.go_to_provider()
    assert (await ann.come_back(answer)).status_code == 303
    assert (await ann.come_back(answer)).status_code == 401


async def test_an_owner_and_nobody_else_comes_to_the_owners_page(
    ann: Visitor, queue: LabelQueue
) -> None:
    await queue.owner.admit("olga@example.org", "owner")
    await queue.owner.change_role("ann@example.org", "owner", "helps")
    assert (await ann.sign_in()).headers["location"] == "/run-a/owner"
    await queue.owner.change_role("ann@example.org", "labeler", "helped")
    assert (await ann.sign_in()).headers["location"] == "/run-a/"


@pytest.mark.parametrize(
    ("page", "led_to"),
    [
        ("/owner", "/run-a/owner"),
        ("/", "/run-a/"),
        ("https://evil.example", "/run-a/"),
        ("//evil.example", "/run-a/"),
        ("/\\evil.example", "/run-a/"),
        ("/owner/../../evil", "/run-a/"),
        ("javascript:alert(1)", "/run-a/"),
    ],
)
async def test_nobody_is_led_anywhere_but_to_a_page_of_ours(
    ann: Visitor, page: str, led_to: str
) -> None:
    assert (await ann.sign_in(page)).headers["location"] == led_to


async def test_who_asked_for_the_owners_page_is_led_back_to_it(ann: Visitor) -> None:
    assert "/run-a/sign-in?next=/owner" in (await ann.here.get("/owner")).text


async def test_at_loopback_the_button_leads_to_the_public_address(visit: Visit) -> None:
    site = Site(run_id="run-1", public_url="https://label.example.org/run-a")
    visitor = visit(site=site, base_url="http://127.0.0.1")
    assert "https://label.example.org/run-a/sign-in" in (await visitor.here.get("/")).text
    moved = await visitor.here.get("/sign-in?next=/owner")
    assert moved.headers["location"] == "https://label.example.org/run-a/sign-in?next=/owner"
    assert "set-cookie" not in moved.headers


async def test_what_the_id_token_lacks_is_asked_for(ann: Visitor, provider: OidcProvider) -> None:
    provider.in_id_token = ()
    assert (await ann.sign_in()).status_code == 303
    assert provider.asked[-1] == "/userinfo"


async def test_an_address_is_taken_whole_from_one_answer(
    ann: Visitor, provider: OidcProvider
) -> None:
    """One that is verified there says nothing of another one that is in the ID token."""
    provider.in_id_token = ("email",)
    provider.user = {**ANN, "email_verified": False}
    assert (await ann.sign_in()).status_code == 403


async def test_an_address_may_be_in_another_case(ann: Visitor, provider: OidcProvider) -> None:
    provider.user = {**ANN, "email": "Ann@Example.ORG"}
    assert (await ann.sign_in()).status_code == 303


async def test_another_claim_can_name_people(
    make_queue: MakeQueue, visit: Visit, provider: OidcProvider
) -> None:
    config = provider.config.model_copy(update={"claim": "sub", "scopes": ("openid",)})
    queue = make_queue(make_config(intake=LIMITS.model_copy(update={"oidc": config})))
    await queue.owner.admit("248289761001")
    visitor = visit(queue=queue, config=config)
    provider.user = {"sub": ANN["sub"]}
    assert (await visitor.sign_in()).status_code == 303


async def test_after_a_rotation_the_new_keys_are_fetched(
    ann: Visitor, provider: OidcProvider, at: Clocks
) -> None:
    assert (await ann.sign_in()).status_code == 303
    provider.rotate("second")
    refused = await ann.sign_in()
    assert refused.status_code == 401, "keys are not fetched twice within ten seconds"
    assert "No key for kid" in refused.text
    at.pass_s(10.0)
    assert (await ann.sign_in()).status_code == 303
    assert provider.asked.count("/keys") == 2
    assert provider.asked.count("/.well-known/openid-configuration") == 1


async def test_without_a_provider_nothing_is_there(queue: LabelQueue) -> None:
    async with client_of(queue) as client:
        page = await client.get("/")
        assert (page.status_code, "Sign in" in page.text) == (401, False)
        assert (await client.get("/sign-in")).status_code == 404
        assert (await client.get("/sign-in/callback")).status_code == 404
