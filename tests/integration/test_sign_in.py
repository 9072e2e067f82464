"""Signing in by a provider that is not ours, at the labelling face as it runs."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from label_queue.config import IntakeConfig
from label_queue.folds.access import Identity
from label_queue.intake.app import build_app
from label_queue.intake.identity import CSRF_HEADER, csrf_token
from label_queue.intake.public_address import Site
from label_queue.intake.sign_in.flow import CALLBACK, SignIn
from label_queue.ledger.records import LabelerToken
from label_queue.ledger.sql import SqlLedger
from label_queue.queue import LabelQueue
from label_queue.schedule import LabelSchedule
from label_queue.shell import QUEUE_OPTIONS, LabelQueueShell
from label_queue.sides.owner import OwnerSide
from label_queue.sides.people import PeopleSide
from protocol.remote import side_of, spawn
from tests.support.beside import written
from tests.support.labels import make_config
from tests.support.outside_provider import SECRET_ENV, OutsideProvider, outside_provider
from tests.support.page_server import serve
from tests.support.patience import PATIENCE_S
from tests.support.ports import free_port
from tests.support.proxies import Place, found, proxy
from tests.support.served_intake import served_intake
from tests.unit.label_queue.labeling import answer_orders

ANN = "ann@example.org"
PEOPLE: tuple[dict[str, object], ...] = (
    {"sub": "248", "email": "Ann@Example.org", "email_verified": True},
    {"sub": "249", "email": "eve@example.org", "email_verified": True},
    {"sub": "250", "email": ANN, "email_verified": False},
)


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OutsideProvider]:
    with outside_provider(tmp_path_factory.mktemp("provider"), *PEOPLE) as provider:
        yield provider


@dataclass(frozen=True)
class Published:
    """A run behind nginx, whose people sign in."""

    place: Place
    queue: LabelQueue
    provider: OutsideProvider
    ledger: Path

    async def sign_in(self, browser: httpx.AsyncClient, subject: str) -> httpx.Response:
        """Press the button, be whoever the provider takes one for, and come back."""
        begun = await browser.get(f"{self.place.prefix}/sign-in?next=/")
        assert begun.status_code == 303, begun.text
        back = await self.provider.answer(begun.headers["location"], subject)
        assert str(back).startswith(f"{self.place.public_url}{CALLBACK}?")
        return await browser.get(back)


@pytest.fixture
async def published(provider: OutsideProvider, tmp_path: Path) -> AsyncIterator[Published]:
    found("nginx")
    place = Place.free(tmp_path)
    client_id, secret = provider.register(f"{place.public_url}{CALLBACK}")
    oidc, site = provider.config(client_id), Site(run_id="run-1", public_url=place.public_url)
    config = make_config(intake=IntakeConfig(oidc=oidc))
    ledger = tmp_path / "ledger.sqlite"
    queue = LabelQueue(
        SqlLedger.open(ledger, "run-1"),
        config,
        LabelSchedule.of(config, num_episodes=100, mode="online"),
        run_id="run-1",
        seed=1,
    )
    await answer_orders(queue)
    sign_in = SignIn(oidc, secret, site, clock=time.time, monotonic=time.monotonic)
    async with serve(build_app(queue, config.intake, site=site, sign_in=sign_in)) as run_url:
        port = httpx.URL(run_url).port
        assert port is not None
        async with proxy("nginx", place, port):
            yield Published(place, queue, provider, ledger)
    await queue.close()


async def test_somebody_signs_in_labels_and_leaves(published: Published) -> None:
    await published.queue.owner.admit(ANN, "labeler", actor="olga")
    place = published.place
    async with place.client() as ann:
        page = await ann.get(f"{place.prefix}/")
        assert f'href="{place.public_url}/sign-in"' in page.text
        entered = await published.sign_in(ann, "248")
        assert (entered.status_code, entered.headers["location"]) == (303, f"{place.prefix}/")
        assert 'id="task"' in (await ann.get(f"{place.prefix}/")).text
        cookies = [each.lower() for each in entered.headers.get_list("set-cookie")]
        assert all("secure" in each and "httponly" in each for each in cookies)
        csrf = csrf_token(ann.cookies["andon_session_run-1"])
        unsafe = {"Origin": place.origin, CSRF_HEADER: csrf}
        task = (await ann.get(f"{place.prefix}/api/v1/tasks/next")).json()
        answer = {
            "assignment_id": task["assignment_id"],
            "outcome": "choice",
            "choice": task["candidates"][0]["candidate_id"],
        }
        labelled = await ann.post(f"{place.prefix}/api/v1/labels", json=answer, headers=unsafe)
        assert labelled.status_code == 200
        left = await ann.post(f"{place.prefix}/leave", headers=unsafe)
        assert (left.status_code, dict(ann.cookies)) == (204, {})
        assert (await ann.get(f"{place.prefix}/")).status_code == 401
    session = written(published.ledger, LabelerToken)[-1]
    assert (session.kind, session.labeler_id, session.made_by) == ("session", ANN, ANN)
    assert session.signed_in_as == f"{published.provider.issuer} 248"


@pytest.mark.parametrize(
    ("subject", "status", "words"),
    [
        ("249", 403, "Nobody called &#39;eve@example.org&#39; was added here"),
        ("250", 403, "has not verified your e-mail address"),
        # This provider leaves the state out where somebody does not agree, so what it says could
        # be anybody's.
        ("", 401, "This answer is to another sign-in (state)"),
    ],
    ids=["somebody unknown", "an address that is not verified", "somebody who does not agree"],
)
async def test_others_stay_out_and_are_told_why(
    published: Published, subject: str, status: int, words: str
) -> None:
    await published.queue.owner.admit(ANN)
    async with published.place.client() as browser:
        answer = await published.sign_in(browser, subject)
        assert answer.status_code == status
        assert words in answer.text
        assert dict(browser.cookies) == {}


async def test_at_the_intake_s_own_process(
    provider: OutsideProvider, ray_session: None, tmp_path: Path
) -> None:
    """It has the secret of its environment, and hands who came to the queue's process."""
    import ray

    port, name = free_port(), uuid4().hex
    site = Site(run_id="run-1", public_url=f"http://127.0.0.1:{port}")
    client_id, secret = provider.register(f"{site.public_url}{CALLBACK}")
    config = make_config(intake=IntakeConfig(oidc=provider.config(client_id)))
    queue = spawn(LabelQueueShell, "the label queue", {**QUEUE_OPTIONS, "name": name})(
        config,
        run_id="run-1",
        ledger=tmp_path / "ledger.sqlite",
        episodes=100,
        mode="online",
        seed=1,
    )
    await side_of(queue, OwnerSide).admit(ANN, "owner")
    environment = {SECRET_ENV: secret}
    with served_intake(name, config.intake, site, port, environment) as intake:
        async with httpx.AsyncClient(
            base_url=intake.url, trust_env=False, timeout=PATIENCE_S
        ) as browser:
            for subject, status in (("249", 403), ("248", 303)):
                begun = await browser.get("/sign-in")
                back = await provider.answer(begun.headers["location"], subject)
                entered = await browser.get(back)
                assert entered.status_code == status, entered.text
            assert entered.headers["location"] == "/owner"
            assert (await browser.get("/owner")).status_code == 200
            session = browser.cookies[site.session_cookie]
            whose = Identity(labeler_id=ANN, role="owner")
            assert await side_of(queue, PeopleSide).authenticate(session) == whose
    ray.get(queue.send(LabelQueueShell.close))
    ray.kill(queue.handle)
