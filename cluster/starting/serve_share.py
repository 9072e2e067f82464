"""Ray Serve, as the runs on one cluster share it: each has an application there, and no route.

A cluster has one Serve. The run that comes first starts it, the others join it, each has its own
application, and a run ends nobody's but its own. The last run ends Serve, if a run started it: one
that was there before any run stays. Runs come and go one at a time. Who is there is told by claims
(`cluster.starting.claims`), so that a killed run no longer counts; its application is removed by
its undertaker, which runs this module, or else by the next run that comes or goes.
"""

from __future__ import annotations

import logging
import sys
import time

import ray
from ray import serve
from ray.experimental import internal_kv
from ray.serve.schema import LoggingConfig as ServeLoggingConfig

from cluster.starting.claims import NAMESPACE, claim, claimed, holder_of, is_claimed, turn
from protocol.errors import ResourceError
from reward_service.serve_patch import check_serve_patch, forget_serve, serve_id

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


def start_serve() -> None:
    """Start Serve, which is not there yet, without an HTTP front."""
    check_serve_patch()
    serve.start(
        proxy_location="Disabled",
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

    def join(self) -> None:
        """Start Serve, or join the one that is there."""
        check_serve_patch()
        with turn(TURN, self._by):
            if _rediscovered() is None:
                start_serve()
                started = serve_id()
                assert started is not None
                internal_kv._internal_kv_put(STARTED_BY_US, started, namespace=NAMESPACE)
            else:
                # Of this run's name, too: a driver that was killed left it.
                _remove_applications(but_of=claimed() - {self._claim.name})

    def leave(self) -> None:
        """Remove the run's application; end Serve where a run started it and this is the last."""
        with turn(TURN, self._by):
            self._claim.release()
            _end_what_is_over()


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
    found = _rediscovered()
    if found is None:
        return
    there = claimed()
    _remove_applications(but_of=there)
    started = internal_kv._internal_kv_get(STARTED_BY_US, namespace=NAMESPACE)
    is_ours = started is not None and started.decode() == found
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


def _rediscovered() -> str | None:
    """Return which Serve is there now: the one we knew may have been ended by hand."""
    forget_serve()
    return serve_id()


if __name__ == "__main__":
    end_share(*sys.argv[1:])
