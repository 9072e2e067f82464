"""Is a webhook what it says? Signed ones by the Standard Webhooks rules, others by a secret header.

Whatever is proved, a webhook is a doorbell only: its body is neither kept nor believed, and may
quote a token. What it tells of is fetched by API.

The `standardwebhooks` package is not used: its clock and its tolerance cannot be given, and a body
that is not UTF-8 or a malformed signature ends it in an error of another kind than a refusal.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Mapping

from protocol.errors import ConfigError, Unauthenticated

SECRET_HEADER = "x-andon-hook-secret"
TOLERANCE_S = 300.0
"""Age from which a webhook is refused; so is one from as far ahead."""
MAX_TIMESTAMP_DIGITS = 20
SECRET_PREFIX = "whsec_"


class SecretHeader:
    """Proof of tools that sign nothing but can be told to send a header: `X-Andon-Hook-Secret`."""

    def __init__(self, secret: str | None) -> None:
        """Take the secret; without one every webhook is refused."""
        self._secret = secret

    def check(self, headers: Mapping[str, str], body: bytes) -> bool:
        """Return True: what an unsigned webhook tells is always worth a look.

        Raises Unauthenticated unless the header carries the secret.
        """
        self.check_headers(headers)
        return True

    def check_headers(self, headers: Mapping[str, str]) -> None:
        """Raise Unauthenticated unless the header carries the secret."""
        if self._secret is None:
            raise Unauthenticated("webhooks of this connector are off: set hook_secret_env")
        sent = headers.get(SECRET_HEADER, "")
        if not hmac.compare_digest(sent.encode(), self._secret.encode()):
            raise Unauthenticated(
                f"this webhook is not signed: give it the header {SECRET_HEADER} with the secret"
            )


class StandardWebhook:
    """Standard Webhooks 1.0: HMAC-SHA256 over "id.timestamp.body", base64, "v1,SIGNATURE"."""

    def __init__(self, secret: str | None, clock: Callable[[], float]) -> None:
        """Take the secret as the tool shows it (base64, with or without "whsec_").

        Without one every webhook is refused. Raises ConfigError for a secret that is not base64.
        """
        self._key: bytes | None = None
        if secret is not None:
            try:
                self._key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
            except binascii.Error as error:
                raise ConfigError(
                    "hook_secret_env: the secret is not base64; copy it from the tool"
                ) from error
        self._clock = clock
        self._ids: dict[str, float] = {}
        self._bodies: dict[str, float] = {}

    def check(self, headers: Mapping[str, str], body: bytes) -> bool:
        """Return whether a webhook is news; False where the same body came under another id.

        Raises Unauthenticated for one that is unsigned, wrongly signed, five minutes old or ahead,
        or sent again under its id: a tool that tries again gives a new one.
        """
        key, webhook_id, timestamp, signatures = self._claims(headers)
        signed = f"{webhook_id}.{timestamp}.".encode() + body
        digest = hmac.new(key, signed, hashlib.sha256).digest()
        expected = b"v1," + base64.b64encode(digest)
        if not any(hmac.compare_digest(each.encode(), expected) for each in signatures.split(" ")):
            raise Unauthenticated("the webhook's signature is wrong: check the secret")
        now = self._clock()
        self._forget(now)
        if webhook_id in self._ids:
            raise Unauthenticated("this webhook came before: it is a replay")
        self._ids[webhook_id] = now
        digest_of_body = hashlib.sha256(body).hexdigest()
        is_new = digest_of_body not in self._bodies
        self._bodies[digest_of_body] = now
        return is_new

    def check_headers(self, headers: Mapping[str, str]) -> None:
        """Raise Unauthenticated for a webhook whose headers alone show that it is none."""
        self._claims(headers)

    def _claims(self, headers: Mapping[str, str]) -> tuple[bytes, str, str, str]:
        """Return the key, and what a webhook says of itself: id, timestamp and signatures."""
        if self._key is None:
            raise Unauthenticated("webhooks of this connector are off: set hook_secret_env")
        webhook_id = headers.get("webhook-id", "")
        timestamp = headers.get("webhook-timestamp", "")
        signatures = headers.get("webhook-signature", "")
        if not (webhook_id and timestamp and signatures):
            raise Unauthenticated("this webhook is not signed: want the webhook-* headers")
        if not _is_fresh(timestamp, self._clock()):
            raise Unauthenticated("this webhook is more than five minutes off: check the clocks")
        return self._key, webhook_id, timestamp, signatures

    def _forget(self, now: float) -> None:
        """Drop what is older than any timestamp that would still be taken."""
        for seen in (self._ids, self._bodies):
            for key in [key for key, at in seen.items() if at < now - 2 * TOLERANCE_S]:
                del seen[key]


def _is_fresh(timestamp: str, now: float) -> bool:
    # Of so many digits none is near, and no more than these fit a float.
    is_time = timestamp.isdecimal() and len(timestamp) <= MAX_TIMESTAMP_DIGITS
    return is_time and abs(now - int(timestamp)) < TOLERANCE_S
