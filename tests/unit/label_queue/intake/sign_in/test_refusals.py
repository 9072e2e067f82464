"""Who is not let in by a provider's word, and what they are told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from joserfc.jwk import RSAKey

from label_queue.ledger.records import LabelerToken
from label_queue.queue import LabelQueue
from tests.support.memory_ledger import MemoryLedger
from tests.support.oidc_provider import ANN, OidcProvider
from tests.unit.label_queue.intake.sign_in.browser import SITE, Clocks, Visit, Visitor

Said = dict[str, Any]


def is_out(visitor: Visitor, answer: httpx.Response, status: int, *words: str) -> None:
    """Check that somebody was told why, has no session, and can begin again."""
    assert answer.status_code == status, answer.text
    for each in words:
        assert each in answer.text
    assert SITE.session_cookie not in visitor.here.cookies
    assert "Sign in with Example ID" in answer.text
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


def _without(name: str) -> Callable[[Said], Said]:
    return lambda said: {key: value for key, value in said.items() if key != name}


def _with(**changes: Any) -> Callable[[Said], Said]:
    return lambda said: {**said, **changes}


@pytest.mark.parametrize(
    ("change", "word"),
    [(_with(nonce="another's"), "nonce"), (_with(aud="another"), "aud")],
)
async def test_an_id_token_that_is_not_for_this_attempt_lets_nobody_in(
    ann: Visitor, provider: OidcProvider, change: Callable[[Said], Said], word: str
) -> None:
    provider.change_claims = change
    is_out(ann, await ann.sign_in(), 401, "ID token", word)


async def test_a_token_signed_by_somebody_else_lets_nobody_in(
    ann: Visitor, provider: OidcProvider, at: Clocks
) -> None:
    provider.published = [provider.key]
    provider.key = RSAKey.generate_key(parameters={"kid": "first"})
    is_out(ann, await ann.sign_in(), 401, "ID token")
    at.pass_s(10.0)
    is_out(ann, await ann.sign_in(), 401, "bad_signature")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"state": "another's"}, ("state", "begin it again")),
        ({"state": ""}, ("state",)),
        ({"iss": "https://evil.example"}, ("another provider",)),
        ({"code": ""}, ("without a code",)),
        ({"code": "made-up"}, ("invalid_grant", "begin again")),
    ],
)
async def test_an_answer_that_is_not_to_this_attempt_lets_nobody_in(
    ann: Visitor, changes: dict[str, str], words: tuple[str, ...]
) -> None:
    answer = await ann.go_to_provider()
    is_out(ann, await ann.come_back(answer, **changes), 401, *words)


async def test_an_answer_opened_in_another_browser_lets_nobody_in(
    ann: Visitor, visit: Visit
) -> None:
    """Or a link could sign somebody in as whoever made it."""
    answer = await ann.go_to_provider()
    victim = visit()
    is_out(victim, await victim.come_back(answer), 401, "not begun in this browser")
    await victim.go_to_provider()
    is_out(victim, await victim.come_back(answer), 401, "state")


async def test_a_code_given_to_another_attempt_lets_nobody_in(ann: Visitor) -> None:
    """A code that was stolen is of no use without the verifier."""
    stolen = httpx.URL((await ann.go_to_provider()).headers["location"]).params["code"]
    own = await ann.go_to_provider()
    is_out(ann, await ann.come_back(own, code=stolen), 401, "invalid_grant")


async def test_who_takes_more_than_ten_minutes_begins_again(ann: Visitor, at: Clocks) -> None:
    answer = await ann.go_to_provider()
    at.pass_s(600.0)
    is_out(ann, await ann.come_back(answer), 401, "ten minutes")


@pytest.mark.parametrize("verified", [False, None, "false", 1, "yes"])
async def test_an_address_that_was_not_verified_lets_nobody_in(
    ann: Visitor, provider: OidcProvider, verified: object
) -> None:
    provider.user = {**ANN, "email_verified": verified}
    is_out(ann, await ann.sign_in(), 403, "has not verified your e-mail address")


async def test_an_address_of_which_nothing_is_said_lets_nobody_in(
    ann: Visitor, provider: OidcProvider
) -> None:
    provider.user = _without("email_verified")(ANN)
    is_out(ann, await ann.sign_in(), 403, "has not verified")


@pytest.mark.parametrize("email", [None, "", 7, ["ann@example.org"]])
async def test_who_has_no_address_is_told_so(
    ann: Visitor, provider: OidcProvider, email: object
) -> None:
    provider.user = {**ANN, "email": email}
    is_out(ann, await ann.sign_in(), 403, "does not say who you are", "scopes")


async def test_somebody_else_at_the_userinfo_endpoint_lets_nobody_in(
    ann: Visitor, provider: OidcProvider
) -> None:
    provider.in_id_token = ()
    provider.change_claims = _with(sub="another")
    is_out(ann, await ann.sign_in(), 401, "two people")


@pytest.mark.parametrize(
    "email", ["eve@example.org", "ann@example.org.evil.example", "owner", "a@b@example.org", "é@x"]
)
async def test_who_was_not_added_stays_out_and_leaves_nothing_behind(
    ann: Visitor, provider: OidcProvider, ledger: MemoryLedger, email: str
) -> None:
    before = len(ledger.read(LabelerToken))
    provider.user = {**ANN, "email": email}
    is_out(ann, await ann.sign_in(), 403, "ask the run&#39;s owner")
    assert len(ledger.read(LabelerToken)) == before


async def test_who_was_revoked_stays_out_until_they_are_added_again(
    ann: Visitor, queue: LabelQueue
) -> None:
    await queue.owner.revoke("ann@example.org", "left us")
    is_out(ann, await ann.sign_in(), 403, "may not come in any more")
    await queue.owner.admit("ann@example.org")
    assert (await ann.sign_in()).status_code == 303


async def test_who_was_excluded_stays_out(ann: Visitor, queue: LabelQueue) -> None:
    await queue.owner.exclude("ann@example.org", 0, "spam")
    is_out(ann, await ann.sign_in(), 403, "were excluded")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("access_denied", ("did not let you through",)),
        ("login_required", ("login_required", "&lt;b&gt;not&lt;/b&gt; today")),
    ],
)
async def test_what_the_provider_says_is_shown_and_harmless(
    ann: Visitor, provider: OidcProvider, error: str, words: tuple[str, ...]
) -> None:
    provider.denies = error
    answer = await ann.sign_in()
    is_out(ann, answer, 401, *words)
    assert "<b>" not in answer.text


async def test_what_a_stranger_says_in_the_provider_s_name_is_not_shown(ann: Visitor) -> None:
    said = {"error": "pay_first", "error_description": "call 0900", "state": "made-up"}
    answer = await ann.here.get("/sign-in/callback", params=said)
    is_out(ann, answer, 401)
    assert "0900" not in answer.text


async def test_a_provider_that_hangs_is_waited_for_no_longer_than_configured(
    visit: Visit, provider: OidcProvider
) -> None:
    config = provider.config.model_copy(update={"timeout_s": 0.3})
    visitor = visit(config=config)
    answer = await visitor.go_to_provider()
    provider.is_answering.clear()
    async with asyncio.timeout(10.0):
        is_out(visitor, await visitor.come_back(answer), 503, "does not answer", "link")
    provider.is_answering.set()
    [told] = visitor.failures
    assert told.startswith("GET /sign-in/callback: TransientError")


async def test_a_provider_that_is_not_there_is_told_of(
    visit: Visit, provider: OidcProvider
) -> None:
    config = provider.config.model_copy(update={"issuer": "http://127.0.0.1:9"})
    visitor = visit(config=config)
    is_out(visitor, await visitor.here.get("/sign-in"), 503, "does not answer")
    [told] = visitor.failures
    assert "http://127.0.0.1:9/.well-known/openid-configuration: ConnectError" in told


async def test_a_secret_that_the_provider_refuses_is_for_the_owner_to_mend(
    visit: Visit, provider: OidcProvider
) -> None:
    visitor = visit(secret="another")
    is_out(visitor, await visitor.sign_in(), 502, "s owner was told why")
    [told] = visitor.failures
    assert "invalid_client" in told
    assert "ANDON_TEST_OIDC_SECRET" in told
    assert "another" not in told


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_with(issuer="https://id.example.org"), "labels.intake.oidc.issuer"),
        (_with(token_endpoint="http://id.example.org/token"), "token_endpoint"),
        (_without("jwks_uri"), "jwks_uri"),
        (_with(code_challenge_methods_supported=["plain"]), "S256"),
        (_with(token_endpoint_auth_methods_supported=["private_key_jwt"]), "private_key_jwt"),
        (lambda _: {"keys": []}, "issuer"),
    ],
)
async def test_a_discovery_document_that_is_no_good_is_for_the_owner_to_mend(
    ann: Visitor, provider: OidcProvider, change: Callable[[Said], Said], words: str
) -> None:
    provider.change_document = change
    is_out(ann, await ann.here.get("/sign-in"), 502, "does not work")
    [told] = ann.failures
    assert words in told
