"""Names that one driver has at a time; real ones are in `test_shared_cluster`."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ray.exceptions import ActorAlreadyExistsError

from cluster.starting import claims
from protocol.errors import ResourceError


class FakeRay:
    """Ray's actors by name; one that is killed keeps its name until it was asked for once more."""

    def __init__(self) -> None:
        self.holders: dict[str, str] = {}
        self.dying: set[str] = set()
        self.refusal = "The name is already taken"
        self.util = SimpleNamespace(list_named_actors=self.named)

    def remote(self, shell: type) -> Any:
        def options(**given: Any) -> Any:
            assert given["namespace"] == claims.NAMESPACE
            return SimpleNamespace(remote=lambda by: self.make(given["name"], by))

        return SimpleNamespace(options=options)

    def make(self, name: str, by: str) -> Any:
        if name in self.holders:
            raise ActorAlreadyExistsError(self.refusal)
        self.holders[name] = by
        return SimpleNamespace(name=name)

    def kill(self, holder: Any, *, no_restart: bool) -> None:
        assert no_restart, "it would come back, and its name with it"
        self.dying.add(holder.name)

    def named(self, *, all_namespaces: bool) -> list[dict[str, str]]:
        assert all_namespaces
        names = [{"name": each, "namespace": claims.NAMESPACE} for each in self.holders]
        for name in self.dying:
            self.holders.pop(name, None)
        self.dying.clear()
        return [*names, {"name": "run/z", "namespace": "somebody's"}]

    def get_actor(self, name: str, *, namespace: str) -> Any:
        if name not in self.holders:
            raise ValueError("no such actor")
        return SimpleNamespace(by=SimpleNamespace(remote=lambda: self.holders[name]))

    def get(self, answer: Any, *, timeout: float) -> Any:
        return answer


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> FakeRay:
    fake = FakeRay()
    monkeypatch.setattr(claims, "ray", fake)
    monkeypatch.setattr(claims, "POLL_S", 0.0)
    return fake


def test_a_name_is_one_driver_s_until_it_gives_it_back(ray: FakeRay) -> None:
    mine = claims.claim("run/a", "me")
    assert mine is not None
    assert claims.claim("run/a", "you") is None
    assert claims.holder_of("run/a") == "me"
    mine.release()
    assert claims.claim("run/a", "you") is not None


def test_names_of_other_namespaces_are_nobody_s(ray: FakeRay) -> None:
    assert not claims.is_claimed("run/z")


def test_what_ray_refuses_for_another_reason_is_not_taken_for_a_name(ray: FakeRay) -> None:
    def refuse(name: str, by: str) -> None:
        raise ValueError("num_cpus must be >= 0")

    ray.make = refuse  # type: ignore[method-assign]
    with pytest.raises(ValueError, match="num_cpus"):
        claims.claim("run/a", "me")


def test_a_name_that_comes_free_while_it_is_asked_for_was_taken(ray: FakeRay) -> None:
    def refuse(name: str, by: str) -> None:
        raise ActorAlreadyExistsError(ray.refusal)

    ray.make = refuse  # type: ignore[method-assign]
    assert claims.claim("serve", "me") is None


def test_who_is_gone_meanwhile_is_told_of_as_such(ray: FakeRay) -> None:
    assert "has just ended" in claims.holder_of("run/a")


def test_a_turn_is_waited_for_and_given_back_also_after_an_error(
    ray: FakeRay, monkeypatch: pytest.MonkeyPatch
) -> None:
    claims.claim("serve", "first")
    # The other is gone by the first pause.
    monkeypatch.setattr(f"{claims.__name__}.time.sleep", lambda _: ray.holders.clear())

    def have_a_turn() -> None:
        with claims.turn("serve", "second"):
            assert ray.holders == {"serve": "second"}
            raise RuntimeError("it broke")

    with pytest.raises(RuntimeError, match="broke"):
        have_a_turn()
    assert not claims.is_claimed("serve")


def test_who_has_the_turn_for_too_long_is_named(ray: FakeRay) -> None:
    claims.claim("serve", "the driver of a")
    with (
        pytest.raises(ResourceError, match=r"waited 0 s for 'serve' .* which the driver of a has"),
        claims.turn("serve", "second", timeout_s=0.0),
    ):
        pytest.fail("it is not ours")
