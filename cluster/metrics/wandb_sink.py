"""The one module that speaks to wandb. One process owns the run: with several, rows are lost."""

from __future__ import annotations

import json
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import wandb
from wandb.sdk.mailbox import HandleAbandonedError, MailboxClosedError

from cluster.metrics.missing_rows import Confirmed, all_rows, rows_after, rows_beyond
from cluster.metrics.names import AXES, CATALOGUE, Row
from cluster.metrics.wandb_logs import NOTE, NOTE_MEND, make_whole
from cluster.run_folder import write_json
from protocol.errors import MissingError, ResourceError
from protocol.files import read_text
from protocol.logs import logger_of

CONNECT_TIMEOUT_S = 30.0
REACH_TIMEOUT_S = 5.0
FINISH_TIMEOUT_S = 120.0
"""For what is not uploaded when the run ends; a server that does not answer ends no run."""
PAUSE_S = 300.0
"""Between attempts to start wandb again."""
NUM_NOTED = 100
ROWS, LOST = "metrics.jsonl", "lost"
FAILURES = (wandb.errors.Error, HandleAbandonedError, MailboxClosedError, OSError)
"""What wandb raises where its process has died, it does not reach its server, or a disk refuses."""
SETTINGS_ERRORS = (wandb.errors.Error, ValueError)
"""What wandb raises for an environment variable of its own that it cannot take."""

_log = logger_of("metrics")


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
        f"wandb refuses its settings ({said(failure)}): see the WANDB_… environment variables, or "
        "set metrics.wandb='off'"
    )


def said(failure: Exception) -> str:
    """Return what wandb says of a failure, in one line."""
    return " ".join(str(failure).split()) or type(failure).__name__


def quiet_settings() -> wandb.Settings:
    """Return the settings of all runs here: wandb says nothing, and looks at nothing by itself."""
    return wandb.Settings(
        console="off",
        silent=True,
        init_timeout=CONNECT_TIMEOUT_S,
        finish_timeout=FINISH_TIMEOUT_S,
        # Without these wandb reads the machine and the checkout into the run's files.
        x_disable_meta=True,
        x_disable_stats=True,
        disable_git=True,
        save_code=False,
    )


@dataclass(frozen=True, slots=True)
class Noted:
    """What the sink keeps of a run beside wandb's logs."""

    rows: tuple[Row, ...] = ()
    """The last ones that it logged."""
    confirmed: Confirmed = field(default_factory=Confirmed)
    """How far the server had come, online."""


