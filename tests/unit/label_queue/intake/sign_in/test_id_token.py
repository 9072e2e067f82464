"""What an ID token must say, and who must have signed it."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Callable
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from label_queue.intake.sign_in.discovery import Discovery
from label_queue.intake.sign_in.id_token import LEEWAY_S, check_id_token
from protocol.errors import Unauthenticated
from tests.support.labels import ManualClock

ISSUER = "https://id.example.org"
NOW = 1_760_000_000
SAID: dict[str, Any] = {
    "iss": ISSUER,
    "sub": "248289761001",
    "aud": "andon",
    "iat": NOW - 5,
    "exp": NOW + 300,
    "nonce": "n-1",
}
KEY = ECKey.generate_key(parameters={"kid": "first"})
Key = RSAKey | ECKey | OKPKey | OctKey


async def check(token: str, *published: Key) -> dict[str, Any]:
    """Check a token against the keys that a provider publishes."""

    async def fetch(address: str) -> Any:
        if address.endswith("/keys"):
            return KeySet(list(published or (KEY,))).as_dict(private=False)
        names = ("authorization_endpoint", "token_endpoint")
        return {
            "issuer": ISSUER,
            "jwks_uri": f"{ISSUER}/keys",
            **{name: f"{ISSUER}/{name}" for name in names},
        }

    claims = await check_id_token(
        token,
        discovery=Discovery(ISSUER, fetch, ManualClock()),
        issuer=ISSUER,
        client_id="andon",
        nonce="n-1",
        access_token="jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y",
        now=float(NOW),
    )
    return dict(claims)


def signed(said: dict[str, Any], key: Key = KEY, alg: str = "ES256", **header: Any) -> str:
    lax = JWSRegistry(algorithms=[alg], strict_check_header=False)
    return jwt.encode({"alg": alg, "kid": key.kid, **header}, said, key, registry=lax)


def by_hand(alg: str, secret: bytes | None) -> str:
    """Return a token as no library makes one."""
    parts = [_part(_json({"alg": alg, "kid": "first"})), _part(_json(SAID))]
    signed_over = ".".join(parts).encode()
    mac = b"" if secret is None else hmac.digest(secret, signed_over, "sha256")
    return ".".join((*parts, _part(mac)))


def _part(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _json(said: dict[str, Any]) -> bytes:
    return json.dumps(said).encode()


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in SAID.items() if key != name}


@pytest.mark.parametrize(
    "said",
    [
        SAID,
        {**SAID, "aud": ["andon"]},
        {**SAID, "aud": ["andon", "another"], "azp": "andon"},
        {**SAID, "exp": NOW - LEEWAY_S + 1},
        {**SAID, "iat": NOW + LEEWAY_S},
        # The example of OpenID Connect Core 1.0, appendix A.3.
        {**SAID, "at_hash": "77QmUPtjPfzWtF2AnpK9RQ"},
    ],
)
async def test_a_token_that_is_for_us_and_now_is_believed(said: dict[str, Any]) -> None:
    assert await check(signed(said)) == said


@pytest.mark.parametrize(
    ("said", "word"),
    [
        ({**SAID, "nonce": "n-2"}, "nonce"),
        ({**SAID, "nonce": ["n-1"]}, "nonce"),
        (without("nonce"), "nonce"),
        ({**SAID, "aud": "another"}, "aud"),
        ({**SAID, "aud": ["another", "and-another"]}, "aud"),
        ({**SAID, "aud": ["andon", "another"]}, "azp"),
        ({**SAID, "aud": {"andon": 1}}, "aud"),
        ({**SAID, "azp": "another"}, "azp"),
        (without("aud"), "aud"),
        ({**SAID, "iss": "https://evil.example"}, "iss"),
        ({**SAID, "iss": [ISSUER]}, "iss"),
        (without("iss"), "iss"),
        ({**SAID, "exp": NOW - LEEWAY_S}, "expired"),
        ({**SAID, "exp": float("nan")}, "exp"),
        ({**SAID, "exp": "never"}, "exp"),
        (without("exp"), "exp"),
        (without("iat"), "iat"),
        ({**SAID, "iat": NOW + LEEWAY_S + 1}, "future"),
        ({**SAID, "nbf": NOW + LEEWAY_S + 1}, "not yet valid"),
        ({**SAID, "sub": ""}, "sub"),
        ({**SAID, "sub": 7}, "sub"),
        (without("sub"), "sub"),
        ({**SAID, "at_hash": "AAAA"}, "at_hash"),
        ({**SAID, "at_hash": 7}, "at_hash"),
    ],
)
async def test_a_claim_that_is_wrong_is_named(said: dict[str, Any], word: str) -> None:
    with pytest.raises(Unauthenticated, match=word):
        await check(signed(said))


@pytest.mark.parametrize(
    ("key", "alg"),
    [
        (KEY, "ES256"),
        (RSAKey.generate_key(parameters={"kid": "r"}), "RS256"),
        (RSAKey.generate_key(parameters={"kid": "r"}), "PS256"),
        (OKPKey.generate_key("Ed25519", parameters={"kid": "o"}), "Ed25519"),
    ],
)
async def test_signatures_by_keys_of_all_kinds_hold(key: Key, alg: str) -> None:
    assert await check(signed(SAID, key, alg), key) == SAID


async def test_a_header_of_the_provider_s_own_is_passed_over() -> None:
    assert await check(signed(SAID, pi="x")) == SAID


async def test_the_only_key_needs_no_name() -> None:
    key = ECKey.generate_key()
    assert await check(jwt.encode({"alg": "ES256"}, SAID, key, ["ES256"]), key) == SAID


SOMEBODYS = ECKey.generate_key(parameters={"kid": "first"})
SHARED = OctKey.import_key("a secret of the client's, of 32 bytes", parameters={"kid": "first"})


@pytest.mark.parametrize(
    "make",
    [
        lambda: signed(SAID, SOMEBODYS),
        lambda: signed(SAID, SHARED, "HS256"),
        # With a public key, which all know, for the secret of a symmetric signature.
        lambda: by_hand("HS256", KEY.as_pem(private=False)),
        lambda: by_hand("none", None),
        lambda: by_hand("ES256", None),
        lambda: signed(SAID, kid="unheard-of"),
        lambda: signed(SAID)[:-4] + "AAAA",
        lambda: signed(SAID, RSAKey.generate_key(parameters={"kid": "first"}), "RS256"),
        lambda: "",
        lambda: "a.b.c",
        lambda: "....",
        lambda: "ey" * 100_000,
    ],
)
async def test_what_the_provider_did_not_sign_is_not_believed(make: Callable[[], str]) -> None:
    with pytest.raises(Unauthenticated, match="ID token does not hold"):
        await check(make())


async def test_a_shared_key_that_is_published_is_none_of_the_provider_s() -> None:
    with pytest.raises(Unauthenticated, match="HS256"):
        await check(signed(SAID, SHARED, "HS256"), KEY, SHARED)
