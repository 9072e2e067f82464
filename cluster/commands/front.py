"""One address for the pages of several runs."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from cluster.commands.shared import one_line_errors
from protocol.errors import InputError


@click.command()
@click.argument("runs", type=click.Path(path_type=Path), nargs=-1)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=8000,
    show_default=True,
    help="Port to listen at; 0 for a free one.",
)
@click.option(
    "--tls-certificate",
    type=click.Path(path_type=Path),
    help="PEM file, to speak TLS; beyond loopback it must be given.",
)
@click.option(
    "--tls-key",
    type=click.Path(path_type=Path),
    help="PEM file of that certificate's private key.",
)
@click.option(
    "--list-to-all",
    "lists_to_all",
    is_flag=True,
    help="Show names and states of the runs also to whoever comes from elsewhere.",
)
@one_line_errors
def front(
    runs: tuple[Path, ...],
    host: str,
    port: int,
    tls_certificate: Path | None,
    tls_key: Path | None,
    lists_to_all: bool,
) -> None:
    """Be one address for the pages of all runs in folders RUNS, each with a path of its own.

    RUNS are folders of runs; by default runs/. A run is found by the path of its
    cluster.public_url, wherever its own port is, and comes and goes by itself; set for all of them
    e.g. cluster.public_url="https://label.example.org/{run}" and cluster.http_port=0. At / is a
    list of the runs, for this machine alone. Ends by Ctrl-C or SIGTERM, and ends no run.

    Example: andon front runs --port 8000
    """
    from cluster.front.serving import TLS, serve
    from label_queue.intake.wide_face import Certificate

    if (tls_certificate is None) != (tls_key is None):
        raise InputError(f"{' and '.join(TLS)} belong together: give both")
    certificate = None
    if tls_certificate is not None and tls_key is not None:
        certificate = Certificate(chain=tls_certificate, key=tls_key)
    roots = runs or (Path("runs"),)
    asyncio.run(serve(roots, host, port, certificate, lists_to_all=lists_to_all, tell=click.echo))
