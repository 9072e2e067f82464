"""What the public address may be, and what is thought of a request by how it came."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from starlette.datastructures import Headers

from label_queue.intake.public_address import (
    FORWARDING,
    Arrival,
    Site,
    address_of_run,
    check_http_host,
    check_public_url,
    check_trusted_proxy,
)
from protocol.errors import Misdirected

PUBLIC = Arrival(is_public=True, origin="https://label.example.org", prefix="/run-a")
LOCAL = Arrival(is_public=False, origin="http://127.0.0.1:8000", prefix="")
SITE = Site(run_id="run-a", public_url="https://label.example.org/run-a")
HERE = {"host": "127.0.0.1:8000"}
THERE = {"host": "label.example.org"}


def judged(
    headers: Mapping[str, str],
    site: Site = SITE,
    peer: str | None = "127.0.0.1",
    *,
    is_wide: bool = False,
) -> Arrival | str:
    try:
        return site.arrival(Headers(headers), peer, is_wide=is_wide)
    except Misdirected as error:
        return error.message


# --- the address ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "https://label.example.org",
        "https://label.example.org:8443/run-a",
        "https://label.example.org/teams/a.b_c~d-1",
        "https://xn--bcher-kva.example",
        "https://192.0.2.7",
        "https://[2001:db8::7]:8443",
        "http://localhost:9000",
        "http://127.0.0.1:9000/run-a",
        "https://label.example.org/rewards",
        "https://label.example.org/teams/{run}",
    ],
)
def test_what_may_be_public(url: str) -> None:
    assert check_public_url(url) == url


@pytest.mark.parametrize(
    ("url", "mend"),
    [
        *((url, "want https://HOST") for url in ("", "label.example.org", "//label.example.org")),
        *((url, "want https://HOST") for url in ("ftp://h.example", "https://", "https:///run-a")),
        *((f"https://h.example:{port}", "want https://HOST") for port in ("", "0", "x", "70000")),
        ("https://[::1", "want https://HOST"),
        ("https://ann:pw@h.example", "take user, password"),
        ("https://ann@h.example", "take user, password"),
        ("https://h.example?run=a", "take user, password, . and # out"),
        ("https://h.example/run-a#x", "take user, password, . and # out"),
        ("https://h.example/", "leave the / at its end out"),
        ("https://h.example/run-a/", "leave the / at its end out"),
        ("https://H.example", "small letters"),
        ("https://bücher.example", "small letters"),
        ("https://h example", "small letters"),
        ("https://h.example\n", "let its path be of"),
        ("https://h.example/a//b", "let its path be of"),
        ("https://h.example/../a", "let its path be of"),
        ("https://h.example/a b", "let its path be of"),
        ("https://h.example/a;b", "let its path be of"),
        ("https://h.example/a%20b", "let its path be of"),
        ("https://h.example/{seed}", "let its path be of .* or {run} for the run's id"),
        ("https://{run}.example", "small letters"),
    ],
)
def test_what_may_not_be_public_and_how_to_mend_it(url: str, mend: str) -> None:
    with pytest.raises(ValueError, match=mend):
        check_public_url(url)


def test_each_run_has_a_path_of_its_own_at_an_address_that_is_said_for_all() -> None:
    assert address_of_run("https://h.example/x/{run}", "run-1") == "https://h.example/x/run-1"
    assert address_of_run("https://h.example/x", "run-1") == "https://h.example/x"
    assert address_of_run(None, "run-1") is None


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.0.0.2", "0.0.0.0", "::"])
def test_where_a_face_can_listen_is_an_address(host: str) -> None:
    assert check_http_host(host) == host


@pytest.mark.parametrize("host", ["", "label", "fe80::1%eth0", "127.0.0.1:8000", "127.1"])
def test_a_face_listens_at_nothing_else(host: str) -> None:
    with pytest.raises(ValueError, match=r"does not appear to be|leave it out"):
        check_http_host(host)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.0/8", "::1", "10.0.0.7/32"])
def test_a_proxy_is_an_address_or_a_network(address: str) -> None:
    assert check_trusted_proxy(address) == address


@pytest.mark.parametrize(
    ("address", "mend"),
    [
        ("localhost", "want e.g. 127.0.0.1"),
        ("*", "want e.g. 127.0.0.1"),
        ("127.0.0.1/8", "host bits set"),
    ],
)
def test_a_proxy_is_nothing_else(address: str, mend: str) -> None:
    with pytest.raises(ValueError, match=mend):
        check_trusted_proxy(address)


# --- a request -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        THERE,
        {"host": "label.example.org:443"},
        {"host": "LABEL.example.org"},
        {**THERE, "x-forwarded-proto": "https", "x-forwarded-for": "203.0.113.9"},
        {**THERE, "x-forwarded-host": "label.example.org"},
        {**HERE, "x-forwarded-host": "label.example.org"},
        {**HERE, "x-forwarded-host": "label.example.org", "x-forwarded-proto": "https"},
    ],
)
def test_what_comes_to_the_public_address(headers: dict[str, str]) -> None:
    assert judged(headers) == PUBLIC


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost:9000", "[::1]:8000", "a.localhost"])
@pytest.mark.parametrize("site", [SITE, Site()])
def test_what_comes_from_this_machine(host: str, site: Site) -> None:
    arrival = judged({"host": host}, site)
    assert arrival == Arrival(is_public=False, origin=f"http://{host}", prefix="")


@pytest.mark.parametrize("name", FORWARDING)
@pytest.mark.parametrize("site", [SITE, Site(), Site(trusted_proxies=())])
def test_what_came_through_a_proxy_is_never_from_this_machine(name: str, site: Site) -> None:
    assert "is not where this run is found" in str(judged({**HERE, name: "127.0.0.1"}, site))


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "label.example.org.evil.example", "label.example.org:8000", ""),
        *("label.example.org/", "label.example.org@evil.example", "127.0.0.1.evil.example"),
        *("ann@127.0.0.1", "127.0.0.1/x", "127.0.0.1:x", "[::1", "10.0.0.7:8000"),
    ],
)
def test_what_comes_to_another_address_is_told_where_to_go(host: str) -> None:
    assert str(judged({"host": host})).endswith("go to https://label.example.org/run-a")
    assert str(judged({"host": host}, Site())).endswith("or set cluster.public_url")


def test_a_request_names_one_host() -> None:
    headers = Headers(raw=[(b"host", b"label.example.org"), (b"host", b"127.0.0.1:8000")])
    with pytest.raises(Misdirected):
        SITE.arrival(headers, "127.0.0.1")
    with pytest.raises(Misdirected):
        SITE.arrival(Headers({}), "127.0.0.1")


@pytest.mark.parametrize(
    ("peer", "trusted"),
    [
        ("127.0.0.1", ()),
        ("127.0.0.1", ("127.0.0.7",)),
        ("::1", ("127.0.0.0/8",)),
        ("203.0.113.9", ("127.0.0.0/8", "::1")),
        ("testclient", ("127.0.0.0/8", "::1")),
        (None, ("127.0.0.0/8", "::1")),
    ],
)
def test_only_a_trusted_proxy_says_which_host_was_asked(
    peer: str | None, trusted: tuple[str, ...]
) -> None:
    site = Site(public_url=SITE.public_url, trusted_proxies=trusted)
    headers = {**HERE, "x-forwarded-host": "label.example.org"}
    assert "let the proxy pass Host on" in str(judged(headers, site, peer))


def test_what_came_in_the_clear_is_refused_where_the_address_is_https() -> None:
    headers = {**THERE, "x-forwarded-proto": "http"}
    assert judged(headers) == "come by https: this is read at https://label.example.org"
    assert judged(headers, peer="203.0.113.9") == PUBLIC  # nobody to be believed


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8000", "localhost", "[::1]", "0.0.0.0:8000", "10.0.0.7"]
)
def test_beyond_loopback_nobody_is_this_machine(host: str) -> None:
    for peer in ("127.0.0.1", "10.0.0.9"):
        said = judged({"host": host}, peer=peer, is_wide=True)
        assert str(said).endswith("go to https://label.example.org/run-a")
        assert judged(THERE, peer=peer, is_wide=True) == PUBLIC


def test_where_tls_is_in_front_only_what_came_through_it_is_read() -> None:
    proxy = "10.0.0.7"
    site = Site(public_url=SITE.public_url, trusted_proxies=(proxy,), is_behind_tls=True)
    by_tls = {**THERE, "x-forwarded-proto": "https"}
    refusal = "come by https: this is read at https://label.example.org"
    assert judged(by_tls, site, proxy, is_wide=True) == PUBLIC
    for headers, peer in (
        (THERE, proxy),
        ({**THERE, "x-forwarded-proto": "http"}, proxy),
        ({**THERE, "x-forwarded-for": "203.0.113.9"}, proxy),
        (THERE, "10.0.0.9"),
        (by_tls, "10.0.0.9"),
    ):
        assert judged(headers, site, peer, is_wide=True) == refusal
    assert judged(HERE, site) == LOCAL


def test_a_public_address_on_loopback_is_public() -> None:
    site = Site(public_url="http://localhost:9000")
    arrival = judged({"host": "localhost:9000"}, site)
    assert arrival == Arrival(is_public=True, origin="http://localhost:9000", prefix="")
    assert judged(HERE, site) == LOCAL


def test_links_for_others_are_public_ones() -> None:
    assert SITE.base_of_links(LOCAL) == SITE.base_of_links(PUBLIC) == SITE.public_url
    assert Site().base_of_links(LOCAL) == "http://127.0.0.1:8000"


def test_each_run_has_a_cookie_of_its_own() -> None:
    assert SITE.session_cookie == "andon_session_run-a"
