"""The service's HTTP face: OpenRLHF's remote reward model, with the reward version added.

The request and the answer are those of OpenRLHF (`openrlhf/cli/serve_rm.py`,
`openrlhf/utils/remote_rm_utils.py`), so either side can be swapped for another's.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from protocol.bearer import REWARD_TOKEN, token_sha256
from protocol.errors import InputError, IntegrityError, TransientError
from protocol.fits import RewardVersion
from protocol.loopback import is_at_loopback
from protocol.messages import Score
from reward_service.readable_body import ReadableBody

ScoreTexts = Callable[[list[str]], Awaitable[list[Score]]]
"""Scores the texts of one request, all with one version."""


class RewardRequest(BaseModel):
    """Texts to score. Fields unknown here are ignored: clients send what their own models use."""

    model_config = ConfigDict(frozen=True)

    query: list[Annotated[str, Field(min_length=1)]] = Field(min_length=1)
    """[B] prompt and response as one text, special tokens written out: "the soup was good"."""
    prompts: list[str] | None = None
    """[B] the prompts alone; not used, `query` holds them."""
    labels: list[JsonValue] | None = None
    """[B] what the client knows about each prompt; not used by a learned reward."""

    @model_validator(mode="after")
    def _lengths_agree(self) -> RewardRequest:
        for name, values in (("prompts", self.prompts), ("labels", self.labels)):
            if values is not None and len(values) != len(self.query):
                raise ValueError(
                    f"{name} has {len(values)} entries and query {len(self.query)}: "
                    "give one for each, or leave it out"
                )
        return self


class RewardAnswer(BaseModel):
    """One score a query, in order, all of one reward version."""

    rewards: list[float]
    """[B] normalised scores: about mean 0 and variance 1 on responses of the reference policy."""
    scores: list[float]
    """[B] the scores of `rewards` once more; OpenRLHF filters prompts by them."""
    extra_logs: dict[str, list[float]]
    """Each head's normalised scores, "head_0" … "head_{M−1}", [B] each."""
    reward_version: int
    """Version of the reward; rewards of different versions are not comparable."""


class Health(BaseModel):
    """What the service serves."""

    reward_version: int | None
    """Reward version that is served; None before the first, when the status is 503."""


def build_http_app(
    *,
    score: ScoreTexts,
    served: Callable[[], Awaitable[RewardVersion | None]],
    token_digest: str | None = None,
) -> FastAPI:
    """Return the app: `POST /get_reward`, `GET /health`, and the OpenAPI page at `/docs`.

    It is for this machine: to a request for any other host it is not there (404).

    Args:
        score: Raises InputError for texts that cannot be scored (422), TransientError when no
            score can be had now (503), and IntegrityError for a broken model (500).
        served: The version that every replica serves.
        token_digest: SHA-256 of the token that each request must bring as `Authorization: Bearer`
            (401 without); None: none need.
    """
    app = FastAPI(title="Andon reward service", version="1")
    app.router.route_class = ReadableBody
    app.add_middleware(_Admission, token_digest=token_digest)

    @app.post("/get_reward")
    async def get_reward(request: RewardRequest) -> RewardAnswer:
        """Score each query with the live reward model."""
        scores = await score(request.query)
        values = [score.value for score in scores]
        heads = zip(*(score.heads for score in scores), strict=True)
        return RewardAnswer(
            rewards=values,
            scores=values,
            extra_logs={f"head_{m}": list(head) for m, head in enumerate(heads)},
            reward_version=scores[0].reward_version,
        )

    @app.get("/health", responses={503: {"model": Health}})
    async def health() -> JSONResponse:
        """Tell which version is served."""
        version = await served()
        body = Health(reward_version=version.version if version else None)
        return JSONResponse(body.model_dump(), status_code=200 if version else 503)

    @app.exception_handler(InputError)
    async def refuse(_: Request, error: InputError) -> JSONResponse:
        detail = [{"type": "value_error", "loc": ["body", "query"], "msg": str(error)}]
        return JSONResponse({"detail": detail}, status_code=422)

    @app.exception_handler(RequestValidationError)
    async def refuse_body(_: Request, error: RequestValidationError) -> JSONResponse:
        # Without the input: half a surrogate pair of a text cannot be sent back.
        detail = [{key: fault[key] for key in ("type", "loc", "msg")} for fault in error.errors()]
        for said, fault in zip(detail, error.errors(), strict=True):
            if "error" in fault.get("ctx", {}) and fault["type"] == "json_invalid":
                said["msg"] = f"not JSON: {fault['ctx']['error']}"
        return JSONResponse({"detail": detail}, status_code=422)

    @app.exception_handler(TransientError)
    async def ask_again(_: Request, error: TransientError) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, status_code=503, headers={"Retry-After": "1"})

    @app.exception_handler(IntegrityError)
    async def report_broken(_: Request, error: IntegrityError) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, status_code=500)

    return app


class _Admission:
    """ASGI: lets in what is asked of this machine, by who has the token where there is one."""

    def __init__(self, app: ASGIApp, token_digest: str | None) -> None:
        self._app = app
        self._token_digest = token_digest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        headers = Headers(scope=scope)
        if not is_at_loopback(headers.get("host", "")):
            await JSONResponse({"detail": "Not Found"}, status_code=404)(scope, receive, send)
        elif self._token_digest is None or _brings(headers, self._token_digest):
            await self._app(scope, receive, send)
        else:
            refusal = JSONResponse(
                {
                    "detail": "send 'Authorization: Bearer TOKEN', from the run's "
                    f"tokens/{REWARD_TOKEN}"
                },
                status_code=401,
                headers={"WWW-Authenticate": "Bearer"},
            )
            await refusal(scope, receive, send)


def _brings(headers: Headers, digest: str) -> bool:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(token_sha256(token.strip()), digest)
