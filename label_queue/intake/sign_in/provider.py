"""An OpenID provider as it is asked: where to send people, and who came back."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote_plus, urlsplit

import httpx2
from authlib.integrations.httpx_client import AsyncOAuth2Client, OAuthError

from label_queue.intake.sign_in.attempt import Attempt
from label_queue.intake.sign_in.discovery import Discovery, ProviderMetadata
from label_queue.intake.sign_in.id_token import check_id_token
from label_queue.labeling.outside_identity import OutsideIdentity
from label_queue.sign_in_config import EMAIL, OidcConfig
from protocol.errors import ConfigError, Forbidden, TransientError, Unauthenticated
from protocol.loopback import is_loopback

MOST_AT_ONCE = 32
"""Sign-ins for which a provider is asked at once: one that hangs shall not hold all requests."""
AUTH_METHODS = ("client_secret_basic", "client_secret_post")
"""How we prove who we are to it, the better way first."""
NOT_US = frozenset({"invalid_client", "unauthorized_client"})
"""What a provider answers where the client, and not the person, is the trouble."""


class Provider:
    """A provider, as the config names it.

    Args:
        config: Which it is, and what to ask it for.
        secret: The client's.
        redirect_uri: Where it sends people back to.
        clock: Returns the present time, Unix seconds.
        monotonic: Returns a time that never goes back, in seconds.
    """

    def __init__(
        self,
        config: OidcConfig,
        secret: str,
        redirect_uri: str,
        *,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self._config = config
        self._secret = secret
        self._redirect_uri = redirect_uri
        self._clock = clock
        self._discovery = Discovery(config.issuer, self._fetch, monotonic)
        self._places = asyncio.Semaphore(MOST_AT_ONCE)
        self._is_here = is_loopback(urlsplit(config.issuer).hostname or "")
        # Once: to read the certificates that are trusted takes longer than many a request.
        self._tls = httpx2.create_ssl_context(trust_env=not self._is_here)

    async def authorization_url(self, attempt: Attempt) -> str:
        """Return where somebody proves to the provider who they are.

        Raises TransientError where it does not answer, ConfigError where its answer is no good.
        """
        async with self._asking():
            metadata = await self._discovery.metadata()
        async with self._client(metadata) as client:
            url, _ = client.create_authorization_url(
                metadata.authorization_endpoint,
                state=attempt.state,
                nonce=attempt.nonce,
                code_verifier=attempt.verifier,
            )
        return str(url)

    async def vouched(self, code: str, attempt: Attempt) -> OutsideIdentity:
        """Return for whom the provider gave a code in this attempt.

        Raises Unauthenticated where it does not hold, Forbidden where the claim that names people
        is missing or not verified, and as `authorization_url` does.
        """
        async with self._asking():
            metadata = await self._discovery.metadata()
            token = await self._token(code, attempt, metadata)
            access_token = token.get("access_token")
            claims = await check_id_token(
                _text(token, "id_token", "add 'openid' to labels.intake.oidc.scopes"),
                discovery=self._discovery,
                issuer=self._config.issuer,
                client_id=self._config.client_id,
                nonce=attempt.nonce,
                access_token=access_token,
                now=self._clock(),
            )
            if not self._names_somebody(claims) and metadata.userinfo_endpoint and access_token:
                # By OpenID Connect Core 1.0, section 5.4, what scopes ask for is there.
                claims = await self._more(metadata.userinfo_endpoint, access_token, claims)
        return OutsideIdentity(
            name=self._name(claims), issuer=self._config.issuer, subject=str(claims["sub"])
        )

    async def _token(
        self, code: str, attempt: Attempt, metadata: ProviderMetadata
    ) -> Mapping[str, Any]:
        """Return what the provider gives for a code, which it does once."""
        try:
            async with self._client(metadata) as client:
                token: Mapping[str, Any] = await client.fetch_token(
                    metadata.token_endpoint,
                    grant_type="authorization_code",
                    code=code,
                    code_verifier=attempt.verifier,
                )
        except OAuthError as error:
            if error.error in NOT_US:
                raise ConfigError(
                    f"the provider refuses the client ({error.error}): check labels.intake.oidc."
                    f"client_id, and the secret in {self._config.client_secret_env}"
                ) from error
            raise Unauthenticated(
                f"it takes its own code for no good ({error.error}): begin again"
            ) from error
        except (httpx2.HTTPError, ValueError) as error:
            raise _unreached(metadata.token_endpoint, error) from error
        return token

    async def _more(
        self, address: str, access_token: str, claims: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """Return what else the provider says of the same person."""
        more = await self._fetch(address, {"Authorization": f"Bearer {access_token}"})
        if not isinstance(more, dict) or more.get("sub") != claims["sub"]:
            raise Unauthenticated("it speaks of two people (sub): begin again")
        return more

    def _names_somebody(self, claims: Mapping[str, Any]) -> bool:
        wanted = {self._config.claim}
        if self._config.claim == EMAIL:
            wanted.add("email_verified")
        return wanted <= claims.keys()

    def _name(self, claims: Mapping[str, Any]) -> str:
        claim, provider = self._config.claim, self._config.shown_name
        name = claims.get(claim)
        if not isinstance(name, str) or not name.strip():
            raise Forbidden(
                f"{provider} does not say who you are here: the run's owner must have it give the "
                f"claim {claim!r} (labels.intake.oidc.scopes)"
            )
        if claim == EMAIL and not _is_true(claims.get("email_verified")):
            raise Forbidden(
                f"{provider} has not verified your e-mail address: have it verified there, and "
                "sign in again"
            )
        return name.strip()

    async def _fetch(self, address: str, headers: Mapping[str, str] | None = None) -> Any:
        """Return the JSON at one of the provider's addresses."""
        try:
            async with httpx2.AsyncClient(**self._options) as client:
                answer = await client.get(address, headers=headers)
        except httpx2.HTTPError as error:
            raise _unreached(address, error) from error
        if answer.status_code != 200:
            raise _unreached(address, f"status {answer.status_code}")
        try:
            return answer.json()
        except ValueError as error:
            raise ConfigError(f"{address}: no JSON; check labels.intake.oidc.issuer") from error

    def _client(self, metadata: ProviderMetadata) -> AsyncOAuth2Client:
        methods = metadata.token_endpoint_auth_methods_supported
        method = next((each for each in AUTH_METHODS if each in methods), None)
        if method is None:
            raise ConfigError(
                f"{metadata.token_endpoint} takes a client by {', '.join(methods)} alone: allow "
                f"{' or '.join(AUTH_METHODS)} there"
            )
        client = AsyncOAuth2Client(
            self._config.client_id,
            self._secret,
            token_endpoint_auth_method=method,
            scope=" ".join(self._config.scopes),
            redirect_uri=self._redirect_uri,
            code_challenge_method="S256",
            **self._options,
        )
        client.register_client_auth_method((AUTH_METHODS[0], _prove_by_header))
        return client

    @property
    def _options(self) -> dict[str, Any]:
        """How the provider is spoken to: never through a proxy where it is on this machine."""
        return {
            "timeout": self._config.timeout_s,
            "trust_env": not self._is_here,
            "verify": self._tls,
        }

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[None]:
        """Bound how long the provider is waited for in all, and by how many."""
        if self._places.locked():
            raise TransientError(f"{MOST_AT_ONCE} sign-ins wait for {self._config.issuer} already")
        try:
            async with self._places, asyncio.timeout(self._config.timeout_s):
                yield
        except TimeoutError as error:
            raise TransientError(
                f"{self._config.issuer} did not answer within {self._config.timeout_s:g} s"
            ) from error


def _prove_by_header(
    client: Any, _method: str, uri: str, headers: Any, body: bytes
) -> tuple[str, Any, bytes]:
    """Prove who we are; Authlib's own leaves out the encoding that RFC 6749, section 2.3.1, wants.

    Without it a secret with a colon, a plus or a percent sign in it would be another.
    """
    pair = f"{quote_plus(client.client_id)}:{quote_plus(client.client_secret)}"
    headers["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
    return uri, headers, body


def _is_true(flag: object) -> bool:
    """Say whether a flag is set; some providers write flags as text."""
    return flag is True or flag == "true"


def _text(token: Mapping[str, Any], name: str, mend: str) -> str:
    value = token.get(name)
    if not isinstance(value, str):
        raise ConfigError(f"the provider gives no {name}: {mend}")
    return value


def _unreached(address: str, why: object) -> TransientError:
    said = why if isinstance(why, str) else type(why).__name__
    return TransientError(f"{address}: {said}")
