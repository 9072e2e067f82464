"""Where a run's pages are found, and how a request is judged by the address it came to.

The config says what the public address is; no request does. A proxy with TLS stands at it and
passes requests on to loopback, path and `Host` as they came:

    Host                 said to be forwarded   the request
    the public address   yes or no              is public: the pages and their API, nothing else
    loopback             no                     is local: everything
    loopback             yes                    is refused
    another              yes or no              is refused

Where the face listens beyond loopback, what comes in there is public or refused: nobody there is
this machine, whatever they say.

What a request says of its way (`X-Forwarded-*`, `Forwarded`, `Via`) only ever takes from it: that
it came through a proxy makes it no local one, whoever says so. A proxy that is trusted may also
give the host in `X-Forwarded-Host` instead of `Host`, and is believed when it says that a request
came by plain HTTP.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Protocol
from urllib.parse import urlsplit

from pydantic import AfterValidator

from protocol.errors import Misdirected
from protocol.loopback import is_at_loopback

LOOPBACK_PROXIES = ("127.0.0.0/8", "::1")
"""Proxies that are believed on a request's way by default: those of this machine."""
FORWARDING = (
    *("forwarded", "via", "x-real-ip"),
    *("x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"),
)
"""Headers that say of a request that it came through a proxy."""
NOT_PUBLISHED = ("/docs", "/openapi.json")
"""Paths, with all below them, that do not exist at the public address: the API's own pages."""
DEFAULT_PORTS = {"http": 80, "https": 443}
RUN = "{run}"
"""Where this stands in the path of a configured address, each run puts its own id."""

