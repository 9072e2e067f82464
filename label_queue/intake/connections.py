"""Connections on which nothing is being asked: how long each may be that, and how many.

    connecting ──▶ head of a request ──▶ asked ──▶ answered, idle ──▶ head of the next …
    └────── max_head_s ─────────────┘              └─ keep-alive ─┘└── max_head_s ──┘

Whoever connects is nobody until a request of theirs was identified. Nobody's connections with
nothing asked are at the doorstep, and only so many fit on it: for one more the oldest is closed, of
the address that has most there. Not the newest, or whoever fills it would keep all others out:
somebody who asks for something is there for as long as their request is on its way.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Protocol

MAX_HEAD_BYTES = 64 * 1024
"""Bytes of a request's head, at most; a proxy's own limit is lower."""
MAX_REST_BYTES = 8 * 1024 * 1024
"""Bytes of a body that goes on coming though its request was answered, at most: who sends it may
read the answer only when they are done."""
SITE_BITS = 64
"""Leading bits of an IPv6 address that one site has to itself."""


class Cycle(Protocol):
    """A request as the server holds it."""

    scope: Mapping[str, Any]
    more_body: bool
    """Whether its body was not all there when it was answered."""
    response_complete: bool


class Doorstep:
    """Nobody's connections, with nothing asked, oldest first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting: dict[Watch, str] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def enter(self, watch: Watch, address: str) -> None:
        """Let one wait; close another where it is one too many. One that waits already stays."""
        self._waiting.setdefault(watch, address)
        if len(self._waiting) > self._most:
            oldest = self._oldest()
            self.leave(oldest)
            oldest.close()

    def leave(self, watch: Watch) -> None:
        """Let one wait no more. Idempotent."""
        self._waiting.pop(watch, None)

    def _oldest(self) -> Watch:
        counts = Counter(self._waiting.values())
        most = max(counts.values())
        return next(each for each, address in self._waiting.items() if counts[address] == most)


class Watch:
    """One connection, told of what happens on it.

    Args:
        transport: The connection.
        doorstep: Where it waits while it is nobody's.
        head_s: Time for a head, from connecting or from its first byte.
        idle_s: How long it may go on with the body of a request that was answered.
        unread_s: How long what was sent may stay unread.
        is_identified: Says, by a request's scope, whether it was found who sent it.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        doorstep: Doorstep,
        *,
        head_s: float,
        idle_s: float,
        unread_s: float,
        is_identified: Callable[[Mapping[str, Any]], bool],
    ) -> None:
        self._transport = transport
        self._doorstep = doorstep
        self._head_s = head_s
        self._idle_s = idle_s
        self._unread_s = unread_s
        self._is_identified = is_identified
        self._loop = asyncio.get_running_loop()
        self._address = _site_of(transport.get_extra_info("peername"))
        self._is_known = False
        self._num_bytes = 0
        """Bytes that came since anything was asked."""
        self._deadline: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None
        self._wait(head_s)

    def came(self, num_bytes: int, request: Cycle | None) -> None:
        """Take note of bytes; `request` is the newest whose head is whole, if there was one."""
        if request is not None and not request.response_complete:
            self._asked()
            return
        self._num_bytes += num_bytes
        is_rest = request is not None and request.more_body
        if self._num_bytes > (MAX_REST_BYTES if is_rest else MAX_HEAD_BYTES):
            self.close()
        elif not is_rest:
            self._wait(self._head_s)

    def answered(self, request: Cycle) -> None:
        """Take note that a request was answered, or that it is, and `request` the next one's."""
        if not request.response_complete:
            self._asked()
            return
        self._is_known = self._is_known or self._is_identified(request.scope)
        self._num_bytes = 0
        if self._transport.is_closing():
            self._deadline = self._loop.call_later(self._unread_s, self.close)
        elif request.more_body:
            self._wait(self._idle_s)
        elif not self._is_known:
            self._doorstep.enter(self, self._address)

    def stuck(self) -> None:
        """Take note that what was sent is not read."""
        if self._unread is None:
            self._unread = self._loop.call_later(self._unread_s, self.close)

    def flowing(self) -> None:
        """Take note that it is read again."""
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def lost(self) -> None:
        """Watch no more. Idempotent."""
        self._asked()
        self.flowing()

    def close(self) -> None:
        """End the connection at once, whatever was not sent yet."""
        self._transport.abort()

    def _wait(self, seconds: float) -> None:
        """Have something asked within some time, from when it was first waited for."""
        if self._deadline is None:
            self._deadline = self._loop.call_later(seconds, self.close)
        if not self._is_known:
            self._doorstep.enter(self, self._address)

    def _asked(self) -> None:
        self._num_bytes = 0
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        self._doorstep.leave(self)


def _site_of(peer: Any) -> str:
    """Return whose address a connection comes from: of IPv6 the network that a site has."""
    host = str(peer[0]) if peer else ""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if address.version == 4:
        return host
    return str(ipaddress.ip_network((address, SITE_BITS), strict=False))
