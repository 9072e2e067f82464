"""Where the labelling face may listen, and what must be set before others reach it there.

Beyond loopback it listens only where every request can be judged, and read by nobody else:

    cluster.public_url        by which `Host` and `Origin` are checked, and cookies are `Secure`
    cluster.tls_certificate   and cluster.tls_key: TLS, by the face itself
    cluster.without_tls       or else why there is to be none here

The reward's face stays at loopback whatever is set: Serve's own routes beside it ask for no token.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Literal

from protocol.loopback import is_loopback

WithoutTls = Literal["refused", "tls_is_in_front", "network_may_read_tokens"]
OWN_HOST = "127.0.0.1"
"""Where the run's own programs find the labelling face where it listens beyond loopback."""
DOCS = "(docs/public_address.md)"


def is_here(http_host: str) -> bool:
    """Whether whoever listens at this address is reached from this machine alone."""
    return http_host == "localhost" or ipaddress.ip_address(http_host).is_loopback


def check_listening(
    *,
    http_host: str,
    public_url: str | None,
    trusted_proxies: Sequence[str],
    tls_certificate: str | None,
    tls_key: str | None,
    without_tls: WithoutTls,
) -> None:
    """Check what a config says of where the labelling face listens; arguments as its keys.

    Raises:
        ValueError: It would listen where somebody else may read or send what is not theirs; names
            the keys to set.
    """
    files = {"tls_certificate": tls_certificate, "tls_key": tls_key}
    given = [name for name, value in files.items() if value is not None]
    outside = [each for each in trusted_proxies if not ipaddress.ip_network(each).is_loopback]
    if is_here(http_host):
        given += ["without_tls"] if without_tls != "refused" else []
        _check_at_loopback(http_host, public_url, outside, given)
        return
    wanted = [] if public_url is not None else ["cluster.public_url"]
    if given or without_tls == "refused":
        wanted += [f"cluster.{name}" for name in files if name not in given]
    if wanted:
        has_choice = not given and without_tls == "refused"
        choice = " (or cluster.without_tls in the place of these two)" if has_choice else ""
        raise ValueError(
            f"http_host {http_host} is open to the network: set {' and '.join(wanted)}{choice}, or "
            f"keep 127.0.0.1 and put a proxy with TLS before it {DOCS}"
        )
    if given and without_tls != "refused":
        raise ValueError(f"without_tls {without_tls!r} and a certificate are both set: remove one")
    assert public_url is not None, "it would be wanted"
    _check_scheme(public_url, without_tls)
    if without_tls == "tls_is_in_front" and not outside:
        raise ValueError(
            "without_tls 'tls_is_in_front': name that proxy's address in cluster.trusted_proxies; "
            "what does not come through it is refused"
        )
    for each in outside:
        if ipaddress.ip_network(each).prefixlen == 0:
            raise ValueError(f"trusted_proxies {each} is everybody: name the proxy's address")


def _check_at_loopback(
    http_host: str, public_url: str | None, outside: Sequence[str], given: Sequence[str]
) -> None:
    if public_url is not None and _is_in_the_clear(public_url):
        raise ValueError(
            f"public_url {public_url}: http would carry tokens in the clear: use https, by a proxy "
            "with TLS"
        )
    if outside:
        raise ValueError(
            f"trusted_proxies {outside[0]}: no connection comes from there: the faces listen on "
            "loopback, so the proxy before them is on this machine or comes through a tunnel that "
            "ends here"
        )
    if given:
        raise ValueError(
            f"{given[0]} is for a face beyond loopback, and http_host {http_host} is not: remove it"
        )


def _check_scheme(public_url: str, without_tls: WithoutTls) -> None:
    is_https = public_url.startswith("https:")
    if without_tls == "network_may_read_tokens" and is_https:
        raise ValueError(
            f"public_url {public_url}: browsers come there by TLS, of which without_tls "
            f"{without_tls!r} says that there is none: set it to 'tls_is_in_front', or write http"
        )
    if without_tls != "network_may_read_tokens" and not is_https:
        raise ValueError(f"public_url {public_url}: browsers come there by TLS: write https")


def _is_in_the_clear(public_url: str) -> bool:
    scheme, _, rest = public_url.partition("://")
    authority = rest.partition("/")[0]
    host = authority.rpartition("]")[0].removeprefix("[") or authority.partition(":")[0]
    return scheme == "http" and not is_loopback(host)
