"""The one module that speaks to wandb. One process owns the run: with several, rows are lost."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import wandb

from cluster.metrics.names import AXES, CATALOGUE, Row
from protocol.errors import ResourceError

CONNECT_TIMEOUT_S = 30.0
REACH_TIMEOUT_S = 5.0
SETTINGS_ERRORS = (wandb.errors.Error, ValueError)
"""What wandb raises for an environment variable of its own that it cannot take."""


def check_online() -> None:
    """Check that the wandb server can be reached: `wandb.init` would try for half a minute.

    Raises:
        ResourceError: It cannot, or wandb's own settings are no good.
    """
    wandb.teardown()  # what it read for an earlier run of this process is not what holds now
    try:
        base_url = wandb.setup().settings.base_url
    except SETTINGS_ERRORS as failure:
        raise _bad_settings(failure) from failure
    finally:
        wandb.teardown()  # its service has started by now, and would stay
    address = _proxy_before(base_url) or base_url
    try:
        at = urlsplit(address)
        port = at.port or (443 if at.scheme == "https" else 80)
        socket.create_connection((at.hostname or "", port), REACH_TIMEOUT_S).close()
    except (OSError, ValueError) as failure:
        where = "" if address == base_url else f", the proxy before {base_url},"
        raise _not_online(f"{_place(address)}{where} cannot be reached") from failure


def _proxy_before(url: str) -> str | None:
    """Return the proxy that stands before a server, as the environment says, or None."""
    at = urlsplit(url)
    if proxy_bypass(at.netloc):
        return None
    proxies = getproxies()
    return proxies.get(at.scheme) or proxies.get("all")


def _place(url: str) -> str:
    """Return host and port of a URL, without the password that a proxy's may hold."""
    return url.partition("//")[2].rpartition("@")[2].rstrip("/")


def _not_online(reason: str) -> ResourceError:
    return ResourceError(
        f"wandb could not start online ({reason}); log in and check the network, "
        "or set metrics.wandb='offline'"
    )


def _not_offline(reason: str) -> ResourceError:
    return ResourceError(
        f"wandb could not start offline ({reason}); mend that, or set metrics.wandb='off'"
    )


def _bad_settings(failure: Exception) -> ResourceError:
    return ResourceError(
        f"wandb refuses its settings ({_said(failure)}): see the WANDB_… environment variables, or "
        "set metrics.wandb='off'"
    )


def _said(failure: Exception) -> str:
    """Return what wandb says of a failure, in one line."""
    return " ".join(str(failure).split()) or type(failure).__name__


class WandbSink:
    """A wandb run whose panels are drawn against the catalogue's own step axes.

    `step=` is never passed: rows of different axes interleave, and wandb drops those whose step
    goes backward.

    Args:
        folder: The run's folder; wandb writes into its `wandb/`.
        project: The wandb project.
        name: Shown as the run's name there; others may have the same.
        wandb_id: The run's id there; opening it again goes on with the same run.
        mode: "offline" needs neither an account nor a network.
        run_config: The resolved config, shown with the run.

    Raises:
        ResourceError: There is no account or no way to the server, online; or wandb refuses its
            settings, or cannot write its files.
    """

    def __init__(
        self,
        *,
        folder: Path,
        project: str,
        name: str,
        wandb_id: str,
        mode: Literal["offline", "online"],
        run_config: Mapping[str, object],
    ) -> None:
        refuse = _not_online if mode == "online" else _not_offline
        try:
            self._run = wandb.init(
                dir=folder,
                project=project,
                id=wandb_id,
                name=name,
                mode=mode,
                # Offline cannot ask the server what is there already.
                resume="allow" if mode == "online" else None,
                config=dict(run_config),
                settings=self._settings(),
                force=True,
            )
        except (wandb.errors.Error, OSError) as failure:
            raise refuse(_said(failure)) from failure
        except ValueError as failure:
            raise _bad_settings(failure) from failure
        self._define_axes()

    @staticmethod
    def _settings() -> wandb.Settings:
        return wandb.Settings(
            console="off",
            silent=True,
            init_timeout=CONNECT_TIMEOUT_S,
            # Without these wandb reads the machine and the checkout into the run's files.
            x_disable_meta=True,
            x_disable_stats=True,
            disable_git=True,
            save_code=False,
        )

    def _define_axes(self) -> None:
        # Name by name: of globs, this version takes only those that end in their one "*".
        for metric in CATALOGUE.values():
            if metric.name in AXES:
                self._run.define_metric(metric.name, hidden=True)
            else:
                self._run.define_metric(metric.name, step_metric=metric.axis)

    def write(self, row: Row) -> None:
        """Log one row; returns before it is on disk."""
        self._run.log(dict(row))

    def alert(self, title: str, text: str) -> None:
        """Send an alert to the run's owner; offline, it is sent by `wandb sync`."""
        self._run.alert(title, text, level="ERROR")

    def summarize(self, figures: Mapping[str, float | int | str | None]) -> None:
        """Set closing figures in the run's summary, under `report/`."""
        known = {f"report/{name}": value for name, value in figures.items() if value is not None}
        self._run.summary.update(known)

    def close(self) -> None:
        """Flush and finish the run; blocks until its file is complete."""
        self._run.finish()
        # wandb's service may write what it still holds after `finish`; it ends when it has.
        wandb.teardown()
