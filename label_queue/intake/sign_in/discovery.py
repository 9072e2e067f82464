"""What a provider says of itself: its discovery document, and the keys it signs with.

Both are kept for an hour. Keys are fetched anew before that where a token is signed by none of
them, as after a rotation, but not more often than every ten seconds, whatever tokens come.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any

from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from label_queue.sign_in_config import check_provider_url
from protocol.errors import ConfigError

WELL_KNOWN = "/.well-known/openid-configuration"
KEPT_S = 3_600.0
LEAST_AGE_S = 10.0

FetchJson = Callable[[str], Awaitable[Any]]
"""Returns the JSON at an address of the provider's. Raises TransientError, ConfigError."""
Endpoint = Annotated[str, AfterValidator(check_provider_url)]


class ProviderMetadata(BaseModel):
    """The part of a discovery document that is read (OpenID Connect Discovery 1.0, section 3)."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    issuer: str
    authorization_endpoint: Endpoint
    token_endpoint: Endpoint
    jwks_uri: Endpoint
    userinfo_endpoint: Endpoint | None = None
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)
    code_challenge_methods_supported: tuple[str, ...] | None = None
    """None: it does not say, as many do not that know PKCE."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """Keys that a provider signed with at some moment."""

    keys: KeySet
    fetched_at: float


class Discovery:
    """One provider, asked when it must be.

    Args:
        issuer: Its address, as the document must say it.
        fetch: Asks it.
        clock: Returns a time that never goes back, in seconds.
    """

    def __init__(self, issuer: str, fetch: FetchJson, clock: Callable[[], float]) -> None:
        self._issuer = issuer
        self._fetch = fetch
        self._clock = clock
        self._metadata: ProviderMetadata | None = None
        self._read_at = 0.0
        self._keys: Keys | None = None
        self._asking = asyncio.Lock()
        """Held by the one who asks, of many who need the same at once."""

    async def metadata(self) -> ProviderMetadata:
        """Return the discovery document. Raises as `fetch`, and ConfigError for a bad one."""
        async with self._asking:
            if self._metadata is None or self._clock() - self._read_at >= KEPT_S:
                at = self._clock()
                self._metadata = self._read(await self._fetch(self._address))
                self._read_at = at
            return self._metadata

    async def keys(self, than: Keys | None = None) -> Keys:
        """Return the keys of the moment, newer ones than those named if there can be any.

        Raises as `metadata` does.
        """
        metadata = await self.metadata()
        async with self._asking:
            now = self._clock()
            known = self._keys
            if known is not None:
                is_newer = than is None or known.fetched_at > than.fetched_at
                if now - known.fetched_at < (KEPT_S if is_newer else LEAST_AGE_S):
                    return known
            self._keys = Keys(
                keys=_key_set(await self._fetch(metadata.jwks_uri), metadata.jwks_uri),
                fetched_at=now,
            )
            return self._keys

    @property
    def _address(self) -> str:
        return self._issuer.rstrip("/") + WELL_KNOWN

    def _read(self, document: object) -> ProviderMetadata:
        try:
            metadata = ProviderMetadata.model_validate(document)
        except ValidationError as error:
            problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
            field = ".".join(map(str, problem["loc"])) or "document"
            raise ConfigError(f"{self._address}: {field}: {problem['msg']}") from error
        if metadata.issuer != self._issuer:
            raise ConfigError(
                f"{self._address} is of the issuer {metadata.issuer!r}: set "
                f"labels.intake.oidc.issuer to it, if that is who you mean, not {self._issuer!r}"
            )
        methods = metadata.code_challenge_methods_supported
        if methods is not None and "S256" not in methods:
            raise ConfigError(
                f"{self._address}: code_challenge_methods_supported has no S256: allow the client "
                "to use PKCE with it"
            )
        return metadata


def _key_set(found: Any, address: str) -> KeySet:
    try:
        return KeySet.import_key_set(found)
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise ConfigError(f"{address}: no set of keys ({type(error).__name__})") from error
