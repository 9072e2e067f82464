"""What must be there before anybody can sign in by a provider."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from label_queue.config import IntakeConfig
from label_queue.intake.public_address import Site
from label_queue.intake.shell import open_sign_in
from label_queue.sign_in_config import OidcConfig
from protocol.errors import ConfigError

SITE = Site(run_id="run-1", public_url="https://label.example.org/run-a")
GIVEN: dict[str, Any] = {
    "issuer": "https://id.example.org",
    "client_id": "andon",
    "client_secret_env": "ANDON_TEST_OIDC_SECRET",
}


def test_without_a_provider_nothing_is_opened() -> None:
    assert open_sign_in(IntakeConfig(), SITE) is None


@pytest.mark.parametrize("value", [None, "", "  "])
def test_the_secret_must_be_in_the_environment(
    monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    monkeypatch.delenv("ANDON_TEST_OIDC_SECRET", raising=False)
    if value is not None:
        monkeypatch.setenv("ANDON_TEST_OIDC_SECRET", value)
    with pytest.raises(ConfigError, match="ANDON_TEST_OIDC_SECRET is empty; set it"):
        open_sign_in(IntakeConfig(oidc=OidcConfig(**GIVEN)), SITE)


def test_a_provider_is_known_by_its_name_or_its_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANDON_TEST_OIDC_SECRET", "x")
    for name, shown in (("", "id.example.org"), ("Example ID", "Example ID")):
        sign_in = open_sign_in(IntakeConfig(oidc=OidcConfig(**GIVEN, name=name)), SITE)
        assert sign_in is not None
        assert sign_in.name == shown
        assert sign_in.address == "https://label.example.org/run-a/sign-in"


@pytest.mark.parametrize(
    "issuer",
    [
        "https://id.example.org",
        "https://id.example.org/",
        "https://id.example.org:8443/realms/labels",
        "http://127.0.0.1:9000",
        "http://localhost:9000",
        "http://[::1]:9000",
    ],
)
def test_an_issuer_is_kept_as_it_is_written(issuer: str) -> None:
    assert OidcConfig(**{**GIVEN, "issuer": issuer}).issuer == issuer


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"issuer": "http://id.example.org"}, "use https"),
        ({"issuer": "id.example.org"}, "want https://HOST"),
        ({"issuer": "https://"}, "want https://HOST"),
        ({"issuer": "https://[id"}, "is no URL"),
        ({"issuer": "https://id.example.org:port"}, "is no URL"),
        ({"issuer": "https://ann:pw@id.example.org"}, "take user"),
        ({"issuer": "https://id.example.org?x=1"}, "take \\? out"),
        ({"issuer": "https://id.example.org#x"}, "take user, password and #"),
        ({"client_id": ""}, "client_id"),
        ({"client_secret_env": "a secret, pasted"}, "client_secret_env"),
        ({"client_secret": "a secret"}, "Extra inputs"),
        ({"scopes": ("email",)}, "add 'openid'"),
        ({"scopes": ("openid", "two words")}, "scopes"),
        ({"claim": ""}, "claim"),
        ({"claim": "sub", "domains": ("example.org",)}, "domains: of no use with claim 'sub'"),
        ({"domains": ("@example.org",)}, "no domain"),
        ({"domains": ("Example.org",)}, "small letters"),
        ({"domains": ("org",)}, "no domain"),
        ({"domains": ("",)}, "no domain"),
        ({"timeout_s": 0.0}, "timeout_s"),
        ({"timeout_s": 61.0}, "timeout_s"),
    ],
)
def test_what_cannot_work_is_refused_with_the_mend(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        OidcConfig(**{**GIVEN, **changes})
