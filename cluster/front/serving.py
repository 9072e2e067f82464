"""The front as a process: it listens until it is told to end, and no run notices either."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from cluster.front.app import Front
from cluster.front.forwarding import Forwarder
from cluster.front.places import Places
from cluster.listening import is_here
from cluster.starting.ports import free_port
from label_queue.config import IntakeConfig
from label_queue.intake.public_address import check_http_host
from label_queue.intake.server import FaceServer
from label_queue.intake.wide_face import Certificate
from protocol.errors import InputError, LoopEnded
from protocol.http_server import listen

PORT = "--port"
TLS = ("--tls-certificate", "--tls-key")
"""Options of the command line, which errors name."""


async def serve(
    roots: Sequence[Path],
    host: str,
    port: int,
    certificate: Certificate | None,
    *,
    lists_to_all: bool,
    tell: Callable[[str], None],
) -> None:
    """Stand before the runs in some folders until a signal ends it.

    Args:
        roots: Folders of runs.
        host: Where to listen: of loopback, or with a certificate anywhere.
        port: 0 for a free one.
        certificate: What TLS is spoken with; None: plain HTTP.
        lists_to_all: Whether others than this machine are shown the list of runs.
        tell: Takes a line for whoever started it.

    Raises:
        InputError: The host is none, or others than this machine would come without TLS.
        ResourceError: The port is taken, or the certificate may not be read.
        MissingError: The certificate is not there.
        ConfigError: It is none.
    """
    try:
        is_wide = not is_here(check_http_host(host))
    except ValueError as error:
        raise InputError(f"--host: {error}") from error
    if is_wide and certificate is None:
        raise InputError(
            f"--host {host} is open to the network: give {' and '.join(TLS)}, or keep 127.0.0.1 "
            "and put a proxy with TLS before it (docs/public_address.md)"
        )
    if certificate is not None:
        certificate.check(TLS)
    port = free_port(host, port, PORT)
    limits = IntakeConfig()
    # With a certificate nobody stands between: what is said of another way is made up.
    speaks_tls = certificate is not None
    forwarder = Forwarder(body_s=limits.max_body_s, believes=not speaks_tls)
    app = Front(Places(roots), forwarder, is_wide=speaks_tls, lists_to_all=lists_to_all)
    tls = None if certificate is None else (certificate.chain, certificate.key)
    server = FaceServer(app, listen(host, port, PORT), limits, tls=tls)
    ends: list[BaseException | None] = []
    server.start(ends.append)
    shown = f"[{host}]" if ":" in host else host
    tell(f"runs are listed at {'https' if speaks_tls else 'http'}://{shown}:{port}/")
    try:
        await server.ended()
    finally:
        await forwarder.close()
    if ends:
        raise LoopEnded("the front listens no more, though nobody ended it") from ends[0]
