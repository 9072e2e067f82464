"""The labelling face where others than this machine reach it: at a socket and a server of its own.

What comes in there is marked, for it is never a request of this machine's, whatever its `Host`
says. The run's own programs go on coming by loopback.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from starlette.types import ASGIApp, Receive, Scope, Send

from protocol.errors import ConfigError, MissingError, ResourceError

WIDE = "andon.wide"
"""In the scope of a request that came in at the wide face."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What TLS is spoken with, as PEM files."""

    chain: Path
    """The certificate, and after it those that vouch for it."""
    key: Path
    """Its private key, without a passphrase."""

    def check(
        self, names: tuple[str, str] = ("cluster.tls_certificate", "cluster.tls_key")
    ) -> None:
        """Check that both can be read and belong together.

        Args:
            names: What the two are called where they were given.

        Raises:
            MissingError: One is not there.
            ResourceError: One may not be read.
            ConfigError: They are no certificate and key, or not of each other.
        """
        for name, path in zip(names, (self.chain, self.key), strict=True):
            try:
                path.read_bytes()
            except FileNotFoundError as error:
                raise MissingError(f"{name} {path} is not there: name a PEM file") from error
            except OSError as error:
                raise ResourceError(
                    f"{name} {path} cannot be read ({error.strerror}): name a PEM file that "
                    "this user may read"
                ) from error
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
                self.chain, self.key, password=_no_passphrase
            )
        except (ssl.SSLError, ValueError) as error:
            why = error.reason if isinstance(error, ssl.SSLError) else str(error)
            raise ConfigError(
                f"{names[0]} {self.chain} and {names[1]} {self.key} are no "
                f"certificate and its key, as PEM ({why}): name both of the same certificate"
            ) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class WideFace:
    """Where it listens."""

    host: str
    port: int
    certificate: Certificate | None = None
    """None: it speaks plain HTTP."""

    @property
    def tls(self) -> tuple[Path, Path] | None:
        """The files that the server speaks TLS with, as `FaceServer` takes them."""
        return None if self.certificate is None else (self.certificate.chain, self.certificate.key)


class WideDoor:
    """ASGI: marks what comes in at the wide face."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        await self._app({**scope, WIDE: True}, receive, send)


def _no_passphrase() -> bytes:
    raise ValueError("the key has a passphrase, which nobody is asked for")
