"""The one patch of Ray's inside in the driver: its daemons start in sessions of their own.

Ray starts them in the driver's process group. A signal to that group, as a terminal, `timeout` and
systemd send it, would end them, and every part of the run with them, while the driver is asking the
parts to stop; and Ray then ends the driver. Ray has a setting for none of this, a process group of
the driver's own would keep Ctrl-C from it, and a blocked signal would be blocked in every part. So
the class with which `ray._private.services` starts processes is replaced while a session starts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray._private import services, utils

from protocol.errors import ResourceError

_STARTER = "ConsolePopen"
_SIGNAL_SETTER = "set_sigterm_handler"


@contextmanager
def own_sessions(started: Callable[[int], None]) -> Iterator[None]:
    """Within the block, start Ray's daemons apart, and keep Ray from taking SIGTERM for itself.

    Args:
        started: Told of each by its process id, which is its session's, too.

    Raises:
        ResourceError: The installed Ray starts its daemons in another way.
    """
    make, set_handler = getattr(services, _STARTER, None), getattr(utils, _SIGNAL_SETTER, None)
    if make is None or set_handler is None:
        raise ResourceError(
            f"Ray {ray.__version__} starts its daemons otherwise than {__name__} knows: install "
            "the version that Andon names, or bring that module up to date"
        )

    def make_apart(*args: Any, **options: Any) -> Any:
        process = make(*args, **options, start_new_session=True)
        started(process.pid)
        return process

    setattr(services, _STARTER, make_apart)
    # Its handler ends the process on the spot; the run has its own.
    setattr(utils, _SIGNAL_SETTER, lambda _handler: None)
    try:
        yield
    finally:
        setattr(services, _STARTER, make)
        setattr(utils, _SIGNAL_SETTER, set_handler)
