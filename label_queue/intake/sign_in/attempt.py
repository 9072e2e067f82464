"""One attempt to sign in, as the browser keeps it in a cookie until it comes back.

Signed, so that nobody makes one up; not encrypted, since nothing in it is a secret from the browser
it was made for. It is good for ten minutes, and with the code that the provider gives this browser.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import asdict, dataclass
from typing import Literal, Self

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey
from pydantic import TypeAdapter, ValidationError

from protocol.errors import Unauthenticated

Page = Literal["", "/", "/owner"]
"""Where somebody wants to be once they are in; "": where their role belongs. Nothing else is ever
sent on to, so no link can send people elsewhere."""
ATTEMPT_S = 600
"""How long somebody may take at the provider."""
BEGIN_AGAIN = (
    "this sign-in was not begun in this browser, or more than ten minutes ago: begin it again"
)

_PAGE: TypeAdapter[Page] = TypeAdapter(Page)
_ALGORITHM = "HS256"
_NUM_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What must be the same when the browser comes back."""

    state: str
    """Binds the provider's answer to this browser."""
    nonce: str
    """Binds the ID token to this attempt."""
    verifier: str
    """Binds the code to whoever asked for it (PKCE, RFC 7636)."""
    page: Page

    @classmethod
    def begin(cls, page: str) -> Self:
        """Return a new one; a `page` that is none of ours is left out."""
        return cls(
            state=secrets.token_urlsafe(_NUM_BYTES),
            nonce=secrets.token_urlsafe(_NUM_BYTES),
            verifier=secrets.token_urlsafe(_NUM_BYTES),
            page=_page(page),
        )

    def matches(self, state: str) -> bool:
        """Say whether a provider's answer is to this attempt."""
        return hmac.compare_digest(self.state.encode(), state.encode())


_ATTEMPT = TypeAdapter(Attempt)


class AttemptSeal:
    """Signs attempts, and reads those it signed.

    Args:
        secret: Whatever nobody else has, and a restarted intake has again.
        run_id: Attempts at one run are none at another.
    """

    def __init__(self, secret: str, run_id: str) -> None:
        purpose = f"andon sign-in {run_id}".encode()
        self._key = OctKey.import_key(hmac.digest(secret.encode(), purpose, hashlib.sha256))

    def seal(self, attempt: Attempt, now: float) -> str:
        """Return an attempt as the cookie holds it."""
        claims = {**asdict(attempt), "exp": int(now) + ATTEMPT_S}
        return jwt.encode({"alg": _ALGORITHM}, claims, self._key)

    def open(self, cookie: str | None, now: float) -> Attempt:
        """Return the attempt in a cookie. Raises Unauthenticated for none that counts."""
        try:
            claims = jwt.decode(cookie or "", self._key, [_ALGORITHM]).claims
            jwt.JWTClaimsRegistry(int(now), exp={"essential": True}).validate(claims)
            return _ATTEMPT.validate_python(claims)
        except (JoseError, ValidationError, ValueError) as error:
            raise Unauthenticated(BEGIN_AGAIN) from error


def _page(asked: str) -> Page:
    try:
        return _PAGE.validate_python(asked)
    except ValidationError:
        return ""
