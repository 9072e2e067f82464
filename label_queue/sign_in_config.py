"""`[labels.intake.oidc]`: signing people in by an outside identity. Imports nothing but pydantic.

The client's secret is never in a config: it names the environment variable that holds it.
"""

from __future__ import annotations

import re
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from label_queue.connector_config import VariableName
from protocol.loopback import is_loopback
from protocol.settings import Settings

EMAIL = "email"
"""The one claim of which providers say whether they checked it."""

_DOMAIN = re.compile(r"([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]*[a-z0-9])?")


def check_provider_url(url: str) -> str:
    """Return an address of a provider's; raise ValueError, with the mend, where it is none."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 -- raises ValueError for what is no port
    except ValueError as error:
        raise ValueError(f"is no URL ({error}): want https://HOST") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or not url.isprintable():
        raise ValueError(f"want https://HOST, or https://HOST/PATH, got {url!r}")
    if "@" in parts.netloc or parts.fragment:
        raise ValueError("take user, password and # out of it")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError("http would let others speak for the provider: use https")
    return url


def _check_issuer(url: str) -> str:
    if "?" in url:
        raise ValueError("take ? out of it: want it as the provider's discovery document says it")
    return check_provider_url(url)


def _check_domain(domain: str) -> str:
    if not _DOMAIN.fullmatch(domain):
        raise ValueError(
            f"{domain!r} is no domain: want what stands behind the @, in small letters, e.g. "
            "'example.org'"
        )
    return domain


class OidcConfig(Settings):
    """An OpenID provider, and whom it lets in; see docs/sign_in.md."""

    issuer: Annotated[str, AfterValidator(_check_issuer)]
    """Address of the provider exactly as its discovery document says it, a / at its end included:
    "https://id.example.org". Plain http on loopback only."""
    client_id: Annotated[str, Field(min_length=1, max_length=512)]
    """What the provider calls this run, or all runs at one address of redirection."""
    client_secret_env: VariableName
    """The environment variable that holds the client's secret, where the run is started."""
    name: Annotated[str, Field(max_length=64, pattern=r"^[^\x00-\x1f\x7f]*$")] = ""
    """What people know the provider by: "Sign in with NAME"; "": the issuer's host."""
    scopes: tuple[Annotated[str, Field(pattern=r"^[\x21\x23-\x5b\x5d-\x7e]{1,128}$")], ...] = (
        "openid",
        EMAIL,
    )
    """What the provider is asked for; one that brings the claim must be among it."""
    claim: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:/-]{1,128}$")] = EMAIL
    """The claim that is the person's name here. "email" counts only where the provider says that it
    was verified, and in whatever case; any other counts as it is, so take one that nobody can
    choose."""
    domains: tuple[Annotated[str, AfterValidator(_check_domain)], ...] = ()
    """Domains of e-mail addresses whose holders are let in as labelers without being added; none:
    only those who were added under that name."""
    timeout_s: Annotated[float, Field(gt=0, le=60)] = 10.0
    """How long the provider may take in all for one step of somebody's sign-in."""

    @property
    def shown_name(self) -> str:
        """What people know the provider by."""
        return self.name.strip() or str(urlsplit(self.issuer).hostname)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if "openid" not in self.scopes:
            raise ValueError("scopes: add 'openid', without which a provider names nobody")
        if self.domains and self.claim != EMAIL:
            raise ValueError(
                f"domains: of no use with claim {self.claim!r}, of which no provider says that it "
                "was verified; take claim 'email', or add people one by one"
            )
        return self
