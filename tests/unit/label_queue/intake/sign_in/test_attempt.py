"""What the browser keeps of an attempt, and what it can make of it."""

from __future__ import annotations

import base64
import json

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey

from label_queue.intake.sign_in.attempt import ATTEMPT_S, Attempt, AttemptSeal
from protocol.errors import Unauthenticated

SEAL = AttemptSeal("the client's secret", "run-1")
ATTEMPT = Attempt.begin("/owner")


def test_an_attempt_comes_back_as_it_was_for_ten_minutes() -> None:
    cookie = SEAL.seal(ATTEMPT, 1_000.0)
    assert SEAL.open(cookie, 1_000.0 + ATTEMPT_S - 1) == ATTEMPT
    with pytest.raises(Unauthenticated, match="ten minutes"):
        SEAL.open(cookie, 1_000.0 + ATTEMPT_S)


def test_an_intake_that_was_started_again_takes_up_what_the_one_before_began() -> None:
    again = AttemptSeal("the client's secret", "run-1")
    assert again.open(SEAL.seal(ATTEMPT, 1_000.0), 1_001.0) == ATTEMPT


def test_no_two_attempts_have_anything_in_common_and_a_verifier_is_long_enough() -> None:
    other = Attempt.begin("/owner")
    assert not ATTEMPT.matches(other.state)
    assert len({ATTEMPT.state, ATTEMPT.nonce, ATTEMPT.verifier, other.nonce, other.verifier}) == 5
    assert 43 <= len(ATTEMPT.verifier) <= 128  # RFC 7636, section 4.1


def _edited(cookie: str, **changes: object) -> str:
    header, claims, signature = cookie.split(".")
    said = json.loads(base64.urlsafe_b64decode(claims + "=="))
    changed = json.dumps({**said, **changes}).encode()
    return f"{header}.{base64.urlsafe_b64encode(changed).rstrip(b'=').decode()}.{signature}"


COOKIE = SEAL.seal(ATTEMPT, 1_000.0)


@pytest.mark.parametrize(
    "cookie",
    [
        None,
        "",
        "a.b.c",
        COOKIE[:-2],
        _edited(COOKIE, page="https://evil.example"),
        _edited(COOKIE, exp=2_000_000_000),
        AttemptSeal("the client's secret", "run-2").seal(ATTEMPT, 1_000.0),
        AttemptSeal("another secret", "run-1").seal(ATTEMPT, 1_000.0),
        jwt.encode({"alg": "HS256"}, {"state": "x"}, OctKey.import_key("the client's secret")),
    ],
)
def test_what_was_not_sealed_here_is_no_attempt(cookie: str | None) -> None:
    with pytest.raises(Unauthenticated, match="not begun in this browser"):
        SEAL.open(cookie, 1_001.0)


@pytest.mark.parametrize(
    ("asked", "page"),
    [("/owner", "/owner"), ("/", "/"), ("", ""), ("//evil.example", ""), ("/owner?x=1", "")],
)
def test_only_pages_of_ours_are_remembered(asked: str, page: str) -> None:
    assert Attempt.begin(asked).page == page
