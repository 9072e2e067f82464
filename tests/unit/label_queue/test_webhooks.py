"""Webhooks prove themselves or are refused: in the check itself, and over HTTP."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections import Counter
from collections.abc import AsyncIterator, Mapping

import httpx
import pytest
from fastapi import FastAPI

from label_queue.config import IntakeConfig
from label_queue.connectors.webhooks import SecretHeader, StandardWebhook, _is_fresh
from label_queue.intake import hooks
from label_queue.intake.refusals import add_refusals
from protocol.errors import ConfigError, Unauthenticated
from tests.support.labels import ManualClock
from tests.support.recorded_argilla import HOOK_SECRET, sign

NOW = 1_760_000_000.0
BODY = b'{"type": "response.created", "data": {"id": "1"}}'


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def hook(clock: ManualClock) -> StandardWebhook:
    return StandardWebhook(HOOK_SECRET, clock)


def signed_at(timestamp: str) -> dict[str, str]:
    """Rightly signed, at a time that no float holds."""
    digest = hmac.new(
        base64.b64decode(HOOK_SECRET), f"msg_1.{timestamp}.".encode() + BODY, hashlib.sha256
    ).digest()
    signature = f"v1,{base64.b64encode(digest).decode()}"
    return {
        "webhook-id": "msg_1",
        "webhook-timestamp": timestamp,
        "webhook-signature": signature,
    }


def test_a_signature_as_in_the_specification() -> None:
    """The example of the Standard Webhooks 1.0 specification's own libraries."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    hook = StandardWebhook(secret, ManualClock(1614265330.0))
    assert hook.check(headers, b'{"test": 2432232314}')


def test_a_retry_under_a_new_id_is_no_news_and_a_replay_is_refused(
    hook: StandardWebhook, clock: ManualClock
) -> None:
    assert hook.check(sign("msg_1", NOW, BODY), BODY)
    assert not hook.check(sign("msg_2", NOW + 1, BODY), BODY)
    with pytest.raises(Unauthenticated, match="replay"):
        hook.check(sign("msg_1", NOW, BODY), BODY)
    # Long after nobody could send the first one again, the same body may be news again.
    clock.now += 601.0
    assert hook.check(sign("msg_1", clock.now, BODY), BODY)


def test_one_of_several_signatures_is_enough(hook: StandardWebhook) -> None:
    headers = sign("msg_1", NOW, BODY)
    headers["webhook-signature"] = "v1a,xyz v1,AAAA " + headers["webhook-signature"]
    assert hook.check(headers, BODY)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"webhook-id": "msg_1", "webhook-timestamp": "1760000000"},
        sign("msg_1", NOW, BODY, secret="YW5vdGhlciBzZWNyZXQ="),
        sign("msg_1", NOW, BODY + b" "),
        {**sign("msg_1", NOW, BODY), "webhook-id": "msg_2"},
        {**sign("msg_1", NOW, BODY), "webhook-timestamp": "1760000001"},
        {**sign("msg_1", NOW, BODY), "webhook-signature": "v1,é"},
        signed_at("9" * 400),
        signed_at("9" * 5_000),
        sign("msg_1", NOW - 300, BODY),
        sign("msg_1", NOW + 300, BODY),
    ],
)
def test_what_is_not_proved_is_refused(hook: StandardWebhook, headers: dict[str, str]) -> None:
    with pytest.raises(Unauthenticated):
        hook.check(headers, BODY)


@pytest.mark.parametrize("timestamp", ["9" * 13, "9" * 400, "9" * 5_000, "²", "-1", "nan"])
def test_a_time_that_is_none_is_not_fresh(timestamp: str) -> None:
    assert not _is_fresh(timestamp, NOW)


def test_without_a_secret_every_webhook_is_refused(clock: ManualClock) -> None:
    with pytest.raises(Unauthenticated, match="hook_secret_env"):
        StandardWebhook(None, clock).check(sign("msg_1", NOW, BODY), BODY)
    with pytest.raises(Unauthenticated, match="hook_secret_env"):
        SecretHeader(None).check({"x-andon-hook-secret": ""}, BODY)


def test_a_secret_that_is_not_base64_is_refused_at_the_start(clock: ManualClock) -> None:
    with pytest.raises(ConfigError, match="base64"):
        StandardWebhook("not base64!", clock)


class FirmBell:
    """Answers as the label queue would; keeps what it was passed."""

    def __init__(self, hook: StandardWebhook) -> None:
        self.hook = hook
        self.headers: Mapping[str, str] = {}

    async def knock(self, connector: str, headers: Mapping[str, str]) -> None:
        self.hook.check_headers(headers)

    async def ring(self, connector: str, headers: Mapping[str, str], body: bytes) -> bool:
        self.headers = headers
        return self.hook.check(headers, body)


async def test_the_bad_input_table_over_http(hook: StandardWebhook) -> None:
    app = FastAPI()
    app.include_router(hooks.router)
    add_refusals(app)
    app.state.bell = bell = FirmBell(hook)
    app.state.limits, app.state.open_bodies = IntakeConfig(), Counter()
    app.state.unproved_bodies = {}
    app.state.tell_failure = None
    good = sign("msg_1", NOW, BODY)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://127.0.0.1"
    ) as client:

        async def post(headers: dict[str, str], body: bytes = BODY) -> tuple[int, object]:
            answer = await client.post("/hooks/argilla", content=body, headers=headers)
            return answer.status_code, answer.json().get("is_news")

        async def endless() -> AsyncIterator[bytes]:
            yield b"x"
            raise AssertionError("the body of what is no webhook was read on")

        answer = await client.post("/hooks/argilla", content=endless())
        assert answer.status_code == 401
        assert await post({}) == (401, None)
        assert await post(sign("msg_1", NOW - 301, BODY)) == (401, None)
        assert await post(good, BODY + b" ") == (401, None)
        assert await post({**good, "Authorization": "Token x", "Cookie": "a=b"}) == (200, True)
        assert sorted(bell.headers) == ["webhook-id", "webhook-signature", "webhook-timestamp"]
        assert await post(good) == (401, None)
        assert await post(sign("msg_2", NOW, BODY)) == (200, False)
        assert await post(good, b"x" * (hooks.MAX_HOOK_BYTES + 1)) == (413, None)
