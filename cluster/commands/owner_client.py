"""The owner's side of a live run over its HTTP API, as the command line uses it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self, TypeVar
from urllib.parse import quote

import httpx
from pydantic import TypeAdapter, ValidationError

from cluster.run_folder import OWNER, RunFolder
from cluster.run_state import refuse_lack
from cluster.watching.status import OVER, is_here, read_state
from label_queue.folds.people import PeoplePage, Person
from label_queue.http_client import open_client
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
from label_queue.intake.schemas import Body, ErrorAnswer
from label_queue.labeling.admissions import Admission
from label_queue.ledger.records import Role
from label_queue.oversight.exclusion import Act, ExclusionPreview
from label_queue.oversight.gold_rows import Agreement, AgreementPage, GoldPage, GoldRow
from label_queue.oversight.overview import Overview
from protocol.cord import CordState
from protocol.errors import InputError, ResourceError
from protocol.loopback import is_loopback

TIMEOUT_S = 60.0
"""Longest wait for an answer: judging a large ledger anew takes a while."""

PAGE = 100
"""How many people, or gold queries, are asked for at once."""

B = TypeVar("B", bound=Body)
T = TypeVar("T")


class OwnerClient:
    """One run's owner. A context manager that closes its connection.

    Args:
        url: Of the run's HTTP face, e.g. "http://127.0.0.1:8000".
        token: The owner's.
        transport: What carries requests; by default the network.
        pages_url: Where people find the pages; by default there.
    """

    def __init__(
        self,
        url: str,
        token: str,
        transport: httpx.BaseTransport | None = None,
        *,
        pages_url: str | None = None,
    ) -> None:
        self.url = url
        self._pages_url = pages_url or url
        self._http = open_client(
            httpx.Client,
            f"{url}/api/v1/owner",
            headers={"Authorization": f"Bearer {token}"},
            timeout=TIMEOUT_S,
            transport=transport,
        )

    @classmethod
    def of_run(cls, run: Path) -> OwnerClient:
        """Return the client of a run that is going on.

        Raises:
            MissingError: The folder holds no run, or no owner's token.
            ResourceError: The run has ended, or does not label yet.
        """
        state = read_state(run)
        if state["state"] in OVER:
            raise ResourceError(f"{run} is {state['state']}: this can only be done while it runs")
        if state["state"] != "running":
            raise ResourceError(f"{run} is still starting: try again when labels can be given")
        refuse_lack(RunFolder(run).state, state, "url")
        if is_loopback(_host_of(state["url"], RunFolder(run).state)) and not is_here(state):
            # Whatever listens at this address here is to see no owner's token.
            raise ResourceError(f"{run} runs on {state['host']}: run this command there")
        token = RunFolder(run).read_token(OWNER)
        return cls(state["url"], token, pages_url=state.get("pages_url"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def link_of(self, admission: Admission) -> str:
        """Return somebody's one-time link as it is given to them."""
        return self._pages_url + admission.link

    def overview(self) -> Overview:
        """Return all that the owner's page shows."""
        return self._ask("GET", "/overview", Overview)

    def people(self, search: str) -> list[Person]:
        """Return the people ever let in whose names have `search` in them, by name."""
        path = f"/labelers?limit={PAGE}&search={quote(search, safe='')}"

        def stretch(offset: int) -> tuple[Sequence[Person], int]:
            page = self._ask("GET", f"{path}&offset={offset}", PeoplePage)
            return page.people, page.total

        return _all(stretch)

    def admit(self, labeler_id: str, role: Role | None, *, judges: bool = False) -> Admission:
        """Let somebody in; return a one-time link and a token of theirs.

        `role` None is the one they have, and a labeler's for somebody new. Whoever `judges` is
        asked validation queries alone from then on.
        """
        body = checked_body(NewLabeler, labeler_id=labeler_id, role=role, judges=judges)
        return self._ask("POST", "/labelers", Admission, body)

    def preview(self, labeler_id: str, act: Act, from_seq: int = 0) -> ExclusionPreview:
        """Return what excluding somebody, reinstating them, or undoing either would change."""
        path = f"{_of(labeler_id)}/exclusion?from_seq={from_seq}&act={act}"
        return self._ask("GET", path, ExclusionPreview)

    def exclude(self, labeler_id: str, from_seq: int, reason: str) -> ExclusionPreview:
        """Leave somebody's labels out of every fit from now on."""
        body = checked_body(Exclude, from_seq=from_seq, reason=reason)
        return self._ask("POST", f"{_of(labeler_id)}/exclude", ExclusionPreview, body)

    def reinstate(self, labeler_id: str, reason: str) -> ExclusionPreview:
        """Undo an exclusion or a suspension."""
        body = checked_body(Reason, reason=reason)
        return self._ask("POST", f"{_of(labeler_id)}/reinstate", ExclusionPreview, body)

    def undo(self, labeler_id: str, act_id: str, reason: str) -> ExclusionPreview:
        """Take the newest exclusion or reinstatement of somebody back."""
        body = checked_body(Undo, act_id=act_id, reason=reason)
        return self._ask("POST", f"{_of(labeler_id)}/undo", ExclusionPreview, body)

    def revoke(self, labeler_id: str, reason: str) -> None:
        """Void all tokens, links and sessions of somebody; their labels stay."""
        self._send("POST", f"{_of(labeler_id)}/revoke", checked_body(Reason, reason=reason))

    def revoke_token(self, labeler_id: str, token_id: str, reason: str) -> Person:
        """Void one of them, by its id in the list."""
        path = f"{_of(labeler_id)}/tokens/{quote(token_id, safe='')}/revoke"
        return self._ask("POST", path, Person, checked_body(Reason, reason=reason))

    def change_role(self, labeler_id: str, role: Role, reason: str) -> Person:
        """Give somebody another role, by whatever they come."""
        body = checked_body(NewRole, role=role, reason=reason)
        return self._ask("POST", f"{_of(labeler_id)}/role", Person, body)

    def gold(self, is_asked: bool | None) -> list[GoldRow]:
        """Return the gold, newest first: asked, or retired, or (None) all."""
        asked = "" if is_asked is None else f"&asked={str(is_asked).lower()}"

        def stretch(offset: int) -> tuple[Sequence[GoldRow], int]:
            page = self._ask("GET", f"/gold?offset={offset}&limit={PAGE}{asked}", GoldPage)
            return page.gold, page.total

        return _all(stretch)

    def agreements(self) -> list[Agreement]:
        """Return all past queries on which people agree, those of the most people first."""

        def stretch(offset: int) -> tuple[Sequence[Agreement], int]:
            path = f"/gold/agreements?offset={offset}&limit={PAGE}"
            page = self._ask("GET", path, AgreementPage)
            return page.queries, page.total

        return _all(stretch)

    def make_gold(self, query_id: str, choice: str) -> GoldRow:
        """Ask a past query as gold from now on."""
        body = checked_body(NewGold, query_id=query_id, choice=choice)
        return self._ask("POST", "/gold", GoldRow, body)

    def write_gold(self, **values: object) -> GoldRow:
        """Ask a query written by hand as gold from now on; values as in `WrittenGold`."""
        return self._ask("POST", "/gold/written", GoldRow, checked_body(WrittenGold, **values))

    def edit_gold(self, gold_id: str, **values: object) -> GoldRow:
        """Ask another version of it from now on; values as in `EditedGold`."""
        return self._ask(
            "POST", _gold(gold_id, "edit"), GoldRow, checked_body(EditedGold, **values)
        )

    def retire_gold(self, gold_id: str, reason: str) -> GoldRow:
        """Ask gold of nobody from now on."""
        body = checked_body(Reason, reason=reason)
        return self._ask("POST", _gold(gold_id, "retire"), GoldRow, body)

    def bring_back_gold(self, gold_id: str, reason: str) -> GoldRow:
        """Ask retired gold again from now on."""
        body = checked_body(Reason, reason=reason)
        return self._ask("POST", _gold(gold_id, "bring_back"), GoldRow, body)

    def pull_cord(self, reason: str) -> CordState:
        """Stop the line."""
        return self._ask("POST", "/cord/pull", CordState, checked_body(Reason, reason=reason))

    def release_cord(self, reason: str, pull_id: str | None = None) -> CordState:
        """Take one reason away, the one shown unless another is named; return how it hangs then."""
        body = checked_body(Release, reason=reason, pull_id=pull_id)
        return self._ask("POST", "/cord/release", CordState, body)

    def roll_back(self, to_version: int, reason: str) -> CordState:
        """Order the learner back to an older policy version; the cord stays pulled."""
        body = checked_body(Rollback, to_version=to_version, reason=reason)
        return self._ask("POST", "/rollback", CordState, body)

    def _ask(self, method: str, path: str, form: type[T], body: Body | None = None) -> T:
        answer = self._send(method, path, body).content
        try:
            return TypeAdapter(form).validate_json(answer)
        except ValidationError as error:
            raise ResourceError(
                f"what listens at {self.url} is not this run's label side, or of another version: "
                "see `andon status`"
            ) from error

    def _send(self, method: str, path: str, body: Body | None = None) -> httpx.Response:
        content = None if body is None else body.model_dump_json()
        try:
            response = self._http.request(
                method, path, content=content, headers={"Content-Type": "application/json"}
            )
        except httpx.TransportError as error:
            raise ResourceError(
                f"no answer from {self.url} ({str(error) or type(error).__name__}): the run may "
                "have ended; see `andon status`"
            ) from error
        if response.is_success:
            return response
        raise _refusal(response)


