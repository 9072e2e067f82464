"""Ports of loopback for servers of the tests' own."""

from __future__ import annotations

from cluster.starting import ports

HOST = "127.0.0.1"


def free_port() -> int:
    """Return a port that nobody listens on, nor is given by the kernel meanwhile."""
    return ports.free_port(HOST, 0)
