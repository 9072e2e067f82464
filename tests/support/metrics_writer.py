"""A process that opens the metrics hub of a run, writes rows and ends, or is killed.

    python -m tests.support.metrics_writer FOLDER MODE FIRST NUMBER END BEGIN_S

END is "close", "kill" (this process, by SIGKILL) or "service" (wandb's process is killed half way,
then all is closed).
"""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from cluster.metrics.config import MetricsConfig
from cluster.metrics.hub import open_hub


def main(folder: Path, mode: Any, first: int, number: int, end: str, begin_s: float) -> None:
    """Write rows of steps `first` and following, from a time on, as the hub of a run."""
    hub = open_hub(
        MetricsConfig(wandb=mode),
        folder=folder,
        run_id="demo-1",
        run_config={"seed": 1, "first": first},
        began_at=0.0,
    )
    for step in range(first, first + number):
        if end == "service" and step == first + number // 2:
            kill_service()
        at_s = begin_s + (step - first) / 4
        hub.write({"policy/step": step, "time/wall_s": at_s, "policy/loss": 1 / (1 + step)})
        if step % 10 == 0:
            hub.write({"throughput/episodes_per_s": 58.0, "time/wall_s": at_s + 0.125})
    if end == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    hub.alert("line stopped", f"by a test, after {first + number} steps")
    hub.summarize({"episodes": first + number})
    hub.close()


def kill_service() -> None:
    """Kill wandb's process, a child of this one, and see to it that Python knows of its end."""
    for each in gc.get_objects():
        if type(each) is subprocess.Popen and "wandb-core" in str(each.args):
            each.kill()
            each.wait()


if __name__ == "__main__":
    folder, mode, first, number, end, begin_s = sys.argv[1:]
    main(Path(folder), mode, int(first), int(number), end, float(begin_s))
