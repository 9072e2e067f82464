"""Who starts the Serve of a cluster, who joins it, and what each may end: on a cluster of fakes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from protocol.errors import ResourceError

if TYPE_CHECKING:
    from cluster.starting.serve_share import ServeShare

pytestmark = [
    # Serve's own, when it is imported.
    pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince20"),
]


@dataclass
class FakeCluster:
    """Names that drivers have, one Serve or none, and the store of the cluster."""

    names: dict[str, str] = field(default_factory=dict)
    serve: str | None = None
    """What names it."""
    applications: set[str] = field(default_factory=set)
    kept: dict[str, bytes] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    num_started: int = 0

    def start(self) -> None:
        assert self.serve is None, "there is one Serve on a cluster"
        self.num_started += 1
        self.serve = f"serve-{self.num_started}"
        self.log.append("start")

    def delete(self, name: str) -> None:
        self.applications.remove(name)
        self.log.append(f"delete {name}")

    def shutdown(self) -> None:
        self.serve = None
        self.applications.clear()
        self.log.append("shutdown")

    def put(self, key: str, value: str, *, namespace: str) -> None:
        self.kept[f"{namespace}/{key}"] = value.encode()

    def get(self, key: str, *, namespace: str) -> bytes | None:
        return self.kept.get(f"{namespace}/{key}")

    def remove(self, key: str, *, namespace: str) -> None:
        del self.kept[f"{namespace}/{key}"]

    def kill_driver(self, run_id: str) -> None:
        """End a driver at one blow: its names go, what Serve has stays."""
        del self.names[f"run/{run_id}"]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    from cluster.starting import serve_share as module

    cluster = FakeCluster()

    def claim(name: str, by: str) -> Any:
        if name in cluster.names:
            return None
        cluster.names[name] = by
        return SimpleNamespace(name=name, release=lambda: cluster.names.pop(name))

    @contextmanager
    def turn(name: str, by: str) -> Iterator[None]:
        assert name not in cluster.names, "one at a time"
        cluster.names[name] = by
        try:
            yield
        finally:
            del cluster.names[name]

    monkeypatch.setattr(module, "claim", claim)
    monkeypatch.setattr(module, "holder_of", cluster.names.__getitem__)
    monkeypatch.setattr(module, "turn", turn)
    monkeypatch.setattr(module, "claimed", lambda: frozenset(cluster.names))
    monkeypatch.setattr(module, "start_serve", cluster.start)
    monkeypatch.setattr(module, "serve_id", lambda: cluster.serve)
    serve = SimpleNamespace(
        status=lambda: SimpleNamespace(applications=dict.fromkeys(cluster.applications)),
        delete=cluster.delete,
        shutdown=cluster.shutdown,
    )
    monkeypatch.setattr(module, "serve", serve)
    kept = SimpleNamespace(
        _internal_kv_put=cluster.put,
        _internal_kv_get=cluster.get,
        _internal_kv_del=cluster.remove,
    )
    monkeypatch.setattr(module, "internal_kv", kept)
    return cluster


Begin = Callable[[str], "ServeShare"]


@pytest.fixture
def begin(fake: FakeCluster) -> Begin:
    """Start a run that has deployed its reward."""
    from cluster.starting.serve_share import ServeShare, application_of

    def begun(run_id: str) -> ServeShare:
        share = ServeShare(run_id, f"driver of {run_id}")
        share.join()
        fake.applications.add(application_of(run_id, "reward"))
        return share

    return begun


def test_the_first_run_starts_serve_and_the_others_join_it(fake: FakeCluster, begin: Begin) -> None:
    first = begin("a")
    begin("b")
    assert fake.num_started == 1
    assert first is not None
    assert fake.applications == {"andon-a-reward", "andon-b-reward"}


@pytest.mark.parametrize(("first", "last"), [("a", "b"), ("b", "a")])
def test_a_run_ends_its_own_application_and_only_the_last_one_ends_serve(
    fake: FakeCluster, begin: Begin, first: str, last: str
) -> None:
    runs = {run_id: begin(run_id) for run_id in "ab"}
    runs[first].leave()
    assert fake.log == ["start", f"delete andon-{first}-reward"]
    assert fake.applications == {f"andon-{last}-reward"}
    runs[last].leave()
    assert fake.log[-1] == "shutdown"
    assert fake.serve is None
    assert not fake.kept
    assert not fake.names


def test_a_run_that_has_not_deployed_yet_keeps_serve_going(fake: FakeCluster, begin: Begin) -> None:
    from cluster.starting.serve_share import ServeShare

    first = begin("a")
    second = ServeShare("b", "driver of b")
    second.join()
    first.leave()
    assert fake.serve is not None
    second.leave()
    assert fake.serve is None


def test_a_run_that_has_only_claimed_its_name_keeps_serve_going(
    fake: FakeCluster, begin: Begin
) -> None:
    from cluster.starting.serve_share import ServeShare

    first = begin("a")
    second = ServeShare("b", "driver of b")
    first.leave()
    second.join()
    assert fake.num_started == 1


def test_serve_that_was_there_before_stays(fake: FakeCluster, begin: Begin) -> None:
    fake.start()
    begin("a").leave()
    assert fake.log == ["start", "delete andon-a-reward"]
    assert fake.serve is not None


def test_serve_that_somebody_started_after_ours_was_ended_by_hand_stays(
    fake: FakeCluster, begin: Begin
) -> None:
    share = begin("a")
    fake.shutdown()
    fake.start()
    share.leave()
    assert fake.serve == "serve-2"


def test_somebody_else_s_application_keeps_serve_going(fake: FakeCluster, begin: Begin) -> None:
    share = begin("a")
    theirs = {"theirs", "andon-", "andon-reward"}
    fake.applications |= theirs
    share.leave()
    assert fake.applications == theirs
    assert fake.serve is not None


def test_serve_that_was_ended_by_hand_is_no_error_at_the_end(
    fake: FakeCluster, begin: Begin
) -> None:
    share = begin("a")
    fake.shutdown()
    share.leave()
    assert not fake.names


def test_what_a_killed_run_left_goes_when_another_comes(fake: FakeCluster, begin: Begin) -> None:
    begin("a")
    begin("b")
    fake.kill_driver("a")
    begin("c")
    assert fake.applications == {"andon-b-reward", "andon-c-reward"}


def test_a_run_that_goes_on_after_its_driver_was_killed_starts_afresh(
    fake: FakeCluster, begin: Begin
) -> None:
    begin("a")
    fake.kill_driver("a")
    begin("a")
    assert fake.log.count("delete andon-a-reward") == 1
    assert fake.num_started == 1


def test_the_undertaker_removes_what_a_killed_run_left(
    fake: FakeCluster, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cluster.starting import serve_share as module

    monkeypatch.setattr(f"{module.__name__}.ray.init", lambda **_: fake.log.append("joined"))
    monkeypatch.setattr(f"{module.__name__}.ray.shutdown", lambda: fake.log.append("left"))
    monkeypatch.setattr(module, "is_claimed", lambda name: name in fake.names)
    monkeypatch.setattr(module, "POLL_S", 0.0)
    seen: list[int] = []

    def note_and_die(seconds: float) -> None:
        """Ray takes a while to see that the driver is gone."""
        seen.append(len(fake.applications))
        if len(seen) == 3:
            fake.kill_driver("a")

    monkeypatch.setattr(f"{module.__name__}.time.sleep", note_and_die)
    begin("a")
    other = begin("b")
    module.end_share("10.0.0.1:6379", "a")
    assert seen == [2, 2, 2]
    assert fake.log[-3:] == ["joined", "delete andon-a-reward", "left"]
    assert fake.applications == {"andon-b-reward"}
    other.leave()
    assert fake.serve is None


def test_two_runs_of_one_name_are_refused_and_the_first_goes_on(
    fake: FakeCluster, begin: Begin
) -> None:
    begin("a")
    with pytest.raises(ResourceError, match=r"a run called a is on .* \(driver of a\): name "):
        begin("a")
    assert fake.applications == {"andon-a-reward"}


def test_runs_whose_names_begin_alike_are_told_apart(fake: FakeCluster, begin: Begin) -> None:
    begin("a-b")
    begin("a").leave()
    assert fake.applications == {"andon-a-b-reward"}
