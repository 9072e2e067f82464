"""Ray Serve, as the runs on one cluster share it: one port, and for each run a path of its own.

A cluster has one Serve. The run that comes first starts it, the others join it, each has its own
application, and a run ends nobody's but its own. The last run ends Serve, if a run started it: one
that was there before any run stays. Runs come and go one at a time. Who is there is told by claims
(`cluster.starting.claims`), so that a killed run no longer counts; its application is removed by
its undertaker, which runs this module, or else by the next run that comes or goes.
"""

from __future__ import annotations

import ipaddress
import logging
import sys
import time
from collections.abc import Collection
from contextlib import suppress

import ray
from ray import serve
from ray.experimental import internal_kv
from ray.serve.config import HTTPOptions
from ray.serve.schema import LoggingConfig as ServeLoggingConfig

from cluster.starting.claims import NAMESPACE, claim, claimed, holder_of, is_claimed, turn
from cluster.starting.ports import REWARD_PORT, free_port
from cluster.supervision.deadlines import START_TIMEOUT_S
from protocol.errors import ResourceError
from reward_service.serve_patch import (
    ServeFront,
    check_serve_patch,
    forget_serve,
    give_proxies,
    serve_front,
)

REWARD_PREFIX = "/reward"
"""Where Serve places the reward's face; on a cluster each run's below it."""
RUN = "run/"
"""Before a run's id, the name that the run claims."""
TURN = "serve"
"""The name that a run has while it joins Serve or leaves it."""
APPLICATION = "andon-"
"""What the applications of all runs begin with, and no others."""
STARTED_BY_US = "serve started by a run"
"""Key under which the cluster keeps which Serve a run has started."""
DEATH_S = 120.0
"""How long Ray may take to see that a killed driver is gone."""
POLL_S = 0.5

# Serve tells of every step of a start; a run says its own.
logging.getLogger("ray.serve").setLevel(logging.WARNING)


def application_of(run_id: str, part: str) -> str:
    """Return the name of a run's Serve application; a part's name has no "-"."""
    return f"{APPLICATION}{run_id}-{part}"


def start_serve(host: str, port: int) -> None:
    """Start Serve, which is not there yet, and wait for its HTTP front."""
    check_serve_patch()
    give_proxies(START_TIMEOUT_S)
    serve.start(
        http_options=HTTPOptions(host=host, port=port),
        logging_config=ServeLoggingConfig(log_level="WARNING", enable_access_log=False),
    )


class ServeShare:
    """A run's part in the Serve of a cluster that is there already.

    Args:
        run_id: The run's.
        by: Says to other runs whose it is: driver and host.

    Raises:
        ResourceError: A run of that id is on the cluster; says whose.
    """

    def __init__(self, run_id: str, by: str) -> None:
        self._run_id = run_id
        self._by = by
        name = f"{RUN}{run_id}"
        found = claim(name, by)
        if found is None:
            raise ResourceError(
                f"a run called {run_id} is on this Ray cluster already ({holder_of(name)}): name "
                "another folder with --folder, or wait for that run to end"
            )
        self._claim = found

    def join(self, host: str, port: int, taken: Collection[int]) -> ServeFront:
        """Start Serve, or join the one that is there; return where its HTTP front is.

        Args:
            host: Address of loopback to listen at.
            port: As the config says; 0 for any.
            taken: Ports of the pages.

        Raises:
            ResourceError: The front that is there is another's, or at another port.
        """
        check_serve_patch()
        with turn(TURN, self._by):
            front = _rediscovered()
            if front is None:
                start_serve(host, free_reward_port(host, port, taken))
                front = serve_front()
                assert front is not None
                internal_kv._internal_kv_put(STARTED_BY_US, front.serve_id, namespace=NAMESPACE)
                return front
            _check_front(front, port)
            # Of this run's name, too: a driver that was killed left it.
            _remove_applications(but_of=claimed() - {self._claim.name})
            return front

    def leave(self) -> None:
        """Remove the run's application; end Serve where a run started it and this is the last."""
        with turn(TURN, self._by):
            self._claim.release()
            _end_what_is_over()


def free_reward_port(host: str, port: int, taken: Collection[int]) -> int:
    """Return a port for the reward's face: the config's, or for 0 one that is not the pages'.

    Raises as `free_port`.
    """
    while (found := free_port(host, port, REWARD_PORT)) in taken:
        pass  # never for ever: neither a config nor a session names the pages' ports for it
    return found


def end_share(address: str, run_id: str) -> None:
    """Remove what a killed run left in the Serve of the cluster at an address."""
    ray.init(
        address=address,
        namespace=NAMESPACE,
        log_to_driver=False,
        logging_level="error",
        configure_logging=False,
    )
    try:
        until = time.monotonic() + DEATH_S
        while is_claimed(f"{RUN}{run_id}") and time.monotonic() < until:
            time.sleep(POLL_S)  # it may be a new driver's: then the application is in use
        with turn(TURN, f"the undertaker of {run_id}"):
            _end_what_is_over()
    finally:
        ray.shutdown()


def _end_what_is_over() -> None:
    """Remove the applications of runs that are gone, and Serve after the last, if it is ours."""
    front = _rediscovered()
    if front is None:
        return
    there = claimed()
    _remove_applications(but_of=there)
    started = internal_kv._internal_kv_get(STARTED_BY_US, namespace=NAMESPACE)
    is_ours = started is not None and started.decode() == front.serve_id
    has_runs = any(name.startswith(RUN) for name in there)
    if is_ours and not has_runs and not serve.status().applications:
        serve.shutdown()
        internal_kv._internal_kv_del(STARTED_BY_US, namespace=NAMESPACE)


def _remove_applications(but_of: frozenset[str]) -> None:
    """Remove the applications of all runs but those that have a name among these."""
    for application in sorted(serve.status().applications):
        run_id = application.removeprefix(APPLICATION).rpartition("-")[0]
        is_a_run_s = application.startswith(APPLICATION) and run_id
        if is_a_run_s and f"{RUN}{run_id}" not in but_of:
            serve.delete(application)


def _rediscovered() -> ServeFront | None:
    """Return the Serve that is there now: the one we knew may have been ended by hand."""
    forget_serve()
    return serve_front()


def _check_front(front: ServeFront, port: int) -> None:
    at = f"{front.host}:{front.port}"
    if not _is_loopback(front.host):
        raise ResourceError(
            f"Ray Serve runs on this cluster already and listens at {at}, where others than its "
            "own machines reach it, and a run's reward must not be there: `serve shutdown` if "
            "nobody needs it, start it with the host 127.0.0.1, or use another cluster"
        )
    if port not in (0, front.port):
        raise ResourceError(
            f"{REWARD_PORT} is {port}, but Ray Serve listens at {at} on this cluster, for "
            f"{_users()}, and a cluster has one: set {REWARD_PORT} to {front.port} or to 0"
        )


def _users() -> str:
    """Return for whom Serve is there, in words."""
    return ", ".join(sorted(serve.status().applications)) or "nobody that has deployed anything yet"


def _is_loopback(host: str) -> bool:
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


if __name__ == "__main__":
    end_share(*sys.argv[1:])