_HOST = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?|[0-9a-f:.]*:[0-9a-f:.]*")
_PREFIX = re.compile(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*")


class Headers(Protocol):
    """A request's headers, by names in lower case."""

    def getlist(self, key: str, /) -> list[str]:
        """Return every value of a header."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """How a request came in."""

    is_public: bool
    """Whether it came to the public address; else from this machine."""
    origin: str
    """What a page of ours has as its origin there, e.g. "https://label.example.org"."""
    prefix: str
    """What stands before every path there, e.g. "/run-a"; "" for nothing."""

    @property
    def scheme(self) -> str:
        """How the browser speaks to us: "https", or "http"."""
        return self.origin.partition(":")[0]

    @property
    def authority(self) -> str:
        """Host and port, as in the `Host` header: "label.example.org"."""
        return self.origin.partition("//")[2]

    @property
    def cookie_path(self) -> str:
        """Where a cookie of ours is sent to."""
        return self.prefix or "/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where the pages of one run are found."""

    run_id: str = ""
    public_url: str | None = None
    """As `check_public_url` takes it; None: loopback is all there is."""
    trusted_proxies: Sequence[str] = LOOPBACK_PROXIES
    """Addresses and networks of the proxies whose word on a request's way is taken."""
    is_behind_tls: bool = False
    """Whether what comes in beyond loopback is read only where one of them says that it came by
    TLS."""

    @property
    def session_cookie(self) -> str:
        """Name of the session's cookie; cookies know no port, so each run has a name of its own."""
        return f"andon_session_{self.run_id}" if self.run_id else "andon_session"

    def arrival(self, headers: Headers, peer: str | None, *, is_wide: bool = False) -> Arrival:
        """Judge a request.

        Args:
            headers: All of them.
            peer: Address of whoever opened the connection.
            is_wide: Whether it came in where others than this machine come, too.

        Raises:
            Misdirected: It came to an address that is not the run's.
        """
        is_forwarded = any(headers.getlist(name) for name in FORWARDING)
        said = headers if is_forwarded and self._trusts(peer) else None
        host = _only(said, "x-forwarded-host") or _only(headers, "host") or ""
        if self.public_url is not None:
            public = _public(self.public_url)
            if _without_default_port(host, public.scheme) == public.authority:
                scheme = _only(said, "x-forwarded-proto")
                is_unsaid = scheme is None and not (is_wide and self.is_behind_tls)
                if scheme != public.scheme and not is_unsaid:
                    raise Misdirected(f"come by {public.scheme}: this is read at {public.origin}")
                return public
        if is_at_loopback(host) and not (is_forwarded or is_wide):
            return Arrival(is_public=False, origin=f"http://{host}", prefix="")
        raise Misdirected(self._mend(host, is_forwarded=is_forwarded))

    def base_of_links(self, arrival: Arrival) -> str:
        """Return what stands before the path of a link that is given to somebody else."""
        return self.public_url or arrival.origin

    def _trusts(self, peer: str | None) -> bool:
        try:
            address = ipaddress.ip_address(peer or "")
        except ValueError:
            return False
        return any(address in ipaddress.ip_network(each) for each in self.trusted_proxies)

    def _mend(self, host: str, *, is_forwarded: bool) -> str:
        where = f"{host[:200]!r} is not where this run is found"
        if self.public_url is not None and is_forwarded:
            return f"{where}: let the proxy pass Host on as it came, for {self.public_url}"
        if self.public_url is not None:
            return f"{where}: go to {self.public_url}"
        return f"{where}: go to its address on loopback, or set cluster.public_url"


def check_public_url(url: str) -> str:
    """Return the address of a run's pages; raise ValueError, with the mend, where it is none."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"is no URL ({error}): want https://HOST or https://HOST/PATH") from error
    host = parts.hostname or ""
    if parts.scheme not in DEFAULT_PORTS or not host or port == 0 or parts.netloc[-1] == ":":
        raise ValueError("want https://HOST or https://HOST/PATH, and a port where it is another")
    if "@" in parts.netloc or "?" in url or "#" in url:
        raise ValueError("take user, password, ? and # out: people sign in by links of their own")
    if url.endswith("/"):
        raise ValueError("leave the / at its end out: paths are put behind it")
    if parts.netloc != parts.netloc.lower() or not _HOST.fullmatch(host):
        raise ValueError("write its host as browsers send it: in small letters, others as xn--…")
    if not _PREFIX.fullmatch(parts.path.replace(RUN, "run")) or not url.isprintable():
        raise ValueError(
            f"let its path be of letters, digits and . _ ~ - between single /, or {RUN} for the "
            "run's id"
        )
    return url


def address_of_run(url: str | None, run_id: str) -> str | None:
    """Return the address of one run's pages, of one that may be said for many."""
    return None if url is None else url.replace(RUN, run_id)


def check_http_host(host: str) -> str:
    """Return where the labelling face listens; raise ValueError where that is no address."""
    if "%" in host:
        raise ValueError("an address with a zone is known to this machine alone: leave it out")
    if host != "localhost":
        ipaddress.ip_address(host)
    return host


def check_trusted_proxy(address: str) -> str:
    """Return a proxy's address or network; raise ValueError, with the mend, where it is none."""
    try:
        ipaddress.ip_network(address)
    except ValueError as error:
        raise ValueError(f"is no address or network ({error}): want e.g. 127.0.0.1") from error
    return address


PublicUrl = Annotated[str, AfterValidator(check_public_url)]
HttpHost = Annotated[str, AfterValidator(check_http_host)]
ProxyAddress = Annotated[str, AfterValidator(check_trusted_proxy)]


def _public(url: str) -> Arrival:
    parts = urlsplit(url)
    authority = _without_default_port(parts.netloc, parts.scheme)
    return Arrival(is_public=True, origin=f"{parts.scheme}://{authority}", prefix=parts.path)


def _without_default_port(authority: str, scheme: str) -> str:
    """Return host and port as a browser writes them in an origin."""
    return authority.lower().removesuffix(f":{DEFAULT_PORTS[scheme]}")


def _only(headers: Headers | None, name: str) -> str | None:
    """Return a header's value; None where there is none, "" where there are several."""
    values = [] if headers is None else headers.getlist(name)
    return None if not values else values[0].strip() if len(values) == 1 else ""
