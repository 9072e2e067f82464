from __future__ import annotations

import pytest

from protocol.loopback import is_at_loopback, is_loopback


@pytest.mark.parametrize(
    ("host", "is_here"),
    [
        *(("localhost", True), ("LocalHost.", True), ("a.localhost", True), ("127.0.0.1", True)),
        *(("127.9.9.9", True), ("127.1", True), ("::1", True), ("::ffff:127.0.0.1", True)),
        *(("0.0.0.0", True), ("10.0.0.1", False), ("example.org", False), ("localhost.x", False)),
    ],
)
def test_who_is_this_machine(host: str, is_here: bool) -> None:
    assert is_loopback(host) == is_here


@pytest.mark.parametrize(
    ("authority", "is_here"),
    [
        *(("localhost:8000", True), ("127.0.0.1", True), ("[::1]:8000", True), ("[::1]", True)),
        *(("example.org:8000", False), ("localhost@example.org", False), ("", False)),
        *(
            ("x@localhost", False),
            ("localhost/x", False),
            ("[::1", False),
            ("localhost.example.org:80", False),
        ),
    ],
)
def test_which_host_headers_name_this_machine(authority: str, is_here: bool) -> None:
    assert is_at_loopback(authority) == is_here
