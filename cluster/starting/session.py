"""The Ray session a run lives in: a private one on this machine, or the cluster RAY_ADDRESS names.

Leaves nothing behind: what the run started is stopped with it, on success, on an error and on
Ctrl-C alike. On a cluster that was there before, only what belongs to the run is removed: other
runs may go on there (`cluster.starting.serve_share`).
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import psutil
import ray
from ray import serve

from cluster.cluster_config import ClusterConfig
from cluster.starting.environment import cluster_address
from cluster.starting.folders import ray_temp
from cluster.starting.nodes import ALONE_S, MEND, ON_A_CLUSTER_S, NodeWait
from cluster.starting.own_sessions import own_sessions
from cluster.starting.ports import REWARD_PORT, free_port, no_ray_cluster, url_of
from cluster.starting.serve_share import ServeShare, application_of, start_serve
from cluster.starting.undertaker import Undertaker
from cluster.starting.unplaced import unplaced_in
from cluster.supervision.deadlines import START_TIMEOUT_S
from label_queue.intake.public_address import Site, address_of_run
from label_queue.intake.wide_face import WideFace
from protocol.errors import DeploymentFailed, ResourceError
from protocol.logs import logger_of
from protocol.said import said_by
from reward_service.serve_patch import application_state, forget_serve

DEPLOYMENT_POLL_S = 0.5
SERVE_CALL_S = 10.0
"""What a call to Serve may take that is under way when the session ends."""
REAP_S = 3.0
"""What the processes of a private session may take to end once its node has."""
SERVE_SAYS_AFTER_S = 30.0
"""How long a deployment has been without room when Serve first says so."""
RAY_STARTS = 5
"""How often Ray's node is started where it does not come up within the 30 s that Ray allows it."""

_log = logger_of("session")


