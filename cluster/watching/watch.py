"""The eyes of a run: once a second, how all parts stand."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Protocol

from cluster.config import RunConfig
from cluster.inert_text import inert, shell_word
from cluster.loops.activity import activity
from cluster.loops.journal import Journal, puller
from cluster.run_folder import RunFolder
from cluster.watching.display import RunDisplay
from cluster.watching.memory import PeakMemory
from cluster.watching.starvation import Starvation
from label_queue.sides.policy_loop import PolicyLoopSide
from protocol.cord import CordState
from protocol.errors import DiskFull, PartFailed
from protocol.messages import ActorStats

INTERVAL_S = 1.0
PATIENCE_S = 5.0
"""How long an actor may take to say how it stands."""
VERSIONS = ("policy/version", "reward_model/version")
"""Metrics that rise with what the learner and the reward trainer make."""


class WatchedActor(Protocol):
    """What is asked of a rollout actor."""

    async def stats(self) -> ActorStats:
        """Return what it did since it started."""
        ...


class Watch:
    """Gathers metrics from the parts and feeds the display.

    Args:
        config: The resolved config.
        folder: The run's.
        journal: Takes the metrics.
        display: Shows them.
        memory: Reads the run's memory.
    """

    def __init__(
        self,
        config: RunConfig,
        folder: RunFolder,
        journal: Journal,
        display: RunDisplay,
        memory: PeakMemory,
    ) -> None:
        self._config = config
        self._folder = folder
        self._journal = journal
        self._display = display
        self._memory = memory
        self._cord: CordState | None = None
        """How it hangs; None before the first look, when `run.json` may say how it once hung."""
        self._untold: list[tuple[int, float]] = []
        """Policy versions first sampled, and when, that the label queue was not yet told of."""
        self._phase = ""
        self._nodes = ""
        """What nodes are waited for, which is told instead of the phase; "" while none are."""
        self._told = ""
        self._trouble = ""
        self._disk: str | None = None
        """What people must do because the disk is full; "" while it is not, None as above."""
        self._starvation = Starvation(journal.alarmed)
        self._progress: tuple[float | None, ...] = ()
        """What the parts have given so far."""
        self._unnoted: dict[str, object] = {}
        """Changes of `run.json` that a full disk did not take yet."""

    @property
    def trouble(self) -> str:
        """What keeps people from labelling now; "" when nothing does."""
        return self._trouble

    def alarm(self, trouble: str) -> None:
        """Show from now on what keeps people from labelling; "" when nothing does."""
        self._trouble = trouble

    def waits_for_nodes(self, words: str) -> None:
        """Show from now on, instead of the phase, what nodes are waited for; "" when none are."""
        self._nodes = words
        self.show(self._phase)

    def show(self, phase: str, note: str = "") -> None:
        """Show the present state under a phase's name; `run.json` tells it to others."""
        self._phase = phase
        told = self._nodes or phase
        if told != self._told:
            self._told = told
            self._note(activity=told)
        snapshot: dict[str, float | int | str] = {
            **self._journal.latest,
            "phase": told,
            "elapsed_s": self._journal.wall_s,
            "episodes_total": self._config.run.episodes,
        }
        if note:
            snapshot["note"] = note
        alarms = [inert(words) for words in (self._disk, self._trouble) if words]
        if self._cord is not None and self._cord.is_pulled:
            alarms.append(describe_cord(self._cord, self._folder.path))
        if alarms:
            snapshot["alarm"] = "\n".join(alarms)
        self._display.show(snapshot)

    async def watch(
        self,
        labels: PolicyLoopSide,
        actors: Callable[[], Sequence[WatchedActor]],
        note: str,
    ) -> None:
        """Look once a second, for ever.

        Args:
            labels: Is asked how it stands.
            actors: Gives those there are at the moment, and so are they.
            note: Shown beside what the run is doing.
        """
        while True:
            await asyncio.sleep(INTERVAL_S)
            await self.look(labels, actors)
            state = self._journal.loop_state()
            self._starvation.look(state, self._progress)
            words = activity(state)
            self.show(words, note)
            await labels.tell_activity(words)

    async def look(
        self, labels: PolicyLoopSide, actors: Callable[[], Sequence[WatchedActor]]
    ) -> None:
        """Ask all parts once how they stand, and write it down."""
        self._untold += self._journal.newly_sampled()
        while self._untold:
            await labels.first_sampled(*self._untold[0])
            del self._untold[0]  # told twice does no harm, never told would
        self._journal.labels_stood(await labels.stats(), await labels.online_stats())
        self._take_note_of(await labels.cord())
        if self._unnoted:
            self._note()
        self._heed_disk(await labels.want_of_room())
        answers = await asyncio.gather(*(_stats_of(actor) for actor in actors()))
        stats = [each for each in answers if each is not None]
        self._journal.actors_stood(stats)
        versions = [self._journal.latest.get(name) for name in VERSIONS]
        self._progress = (sum(each.num_rollouts for each in stats), *versions)
        self._journal.system_stood(
            {
                "system/rss_bytes": self._memory.current_bytes,
                "system/disk_free_bytes": shutil.disk_usage(self._folder.path).free,
                "system/ledger_commit_p95_s": await labels.ledger_commit_p95_s(),
                "system/restarts": self._journal.num_restarts,
            }
        )

    def _take_note_of(self, cord: CordState) -> None:
        """Tell the journal how the cord hangs, and in `run.json` others, when that changed."""
        self._journal.cord_stood(cord)
        if cord != self._cord:
            self._cord = cord
            self._note(cord=asdict(cord))

    def _heed_disk(self, words: str) -> None:
        """Tell people when the disk is full, and when it has room again: the steps wait for it."""
        before, self._disk = self._disk, words
        if words != before:
            self._note(disk=words)
            if words:
                self._journal.alarmed("the disk is full", words)
            elif before:
                self._journal.alarmed("the disk has room again", "the run goes on")

    def _note(self, **changes: object) -> None:
        """Write into `run.json`, as soon as the disk has room for it."""
        self._unnoted.update(changes)
        with suppress(DiskFull):
            self._folder.update_state(**self._unnoted)
            self._unnoted.clear()


async def _stats_of(actor: WatchedActor) -> ActorStats | None:
    """Ask an actor how it stands; None of one that is dead, hangs, or has not come up yet."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await actor.stats()
    except (TimeoutError, PartFailed):
        return None  # whether that ends the run is decided where its work is asked for


def describe_cord(cord: CordState, run: Path) -> str:
    """Return who pulled the cord and why, and what to do about it."""
    path = shell_word(run)
    lines = []
    for each in cord.reasons:
        lines.append(f"cord pulled by {inert(puller(each))}: {inert(each.reason)}")
        if each.evidence:
            lines.append(f"what it saw: {shell_word(run / each.evidence)}")
    if cord.rollback_to is not None:
        lines.append(f"rolling back to policy version {cord.rollback_to}")
    elif cord.offered_rollback is not None:
        lines.append(f"to go back first: andon rollback {path} --to {cord.offered_rollback}")
    lines.append(f"to go on: andon cord release {path}")
    return "\n".join(lines)
