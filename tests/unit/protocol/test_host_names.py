"""Which names can be looked up."""

from __future__ import annotations

import pytest

from protocol.host_names import is_host_name


@pytest.mark.parametrize(
    "name", ["127.0.0.1", "::1", "label.example.org", "a.b.", "tool_1", "süß.example"]
)
def test_names_and_addresses_can(name: str) -> None:
    assert is_host_name(name)


@pytest.mark.parametrize("name", ["", "a..b", ".x", "h" * 64, "x\udcff"], ids=ascii)
def test_what_a_lookup_would_break_at_cannot(name: str) -> None:
    assert not is_host_name(name)