class WandbSink:
    """A wandb run whose panels are drawn against the catalogue's own step axes.

    `step=` is never passed: rows of different axes interleave, and wandb drops those whose step
    goes backward.

    The run is one over all stops and resumes, and has every row of the run's `metrics.jsonl` once:
    opened again, the sink logs the rows that wandb lost when it was killed, or never had. Once it
    is open, wandb stops nothing: where its process dies another is started, and while that does not
    succeed the rows wait in the file.

    Args:
        folder: The run's folder; wandb writes into its `wandb/`.
        project: The wandb project.
        name: Shown as the run's name there; others may have the same.
        wandb_id: The run's id there; opening it again goes on with the same run.
        group: What it shares with runs of the same config.
        mode: "offline" needs neither an account nor a network.
        run_config: The resolved config, shown with the run.
        must_start: Whether it is an error that wandb does not start; else rows wait in the file, as
            where it dies, in a run that has had it already.
        now: A clock, seconds.

    Raises:
        ResourceError: There is no account or no way to the server, online; or wandb refuses its
            settings, or cannot write its files; where it must start.
    """

    def __init__(
        self,
        *,
        folder: Path,
        project: str,
        name: str,
        wandb_id: str,
        group: str,
        mode: Literal["offline", "online"],
        run_config: Mapping[str, object],
        must_start: bool = True,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._logs = folder / "wandb"
        self._project = project
        self._name = name
        self._wandb_id = wandb_id
        self._group = group
        self._mode: Literal["offline", "online"] = mode
        self._run_config = dict(run_config)
        self._now = now
        self._noted = _read_note(self._logs / NOTE)
        self._try_again_at = 0.0
        self._newest: deque[Row] = deque(maxlen=NUM_NOTED)
        self._is_closed = False
        self._run: wandb.Run | None = None
        if must_start:
            self._open()
        else:
            self._open_again()

    def _open(self) -> None:
        """Start wandb, and log the rows that it has not. Raises ResourceError."""
        rows, lost = self._folder / ROWS, self._folder / LOST / ROWS
        refuse = _not_online if self._mode == "online" else _not_offline
        try:
            known = [*self._noted.rows, *make_whole(self._logs, all_rows(lost))]
            self._noted = replace(self._noted, rows=tuple(known[-NUM_NOTED:]))
            run = self._started()
            _define_axes(run)
            missing: Iterable[Row]
            if self._mode == "online":  # what the server has, it counts as steps
                before = self._noted.confirmed
                confirmed, missing = rows_beyond(rows, lost, before, run.starting_step)
                self._noted = replace(self._noted, confirmed=confirmed)
            else:
                missing = rows_after(rows, known)
            self._note()
            for row in missing:
                self._log(run, row)
        except FAILURES as failure:
            self._let_go()
            raise refuse(said(failure)) from failure
        self._run = run

    def _started(self) -> wandb.Run:
        try:
            return self._init()
        except ValueError as failure:
            raise _bad_settings(failure) from failure

    def _init(self) -> wandb.Run:
        return wandb.init(
            dir=self._folder,
            project=self._project,
            id=self._wandb_id,
            name=self._name,
            group=self._group,
            mode=self._mode,
            # Offline it is written down, and `wandb sync` goes by it: without it each log would
            # count its rows from 0.
            resume="allow",
            config=self._run_config,
            settings=quiet_settings(),
            force=True,
        )

    def write(self, row: Row) -> None:
        """Log one row; returns before it is on disk. It is in `metrics.jsonl` by now."""
        if self._run is None or not self._tell(partial(self._log, self._run, row)):
            self._open_again()  # which logs it too

    def alert(self, title: str, text: str) -> None:
        """Send an alert to the run's owner; offline, it is sent by `wandb sync`."""
        self._tell_surely(lambda run: run.alert(title, text, level="ERROR"))

    def summarize(self, figures: Mapping[str, float | int | str | None]) -> None:
        """Set closing figures in the run's summary, under `report/`."""
        known = {f"report/{name}": value for name, value in figures.items() if value is not None}
        self._tell_surely(lambda run: run.summary.update(known))

    def show(
        self,
        *,
        pictures: Sequence[tuple[Path, str]],
        tables: Mapping[str, tuple[Sequence[str], Sequence[Sequence[object]]]],
        histograms: Mapping[str, Sequence[float]],
    ) -> None:
        """Put what a report shows into the run's summary, which takes no step, under `report/`.

        Args:
            pictures: Files and captions, in the order they are shown.
            tables: Columns and rows by name; None is a cell that is not known.
            histograms: Values by name.
        """
        rows = [(caption, wandb.Image(str(path))) for path, caption in pictures]
        shown = {
            **({"report/pictures": _table(("what", "picture"), rows)} if rows else {}),
            **{f"report/{name}": _table(*table) for name, table in tables.items()},
            **{
                f"report/{name}_histogram": wandb.Histogram(list(values))
                for name, values in histograms.items()
            },
        }
        self._tell_surely(lambda run: run.summary.update(shown))

    def close(self) -> None:
        """Flush and finish the run; blocks until its file is complete.

        Online it waits `FINISH_TIMEOUT_S` for what is not uploaded yet; that stays in its file.
        """
        if self._is_closed:
            return
        self._tell_surely(lambda run: run.finish())
        # wandb's service may write what it still holds after `finish`; it ends when it has.
        self._let_go()
        self._noted = replace(self._noted, rows=tuple(self._newest) or self._noted.rows)
        self._tell(self._note)
        self._is_closed = True

    def _log(self, run: wandb.Run, row: Row) -> None:
        run.log(dict(row))
        self._newest.append(row)

    def _tell_surely(self, say: Callable[[wandb.Run], None]) -> None:
        """Say something to wandb, and once more if it had to be started again."""
        if self._run is None or not self._tell(partial(say, self._run)):
            self._open_again()
            if self._run is not None:
                self._tell(partial(say, self._run))

    def _tell(self, say: Callable[[], None]) -> bool:
        """Return whether wandb took it."""
        try:
            say()
        except FAILURES as failure:
            _log.warning("wandb has failed", reason=said(failure))
            return False
        return True

    def _open_again(self) -> None:
        """Start wandb again, unless that has just been tried in vain."""
        if self._now() < self._try_again_at:
            return
        self._let_go()
        self._newest.clear()  # it may not have written those down; its logs say which it has
        try:
            self._open()
        except ResourceError as failure:
            _log.warning("wandb has not started again; rows wait in the file", reason=str(failure))
            self._try_again_at = self._now() + PAUSE_S

    def _let_go(self) -> None:
        """End wandb's process."""
        self._run = None
        try:
            wandb.teardown()
        except FAILURES as failure:  # it has ended by itself
            _log.info("wandb was gone", reason=said(failure))

    def _note(self) -> None:
        """Write down what is known of wandb: `wandb clean` removes logs that were sent."""
        write_json(self._logs / NOTE, {"wandb_id": self._wandb_id, **asdict(self._noted)})


def _read_note(path: Path) -> Noted:
    """Return what was known of wandb; nothing where it was not written down, or is garbled."""
    try:
        noted = json.loads(read_text(path, "the run's notes about wandb", NOTE_MEND))
        return Noted(rows=tuple(noted["rows"]), confirmed=Confirmed(**noted["confirmed"]))
    except MissingError:
        return Noted()
    except (ValueError, LookupError, TypeError) as error:
        _log.warning("notes about wandb are garbled, and left", file=str(path), why=str(error))
        return Noted()


def _table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> wandb.Table:
    data = [list(row) for row in rows]
    return wandb.Table(columns=list(columns), data=data, allow_mixed_types=True)


def _define_axes(run: wandb.Run) -> None:
    # Name by name: of globs, this version takes only those that end in their one "*".
    for metric in CATALOGUE.values():
        if metric.name in AXES:
            run.define_metric(metric.name, hidden=True)
        else:
            run.define_metric(metric.name, step_metric=metric.axis)
