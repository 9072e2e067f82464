"""What a run's processes inherit."""

from __future__ import annotations

import os
from collections.abc import Iterator
from types import SimpleNamespace
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

import pytest

from cluster.starting.environment import GRPC_NO_PROXY, cluster_address, prepare_environment


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = dict(os.environ)
    for name in ("no_proxy", "NO_PROXY", GRPC_NO_PROXY, "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.mark.parametrize("given", ["", "example.org", "example.org, 127.0.0.1,", "localhost"])
def test_no_proxy_stands_before_this_machine(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("no_proxy", given)
    prepare_environment(None)
    assert os.environ["no_proxy"] == os.environ["NO_PROXY"]
    listed = os.environ["no_proxy"].split(",")
    assert len(listed) == len(set(listed))
    assert {"localhost", "127.0.0.1", "::1"} <= set(listed)
    assert ("example.org" in listed) == ("example.org" in given)
    for host in ("localhost:8000", "127.0.0.1:8000"):
        assert proxy_bypass_environment(host)


def test_what_is_kept_from_all_proxies_stays_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv(GRPC_NO_PROXY, "a.example")
    prepare_environment(None)
    assert os.environ["NO_PROXY"] == "*"
    monkeypatch.setenv("NO_PROXY", "b.example")
    prepare_environment(None)
    assert os.environ[GRPC_NO_PROXY] == "a.example,localhost,127.0.0.1,::1"


@pytest.mark.parametrize(
    ("address", "variable", "found"),
    [
        (None, None, None),
        (None, "", None),
        (None, "local", None),
        (None, " 10.0.0.1:6379 ", "10.0.0.1:6379"),
        ("auto", "10.0.0.1:6379", "auto"),
        ("local", "10.0.0.1:6379", None),
    ],
)
def test_whose_ray_is_meant(
    monkeypatch: pytest.MonkeyPatch, address: str | None, variable: str | None, found: str | None
) -> None:
    if variable is not None:
        monkeypatch.setenv("RAY_ADDRESS", variable)
    assert cluster_address(address) == found


def test_a_process_without_a_gpu_of_its_own_sees_none(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray
    from ray._private import utils

    prepare_environment(None)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    # As a worker does before its first task, of what it was placed with.
    placed_with = SimpleNamespace(get_accelerator_ids=lambda: {"GPU": []})
    monkeypatch.setattr(ray, "get_runtime_context", lambda: placed_with)
    utils.set_visible_accelerator_ids()
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ""


def test_the_user_s_own_settings_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_SERVE_QUEUE_LENGTH_RESPONSE_DEADLINE_S", "3")
    prepare_environment(None)
    assert os.environ["RAY_SERVE_QUEUE_LENGTH_RESPONSE_DEADLINE_S"] == "3"
