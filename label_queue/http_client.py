"""HTTP clients of the label side: what is on this machine is never asked through a proxy.

What a server that is busy answers is the same to all of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx

from protocol.errors import ConfigError
from protocol.host_names import is_host_name
from protocol.loopback import is_loopback
from protocol.retrying import NotNow

BUSY = frozenset({429, 500, 502, 503, 504, 507})
"""Statuses after which the same request may get another answer in a while."""

C = TypeVar("C", httpx.Client, httpx.AsyncClient)


def open_client(make: Callable[..., C], url: str, **options: Any) -> C:
    """Return a client of a server.

    Args:
        make: `httpx.Client` or `httpx.AsyncClient`.
        url: The base of its paths, e.g. "http://127.0.0.1:8000".
        options: As `make` takes them.

    Raises:
        ConfigError: The URL is none, or the environment's proxies or certificates are no good.
    """
    try:
        urlsplit(url)  # knows a bracket that is never closed
        at = httpx.URL(url)
    except (ValueError, httpx.InvalidURL) as error:  # UnicodeError, of its bytes, is a ValueError
        raise ConfigError(f"{url!r} is no URL ({error}): want http://HOST:PORT") from error
    if at.scheme not in ("http", "https") or not is_host_name(at.raw_host.decode("ascii")):
        raise ConfigError(f"{url!r} is no URL of a server: want http://HOST:PORT")
    if is_loopback(at.host):
        return make(base_url=url, trust_env=False, **options)
    try:
        return make(base_url=url, **options)
    except ImportError as error:
        raise ConfigError(
            f"{url}: the environment names a SOCKS proxy, for which a package is missing: `pip "
            f"install httpx[socks]`, put {at.host} into NO_PROXY, or unset ALL_PROXY"
        ) from error
    except (ValueError, OSError, httpx.InvalidURL) as error:
        raise ConfigError(
            f"{url}: no client can be made with the proxies and certificates that the environment "
            f"names ({error}): see HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY and SSL_CERT_FILE"
        ) from error


def not_now(response: httpx.Response) -> NotNow:
    """Return what a busy server's answer says: its status, and how long to wait.

    A date as Retry-After, or nothing, asks for no time.
    """
    try:
        asked_s = float(response.headers.get("retry-after", "0"))
    except ValueError:
        asked_s = 0.0
    return NotNow(f"status {response.status_code}", asked_s if math.isfinite(asked_s) else 0.0)
