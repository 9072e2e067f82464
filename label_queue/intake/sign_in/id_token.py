"""An ID token, checked before anything in it is believed (OpenID Connect Core 1.0, §3.1.3.7)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import BadSignatureError, InvalidKeyIdError, JoseError
from joserfc.jws import JWSRegistry

from label_queue.intake.sign_in.discovery import Discovery
from protocol.errors import Unauthenticated

ALGORITHMS = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "Ed25519", "EdDSA"),
)
"""Signatures that only the provider can make. Not "none"; not HS256, by whose key, the client's
secret, we could have made it ourselves."""
LEEWAY_S = 60
"""By how much the provider's clock and ours may differ."""

_HEADERS = JWSRegistry(algorithms=ALGORITHMS, strict_check_header=False)
"""Headers that are not of the standard are not for us, and pass."""


async def check_id_token(
    token: str,
    *,
    discovery: Discovery,
    issuer: str,
    client_id: str,
    nonce: str,
    access_token: str | None,
    now: float,
) -> Mapping[str, Any]:
    """Return the claims of an ID token that this provider made for us, in this attempt, just now.

    Raises Unauthenticated, saying which claim is wrong, and as `discovery` does.
    """
    verified = await _verified(token, discovery)
    options: dict[str, Any] = {
        "iss": {"essential": True, "value": issuer},
        "aud": {"essential": True, "value": client_id},
        "sub": {"essential": True},
    }
    params = {"nonce": nonce, "client_id": client_id, "access_token": access_token}
    claims = CodeIDToken(verified.claims, verified.header, options, params)
    try:
        claims.validate(int(now), LEEWAY_S)
    except (JoseError, ValueError, TypeError) as error:
        raise _refusal(error) from error
    return verified.claims


async def _verified(token: str, discovery: Discovery) -> jwt.Token:
    """Return a token whose signature is one of the provider's keys'; they may be new ones."""
    known = await discovery.keys()
    try:
        return jwt.decode(token, known.keys, ALGORITHMS, _HEADERS)
    except (InvalidKeyIdError, BadSignatureError) as error:
        newer = await discovery.keys(than=known)
        if newer is known:
            raise _refusal(error) from error
    except (JoseError, ValueError, TypeError) as error:
        raise _refusal(error) from error
    try:
        return jwt.decode(token, newer.keys, ALGORITHMS, _HEADERS)
    except (JoseError, ValueError, TypeError) as error:
        raise _refusal(error) from error


def _refusal(error: Exception) -> Unauthenticated:
    said = " ".join(str(error).split())[:200]
    return Unauthenticated(f"its ID token does not hold ({said}): begin again")
