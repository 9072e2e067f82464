"""All that is touched of Ray Serve's inside: a replica's port, one application, the front, an end.

Serve opens that port on all interfaces, and it takes pickles from whoever asks; no setting of Serve
moves it. So the function by which `ray.serve._private.replica` binds it is replaced, in the
replica's own process, by one that binds it where Ray itself listens. Serve is told to forget a
session, which it does not do by itself, and is asked of one application alone, or of where its
front is. These names are private: the patch is made for one version of Ray, and refuses any other
rather than leave the port open unseen. And Serve gives its HTTP proxies a minute to come up, which
a busy machine may not do: who starts it says how long.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ray
from ray._common.tls_utils import add_port_to_grpc_server
from ray.serve import context
from ray.serve._private import api, client, replica

from protocol.errors import ResourceError

MADE_FOR = "2.60"
"""The minor version of Ray whose `_private.replica` was read; patch releases keep it."""
_PATCHED = "add_port_to_grpc_server"
_DISCONNECT = "_disconnect"
_CLIENT = "_get_global_client"
_PROXY_TIMEOUT = "HTTP_PROXY_TIMEOUT"


def check_serve_patch() -> None:
    """Check that the patch fits the Ray that is installed; cheap, and to be asked before a start.

    Raises:
        ResourceError: It was made for another version, or Serve no longer binds its port this way.
    """
    inside = {
        replica: (_PATCHED,),
        context: (_DISCONNECT, _CLIENT),
        api: (_PROXY_TIMEOUT,),
        client: (_PROXY_TIMEOUT,),
        client.ServeControllerClient: ("http_config",),
    }
    is_known = all(hasattr(place, name) for place, names in inside.items() for name in names)
    if not ray.__version__.startswith(f"{MADE_FOR}.") or not is_known:
        raise ResourceError(
            f"Ray {ray.__version__} is installed, and Serve's inner port can be kept off the "
            f"network in {MADE_FOR} alone: install ray=={MADE_FOR}.*, or read how "
            f"ray.serve._private.replica binds its port and bring {__name__} up to date"
        )


def give_proxies(timeout_s: float) -> None:
    """Have Serve, in this process, wait so long for its HTTP proxies to come up."""
    for module in (api, client):
        setattr(module, _PROXY_TIMEOUT, timeout_s)


def forget_serve() -> None:
    """Have Serve forget the session that has ended, in this process. May be called twice.

    It keeps the controller's handle until it sees another job's id, and the jobs of all private
    sessions have the same: without this a second one would ask the controller of the first.
    """
    getattr(context, _DISCONNECT)()


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeFront:
    """The HTTP front of the Serve that runs on the cluster."""

    host: str
    port: int
    serve_id: str
    """Names this Serve: one that is started after it has another."""


def serve_front() -> ServeFront | None:
    """Return where Serve listens, or None where there is none. Blocks for a call."""
    found = getattr(context, _CLIENT)(raise_if_no_controller_running=False)
    if found is None:
        return None
    options, controller = found.http_config, found._controller
    return ServeFront(host=options.host, port=options.port, serve_id=controller._ray_actor_id.hex())


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationState:
    """How an application stands."""

    status: str
    """Serve's name of it, e.g. "DEPLOYING"."""
    message: str
    deployments: tuple[str, ...]
    """What is said of each deployment."""


def application_state(name: str) -> ApplicationState:
    """Return how an application stands. Blocks for a call.

    `serve.status()` says it too, but pickles a router for each deployment of each application: a
    tenth of a second of the core that everything else is to start on.
    """
    found = getattr(context, _CLIENT)().get_serve_status(name)
    return ApplicationState(
        status=found.app_status.status.value,
        message=found.app_status.message,
        deployments=tuple(each.message for each in found.deployment_statuses),
    )


def keep_replica_off_other_interfaces() -> None:
    """Have the replica in this process bind its inner port where Ray binds its own.

    To be called in a replica's constructor, before Serve opens the port. May be called twice.

    Raises:
        ResourceError: As `check_serve_patch`.
    """
    check_serve_patch()
    host = ray.util.get_node_ip_address()

    def bind_to_host(server: Any, _: str) -> int:
        port: int = add_port_to_grpc_server(server, f"{host}:0")
        return port

    setattr(replica, _PATCHED, bind_to_host)
