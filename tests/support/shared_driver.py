"""`python -m tests.support.shared_driver ADDRESS RUN_ID`: a driver in a cluster with others.

Its session is a run's, and so is what it deploys, but for the model: an application that answers
with the run's id. Prints where Serve's HTTP front is, or an empty line where there is none, and
then what it sees, once for each line of its standard input; ends once that is closed. With "theirs"
for a RUN_ID it is somebody who uses Serve without us, and leaves it running.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

THEIRS = "theirs"
"""What is neither a run's application, nor started by a run."""


def main(address: str, run_id: str) -> None:
    """Join, deploy, and say what there is."""
    from cluster.starting.environment import prepare_environment

    prepare_environment(address)

    from ray import serve

    class Sayer:
        def __call__(self, *request: object) -> str:
            return run_id

    deployment: Any = serve.deployment(ray_actor_options={"num_cpus": 0.1})(Sayer)

    def say(line: str) -> None:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()

    def look(handle: Any) -> None:
        """Say, whenever asked, what answers, and which applications are on which Serve."""
        from reward_service.serve_patch import serve_id

        for _ in sys.stdin:
            seen = {
                "answer": handle.remote().result(),
                "applications": sorted(serve.status().applications),
                "serve": serve_id(),
            }
            say(json.dumps(seen))

    def build() -> serve.Application:
        return deployment.bind()

    if run_id == THEIRS:
        import ray
        from ray.serve.config import HTTPOptions

        from cluster.starting.ports import free_port, url_of

        ray.init(address=address, namespace=THEIRS)
        port = free_port("127.0.0.1", 0)
        serve.start(http_options=HTTPOptions(host="127.0.0.1", port=port))
        handle = serve.run(build(), name=THEIRS, route_prefix="/theirs")
        say(url_of("127.0.0.1", port))
        look(handle)
        return

    from cluster.cluster_config import ClusterConfig
    from cluster.starting.session import RaySession

    with RaySession(ClusterConfig(address=address, http_port=0), run_id, 1) as session:
        handle = asyncio.run(session.deploy(build, "reward"))
        say("")
        look(handle)


if __name__ == "__main__":
    main(*sys.argv[1:])
