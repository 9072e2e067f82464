"""What is checked before anything starts."""

from __future__ import annotations

import socket

import pytest

from cluster.preflight import free_port
from protocol.errors import ResourceError

HOST = "127.0.0.1"


def test_a_port_in_use_is_named_with_the_mend() -> None:
    with socket.create_server((HOST, 0)) as busy:
        port = busy.getsockname()[1]
        with pytest.raises(ResourceError) as told:
            free_port(HOST, port)
    assert str(told.value) == (
        f"port {port} on {HOST} is in use: set cluster.http_port to another, or to 0 for a free one"
    )


def test_a_free_port_is_taken_as_it_is() -> None:
    port = free_port(HOST, 0)
    assert port > 0
    assert free_port(HOST, port) == port
