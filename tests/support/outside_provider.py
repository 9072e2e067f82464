"""An OpenID provider that is not ours, in a process of its own on loopback: oidc-provider-mock."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from cluster.starting.ports import free_port
from label_queue.sign_in_config import OidcConfig
from tests.support.patience import PATIENCE_S
from tests.support.programs import program_running

HOST = "127.0.0.1"
SECRET_ENV = "ANDON_TEST_OIDC_SECRET"


@dataclass(frozen=True)
class OutsideProvider:
    """Where it answers."""

    issuer: str

    def is_ready(self) -> bool:
        try:
            answer = httpx.get(f"{self.issuer}/.well-known/openid-configuration", trust_env=False)
        except httpx.TransportError:
            return False
        return answer.status_code == 200

    def register(self, redirect_uri: str) -> tuple[str, str]:
        """Return id and secret of a new client, whose people are sent to that address alone."""
        answer = httpx.post(
            f"{self.issuer}/oauth2/clients", json={"redirect_uris": [redirect_uri]}, trust_env=False
        )
        answer.raise_for_status()
        client = answer.json()
        return client["client_id"], client["client_secret"]

    def config(self, client_id: str) -> OidcConfig:
        return OidcConfig(
            issuer=self.issuer,
            client_id=client_id,
            client_secret_env=SECRET_ENV,
            name="Example ID",
            timeout_s=60.0,
        )

    async def answer(self, asked: str, subject: str) -> httpx.URL:
        """Sign in as somebody, "" for nobody; return where a browser is sent back to."""
        said = {"sub": subject} if subject else {"action": "deny"}
        async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE_S) as client:
            page = await client.get(asked)
            assert page.status_code == 200, page.text
            assert "<form" in page.text
            answer = await client.post(asked, data=said)
        return httpx.URL(answer.headers["location"])


@contextmanager
def outside_provider(folder: Path, *people: dict[str, object]) -> Iterator[OutsideProvider]:
    """Run one that knows some people by their claims, and clients once they are registered."""
    port = free_port(HOST, 0)
    command = [
        *(sys.executable, "-m", "oidc_provider_mock"),
        *("--host", HOST, "--port", str(port)),
        *("--require-registration", "True", "--require-nonce", "True"),
        *(word for each in people for word in ("--user-claims", json.dumps(each))),
    ]
    provider = OutsideProvider(f"http://{HOST}:{port}")
    log = folder / "provider.log"
    with program_running(command, log, provider.is_ready, "the provider answers"):
        yield provider
