"""The HTTP face in one application: two APIs, two pages, and one way to refuse.

Plain FastAPI over the `PeopleQueue` port: it runs under Ray Serve, or in a test without Ray.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from pydantic.json_schema import models_json_schema

from label_queue.config import IntakeConfig
from label_queue.intake import assets, hooks, labels_api, owner_api, page_routes
from label_queue.intake.failures import TellFailure
from label_queue.intake.owner_schemas import Exclude, NewGold, NewLabeler, Reason, Rollback
from label_queue.intake.port import PeopleQueue
from label_queue.intake.refusals import add_refusals
from label_queue.intake.schemas import CordPull, LabelSubmission, LineAnswer

BODIES = (LabelSubmission, CordPull, NewLabeler, Exclude, Reason, Rollback, NewGold)


class LabelApi(FastAPI):
    """FastAPI with the bodies it does not parse itself in its OpenAPI."""

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document."""
        if self.openapi_schema is None:
            document = super().openapi()
            _, definitions = models_json_schema(
                [*((body, "validation") for body in BODIES), (LineAnswer, "serialization")],
                ref_template="#/components/schemas/{model}",
            )
            document["components"]["schemas"].update(definitions["$defs"])
        return super().openapi()


def build_app(
    queue: PeopleQueue, limits: IntakeConfig, tell_failure: TellFailure | None = None
) -> FastAPI:
    """Return the APIs and pages over a label queue.

    Args:
        queue: What answers.
        limits: Of requests.
        tell_failure: Hears of requests that failed for no fault of who sent them; None: the log
            alone does.
    """
    app = LabelApi(
        title="Andon labels",
        version="1",
        description="Ask for comparisons and answer them; oversee those who do. Every request "
        "carries a token or a session.",
        docs_url=None,
        redoc_url=None,
    )
    app.state.queue = queue
    app.state.limits = limits
    app.state.assets = assets.load_assets()
    app.state.tell_failure = tell_failure
    add_refusals(app)
    for module in (labels_api, owner_api, hooks, page_routes, assets):
        app.include_router(module.router)
    return app
