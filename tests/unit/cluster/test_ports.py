"""Ports and addresses: errors blame what is wrong, on IPv4 and IPv6 alike."""

from __future__ import annotations

import errno
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from cluster.starting.ports import (
    FIRST_QUIET_PORT,
    KERNEL_PORTS,
    check_ray,
    free_port,
    ray_host_and_port,
    url_of,
)
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
        with pytest.raises(
            ResourceError, match=f"^port {port} on ::1 is in use by process .*: set"
        ):
            free_port("::1", port)


def test_who_has_a_port_is_named_by_process_and_command() -> None:
    listen = "import socket, time; s = socket.create_server(('127.0.0.1', 0)); "
    listen += "print(s.getsockname()[1], flush=True); time.sleep(600)"
    command = [sys.executable, "-S", "-c", listen, "\x1b[31mred"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None
            port = int(holder.stdout.readline())
            with pytest.raises(ResourceError) as told:
                free_port("127.0.0.1", port)
        finally:
            holder.kill()
    said = str(told.value)
    assert said.startswith(f"port {port} on 127.0.0.1 is in use by process {holder.pid} (")
    assert said.endswith("): set cluster.http_port to another, or to 0 for a free one")
    assert "\x1b" not in said


def test_whose_process_may_not_be_seen_is_left_unnamed(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(kind: str) -> None:
        raise psutil.AccessDenied

    monkeypatch.setattr(psutil, "net_connections", refuse)
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        with pytest.raises(ResourceError, match=f"^port {port} on 127.0.0.1 is in use: set"):
            free_port("127.0.0.1", port)


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
    ],
)
def test_what_is_no_ray_address_is_told_before_anybody_is_asked(address: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=rf"is not HOST:PORT \(.*{reason}.*RAY_ADDRESS"):
        check_ray(address)


@pytest.mark.parametrize(
    ("address", "what", "submit_to"),
    [
        ("ray://head:10001", "a Ray client's", "head"),
        ("ray://head", "a Ray client's", "head"),
        ("ray://[::1]:10001", "a Ray client's", "[::1]"),
        ("http://head:8265", "a dashboard's", "head"),
        ("https://user:secret@head:8265/path", "a dashboard's", "head"),
        ("ray://", "a Ray client's", "HEAD"),
        ("anything://head:1", "another", "head:1"),
    ],
)
def test_where_no_driver_can_be_is_told_with_the_command_that_can(
    address: str, what: str, submit_to: str
) -> None:
    with pytest.raises(ConfigError) as told:
        check_ray(address)
    said = str(told.value)
    assert f"is not HOST:PORT, but {what}, and a run's driver belongs on a node" in said
    submit = f"`ray job submit --address http://{submit_to}:8265 -- andon run CONFIG.toml`"
    assert submit in said
    assert "set RAY_ADDRESS to auto" in said


def test_a_host_that_nobody_knows_has_no_cluster() -> None:
    with pytest.raises(ResourceError, match=r"no Ray cluster answers at nowhere\.invalid:6379"):
        check_ray("nowhere.invalid:6379")


def test_a_free_port_is_none_that_the_kernel_gives_to_others() -> None:
    lowest = int(KERNEL_PORTS.read_text().split()[0])
    if lowest <= FIRST_QUIET_PORT:
        pytest.skip("the kernel gives out nearly all ports here")
    found = {free_port("127.0.0.1", 0) for _ in range(20)}
    assert all(FIRST_QUIET_PORT <= port < lowest for port in found)
    assert len(found) > 1


def test_one_that_is_taken_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setattr("cluster.starting.ports._quiet_ports", lambda: range(port, port + 1))
        assert free_port("127.0.0.1", 0) != port


@pytest.mark.parametrize("content", [None, "", "many\n"])
def test_where_the_kernel_does_not_say_any_port_will_do(
    content: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = tmp_path / "range"
    if content is not None:
        said.write_text(content)
    monkeypatch.setattr("cluster.starting.ports.KERNEL_PORTS", said)
    assert free_port("127.0.0.1", 0) > 0
