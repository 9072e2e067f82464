"""An OpenID provider on loopback, over real HTTP: as strict as the standard, or as wrong as told.

It gives each code once, to the client it knows, at the address it was asked for, and for the
verifier whose challenge it was given (RFC 7636); its keys can be rotated. Whoever comes is whoever
`user` says, once they press the button.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import parse_qs, urlencode

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey, RSAKey

from label_queue.sign_in_config import OidcConfig
from tests.support.page_server import serve

CLIENT_ID = "andon"
CLIENT_SECRET = "a secret of the client's, only: tested"
ANN = {"sub": "248289761001", "email": "ann@example.org", "email_verified": True}
LIFE_S = 300


@cache
def _first_key() -> RSAKey:
    """Return the key that each provider begins with: one takes a good part of a second to make."""
    return RSAKey.generate_key(parameters={"kid": "first"})


def _unchanged(said: dict[str, Any]) -> dict[str, Any]:
    return said


@dataclass
class OidcProvider:
    """A provider; what it says wrong, a test sets."""

    issuer: str = ""
    """Its address; known once it is served."""
    user: dict[str, Any] = field(default_factory=lambda: dict(ANN))
    """Claims of whoever comes."""
    in_id_token: tuple[str, ...] = ("email", "email_verified")
    """Claims that the ID token has, beside `sub`; the others are at the userinfo endpoint."""
    change_claims: Callable[[dict[str, Any]], dict[str, Any]] = _unchanged
    """Changes the claims of ID tokens before they are signed."""
    change_document: Callable[[dict[str, Any]], dict[str, Any]] = _unchanged
    """Changes the discovery document."""
    change_header: Callable[[dict[str, Any]], dict[str, Any]] = _unchanged
    denies: str = ""
    """The error that people are sent back with in place of a code; "": none."""
    is_answering: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while the token endpoint answers; while it is not, it hangs."""
    key: RSAKey | ECKey | OctKey = field(default_factory=_first_key)
    published: list[Any] = field(default_factory=list)
    """Keys it publishes; none: its own."""
    asked: list[str] = field(default_factory=list)
    """Paths asked for, in order."""
    _codes: dict[str, dict[str, str]] = field(default_factory=dict)
    _access: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def config(self) -> OidcConfig:
        """The config of who signs people in by it."""
        return OidcConfig(
            issuer=self.issuer,
            client_id=CLIENT_ID,
            client_secret_env="ANDON_TEST_OIDC_SECRET",
            name="Example ID",
            timeout_s=20.0,
        )

    def rotate(self, kid: str) -> None:
        """Sign with another key from now on."""
        self.key = RSAKey.generate_key(parameters={"kid": kid})

    def build_app(self) -> FastAPI:
        """Return it as an application."""
        app = FastAPI()
        app.add_api_route("/.well-known/openid-configuration", self._document)
        app.add_api_route("/keys", self._keys)
        app.add_api_route("/authorize", self._page, response_class=HTMLResponse)
        app.add_api_route("/authorize", self._authorize, methods=["POST"])
        app.add_api_route("/token", self._token, methods=["POST"])
        app.add_api_route("/userinfo", self._userinfo)
        return app

    async def _document(self, request: Request) -> dict[str, Any]:
        self.asked.append(request.url.path)
        return self.change_document(
            {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/keys",
                "userinfo_endpoint": f"{self.issuer}/userinfo",
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "code_challenge_methods_supported": ["S256"],
            }
        )

    async def _keys(self, request: Request) -> Any:
        self.asked.append(request.url.path)
        return KeySet(self.published or [self.key]).as_dict(private=False)

    async def _page(self, request: Request) -> str:
        self.asked.append(request.url.path)
        return (
            "<!doctype html><title>Example ID</title><h1>Example ID</h1>"
            '<form method="post"><button>Go on as ann</button></form>'
        )

    async def _authorize(self, request: Request) -> RedirectResponse:
        asked = request.query_params
        assert (asked["client_id"], asked["response_type"]) == (CLIENT_ID, "code")
        assert asked["code_challenge_method"] == "S256"
        assert "openid" in asked["scope"].split()
        back = {"state": asked["state"], "iss": self.issuer}
        if self.denies:
            back |= {"error": self.denies, "error_description": "<b>not</b> today"}
        else:
            code = secrets.token_urlsafe(16)
            self._codes[code] = dict(asked)
            back["code"] = code
        return RedirectResponse(f"{asked['redirect_uri']}?{urlencode(back)}", status_code=303)

    async def _token(self, request: Request) -> JSONResponse:
        self.asked.append(request.url.path)
        form = {name: value for name, [value] in parse_qs((await request.body()).decode()).items()}
        await self.is_answering.wait()
        if _basic(request) != (CLIENT_ID, CLIENT_SECRET):
            return JSONResponse({"error": "invalid_client"}, status_code=401)
        asked = self._codes.pop(form["code"], None)
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if (
            asked is None
            or asked["redirect_uri"] != form["redirect_uri"]
            or asked["code_challenge"] != challenge
        ):
            return JSONResponse({"error": "invalid_grant"}, status_code=400)
        access_token = secrets.token_urlsafe(16)
        self._access[access_token] = self.user
        claims = {
            **{name: self.user[name] for name in self.in_id_token if name in self.user},
            "iss": self.issuer,
            "sub": self.user["sub"],
            "aud": CLIENT_ID,
            "iat": int(time.time()),
            "exp": int(time.time()) + LIFE_S,
            "nonce": asked["nonce"],
        }
        header = self.change_header({"alg": "RS256", "kid": self.key.kid})
        id_token = jwt.encode(header, self.change_claims(claims), self.key, [header["alg"]])
        return JSONResponse(
            {"access_token": access_token, "token_type": "Bearer", "id_token": id_token}
        )

    async def _userinfo(self, request: Request) -> Any:
        self.asked.append(request.url.path)
        return self._access[request.headers["authorization"].removeprefix("Bearer ")]


def _basic(request: Request) -> tuple[str, str]:
    """Return who a client says it is, and its secret, as RFC 6749 has them encoded."""
    given = request.headers.get("authorization", "").removeprefix("Basic ")
    name, _, secret = base64.b64decode(given).decode().partition(":")
    [[name], [secret]] = parse_qs(f"n={name}&s={secret}").values()
    return name, secret


@asynccontextmanager
async def served_provider() -> AsyncIterator[OidcProvider]:
    """Yield a provider that answers."""
    provider = OidcProvider()
    provider.is_answering.set()
    async with serve(provider.build_app()) as url:
        provider.issuer = url
        yield provider
