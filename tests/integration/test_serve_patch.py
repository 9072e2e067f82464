"""The patch fits the Ray that is installed. What a whole run listens on, its own test sees."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

import pytest
import ray

from protocol.errors import ResourceError

pytestmark = pytest.mark.filterwarnings("ignore:Using extra keyword arguments on `Field`")


@pytest.fixture
def replica() -> ModuleType:
    return import_module("ray.serve._private.replica")


@pytest.fixture
def serve_patch() -> ModuleType:
    return import_module("reward_service.serve_patch")


def test_it_fits_the_ray_that_is_pinned(serve_patch: ModuleType) -> None:
    serve_patch.check_serve_patch()


@pytest.mark.parametrize("version", ["2.61.0", "2.6.0", "3.0.0"])
def test_another_version_is_refused_by_name(
    serve_patch: ModuleType, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    monkeypatch.setattr(ray, "__version__", version)
    with pytest.raises(ResourceError, match=rf"Ray {version} is installed.*install ray==2\.60"):
        serve_patch.keep_replica_off_other_interfaces()


def test_a_serve_that_binds_otherwise_is_refused(
    serve_patch: ModuleType, replica: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(replica, "add_port_to_grpc_server")
    with pytest.raises(ResourceError, match=r"bring reward_service\.serve_patch up to date"):
        serve_patch.check_serve_patch()


def test_the_port_is_bound_where_ray_listens(
    serve_patch: ModuleType, replica: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound: list[str] = []

    def bind(server: object, address: str) -> int:
        bound.append(address)
        return 4321

    monkeypatch.setattr(replica, "add_port_to_grpc_server", replica.add_port_to_grpc_server)
    monkeypatch.setattr(serve_patch, "add_port_to_grpc_server", bind)
    monkeypatch.setattr(ray.util, "get_node_ip_address", lambda: "127.0.0.1")
    serve_patch.keep_replica_off_other_interfaces()

    assert replica.add_port_to_grpc_server(object(), "[::]:0") == 4321
    assert bound == ["127.0.0.1:0"]
