"""The owner's API: who may use it, and what reaches the queue."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import httpx
import pytest
from pydantic import TypeAdapter

from label_queue.config import IntakeConfig
from label_queue.folds.people import PeoplePage
from label_queue.intake.app import build_app
from label_queue.intake.overview_stream import ENDED, KEEP_ALIVE, overview_events
from label_queue.labeling.admissions import Admission
from label_queue.oversight.overview import Overview
from label_queue.quality.gold_tasks import GoldTask
from protocol.errors import QueueClosed
from tests.support.fake_owner import FakeOwner
from tests.support.fake_people_queue import FakePeopleQueue
from tests.unit.label_queue.intake.client import client_of

ROUTES = [
    ("GET", "overview"),
    ("GET", "stream"),
    ("GET", "labelers"),
    ("POST", "labelers"),
    ("GET", "labelers/agreement"),
    ("GET", "labelers/bob/answers"),
    ("GET", "labelers/bob/exclusion"),
    ("GET", "gold"),
    ("GET", "gold/agreements"),
    ("POST", "labelers/bob/role"),
    ("POST", "labelers/bob/tokens/token-1/revoke"),
    ("POST", "labelers/bob/exclude"),
    ("POST", "labelers/bob/reinstate"),
    ("POST", "labelers/bob/undo"),
    ("POST", "labelers/bob/revoke"),
    ("POST", "cord/pull"),
    ("POST", "cord/release"),
    ("POST", "rollback"),
    ("POST", "gold"),
    ("POST", "gold/written"),
    ("POST", "gold/gold-1/edit"),
    ("POST", "gold/gold-1/retire"),
    ("POST", "gold/gold-1/bring_back"),
]
SEEN = [path for method, path in ROUTES if method == "GET"]


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_labelers_and_strangers_are_refused(
    people: FakePeopleQueue, method: str, path: str
) -> None:
    labeler = await people.owner.admit("ann", "labeler")
    for token, status in (("", 401), (labeler.token, 403)):
        async with client_of(people, token) as client:
            answer = await client.request(method, f"/api/v1/owner/{path}", json={})
        assert answer.status_code == status
    assert people.decisions == []


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_observers_see_and_do_not_act(
    people: FakePeopleQueue, method: str, path: str
) -> None:
    people.owner = EndedOwner(people)  # a stream then ends at once
    await people.owner.admit("bob", "labeler")
    people.gold.write(GoldTask(prompt="rice", candidates=("dry", "wet"), answer=0), "olga")
    observer = await people.owner.admit("ove", "observer")
    async with client_of(people, observer.token) as client:
        answer = await client.request(method, f"/api/v1/owner/{path}", json={})
    assert answer.status_code == (200 if path in SEEN and method == "GET" else 403)
    assert people.decisions == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "tasks/next"),
        ("GET", "tasks/held"),
        ("GET", "run"),
        ("GET", "me"),
        ("POST", "labels"),
        ("POST", "cord"),
        ("POST", "assignments/x/heartbeat"),
    ],
)
async def test_observers_do_not_label(people: FakePeopleQueue, method: str, path: str) -> None:
    observer = await people.owner.admit("ove", "observer")
    async with client_of(people, observer.token) as client:
        answer = await client.request(method, f"/api/v1/{path}", json={})
    assert answer.status_code == 403
    assert "sees and does not act" in answer.json()["message"]


async def test_whoever_is_no_longer_an_owner_is_refused_from_the_next_request_on(
    people: FakePeopleQueue, owner: httpx.AsyncClient
) -> None:
    await people.owner.change_role("olga", "observer", "hands over")
    assert (await owner.get("/api/v1/owner/overview")).status_code == 200
    assert (await owner.post("/api/v1/owner/cord/pull", json={"reason": "x"})).status_code == 403
    await people.owner.change_role("olga", "labeler", "labels")
    assert (await owner.get("/api/v1/owner/overview")).status_code == 403


async def test_people_are_listed_in_pages_found_and_told_apart_by_role(
    owner: httpx.AsyncClient, people: FakePeopleQueue
) -> None:
    for number in range(50):
        await people.owner.admit(f"p-{number:02}", "observer" if number == 7 else "labeler")

    async def listed(**params: str | int) -> PeoplePage:
        answer = await owner.get("/api/v1/owner/labelers", params=params)
        return TypeAdapter(PeoplePage).validate_json(answer.content)

    page = await listed(offset=40, limit=5)
    assert (page.total, page.offset) == (51, 40)
    assert [each.labeler_id for each in page.people] == [f"p-{n}" for n in range(39, 44)]
    assert [each.labeler_id for each in (await listed(search="P-1")).people] == [
        f"p-1{n}" for n in range(10)
    ]
    assert [each.labeler_id for each in (await listed(role="observer")).people] == ["p-07"]
    for wrong in ({"limit": 101}, {"limit": 0}, {"offset": -1}, {"role": "root"}):
        answer = await owner.get("/api/v1/owner/labelers", params=wrong)
        assert (answer.status_code, answer.json()["field"]) == (422, next(iter(wrong)))


async def test_the_overview(owner: httpx.AsyncClient, people: FakePeopleQueue) -> None:
    answer = await owner.get("/api/v1/owner/overview")
    assert TypeAdapter(Overview).validate_json(answer.content) == people.shown_overview


async def test_a_new_labeler_gets_a_link_and_a_token(
    owner: httpx.AsyncClient, people: FakePeopleQueue
) -> None:
    answer = await owner.post("/api/v1/owner/labelers", json={"labeler_id": "cleo"})
    admission = TypeAdapter(Admission).validate_json(answer.content)
    assert (await people.authenticate(admission.token)).role == "labeler"
    assert admission.link.startswith("/enter/")
    assert people.judges == set()


async def test_a_judge_is_let_in_as_one(owner: httpx.AsyncClient, people: FakePeopleQueue) -> None:
    body = {"labeler_id": "dot", "judges": True}
    assert (await owner.post("/api/v1/owner/labelers", json=body)).status_code == 200
    assert people.judges == {"dot"}


@pytest.mark.parametrize(
    ("path", "body", "decision"),
    [
        (
            "labelers/bob/exclude",
            {"reason": "clicks at random", "from_seq": 7},
            ("exclude", "bob", "7", "clicks at random"),
        ),
        ("labelers/bob/exclude", {"reason": "spam"}, ("exclude", "bob", "0", "spam")),
        ("labelers/bob/reinstate", {"reason": "explained"}, ("reinstate", "bob", "explained")),
        ("labelers/bob/revoke", {"reason": "left"}, ("revoke", "bob", "left")),
        ("cord/pull", {"reason": "nonsense"}, ("pull", "olga", "nonsense")),
        ("cord/release", {"reason": "mended"}, ("release", "mended")),
        ("rollback", {"to_version": 12, "reason": "bad"}, ("roll_back", "12", "bad")),
        ("gold", {"query_id": "q0", "choice": "q0-a"}, ("gold", "q0", "q0-a")),
        (
            "labelers/bob/role",
            {"role": "observer", "reason": "labelled enough"},
            ("role", "bob", "observer", "labelled enough"),
        ),
        (
            "labelers/bob/tokens/token-2/revoke",
            {"reason": "lost"},
            ("revoke_token", "bob", "token-2", "lost"),
        ),
        (
            "gold/written",
            {"prompt": "soup", "candidates": ["warm", "cold"], "answer": 0},
            ("write_gold", "gold-2"),
        ),
        (
            "gold/gold-1/edit",
            {"answer": 1, "reason": "wrong"},
            ("edit_gold", "gold-1", "wrong"),
        ),
        ("gold/gold-1/retire", {"reason": "easy"}, ("retire_gold", "gold-1", "easy")),
        ("gold/gold-1/bring_back", {"reason": "no"}, ("bring_back_gold", "gold-1", "no")),
    ],
)
async def test_decisions_reach_the_queue(
    owner: httpx.AsyncClient,
    people: FakePeopleQueue,
    path: str,
    body: dict[str, object],
    decision: tuple[str, ...],
) -> None:
    people.pull("ann", "it swears")
    await people.owner.admit("bob", "labeler")
    people.gold.write(GoldTask(prompt="rice", candidates=("dry", "wet"), answer=0), "olga")
    answer = await owner.post(f"/api/v1/owner/{path}", json=body)
    assert answer.status_code in (200, 204)
    assert people.decisions[-1] == decision
    assert set(people.actors) <= {"olga"}


async def test_an_exclusion_is_shown_before_it_is_made(
    owner: httpx.AsyncClient, people: FakePeopleQueue
) -> None:
    answer = await owner.get("/api/v1/owner/labelers/bob/exclusion", params={"from_seq": 100})
    assert answer.json() == {
        "labeler_id": "bob",
        "from_seq": 100,
        "labels_leaving": 32,
        "labels_returning": 0,
        "weight_share": 0.06,
        "forces_refit": True,
        "reward_versions": [3, 4, 5],
        "policy_versions": [21, 34],
        "undoable": None,
    }
    assert people.decisions == []


async def test_a_reinstatement_is_shown_before_it_is_made(owner: httpx.AsyncClient) -> None:
    path = "/api/v1/owner/labelers/bob/exclusion"
    excluding = (await owner.get(path, params={"from_seq": 100})).json()
    reinstating = (await owner.get(path, params={"from_seq": 100, "act": "reinstate"})).json()
    assert reinstating["labels_returning"] == excluding["labels_leaving"] + 100
    wrong = await owner.get(path, params={"act": "forget"})
    assert (wrong.status_code, wrong.json()["field"]) == (422, "act")


async def test_what_was_decided_about_labels_is_undone_by_its_name(
    owner: httpx.AsyncClient, people: FakePeopleQueue
) -> None:
    body = {"from_seq": 7, "reason": "clicks at random"}
    done = await owner.post("/api/v1/owner/labelers/bob/exclude", json=body)
    act = done.json()["undoable"]
    undo = {"act_id": act, "reason": "a slip"}
    assert (await owner.post("/api/v1/owner/labelers/bob/undo", json=undo)).status_code == 200
    assert people.decisions[-1] == ("undo", "bob", act, "a slip")
    late = await owner.post("/api/v1/owner/labelers/bob/undo", json={**undo, "act_id": "older"})
    assert (late.status_code, late.json()["field"]) == (409, "act_id")
    for wrong in ({"reason": "a slip"}, {"act_id": act}, {"act_id": 3, "reason": "a slip"}):
        refused = await owner.post("/api/v1/owner/labelers/bob/undo", json=wrong)
        assert refused.status_code == 422


async def test_a_labeler_who_is_not_there(owner: httpx.AsyncClient) -> None:
    answer = await owner.get("/api/v1/owner/labelers/nobody/exclusion")
    assert (answer.status_code, answer.json()["error"]) == (404, "UnknownTask")


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("cord/pull", {}, "reason"),
        ("cord/pull", {"reason": ""}, "reason"),
        ("cord/pull", {"reason": "x" * 1_001}, "reason"),
        ("cord/pull", {"reason": "x", "actor": "ann"}, "actor"),
        ("labelers/bob/exclude", {"reason": "x", "from_seq": -1}, "from_seq"),
        ("labelers/bob/exclude", {"reason": "x", "from_seq": 1.5}, "from_seq"),
        ("labelers", {"labeler_id": "../bob"}, "labeler_id"),
        ("labelers", {"labeler_id": "bob", "role": "root"}, "role"),
        ("rollback", {"reason": "x"}, "to_version"),
        ("gold", {"query_id": "q0"}, "choice"),
        ("gold", [], ""),
        ("labelers/bob/role", {"role": "root", "reason": "x"}, "role"),
        ("labelers/bob/role", {"role": "owner"}, "reason"),
        ("gold/written", {"prompt": "x", "candidates": ["a"], "answer": 0}, "candidates"),
        ("gold/written", {"prompt": "x", "candidates": ["a", "b", "c"], "answer": 0}, "candidates"),
        ("gold/written", {"prompt": "x", "candidates": ["a", "b"], "answer": -1}, "answer"),
        ("gold/written", {"candidates": ["a", "b"], "answer": 0}, "prompt"),
        ("gold/none/retire", {}, "reason"),
        ("gold/none/edit", {"reason": "x"}, "answer"),
    ],
)
async def test_wrong_fields_are_named(
    owner: httpx.AsyncClient, path: str, body: object, field: str
) -> None:
    answer = await owner.post(f"/api/v1/owner/{path}", json=body)
    assert (answer.status_code, answer.json()["field"]) == (422, field)


async def test_a_body_that_is_too_large_or_no_json(owner: httpx.AsyncClient) -> None:
    path = "/api/v1/owner/cord/pull"
    large = await owner.post(path, json={"reason": "x" * 2_000})
    assert (large.status_code, large.json()["error"]) == (413, "BodyTooLarge")
    form = await owner.post(path, data={"reason": "x"})
    assert (form.status_code, form.json()["field"]) == (422, "Content-Type")


@pytest.mark.parametrize("from_seq", ["-1", "soon", str(2**63)])
async def test_a_sequence_number_that_is_none(owner: httpx.AsyncClient, from_seq: str) -> None:
    answer = await owner.get("/api/v1/owner/labelers/bob/exclusion", params={"from_seq": from_seq})
    assert (answer.status_code, answer.json()["field"]) == (422, "from_seq")


async def test_written_gold_says_its_language_and_where_it_stands(
    owner: httpx.AsyncClient, people: FakePeopleQueue
) -> None:
    node = {"document_id": "b-1", "path": [2], "siblings": [3], "height": 0, "num_children": 0}
    body = {"prompt": "soup", "candidates": ["warm", "cold"], "answer": 0, "language": "de"}
    path = "/api/v1/owner/gold/written"
    made = await owner.post(path, json={**body, "node": node})
    assert (made.status_code, made.json()["prompt"]["language"]) == (200, "de")
    for field, wrong in (("node", {**node, "path": [4]}), ("language", "no tag")):
        answer = await owner.post(path, json={**body, field: wrong})
        assert (answer.status_code, answer.json()["field"]) == (422, field)


# --- the stream --------------------------------------------------------------------------------


def events_of(
    people: FakePeopleQueue, *, is_welcome: bool = True, keep_alive_s: float = 5.0
) -> AsyncIterator[str]:
    async def welcome() -> bool:
        return is_welcome

    return overview_events(
        people.owner, people.shown_overview, welcome, keep_alive_s=keep_alive_s, pause_s=0.0
    )


async def test_the_stream_begins_with_the_overview_and_follows_its_changes(
    people: FakePeopleQueue,
) -> None:
    events = events_of(people)
    first = await anext(events)
    assert first.startswith("retry: 2000\nevent: overview\ndata: {")
    assert first.endswith("\n\n")
    people.show(is_closed=True)
    second = await anext(events)
    assert json.loads(second.split("data: ", 1)[1])["is_closed"]


async def test_a_quiet_stream_is_kept_alive(people: FakePeopleQueue) -> None:
    events = events_of(people, keep_alive_s=0.0)
    await anext(events)
    assert await anext(events) == KEEP_ALIVE
    people.show()  # only the time went on
    assert await anext(events) == KEEP_ALIVE


class EndedOwner(FakeOwner):
    async def wait_for_overview(self, after: float, timeout_s: float) -> Overview:
        raise QueueClosed("the queue is closed")


async def test_streams_to_one_owner_are_limited_in_number(people: FakePeopleQueue) -> None:
    olga, ove = [await people.owner.admit(name, "owner") for name in ("olga", "ove")]
    people.owner = EndedOwner(people)
    app = build_app(people, IntakeConfig(max_streams=2))
    app.state.open_streams["olga"] = 2
    transport = httpx.ASGITransport(app)
    statuses = []
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        for admission in (olga, ove, ove, ove):
            answer = await client.get(
                "/api/v1/owner/stream", headers={"Authorization": f"Bearer {admission.token}"}
            )
            statuses.append(answer.status_code)
    assert statuses == [429, 200, 200, 200]
    assert app.state.open_streams["ove"] == 0


async def test_streams_that_are_asked_for_at_once_are_counted_one_by_one(
    people: FakePeopleQueue,
) -> None:
    class Slow(EndedOwner):
        async def overview(self) -> Overview:
            await asyncio.sleep(0)
            return await super().overview()

    admission = await people.owner.admit("ove", "owner")
    people.owner = Slow(people)
    app = build_app(people, IntakeConfig(max_streams=2))
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app),
        base_url="http://127.0.0.1",
        headers={"Authorization": f"Bearer {admission.token}"},
    ) as client:
        asked = [client.get("/api/v1/owner/stream") for _ in range(5)]
        statuses = sorted(each.status_code for each in await asyncio.gather(*asked))
    assert statuses == [200, 200, 429, 429, 429]
    assert app.state.open_streams["ove"] == 0


async def test_a_stream_ends_with_its_owners_token(people: FakePeopleQueue) -> None:
    events = events_of(people, is_welcome=False, keep_alive_s=0.0)
    assert [await anext(events), await anext(events)][1] == ENDED
    assert [event async for event in events] == []


async def test_a_stream_ends_with_the_run(people: FakePeopleQueue) -> None:
    people.owner = EndedOwner(people)
    events = events_of(people)
    assert len([event async for event in events]) == 1