def _host_of(url: object, state: Path) -> str:
    """Return the host in the address that `run.json` says; raises InputError where it is none."""
    try:
        return httpx.URL(str(url)).host
    except (httpx.InvalidURL, ValueError) as error:
        raise InputError(f"{state}: url: {url!r} is no URL ({error}): resume the run") from error


def _refusal(response: httpx.Response) -> InputError | ResourceError:
    """Return the error that a refusal becomes: the mistake of whoever asked, or the run's."""
    try:
        message = ErrorAnswer.model_validate_json(response.content).message
    except ValidationError:
        message = f"the run answered {response.status_code} without saying why: see its logs"
    return InputError(message) if response.is_client_error else ResourceError(message)


def checked_body(form: type[B], **values: object) -> B:
    """Return a body, refusing before it is sent what the run would refuse.

    Raises:
        InputError: A value is not as it must be; names it.
    """
    try:
        return form(**values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{name} {first['input']!r}: {first['msg']}") from error


def _all(stretch: Callable[[int], tuple[Sequence[T], int]]) -> list[T]:
    """Return all rows of a list that is given out by stretches: from an offset on, and how many."""
    rows: list[T] = []
    while True:
        more, total = stretch(len(rows))
        rows += more
        if not more or len(rows) >= total:
            return rows


def _gold(gold_id: str, act: str) -> str:
    return f"/gold/{quote(gold_id, safe='')}/{act}"


def _of(labeler_id: str) -> str:
    return f"/labelers/{quote(labeler_id, safe='')}"
