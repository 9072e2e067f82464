"""Which runs are there, and below which path: read from their folders, as `andon status` does.

A run says in its `run.json` at which address people find its pages, and at which one of loopback
its labelling face listens. The path of the first leads to the second, while the run is going on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cluster.run_folder import RunFolder
from cluster.run_state import refuse_lack
from cluster.watching.status import OVER, driver_death, is_here, read_state
from protocol.errors import InputError, UserError
from protocol.files import LOOK_INTO, is_file, listed

FRESH_S = 1.0
"""How old what was read may be: as old as a run's own word of itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A run, and the way to its pages."""

    name: str
    """The run's id."""
    state: str
    """As `andon status` says it, e.g. "running"."""
    began_at: float
    """When the run began, Unix seconds."""
    pages_url: str
    """Where people are told to find its pages; "" where it did not say so yet."""
    path: str
    """What stands before every path there, e.g. "/run-a"; "" where it has none."""
    face: str | None
    """Where its labelling face listens, e.g. "http://127.0.0.1:8001"; None: nobody is to ask."""
    why_not: str
    """Why there is none, in words for everybody, e.g. "is starting"; "" where there is one."""
    words: str
    """What its owner is told of it: what it does now, or why it ended."""

    def is_before(self, path: str) -> bool:
        """Whether a path leads to this run."""
        return bool(self.path) and (path == self.path or path.startswith(f"{self.path}/"))


@dataclass(frozen=True, slots=True)
class Sight:
    """What was seen at one moment."""

    places: Sequence[Place]
    """Runs that are going on first; within each kind the newest first."""
    unread: Sequence[str]
    """Why runs, or folders of runs, could not be read."""

    def at(self, path: str) -> Place | None:
        """Return the run that a request's path leads to; None where there is none.

        Of runs with one path, the one that is going on. Of several that are, each would be given
        what people send to another: so none is.
        """
        ways = [each for each in self.places if each.is_before(path)]
        if not ways:
            return None
        longest = max(len(each.path) for each in ways)
        ways = [each for each in ways if len(each.path) == longest]
        faced = [each for each in ways if each.face is not None]
        if len(faced) <= 1:
            return (faced or ways)[0]
        return replace(faced[0], face=None, why_not="shares its path with another run")


def see(roots: Sequence[Path]) -> Sight:
    """Read all runs in some folders of runs. What cannot be read keeps nobody from the others."""
    places: list[Place] = []
    unread: list[str] = []
    for root in roots:
        try:
            folders = listed(root, "the folder of runs", LOOK_INTO)
        except UserError as error:
            unread.append(str(error))
            continue
        for folder in folders:
            try:
                if is_file(folder / "run.json", "the run's state", LOOK_INTO):
                    places.append(_place(folder))
            except UserError as error:
                unread.append(str(error))
    places.sort(key=lambda each: (each.face is None, -each.began_at))
    return Sight(places, unread)


def _place(folder: Path) -> Place:
    state = read_state(folder)
    file = RunFolder(folder).state
    refuse_lack(file, state, "started_at")
    pages_url, why_not = state.get("pages_url") or "", _why_not(state)
    try:
        path = urlsplit(pages_url).path
    except ValueError as error:
        raise InputError(f"{file}: pages_url: {pages_url!r} is no URL ({error})") from error
    return Place(
        name=str(state.get("run_id") or folder.name),
        state=state["state"],
        began_at=float(state["started_at"]),
        pages_url=pages_url,
        path=path,
        face=None if why_not else str(state["url"]),
        why_not=why_not,
        words=_words(folder, state),
    )


def _why_not(state: Mapping[str, Any]) -> str:
    """Return why nobody is to ask a run's face, or "".

    Whatever listens today where it listened once must see nobody's token.
    """
    if state["state"] in OVER:
        return f"is {state['state']}"
    if not is_here(state):
        return "is on another machine"
    if state["state"] != "running" or not state.get("url"):
        return "is starting"
    return ""


def _words(folder: Path, state: Mapping[str, Any]) -> str:
    if state["state"] == "dead":
        return driver_death(folder, state)
    if state["state"] in OVER:
        return str(state.get("error") or state.get("stop_reason") or "")
    where = "" if is_here(state) else f"on {state['host']}, where its pages are; "
    return f"{where}{state.get('activity') or ''}"


class Places:
    """The runs in some folders of runs, as they are now.

    Args:
        roots: The folders.
        clock: Seconds.
    """

    def __init__(self, roots: Sequence[Path], clock: Callable[[], float] = time.monotonic) -> None:
        self._roots = roots
        self._clock = clock
        self._seen = Sight((), ())
        self._seen_at = float("-inf")
        self._looking = asyncio.Lock()

    async def now(self) -> Sight:
        """Return what is there, read a second ago at most."""
        async with self._looking:
            if self._clock() - self._seen_at >= FRESH_S:
                self._seen = await asyncio.to_thread(see, self._roots)
                self._seen_at = self._clock()
        return self._seen
