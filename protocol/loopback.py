"""Whether a host is this machine, however it is written."""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit


def is_loopback(host: str) -> bool:
    """Whether a URL's host is this machine: by its name, or an address in whatever notation."""
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        try:
            address = ipaddress.ip_address(socket.inet_aton(name))  # "127.1"
        except OSError:
            return False
    mapped = getattr(address, "ipv4_mapped", None)
    address = mapped or address
    return address.is_loopback or address.is_unspecified


def is_at_loopback(authority: str) -> bool:
    """Whether the host of a `Host` header is this machine: "127.0.0.1:8000", "[::1]"."""
    try:
        parts = urlsplit(f"//{authority}")
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    is_plain = parts.netloc == authority and "@" not in authority
    return is_plain and host is not None and is_loopback(host)
