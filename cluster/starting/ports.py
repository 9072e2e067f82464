"""Ports and addresses: what can be bound, what answers, and how an address is written."""

from __future__ import annotations

import errno
import ipaddress
import random
import socket
import textwrap
from contextlib import suppress
from pathlib import Path

import psutil

from cluster.inert_text import inert
from protocol.errors import ConfigError, ResourceError

CONNECT_TIMEOUT_S = 5.0
CLIENT_PORT = 10001
"""Where Ray's clients connect by default, and no driver can."""
DASHBOARD_PORT = 8265
"""Where `ray job submit` connects by default."""
LONGEST_COMMAND = 80
FIRST_QUIET_PORT = 20_000
"""Above those that Ray gives its workers, 10,002 to 19,999."""
KERNEL_PORTS = Path("/proc/sys/net/ipv4/ip_local_port_range")
NUM_TRIES = 50

PAGES_PORT = "cluster.http_port"
REWARD_PORT = "cluster.reward_port"
"""Keys of the config that name ports."""


def free_port(host: str, port: int, key: str = PAGES_PORT) -> int:
    """Return `port` if it can be bound, or a free one for 0.

    Who is to listen there comes up some time later, beside dozens of processes that connect and
    listen at ports of the kernel's choice; so a free one is none of those, where there are others.

    Args:
        host: "localhost" or an address, IPv4 or IPv6.
        port: 0 for any.
        key: Of the config, which the error names.

    Raises:
        ResourceError: It is taken, needs rights this user lacks, or this machine has no such host.
    """
    quiet = _quiet_ports() if port == 0 else range(0)
    draws = random.SystemRandom().sample(quiet, min(NUM_TRIES, len(quiet)))
    for tried in (*draws, port):
        try:
            return _bound(host, tried)
        except OSError as error:
            if tried == port or error.errno != errno.EADDRINUSE:
                raise _not_bound(host, port, error, key) from error
    raise AssertionError("the last one returns or raises")


def _bound(host: str, port: int) -> int:
    """Bind a port, let it go, and return it."""
    # As both faces do: a name, such as localhost, is looked up as IPv4.
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
        return int(probe.getsockname()[1])


def _quiet_ports() -> range:
    """Return ports that the kernel gives to nobody who asks for any; none where it does not say."""
    try:
        lowest = int(KERNEL_PORTS.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return range(0)
    return range(FIRST_QUIET_PORT, lowest)


def _not_bound(host: str, port: int, error: OSError, key: str) -> ResourceError:
    if error.errno == errno.EADDRINUSE:
        return ResourceError(
            f"port {port} on {host} is in use{_by_whom(port)}: set {key} to another, or to 0 for "
            "a free one"
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return ResourceError(
            f"port {port} on {host} may not be bound by this user (below 1024 it takes root): set "
            f"{key} to another, or to 0 for a free one"
        )
    return ResourceError(
        f"{host} is no address of this machine ({error.strerror}): set cluster.http_host to "
        "another, e.g. 127.0.0.1"
    )


def _by_whom(port: int) -> str:
    """Return " by process …" of who listens at a port, or "" where this user may not see that."""
    with suppress(psutil.Error, OSError):
        for each in psutil.net_connections("tcp"):
            is_it = each.laddr and each.laddr.port == port and each.pid is not None
            if is_it and each.status == psutil.CONN_LISTEN:
                process = psutil.Process(each.pid)
                command = " ".join(process.cmdline()) or process.name()
                shown = textwrap.shorten(inert(command), LONGEST_COMMAND, placeholder=" …")
                return f" by process {process.pid} ({shown})"
    return ""


def url_of(host: str, port: int) -> str:
    """Return the URL of an HTTP face; an IPv6 address stands in brackets there."""
    return f"http://{_bracketed(host)}:{port}"


def ray_host_and_port(address: str) -> tuple[str, int] | None:
    """Return where a Ray cluster is said to be; None for "auto", which Ray looks up.

    Raises:
        ConfigError: It is no HOST:PORT.
    """
    if address == "auto":
        return None
    if "://" in address:
        raise _no_driver_there(address)
    host, separator, port = address.rpartition(":")
    if not separator or not host:
        raise _no_ray_address(address, "it has no host" if separator else "it has no port")
    if not (port.isascii() and port.isdecimal() and len(port) <= 5 and 0 < int(port) < 2**16):
        raise _no_ray_address(address, f"{port!r} is no port from 1 to 65535")
    return _bare_host(address, host), int(port)


def _no_driver_there(address: str) -> ConfigError:
    """Return the error for the address of a Ray client or a dashboard, with the way that leads in.

    A client's calls all go through one process of the cluster's, which ends it on a broken
    connection; and a run's pages would be at the loopback of a machine that is not the driver's.
    """
    scheme, _, place = address.partition("://")
    host = place.partition("/")[0].rpartition("@")[2].removesuffix(f":{CLIENT_PORT}")
    host = host.removesuffix(f":{DASHBOARD_PORT}") or "HEAD"
    return ConfigError(
        f"the Ray address {inert(address)!r} is not HOST:PORT, but {_of_what(scheme)}, and a run's "
        "driver belongs on a node of the cluster. Submit the run: `ray job submit --address "
        f"http://{inert(host)}:{DASHBOARD_PORT} -- andon run CONFIG.toml`; or on a node of the "
        "cluster set RAY_ADDRESS to auto (docs/cluster.md)"
    )


def _of_what(scheme: str) -> str:
    kinds = {"ray": "a Ray client's", "http": "a dashboard's", "https": "a dashboard's"}
    return kinds.get(scheme, "another")


def _bare_host(address: str, host: str) -> str:
    if host.startswith("[") and host.endswith("]"):
        try:
            return str(ipaddress.IPv6Address(host[1:-1]))
        except ValueError as error:
            raise _no_ray_address(address, f"{host} is no IPv6 address") from error
    labels = host.split(".")
    is_name = all(
        label and len(label) < 64 and label.isascii() and label.replace("-", "a").isalnum()
        for label in labels
    )
    if not is_name or len(host) > 253:
        raise _no_ray_address(address, f"{host!r} is no host")
    return host


def _no_ray_address(address: str, reason: str) -> ConfigError:
    return ConfigError(
        f"the Ray address {address!r} is not HOST:PORT ({reason}): set RAY_ADDRESS or "
        "cluster.address to e.g. 10.0.0.1:6379, or unset it to run on this machine alone"
    )


def no_ray_cluster(address: str) -> ResourceError:
    """Return the error to raise where no Ray cluster answers."""
    return ResourceError(
        f"no Ray cluster answers at {address}: start one with `ray start --head` or unset "
        "RAY_ADDRESS to run on this machine alone"
    )


def check_ray(address: str) -> None:
    """Try the cluster's port: Ray itself would go on trying for a minute.

    Raises:
        ConfigError: The address is none.
        ResourceError: Nothing answers there.
    """
    at = ray_host_and_port(address)
    if at is None:
        return
    try:
        socket.create_connection(at, CONNECT_TIMEOUT_S).close()
    except (OSError, UnicodeError) as error:
        raise no_ray_cluster(address) from error


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
