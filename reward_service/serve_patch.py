"""All that is touched of Ray Serve's inside: a replica's port, one application, a name, an end.

Serve opens that port on all interfaces, and it takes pickles from whoever asks; no setting of Serve
moves it. So the function by which `ray.serve._private.replica` binds it is replaced, in the
replica's own process, by one that binds it where Ray itself listens. Serve is told to forget a
session, which it does not do by itself, and is asked of one application alone, or of which Serve
it is. These names are private: the patch is made for one version of Ray, and refuses any other
rather than leave the port open unseen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ray
from ray._common.tls_utils import add_port_to_grpc_server
from ray.serve import context
from ray.serve._private import replica

from protocol.errors import ResourceError

MADE_FOR = "2.60"
"""The minor version of Ray whose `_private.replica` was read; patch releases keep it."""
_PATCHED = "add_port_to_grpc_server"
_DISCONNECT = "_disconnect"
_CLIENT = "_get_global_client"


def check_serve_patch() -> None:
    """Check that the patch fits the Ray that is installed; cheap, and to be asked before a start.

    Raises:
        ResourceError: It was made for another version, or Serve no longer binds its port this way.
    """
    inside = {
        replica: (_PATCHED,),
        context: (_DISCONNECT, _CLIENT),
    }
    is_known = all(hasattr(place, name) for place, names in inside.items() for name in names)
    if not ray.__version__.startswith(f"{MADE_FOR}.") or not is_known:
        raise ResourceError(
            f"Ray {ray.__version__} is installed, and Serve's inner port can be kept off the "
            f"network in {MADE_FOR} alone: install ray=={MADE_FOR}.*, or read how "
            f"ray.serve._private.replica binds its port and bring {__name__} up to date"
        )


def forget_serve() -> None:
    """Have Serve forget the session that has ended, in this process. May be called twice.

    It keeps the controller's handle until it sees another job's id, and the jobs of all private
    sessions have the same: without this a second one would ask the controller of the first.
    """
    getattr(context, _DISCONNECT)()


def serve_id() -> str | None:
    """Return what names the Serve that runs on the cluster, or None where there is none.

    One that is started after it has another name. Blocks for a call.
    """
    found = getattr(context, _CLIENT)(raise_if_no_controller_running=False)
    return None if found is None else str(found._controller._ray_actor_id.hex())


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
