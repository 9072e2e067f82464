"""The HTTP face in one application: two APIs, two pages, and one way to refuse.

Plain FastAPI over two sides of the label queue, here or in another process: it runs under Ray
Serve, or in a test without Ray.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Protocol

from fastapi import FastAPI
from pydantic.json_schema import models_json_schema

from label_queue.config import IntakeConfig
from label_queue.intake import (
    assets,
    gold_api,
    hooks,
    labels_api,
    languages,
    owner_api,
    page_routes,
    people_api,
)
from label_queue.intake.failures import TellFailure
from label_queue.intake.front_door import FrontDoor
from label_queue.intake.owner_schemas import (
    EditedGold,
    Exclude,
    NewGold,
    NewLabeler,
    NewRole,
    Reason,
    Release,
    Rollback,
    Undo,
    WrittenGold,
)
from label_queue.intake.public_address import Site
from label_queue.intake.refusals import REFUSALS, add_refusals
from label_queue.intake.schemas import CordPull, LineAnswer
from label_queue.labeling.submissions import LabelSubmission
from label_queue.outside import NoTools
from label_queue.sides.owner import OwnerSide
from label_queue.sides.people import PeopleSide

if TYPE_CHECKING:
    from label_queue.intake.sign_in.flow import SignIn

BODIES: tuple[type[Any], ...] = (
    LabelSubmission,
    CordPull,
    NewLabeler,
    NewRole,
    Exclude,
    Reason,
    Release,
    Rollback,
    Undo,
    NewGold,
    WrittenGold,
    EditedGold,
)


MISDIRECTED = {
    "description": REFUSALS[421],
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorAnswer"}}},
}
"""What the front door answers, before every route."""


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
            for operations in document["paths"].values():
                for operation in operations.values():
                    operation["responses"]["421"] = MISDIRECTED
        return super().openapi()


class FacedQueue(Protocol):
    """A label queue as the HTTP face stands before it, here or in another process."""

    @property
    def people(self) -> PeopleSide:
        """Its people's side."""
        ...

    @property
    def owner(self) -> OwnerSide:
        """Its owner's side."""
        ...


def build_app(
    queue: FacedQueue,
    limits: IntakeConfig,
    tell_failure: TellFailure | None = None,
    bell: hooks.Bell | None = None,
    site: Site | None = None,
    prompt_language: str = "",
    sign_in: SignIn | None = None,
) -> FastAPI:
    """Return the APIs and pages over a label queue.

    Args:
        queue: What answers.
        limits: Of requests.
        tell_failure: Hears of requests that failed for no fault of who sent them; None: the log
            alone does.
        bell: Takes the webhooks of outside tools; None: the run reads none.
        site: Where the run is found; None: on loopback alone.
        prompt_language: Language of prompts that say none of their own; "": it is not known.
        sign_in: Takes people from an outside provider; None: they come by links alone.
    """
    app = LabelApi(
        title="Andon labels",
        version="1",
        description="Ask for comparisons and answer them; oversee those who do. Every request "
        "carries a token or a session.",
        docs_url=None,
        redoc_url=None,
    )
    app.state.people = queue.people
    app.state.owner = queue.owner
    app.state.bell = bell or NoTools()
    app.state.limits = limits
    app.state.site = site or Site()
    app.state.open_streams = Counter()
    app.state.open_bodies = Counter()
    app.state.unproved_bodies = {}
    app.state.assets = assets.load_assets()
    app.state.languages = languages.load_languages()
    app.state.prompt_language = prompt_language
    app.state.tell_failure = tell_failure
    app.state.sign_in = sign_in
    app.add_middleware(FrontDoor, site=app.state.site)
    add_refusals(app)
    for module in (labels_api, owner_api, people_api, gold_api, hooks, page_routes, assets):
        app.include_router(module.router)
    if sign_in is not None:
        from label_queue.intake.sign_in import routes

        app.include_router(routes.router)
    return app
