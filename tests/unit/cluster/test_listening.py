"""Where the labelling face may listen, and which keys must be set before it may."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from cluster.cluster_config import ClusterConfig
from label_queue.intake.wide_face import Certificate
from protocol.errors import ConfigError, MissingError
from tests.support.proxies import make_certificate

WIDE = {"http_host": "0.0.0.0"}
FILES = {"tls_certificate": "cert.pem", "tls_key": "key.pem"}
HTTPS = {"public_url": "https://label.example.org"}
HTTP = {"public_url": "http://10.0.0.1:8000"}
PROXY = {"trusted_proxies": ("10.0.0.7",)}


@pytest.mark.parametrize(
    "settings",
    [
        {**WIDE, **HTTPS, **FILES},
        {**WIDE, **HTTPS, **FILES, **PROXY},
        {**WIDE, **HTTPS, **PROXY, "without_tls": "tls_is_in_front"},
        {**WIDE, **HTTP, "without_tls": "network_may_read_tokens"},
        {**HTTPS, **FILES, "http_host": "2001:db8::1"},
    ],
)
def test_a_face_beyond_loopback_that_is_guarded_is_taken(settings: dict[str, Any]) -> None:
    config = ClusterConfig(**settings)
    assert config.is_wide
    assert config.own_host == "127.0.0.1"
    assert (config.certificate is None) == ("tls_key" not in settings)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.0.0.2"])
def test_at_loopback_the_run_s_own_programs_come_to_the_same_face(host: str) -> None:
    config = ClusterConfig(http_host=host)
    assert (config.is_wide, config.own_host) == (False, host)


OPEN = r"http_host 0\.0\.0\.0 is open to the network: set "
BOTH = r"cluster\.tls_certificate and cluster\.tls_key"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (WIDE, rf"{OPEN}cluster\.public_url and {BOTH} \(or cluster\.without_tls in the place"),
        ({**WIDE, **HTTPS}, rf"{OPEN}{BOTH} \(or cluster\.without_tls in the place of"),
        ({**WIDE, **FILES}, rf"{OPEN}cluster\.public_url, or keep 127\.0\.0\.1"),
        ({**WIDE, **HTTPS, "tls_key": "key.pem"}, rf"{OPEN}cluster\.tls_certificate, or keep"),
        ({**WIDE, **HTTPS, "tls_certificate": "c.pem"}, rf"{OPEN}cluster\.tls_key, or keep"),
        ({**WIDE, "without_tls": "tls_is_in_front"}, rf"{OPEN}cluster\.public_url, or keep"),
        ({**WIDE, "without_tls": "network_may_read_tokens"}, rf"{OPEN}cluster\.public_url, or"),
        (
            {**WIDE, **HTTPS, **FILES, "without_tls": "network_may_read_tokens"},
            "and a certificate are both set: remove one",
        ),
        ({**WIDE, **HTTP, **FILES}, "browsers come there by TLS: write https"),
        (
            {**WIDE, **HTTP, **PROXY, "without_tls": "tls_is_in_front"},
            "browsers come there by TLS: write https",
        ),
        (
            {**WIDE, **HTTPS, "without_tls": "network_may_read_tokens"},
            "set it to 'tls_is_in_front', or write http",
        ),
        (
            {**WIDE, **HTTPS, "without_tls": "tls_is_in_front"},
            r"name that proxy's address in cluster\.trusted_proxies",
        ),
        (
            {
                **WIDE,
                **HTTPS,
                "without_tls": "tls_is_in_front",
                "trusted_proxies": ("0.0.0.0/0",),
            },
            "is everybody: name the proxy's address",
        ),
        ({**WIDE, **HTTPS, "without_tls": "yes"}, "without_tls"),
        (FILES, r"tls_certificate is for a face beyond loopback, .* remove it"),
        ({"without_tls": "network_may_read_tokens"}, "without_tls is for a face beyond loopback"),
        (PROXY, "no connection comes from there"),
        ({"trusted_proxies": ("::/0",)}, "no connection comes from there"),
        (HTTP, "http would carry tokens in the clear"),
        ({"public_url": "http://[2001:db8::7]:8000"}, "http would carry tokens in the clear"),
    ],
)
def test_what_would_let_others_in_is_refused_with_the_keys_to_set(
    settings: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        ClusterConfig(**settings)


@pytest.mark.parametrize("url", ["http://localhost:9000", "http://127.0.0.1", "http://[::1]:8000"])
def test_plain_http_at_loopback_carries_nothing_over_a_network(url: str) -> None:
    assert ClusterConfig(public_url=url).public_url == url


# --- the certificate -----------------------------------------------------------------------------


def test_a_certificate_and_its_key_are_taken(tmp_path: Path) -> None:
    chain, key = make_certificate(tmp_path)
    Certificate(chain=chain, key=key).check()


def test_a_certificate_that_is_not_there_or_of_another_key_is_told_of(tmp_path: Path) -> None:
    chain, _ = make_certificate(tmp_path)
    (tmp_path / "other").mkdir()
    _, other = make_certificate(tmp_path / "other")
    with pytest.raises(MissingError, match=r"cluster\.tls_key .* is not there"):
        Certificate(chain=chain, key=tmp_path / "no.pem").check()
    for wrong in (other, chain):
        with pytest.raises(ConfigError, match="name both of the same certificate"):
            Certificate(chain=chain, key=wrong).check()
    locked = tmp_path / "locked.pem"
    locked.write_bytes(
        ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    with pytest.raises(ConfigError, match="has a passphrase, which nobody is asked for"):
        Certificate(chain=chain, key=locked).check()
