"""Ray's daemons start in sessions of their own, and leave the driver its SIGTERM."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from protocol.errors import ResourceError
from tests.support.patience import PATIENCE_S

pytestmark = [
    # Serve's own, when it is imported.
    pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince20"),
]

SAYS_ITS_SESSION = [sys.executable, "-S", "-c", "import os; print(os.getsid(0))"]


def test_a_daemon_starts_in_a_session_of_its_own_and_is_told_of() -> None:
    from ray._private import services

    from cluster.starting.own_sessions import own_sessions

    before = services.ConsolePopen
    told: list[int] = []
    with own_sessions(told.append):
        daemon = services.ConsolePopen(SAYS_ITS_SESSION, stdout=subprocess.PIPE)
    out, _ = daemon.communicate(timeout=PATIENCE_S)
    assert int(out) == daemon.pid != os.getsid(0)
    assert told == [daemon.pid]
    assert services.ConsolePopen is before


def test_ray_does_not_take_the_signal_while_it_starts() -> None:
    from ray._private import utils

    from cluster.starting.own_sessions import own_sessions

    before = signal.getsignal(signal.SIGTERM)
    with own_sessions(lambda _pid: None):
        utils.set_sigterm_handler(lambda *_: None)
        assert signal.getsignal(signal.SIGTERM) is before


def test_a_ray_that_starts_its_daemons_otherwise_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from ray._private import services

    from cluster.starting.own_sessions import own_sessions

    monkeypatch.delattr(services, "ConsolePopen")
    with pytest.raises(ResourceError, match="bring that module up to date"), own_sessions(print):
        pass
