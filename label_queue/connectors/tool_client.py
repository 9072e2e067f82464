"""HTTP to an outside tool: patient where it is busy, plain where it refuses."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping
from json import loads as json_of
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, ConfigDict, ValidationError

from label_queue.connector_config import HttpSection
from label_queue.connectors.rows import problem_of
from protocol.errors import AndonError, ConfigError, InputError, MissingError, TransientError

MAX_ATTEMPTS = 4
MAX_DIGITS = 4_000
FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 30.0
BUSY = frozenset({429, 500, 502, 503, 504})
UNTOUCHED = frozenset({429, 503})
"""Of those, the answers that say that the request was not begun."""


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
        response = await self.send("GET", path, params=params)
        try:
            # Not by pydantic, which refuses a page where one row has half a surrogate pair.
            return model.model_validate(json_of(response.content, parse_int=_integer))
        except ValidationError as error:
            field, problem = problem_of(error)
        except (ValueError, RecursionError) as error:
            field, problem = "body", f"not JSON ({type(error).__name__})"
        raise InputError(
            f"{self._config.name}: GET {path}: {field or 'body'}: {problem}; is "
            f"{self._config.url} what its kind says, and not a newer version?"
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
        busy = BUSY if may_repeat else UNTOUCHED
        why, retry_after_s = "", 0.0
        for attempt in range(MAX_ATTEMPTS):
            if attempt:
                await self._sleep(self._wait_s(attempt, retry_after_s))
            try:
                response = await self._http.request(method, path, params=params, json=json)
            except httpx.TransportError as error:
                why, retry_after_s = type(error).__name__, 0.0
                if may_repeat or isinstance(error, httpx.ConnectError):
                    continue
                raise TransientError(f"{self._config.name}: {method} {path}: {why}") from error
            if response.is_success:
                return response
            why, retry_after_s = f"status {response.status_code}", _retry_after_s(response)
            if response.status_code not in busy:
                raise self._refusal(method, path, response.status_code)
        raise TransientError(f"{self._config.name}: {method} {path}: {why}, {MAX_ATTEMPTS} times")

    def _wait_s(self, attempt: int, retry_after_s: float) -> float:
        backoff_s = FIRST_WAIT_S * 2.0**attempt * self._jitter.uniform(0.5, 1.0)
        return min(LONGEST_WAIT_S, max(retry_after_s, backoff_s))

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
    """Return an integer; one too long for Python to read as such as what it is for a number."""
    return int(digits) if len(digits) <= MAX_DIGITS else float(digits)


def _retry_after_s(response: httpx.Response) -> float:
    """Return the seconds the tool asks for; a date, or nothing, asks for none."""
    try:
        return max(0.0, float(response.headers.get("retry-after", "0")))
    except ValueError:
        return 0.0