class RaySession:
    """Context manager around Ray and Serve.

    Args:
        config: Placement and the HTTP faces.
        run_id: Names the Ray namespace and the Serve application; one run on a cluster has it.
        num_cpus: Logical CPUs the run's parts ask for in all. A private session gets at least
            so many, since the parts wait for each other most of the time.
    """

    def __init__(self, config: ClusterConfig, run_id: str, num_cpus: int) -> None:
        self._config = config
        self.run_id = run_id
        self._num_cpus = num_cpus
        self._address = cluster_address(config.address)
        limit_s, default_s = config.wait_for_nodes_s, ON_A_CLUSTER_S if self._address else ALONE_S
        self.nodes = NodeWait(default_s if limit_s is None else limit_s)
        """What the run waits for that has no place yet."""
        self._share: ServeShare | None = None
        """The run's part in a cluster's Serve; a private session's is all its own."""
        self._undertaker: Undertaker | None = None
        self._not_ours = frozenset(psutil.Process().children())
        """What this process had started before: none of the session's business."""
        # One thread: of two applications deployed at once, either may take back what Serve has
        # told pickle for the other ("not registered for pickle by value").
        self._serve_calls = ThreadPoolExecutor(max_workers=1, thread_name_prefix="serve")
        self._serving: Future[None] | None = None
        """Serve's start, which goes on while other parts start."""
        self.http_port = 0
        """Port of the labelling face, once the session is open."""
        self.own_port = 0
        """Port at which the run's own programs find it: another where it is beyond loopback."""
        self.reward_port = 0
        """Port of the reward's face, likewise."""

    def __enter__(self) -> RaySession:
        self.http_port = self._free_pages_port()
        self.own_port = self._free_own_port() if self._config.is_wide else self.http_port
        self.reward_port = self._free_reward_port()
        try:
            self._undertaker = Undertaker()
            self._start_ray()
            if self._address is None:
                self._serving = self._serve_calls.submit(start_serve)
            else:
                self._share_serve(self._address)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        started = [] if self._address is not None else self._descendants()
        self._wait_for_serve_calls()
        try:
            if self._share is not None:
                # A private session ends with everything in it; this cluster goes on.
                self._share.leave()
                self._mind().forget_share()
        finally:
            if ray.is_initialized():
                ray.shutdown()
            forget_serve()
            _reap(started)
            if self._undertaker is not None:
                self._undertaker.close()

    def end_at_once(self) -> None:
        """Kill what the session started, and wait for nothing; whoever asks ends this process.

        What is missed the undertaker ends. May be called in any thread.
        """
        for process in self._descendants():
            with suppress(psutil.Error):
                process.kill()

    def wait_for_serve(self) -> None:
        """Wait until Serve has started; raise what kept it from that."""
        if self._serving is not None:
            self._serving.result()

    @property
    def is_on_a_cluster(self) -> bool:
        """Whether it joins a Ray cluster that was there before."""
        return self._address is not None

    @property
    def url(self) -> str:
        """Address of the labelling face, on this machine."""
        return url_of(self._config.own_host, self.own_port)

    @property
    def wide_face(self) -> WideFace | None:
        """Where the labelling face listens beyond loopback; None: nowhere."""
        config = self._config
        if not config.is_wide:
            return None
        return WideFace(host=config.http_host, port=self.http_port, certificate=config.certificate)

    @property
    def reward_url(self) -> str:
        """Address of the reward's face, on this machine."""
        return url_of(self._config.own_host, self.reward_port)

    @property
    def pages_url(self) -> str:
        """Address at which people are told to find the pages."""
        return self.site.public_url or self.url

    @property
    def metrics_url(self) -> str | None:
        """Where Prometheus finds what Ray exports; None on a cluster: each node has its own."""
        if self._address is not None:
            return None
        (node,) = ray.nodes()
        return f"{url_of(node['NodeManagerAddress'], node['MetricsExportPort'])}/metrics"

    @property
    def site(self) -> Site:
        """Where the run's pages are found."""
        return Site(
            run_id=self.run_id,
            public_url=address_of_run(self._config.public_url, self.run_id),
            trusted_proxies=self._config.trusted_proxies,
            is_behind_tls=self._config.without_tls == "tls_is_in_front",
        )

    async def deploy(
        self,
        build: Callable[[], serve.Application],
        name: str,
        num_replicas: int = 1,
    ) -> Any:
        """Build and run a Serve application of this run; return its handle once it is healthy.

        It is built in the one thread that deploys: building tells pickle of modules, too.

        Serve's own wait for that cannot be ended, so it is asked again and again: the end of the
        session waits for the one short call that is under way. A replica may load its model for
        as long as it takes; one that no node has room for is waited for as long as for nodes, and
        one that no node has taken though there is room, as on a busy machine, for
        `START_TIMEOUT_S` at least.

        Args:
            build: Makes it.
            name: What it is in this run, e.g. "reward".
            num_replicas: How many it has.

        Raises:
            DeploymentFailed: It could not be started, or the cluster has no room for it.
        """
        app_name, loop = application_of(self.run_id, name), asyncio.get_running_loop()
        await loop.run_in_executor(self._serve_calls, self.wait_for_serve)
        handle = await loop.run_in_executor(self._serve_calls, _begin_deployment, build, app_name)
        began, asked = loop.time(), None
        while True:
            state = await loop.run_in_executor(self._serve_calls, application_state, app_name)
            if state.status == "DEPLOY_FAILED":
                raise DeploymentFailed(f"{app_name} did not start: {state.message}")
            is_running = state.status == "RUNNING"
            unplaced = None if is_running else unplaced_in(state.deployments)
            if unplaced is None and asked is not None:
                self.nodes.placed(asked, num_replicas)
                asked = None
            if is_running:
                return handle
            if unplaced is None:
                pass  # it has its nodes, and loads its model
            elif asked is None:
                waited_s = min(loop.time() - began, SERVE_SAYS_AFTER_S)
                bundles = [unplaced.resources] * num_replicas
                asked = self.nodes.ask(f"{num_replicas} {name} replicas", bundles, waited_s)
            else:
                self.nodes.placed(asked, num_replicas - unplaced.count)
                if self.nodes.is_over(asked, START_TIMEOUT_S if unplaced.has_room else 0.0):
                    raise DeploymentFailed(
                        f"{app_name} waited for room on the cluster, and there is none: "
                        f"{unplaced.words}; {MEND}"
                    )
            await asyncio.sleep(DEPLOYMENT_POLL_S)

    def _free_pages_port(self) -> int:
        """Return a port for the labelling face; one that is free may be the reward's."""
        config = self._config
        while (port := free_port(config.http_host, config.http_port)) == config.reward_port:
            pass  # never for ever: a config cannot name one port for both
        return port

    def _free_own_port(self) -> int:
        """Return a port of loopback for the run's own programs, which is nobody else's."""
        others = {self.http_port, self._config.reward_port}
        while (port := free_port(self._config.own_host, 0)) in others:
            pass
        return port

    def _free_reward_port(self) -> int:
        """Return a port for the reward's face: the config's; for 0 one that is not the pages'."""
        config, pages = self._config, {self.http_port, self.own_port}
        while (port := free_port(config.own_host, config.reward_port, REWARD_PORT)) in pages:
            pass  # never for ever: neither a config nor a session names the pages' ports for it
        return port

    def _share_serve(self, address: str) -> None:
        """Join the cluster's Serve; whatever is against it is told before anything else starts."""
        by = f"process {os.getpid()} on {os.uname().nodename}, pages at {self.url}"
        self._share = ServeShare(self.run_id, by)
        self._mind().mind_share(address, self.run_id)
        self._share.join()

    def _mind(self) -> Undertaker:
        assert self._undertaker is not None, "open the session first"
        return self._undertaker

    def _start_ray(self) -> None:
        options: dict[str, object] = {
            "namespace": f"andon-{self.run_id}",
            "log_to_driver": self._config.worker_logs,
            "logging_level": "error",
            "configure_logging": False,
        }
        if self._address is None:
            options |= {
                "address": "local",
                "num_cpus": max(self._num_cpus, os.cpu_count() or 1),
                "include_dashboard": False,
                "object_store_memory": int(self._config.object_store_gib * 2**30),
            }
        else:
            options["address"] = self._address
        for number in range(1, RAY_STARTS + 1):
            try:
                self._init_ray(options)
                return
            except Exception as error:
                # Ray raises whatever it stumbled over, of no type of its own.
                if number == RAY_STARTS or self._address is not None or not _was_slow(error):
                    raise _not_started(error, self._address) from error
            _log.warning("Ray did not start within 30 s: the machine is busy; it is started again")
            ray.shutdown()
            _reap(self._descendants())

    def _init_ray(self, options: dict[str, Any]) -> None:
        try:
            with own_sessions(self._mind().mind_session):
                ray.init(**options)
        finally:
            # Ray's core takes this signal behind Python's back, to abort; so it is taken again.
            signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))

    def _wait_for_serve_calls(self) -> None:
        """Wait for the calls under way: a thread that is in Ray when it shuts down ends us all."""
        waiting = threading.Thread(
            target=self._serve_calls.shutdown, kwargs={"cancel_futures": True}, daemon=True
        )
        waiting.start()
        waiting.join(SERVE_CALL_S)
        if waiting.is_alive() and self._address is None:
            _log.warning("Serve does not answer and is killed", waited_s=SERVE_CALL_S)
            for process in self._descendants():
                if process.ppid() != os.getpid():  # not Ray's node, without which Ray ends us
                    process.kill()
            waiting.join(SERVE_CALL_S)

    def _descendants(self) -> list[psutil.Process]:
        """Return all that was started since the session began and that runs, but the undertaker."""
        undertaker = None if self._undertaker is None else self._undertaker.pid
        found: list[psutil.Process] = []
        for process in psutil.Process().children():
            if process.pid != undertaker and process not in self._not_ours:
                with suppress(psutil.NoSuchProcess):
                    found += (process, *process.children(recursive=True))
        return found


