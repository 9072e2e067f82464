"""HTTP to an outside tool: patient where it is busy, plain where it refuses."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping
from json import loads as json_of
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, ConfigDict, ValidationError
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt

from label_queue.connector_config import HttpSection
from label_queue.connectors.rows import problem_of
from label_queue.http_client import BUSY, not_now
from protocol.errors import AndonError, ConfigError, InputError, MissingError, TransientError
from protocol.retrying import Backoff, NotNow

MAX_ATTEMPTS = 4
MAX_DIGITS = 4_000
WHOLE_EVERY = 60
"""One of so many sweeps reads all that a tool holds."""
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 30.0
UNTOUCHED = frozenset({429, 503})
"""Statuses, among those in `BUSY`, that say that the request was not begun."""


class ToolBody(BaseModel):
    """The part of a tool's answer that is read; tools add fields as they grow."""

    model_config = ConfigDict(frozen=True, extra="ignore")


B = TypeVar("B", bound=ToolBody)


class ToolClient:
    """One tool's API. Errors never quote a body or a header: either may hold a secret."""

    def __init__(
        self,
        config: HttpSection,
        http: httpx.AsyncClient,
        *,
        sleep: Callable[[float], Awaitable[None]],
        jitter: random.Random,
    ) -> None:
        """Take over a client that carries base URL, token and time limit."""
        self._config = config
        self._http = http
        self._sleep = sleep
        self._jitter = jitter

    async def read(self, path: str, model: type[B], **params: str | int) -> B:
        """GET a JSON body. Raises as `send`, and InputError for a body of another shape."""
        return self.body_of(await self.send("GET", path, params=params), path, model)

    def body_of(self, response: httpx.Response, path: str, model: type[B]) -> B:
        """Return the body of an answer; raises InputError for one of another shape."""
        try:
            # Not by pydantic, which refuses a page where one row has half a surrogate pair.
            return model.model_validate(json_of(response.content, parse_int=_integer))
        except ValidationError as error:
            field, problem = problem_of(error)
        except (ValueError, RecursionError) as error:
            field, problem = "body", f"not JSON ({type(error).__name__})"
        raise InputError(
            f"{self._config.name}: {response.request.method} {path}: {field or 'body'}: {problem}; "
            f"is {self._config.url} what its kind says, and not a newer version?"
        )

    async def send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | int] | None = None,
        json: Any = None,
        may_repeat: bool = True,
    ) -> httpx.Response:
        """Return a successful answer, trying again where the tool is busy.

        Without `may_repeat` only what was surely not begun is tried again.

        Raises:
            TransientError: It stayed busy or out of reach.
            ConfigError: It refuses the token.
            MissingError: There is nothing at that path.
            InputError: It refuses the request.
        """
        backoff = Backoff(first_s=FIRST_WAIT_S, longest_s=LONGEST_WAIT_S, rng=self._jitter)

        def wait_s(state: RetryCallState) -> float:
            return min(LONGEST_WAIT_S, backoff(state))

        retrying = AsyncRetrying(
            sleep=self._sleep,
            wait=wait_s,
            stop=stop_after_attempt(MAX_ATTEMPTS),
            retry=retry_if_exception_type(NotNow),
            reraise=True,
        )
        try:
            response: httpx.Response = await retrying(
                self._send_once, method, path, params, json, may_repeat
            )
        except NotNow as busy:
            raise TransientError(
                f"{self._config.name}: {method} {path}: {busy}, {MAX_ATTEMPTS} times"
            ) from None
        return response

    async def _send_once(
        self,
        method: str,
        path: str,
        params: Mapping[str, str | int] | None,
        json: Any,
        may_repeat: bool,
    ) -> httpx.Response:
        """Return a successful answer. Raises as `send`, and NotNow for what may be tried again."""
        try:
            response = await self._http.request(method, path, params=params, json=json)
        except httpx.TransportError as error:
            why = type(error).__name__
            if may_repeat or isinstance(error, httpx.ConnectError):
                raise NotNow(why) from error
            raise TransientError(f"{self._config.name}: {method} {path}: {why}") from error
        if response.is_success:
            return response
        if response.status_code in (BUSY if may_repeat else UNTOUCHED):
            raise not_now(response)
        raise self._refusal(method, path, response.status_code)

    def _refusal(self, method: str, path: str, status: int) -> AndonError:
        where = f"{self._config.name}: {method} {path}: status {status}"
        if status in (401, 403):
            return ConfigError(
                f"{where}: the token in {self._config.token_env} is not good for this; give one "
                "that may read and write there"
            )
        if status == 404:
            return MissingError(f"{where}: nothing is there; check url and id in the config")
        if status < 400:
            return ConfigError(f"{where}: it points elsewhere; give the final address as url")
        if status < 500:
            return InputError(f"{where}: the tool refuses it; see docs/connectors.md for its setup")
        return TransientError(where)

    async def close(self) -> None:
        """Close connections. May be called twice."""
        await self._http.aclose()


def _integer(digits: str) -> int | float:
    """Return an integer; as a float where it is too long for Python to read as an integer."""
    return int(digits) if len(digits) <= MAX_DIGITS else float(digits)
