"""Serve blocks, and Ray ends a process that calls it while it shuts down: who waits for whom."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from cluster.cluster_config import ClusterConfig
from cluster.starting.unplaced import unplaced_in
from label_queue.intake.wide_face import WideFace
from protocol.errors import DeploymentFailed, ResourceError
from tests.support.patience import PATIENCE_S

if TYPE_CHECKING:
    from cluster.starting.session import RaySession

pytestmark = [
    # Serve's own, when it is imported.
    pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince20"),
]

HANDLE = object()


class FakeServe:
    """Starts an application when it may, and then tells of the given states, one each time.

    A state is Serve's name of it, or "NAME: what it says of the deployment".
    """

    def __init__(self, *states: str) -> None:
        self.log: list[str] = []
        self.is_called = threading.Event()
        self.may_return = threading.Event()
        self._states = iter(states)
        self._name = ""

    def run_many(self, targets: list[Any], **waits: bool) -> list[object]:
        assert set(waits.values()) == {False}
        self._name = targets[0].name
        self.is_called.set()
        self.may_return.wait()
        self.log.append("call returned")
        return [HANDLE]

    def application_state(self, name: str) -> Any:
        assert name == self._name
        state, _, said = next(self._states).partition(": ")
        return SimpleNamespace(status=state, message="no such model", deployments=(said,))


@pytest.fixture
def session() -> RaySession:
    """One on a cluster that was there before: its end touches no process."""
    from cluster.starting.session import RaySession

    config = ClusterConfig(address="elsewhere:6379", wait_for_nodes_s=0.0)
    return RaySession(config, "run-1", 2)


Install = Callable[[FakeServe], FakeServe]


@pytest.fixture
def install(session: RaySession, monkeypatch: pytest.MonkeyPatch) -> Install:
    from cluster.starting import session as module

    def installed(fake: FakeServe) -> FakeServe:
        monkeypatch.setattr(module, "DEPLOYMENT_POLL_S", 0)
        monkeypatch.setattr(f"{module.__name__}.serve.run_many", fake.run_many)
        monkeypatch.setattr(module, "application_state", fake.application_state)
        monkeypatch.setattr(f"{module.__name__}.ray.is_initialized", lambda: True)
        monkeypatch.setattr(
            f"{module.__name__}.ray.shutdown", lambda: fake.log.append("Ray shut down")
        )
        return fake

    return installed


async def test_ray_is_shut_down_after_the_last_call_has_returned(
    session: RaySession, install: Install
) -> None:
    serve = install(FakeServe())
    deploying = asyncio.create_task(session.deploy(object, "reward"))
    await asyncio.to_thread(serve.is_called.wait)
    deploying.cancel()
    ending = asyncio.create_task(asyncio.to_thread(session.__exit__, None, None, None))
    await asyncio.wait([deploying])
    assert deploying.cancelled()
    assert serve.log == []
    serve.may_return.set()
    await ending
    assert serve.log == ["call returned", "Ray shut down"]


async def test_an_application_is_waited_for(session: RaySession, install: Install) -> None:
    serve = install(FakeServe("NOT_STARTED", "DEPLOYING", "RUNNING"))
    serve.may_return.set()
    assert await session.deploy(object, "reward") is HANDLE


async def test_an_application_that_cannot_start_says_why(
    session: RaySession, install: Install
) -> None:
    serve = install(FakeServe("DEPLOYING", "DEPLOY_FAILED"))
    serve.may_return.set()
    with pytest.raises(DeploymentFailed, match="andon-run-1-reward did not start: no such model"):
        await session.deploy(object, "reward")


NO_ROOM = (
    "DEPLOYING: Deployment 'Replica' has 1 replicas that have taken more than 30s to be scheduled. "
    'This may be due to much. Resources required for each replica: {"CPU": 1.0}, total resources '
    'available: {"CPU": 0.0}. Use `ray status` for more details.'
)
SLOW = "DEPLOYING: Deployment 'Replica' has 1 replicas that have taken more than 30s to initialize."


async def test_an_application_without_room_says_what_it_lacks(
    session: RaySession, install: Install
) -> None:
    serve = install(FakeServe(NO_ROOM, NO_ROOM))
    serve.may_return.set()
    lacks = (
        r"andon-run-1-labels waited for room .* each replica: \{\"CPU\": 1.0\}, total resources "
        r"available: \{\"CPU\": 0.0\}; .*wait_for_nodes_s"
    )
    with pytest.raises(DeploymentFailed, match=lacks):
        await session.deploy(object, "labels")


async def test_a_slow_start_is_waited_for_and_so_is_room_that_comes(
    session: RaySession, install: Install
) -> None:
    serve = install(FakeServe(NO_ROOM, SLOW, SLOW, NO_ROOM, "RUNNING"))
    serve.may_return.set()
    assert await session.deploy(object, "reward") is HANDLE


ROOM = NO_ROOM.replace('"CPU": 0.0', '"CPU": 3.0')


async def test_where_there_is_room_a_node_that_takes_its_time_is_waited_for(
    session: RaySession, install: Install
) -> None:
    serve = install(FakeServe(ROOM, ROOM, ROOM, "RUNNING"))
    serve.may_return.set()
    assert await session.deploy(object, "reward") is HANDLE


@pytest.mark.parametrize(
    ("required", "available", "has_room"),
    [
        ('{"CPU": 1.0}', '{"CPU": 1.0}', True),
        ('{"CPU": 1.0, "GPU": 1.0}', '{"CPU": 8.0}', False),
        ('[{"CPU": 1.0}, {"CPU": 1.0}]', '{"CPU": 1.0}', False),
        ('[{"CPU": 1.0}, {"CPU": 1.0}]', '{"CPU": 2.0}', True),
        ("UNKNOWN", "UNKNOWN", False),
    ],
)
def test_room_is_what_all_that_is_asked_for_finds(
    required: str, available: str, has_room: bool
) -> None:
    figures = f"each replica: {required}, total resources available: {available}. Use `ray"
    found = unplaced_in(["", f"{NO_ROOM.partition('each replica')[0]}{figures}"])
    assert found is not None
    assert (found.count, found.has_room) == (1, has_room)


def test_beyond_loopback_the_run_s_own_programs_have_a_port_that_is_nobody_else_s(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from cluster.starting import session as module

    free = iter([8443, 8443, 9000, 31_000, 8443, 31_000, 9000])
    monkeypatch.setattr(module, "free_port", lambda *_: next(free))
    wide = ClusterConfig(
        http_host="0.0.0.0",
        http_port=8443,
        reward_port=9000,
        public_url="https://label.example.org",
        trusted_proxies=("10.0.0.7",),
        without_tls="tls_is_in_front",
    )
    session = module.RaySession(wide, "run-1", 2)
    session.http_port = session._free_pages_port()
    session.own_port = session._free_own_port()
    session.reward_port = session._free_reward_port()
    assert session.url == "http://127.0.0.1:31000"
    assert session.reward_url == "http://127.0.0.1:9000"
    assert session.pages_url == "https://label.example.org"
    assert session.wide_face == WideFace(host="0.0.0.0", port=8443)
    assert session.site.is_behind_tls
    at_loopback = module.RaySession(ClusterConfig(), "run-1", 2)
    assert at_loopback.wide_face is None
    assert not at_loopback.site.is_behind_tls


def test_a_run_is_told_and_judged_by_the_path_that_is_its_own() -> None:
    from cluster.starting.session import RaySession

    config = ClusterConfig(public_url="https://label.example.org/{run}")
    session = RaySession(config, "run-1", 2)
    assert session.pages_url == "https://label.example.org/run-1"
    assert session.site.public_url == session.pages_url


STAYS = [sys.executable, "-S", "-c", "import time; time.sleep(600)"]


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    """A process that this one started before its session."""
    with subprocess.Popen(STAYS) as process:
        yield process
        process.kill()


@pytest.fixture
def private(bystander: subprocess.Popen[bytes]) -> RaySession:
    """One of its own, on this machine."""
    from cluster.starting.session import RaySession

    return RaySession(ClusterConfig(), "run-1", 2)


class SlowRay:
    """A node that comes up in time only once it was started so often; it leaves a process each."""

    def __init__(self, starts: int) -> None:
        self.left = starts
        self.num_shut_down = 0
        self.processes: list[subprocess.Popen[bytes]] = []

    def init(self, **options: object) -> None:
        self.left -= 1
        if self.left > 0:
            self.processes.append(subprocess.Popen(STAYS))
            raise Exception("The current node timed out during startup. This could happen because")

    def shutdown(self) -> None:
        self.num_shut_down += 1


@pytest.fixture
def start(private: RaySession, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Start the private session's node, where Ray is as slow as the one given."""
    from cluster.starting import session as module

    started: list[SlowRay] = []

    def begin(slow: SlowRay) -> None:
        started.append(slow)
        monkeypatch.setattr(module, "REAP_S", 0.0)
        monkeypatch.setattr(f"{module.__name__}.ray.init", slow.init)
        monkeypatch.setattr(f"{module.__name__}.ray.shutdown", slow.shutdown)
        monkeypatch.setattr(private, "_undertaker", SimpleNamespace(mind_session=None, pid=0))
        private._start_ray()

    yield begin
    for slow in started:
        for process in slow.processes:
            process.kill()
            process.wait()


def test_ray_is_started_again_where_a_busy_machine_was_too_slow(start: Callable[..., None]) -> None:
    slow = SlowRay(starts=3)
    start(slow)
    assert (slow.left, slow.num_shut_down) == (0, 2)


def test_what_a_slow_start_left_is_ended_and_nothing_else(
    start: Callable[..., None], bystander: subprocess.Popen[bytes]
) -> None:
    slow = SlowRay(starts=3)
    start(slow)
    assert len(slow.processes) == 2
    for process in slow.processes:
        process.wait(PATIENCE_S)
    assert bystander.poll() is None


def test_ray_that_never_comes_up_is_told_of_as_an_overloaded_machine(
    start: Callable[..., None],
) -> None:
    with pytest.raises(ResourceError, match="not start within 30 s, 5 times: the machine is over"):
        start(SlowRay(starts=99))
