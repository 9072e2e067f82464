"""When a provider is asked about itself, and when what it said before is taken."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from joserfc.jwk import ECKey, KeySet

from label_queue.intake.sign_in.discovery import KEPT_S, LEAST_AGE_S, Discovery
from protocol.errors import ConfigError, TransientError
from tests.support.labels import ManualClock

ISSUER = "https://id.example.org/realms/labels/"
WELL_KNOWN = "https://id.example.org/realms/labels/.well-known/openid-configuration"
KEYS = "https://id.example.org/keys"


class Wire:
    """A provider that answers at once, unless it is told not to."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.keys: Any = _keys("first")
        self.fails = False
        self.issuer = ISSUER

    async def fetch(self, address: str) -> Any:
        self.asked.append(address)
        await asyncio.sleep(0)
        if self.fails:
            raise TransientError("unreachable")
        if address == KEYS:
            return self.keys
        return {
            "issuer": self.issuer,
            "authorization_endpoint": "https://id.example.org/authorize",
            "token_endpoint": "https://id.example.org/token",
            "jwks_uri": KEYS,
            "claims_supported": ["sub"],
        }


def _keys(kid: str) -> Any:
    return KeySet([ECKey.generate_key(parameters={"kid": kid})]).as_dict(private=False)


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def discovery(wire: Wire, clock: ManualClock) -> Discovery:
    return Discovery(ISSUER, wire.fetch, clock)


async def test_of_many_who_ask_at_once_one_asks_the_provider(
    wire: Wire, discovery: Discovery
) -> None:
    await asyncio.gather(*(discovery.keys() for _ in range(20)))
    assert wire.asked == [WELL_KNOWN, KEYS]


async def test_what_it_said_is_kept_for_an_hour(
    wire: Wire, discovery: Discovery, clock: ManualClock
) -> None:
    await discovery.keys()
    clock.now += KEPT_S - 1
    await discovery.keys()
    assert len(wire.asked) == 2
    clock.now += 1
    wire.keys = _keys("second")
    assert (await discovery.keys()).keys.get_by_kid("second").kid == "second"
    assert len(wire.asked) == 4


async def test_newer_keys_are_fetched_at_most_every_ten_seconds(
    wire: Wire, discovery: Discovery, clock: ManualClock
) -> None:
    first = await discovery.keys()
    clock.now += LEAST_AGE_S - 1
    assert await discovery.keys(than=first) is first
    clock.now += 1
    second, third = await asyncio.gather(*(discovery.keys(than=first) for _ in range(2)))
    assert second is third
    assert second is not first
    assert wire.asked.count(KEYS) == 2


async def test_a_failure_is_not_kept(wire: Wire, discovery: Discovery) -> None:
    wire.fails = True
    with pytest.raises(TransientError):
        await discovery.metadata()
    wire.fails = False
    assert (await discovery.metadata()).issuer == ISSUER


@pytest.mark.parametrize("issuer", [ISSUER.rstrip("/"), "https://evil.example", ""])
async def test_the_document_of_another_issuer_is_none(
    wire: Wire, discovery: Discovery, issuer: str
) -> None:
    wire.issuer = issuer
    with pytest.raises(ConfigError, match=r"labels\.intake\.oidc\.issuer"):
        await discovery.metadata()


@pytest.mark.parametrize("keys", [{}, [], None, {"keys": []}, {"keys": [{"kty": "EC"}]}, "keys"])
async def test_what_is_no_set_of_keys_is_told(
    wire: Wire, discovery: Discovery, keys: object
) -> None:
    wire.keys = keys
    with pytest.raises(ConfigError, match="no set of keys"):
        await discovery.keys()
