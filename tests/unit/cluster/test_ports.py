"""Ports and addresses: errors blame what is wrong, on IPv4 and IPv6 alike."""

from __future__ import annotations

import errno
import socket

import pytest

from cluster.starting.ports import check_ray, free_port, ray_host_and_port, url_of
from protocol.errors import ConfigError, ResourceError

needs_ipv6 = pytest.mark.skipif(
    not socket.has_ipv6 or not any(a[4][0] == "::1" for a in socket.getaddrinfo("::1", 0)),
    reason="no IPv6 here",
)


@needs_ipv6
def test_ipv6_s_loopback_has_free_ports() -> None:
    port = free_port("::1", 0)
    assert port > 0
    assert free_port("::1", port) == port
    assert free_port("localhost", 0) > 0


@needs_ipv6
def test_a_port_in_use_on_ipv6_is_named() -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as busy:
        port = busy.getsockname()[1]
        with pytest.raises(ResourceError, match=f"^port {port} on ::1 is in use: set cluster.http"):
            free_port("::1", port)


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.EADDRINUSE, "port 80 on 127.0.0.1 is in use"),
        (errno.EACCES, "port 80 on 127.0.0.1 may not be bound by this user (below 1024 it takes"),
        (errno.EADDRNOTAVAIL, "127.0.0.1 is no address of this machine (no such)"),
        (errno.EAFNOSUPPORT, "127.0.0.1 is no address of this machine (no such)"),
    ],
)
def test_what_keeps_a_port_from_being_bound_is_told(
    monkeypatch: pytest.MonkeyPatch, number: int, said: str
) -> None:
    class Refusing(socket.socket):
        def bind(self, address: object) -> None:
            raise OSError(number, "no such")

    monkeypatch.setattr("cluster.starting.ports.socket.socket", Refusing)
    with pytest.raises(ResourceError) as told:
        free_port("127.0.0.1", 80)
    assert str(told.value).startswith(said)


def test_an_address_of_another_machine_is_not_called_busy() -> None:
    with pytest.raises(ResourceError, match=r"192\.0\.2\.1 is no address of this machine"):
        free_port("192.0.2.1", 0)


def test_an_ipv6_address_stands_in_brackets_in_a_url() -> None:
    assert url_of("::1", 8000) == "http://[::1]:8000"
    assert url_of("127.0.0.1", 8000) == "http://127.0.0.1:8000"


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("auto", None),
        ("10.0.0.1:6379", ("10.0.0.1", 6379)),
        ("head-1.example:6379", ("head-1.example", 6379)),
        ("[::1]:6379", ("::1", 6379)),
    ],
)
def test_a_ray_address_is_taken_apart(address: str, found: tuple[str, int] | None) -> None:
    assert ray_host_and_port(address) == found


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("head", "it has no port"),
        (":6379", "it has no host"),
        ("head:", "'' is no port"),
        ("head:port", "'port' is no port"),
        ("head:0", "'0' is no port"),
        ("head:65536", "'65536' is no port"),
        ("head:" + "9" * 5000, "is no port"),
        ("head:６３７９", "is no port"),
        ("head:-1", "'-1' is no port"),
        ("::1:6379", "'::1' is no host"),
        ("[::g]:6379", r"\[::g\] is no IPv6 address"),
        ("a b:6379", "'a b' is no host"),
        ("ray://head:10001", "not at a Ray client"),
        ("http://head:8265", "not at a Ray client"),
    ],
)
def test_what_is_no_ray_address_is_told_before_anybody_is_asked(address: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=rf"is not HOST:PORT \(.*{reason}.*RAY_ADDRESS"):
        check_ray(address)


def test_a_host_that_nobody_knows_has_no_cluster() -> None:
    with pytest.raises(ResourceError, match=r"no Ray cluster answers at nowhere\.invalid:6379"):
        check_ray("nowhere.invalid:6379")
