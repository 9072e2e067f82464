"""Signing in, step by step, without HTTP: whoever stands before a browser calls it twice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from label_queue.intake.public_address import Site
from label_queue.intake.sign_in.attempt import Attempt, AttemptSeal, Page
from label_queue.intake.sign_in.provider import Provider
from label_queue.labeling.outside_identity import OutsideIdentity
from label_queue.sign_in_config import OidcConfig
from protocol.errors import Unauthenticated

PATH = "/sign-in"
CALLBACK = f"{PATH}/callback"
"""Where the provider sends people back to, behind the public address."""
MOST_WORDS = 200
"""Characters that are shown of what a provider says, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """An attempt that was begun."""

    url: str
    """Where the browser is sent: the provider."""
    cookie: str
    """What it must bring back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """An attempt that came to a good end."""

    outsider: OutsideIdentity
    page: Page


class SignIn:
    """One provider before one run.

    Args:
        config: The provider.
        secret: The client's, at it.
        site: Where the run is found, with a public address.
        clock: Returns the present time, Unix seconds.
        monotonic: Returns a time that never goes back, in seconds.
    """

    def __init__(
        self,
        config: OidcConfig,
        secret: str,
        site: Site,
        *,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        assert site.public_url is not None, "the config is refused without"
        self.name = config.shown_name
        """What people know the provider by."""
        self.address = f"{site.public_url}{PATH}"
        """Where it begins: at the public address alone, to which the provider sends people back."""
        self.cookie = f"andon_sign_in_{site.run_id}" if site.run_id else "andon_sign_in"
        """Name of the attempt's cookie; runs at one host share them."""
        self._issuer = config.issuer
        self._clock = clock
        self._seal = AttemptSeal(secret, site.run_id)
        redirect_uri = f"{site.public_url}{CALLBACK}"
        self._provider = Provider(config, secret, redirect_uri, clock=clock, monotonic=monotonic)

    async def begin(self, page: str) -> Begun:
        """Begin an attempt, to be led to a page of ours at its end.

        Raises TransientError where the provider does not answer, ConfigError where its answer is no
        good.
        """
        attempt = Attempt.begin(page)
        url = await self._provider.authorization_url(attempt)
        return Begun(url=url, cookie=self._seal.seal(attempt, self._clock()))

    async def finish(self, answer: Mapping[str, str], cookie: str | None) -> Finished:
        """Return who came back from the provider.

        Args:
            answer: What the provider had the browser bring, by name.
            cookie: What the browser kept.

        Raises:
            Unauthenticated: It is no answer to an attempt of this browser, or does not hold.
            Forbidden: The provider does not say, or has not verified, who it is.
            TransientError, ConfigError: As `begin`.
        """
        attempt = self._seal.open(cookie, self._clock())
        # First of all: before this nothing in the answer is known to be the provider's.
        if not attempt.matches(answer.get("state", "")):
            raise Unauthenticated("this answer is to another sign-in (state): begin it again")
        if answer.get("iss", self._issuer) != self._issuer:  # RFC 9207
            raise Unauthenticated("this answer is another provider's (iss): begin again")
        if "error" in answer:
            raise Unauthenticated(_said(self.name, answer))
        code = answer.get("code", "")
        if not code:
            raise Unauthenticated(f"{self.name} answered without a code: begin again")
        return Finished(outsider=await self._provider.vouched(code, attempt), page=attempt.page)


def _said(name: str, answer: Mapping[str, str]) -> str:
    if answer["error"] == "access_denied":
        return f"{name} did not let you through, or you did not agree there: begin again"
    words = ": ".join(filter(None, (answer["error"], answer.get("error_description", ""))))
    return f"{name} answered {words[:MOST_WORDS]!r}: begin again, or ask the run's owner"