def _reap(started: list[psutil.Process]) -> None:
    """End what a private session left running, by handle: its own descendants only."""
    _, alive = psutil.wait_procs(started, timeout=REAP_S)
    for process in alive:
        _log.warning("process outlived its session", pid=process.pid)
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=REAP_S)


def _not_started(error: Exception, address: str | None) -> ResourceError:
    """Return why Ray could not be started or joined, in a line with the mend."""
    said = said_by(error, most=None)
    if address is not None:
        if isinstance(error, ConnectionError):
            return no_ray_cluster(address)
        return ResourceError(
            f"the Ray cluster at {address} cannot be joined ({said}): see that it is Ray, of this "
            "version, and that this user may use it, or unset RAY_ADDRESS"
        )
    if _was_slow(error):
        return ResourceError(
            f"Ray did not start within 30 s, {RAY_STARTS} times: the machine is overloaded; try "
            "again when it is not"
        )
    _, folder = ray_temp()
    return ResourceError(
        f"Ray could not be started here ({said}): see its logs in "
        f"{folder / 'ray' / 'session_latest' / 'logs'}"
    )


def _was_slow(error: Exception) -> bool:
    """Say whether Ray's node was given up, by Ray, though it may only have been slow."""
    return "timed out during startup" in str(error)


def _begin_deployment(build: Callable[[], serve.Application], name: str) -> Any:
    target = serve.RunTarget(build(), name, route_prefix=None)
    (handle,) = serve.run_many(
        [target], wait_for_ingress_deployment_creation=False, wait_for_applications_running=False
    )
    return handle
