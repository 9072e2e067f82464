"""Names of hosts: which can be looked up at all."""

from __future__ import annotations


def is_host_name(name: str) -> bool:
    """Return whether a name, or an address, can be looked up.

    Each of its parts must be there, of at most 63 characters, in IDNA where it is beyond ASCII. A
    lookup of any other raises UnicodeError, which no client takes for trouble of the network.
    """
    try:
        name.encode("idna")
    except UnicodeError:
        return False
    return bool(name)
