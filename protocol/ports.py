"""The ports: what one part asks of another, whatever stands behind it.

What each promises is checked by a suite of contract tests in `tests/support`, which the real
implementation passes and so does the fake, where there is one. The errors that are named are raised
as themselves, also by one in another process.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from protocol.errors import AndonError
from protocol.fits import FitRequest, RewardVersion
from protocol.messages import (
    ExperienceBatch,
    PolicyVersion,
    Prompt,
    Rollout,
    RolloutRequest,
    Score,
    StepReport,
    WeightsRef,
)
from protocol.text_tree import TreesState


class PromptSource(Protocol):
    """An endless, seeded stream of prompts."""

    def draw(self, count: int) -> list[Prompt]:
        """Return the next `count` prompts: the same stream, however it is cut into calls."""
        ...

    def skip(self, count: int) -> None:
        """Pass over the next `count` prompts, without the cost of making them."""
        ...


@runtime_checkable
class ListeningPromptSource(PromptSource, Protocol):
    """A stream whose later prompts are made of responses to earlier ones.

    Whoever draws says of each prompt once what became of it, in an order that does not depend on
    who was faster; prompts that it did not hand out are no matter. Of those that `skip` passed over
    nothing is ever told. None of the methods waits for anything.
    """

    def responded(self, rollouts: Sequence[Rollout]) -> None:
        """Take responses that stay: they were trained on, or people are asked about them."""
        ...

    def unanswered(self, prompts: Sequence[Prompt]) -> None:
        """Take back prompts whose responses were lost or dropped; they are handed out again."""
        ...

    def forget(self, is_left_behind: Callable[[Sequence[int]], bool]) -> None:
        """Forget responses that no prompt was made of yet, and hand out their prompts again.

        Args:
            is_left_behind: Whether any of these policy versions is one that a rollback left behind.
        """
        ...

    @property
    def state(self) -> TreesState:
        """What the stream goes on from, for a checkpoint."""
        ...

    def resume(self, state: TreesState) -> None:
        """Go on from what was kept, whatever was drawn so far.

        Raises InputError where the source is another than the one that it was kept of.
        """
        ...


class RolloutActor(Protocol):
    """One generation engine."""

    async def generate(self, requests: Sequence[RolloutRequest]) -> list[Rollout]:
        """Draw one response a request, in order. Does not block other calls.

        A `rollout_id` seen before gets its first answer, drawn or still being drawn.
        """
        ...

    async def load_policy(self, policy: PolicyVersion) -> float:
        """Take new weights in flight and prove them; return the probe's largest difference.

        Loading the version already loaded does nothing; an older one raises VersionError; a probe
        out of tolerance raises ProbeMismatch, and so does every call after it.

        One that rests is woken by it, and proves also what it had loaded before. New weights are
        in place before it takes memory for anything else.
        """
        ...

    async def rest(self) -> None:
        """Answer what is being drawn, then give the device's memory back until `load_policy`.

        What it is asked to draw meanwhile is drawn after that. May be called twice.
        """
        ...


class WeightPublisher(Protocol):
    """The learner's end of the weight path."""

    def publish(self, version: int, tensors: Mapping[str, object]) -> WeightsRef:
        """Make named tensors available to every actor; keep the last few versions.

        Raises VersionError where the version is not above the last.
        """
        ...

    def close(self) -> None:
        """Free what is still published. May be called twice."""
        ...


@runtime_checkable
class PushingPublisher(WeightPublisher, Protocol):
    """The learner's end of a weight path on which it and all actors meet for every version."""

    def send(self, version: int) -> None:
        """Send a published version; block until every actor has it.

        Raises MissingError where it is no longer kept, WeightsNotTaken where the actors did not
        come in time or fell away: nothing can be sent after that.
        """
        ...


class WeightBroadcast(Protocol):
    """The learner's end of one collective with the engines of all actors."""

    def seats(self) -> Mapping[str, Mapping[str, object]]:
        """Return what each actor's engine is told to join with, by actor id."""
        ...

    def send(self, tensors: Mapping[str, object]) -> None:
        """Send all tensors, in order; the first call joins. Blocks until every engine has them."""
        ...

    def abort(self) -> None:
        """Leave, from whatever thread; a `send` under way in another ends. May be called twice."""
        ...


class WeightPusher(Protocol):
    """The learner as those who receive see it, where weights are pushed."""

    async def push(self, version: int, receive: Callable[[], Awaitable[float]]) -> float:
        """Send a version between two steps, while `receive` has all actors take it.

        Returns what `receive` returned. Where one of the two fails the other is not waited for.
        """
        ...


class Scorer(Protocol):
    """The reward service as the loop sees it."""

    async def score(self, sequences: Sequence[Sequence[int]]) -> list[Score]:
        """Score token sequences (prompt + kept response), one answer each, in order.

        Raises ScoringFailed when no score can be had; a missing score is never zero.
        """
        ...


class Learner(Protocol):
    """The policy's trainer, as one; behind it are W ranks."""

    async def step(self, batch: ExperienceBatch) -> StepReport:
        """Run one PPO step and publish a version. The same `batch.step` again: the first answer.

        A step is numbered by the version it changes. Raises VersionError for any other.
        """
        ...

    async def checkpoints(self) -> tuple[int, ...]:
        """Return the policy versions that can be restored, oldest first."""
        ...

    async def keep(self) -> int:
        """Write a checkpoint of the present version, unless there is one; return the version.

        Raises ResourceError where the disk refuses.
        """
        ...

    async def resume(self, version: int, publish_as: int) -> PolicyVersion:
        """Go on where another learner kept `version`, its clock and all; publish the weights.

        Comes before any step. `publish_as` is the number they get: `version`, or a higher one
        where later versions of the other learner were used; those are never used again. Under its
        own number it names in `restored_from` what it did before. `moved_kl` goes on from what was
        kept. The same again: the first answer.
        Raises MissingError where there is no checkpoint, BundleCorrupt where it is not what was
        written, VersionError where `publish_as` is below `version`.
        """
        ...

    async def restore(self, version: int, step: int | None = None) -> PolicyVersion:
        """Take back policy, critic, optimizer and KL coefficient of `version`; publish a new one.

        Versions only rise: the new one is the next, and names `version` in `restored_from`. Its
        `moved_kl` is that of the version left behind and the way back. `step` is the version that
        is left behind: the same again, with the same `version`, gets the first answer; without it
        every call makes a version. Raises MissingError where there is no checkpoint, VersionError
        where `step` is not the newest version.
        """
        ...


class Rests(Protocol):
    """A part that can do without its device between two pieces of work."""

    async def rest(self) -> None:
        """Give the device's memory back. May be called twice."""
        ...

    async def wake(self) -> None:
        """Take it again, with all that was there. May be called twice."""
        ...


class RestingLearner(Learner, Rests, Protocol):
    """A learner that shares its device in turns: between `rest` and `wake` nobody asks it."""

    async def save(self, path: str) -> None:
        """Write the current policy as a Hugging Face folder."""
        ...


class RewardTrainer(Protocol):
    """The reward model's trainer, as one; the single writer of reward versions."""

    async def advance(self, request: FitRequest, num_steps: int) -> bool:
        """Work on a refit beside the live model; return whether no step of it is left.

        It has taken `num_steps` optimizer steps at return, or all. Between two calls updates may be
        fitted. The same again takes no step. Errors as `fit`; what was done is lost with them.
        """
        ...

    async def fit(self, request: FitRequest) -> RewardVersion:
        """Fit or update, validate, write a bundle and return its announcement.

        Of a refit that was worked on, what is left is done first; it is the same version then, bit
        for bit. Versions rise by one from 1. The same request again: the first answer. A version
        that replicas would not take is left behind: the one before is the newest then, and the same
        request is fitted anew, under the next number. Raises InputError where there is no
        comparison, VersionError for a warm update before any refit, or of a version that is not the
        newest, DiskFull where there is no room for what is written.
        """
        ...


class MetricSink(Protocol):
    """Somewhere rows of metrics go."""

    def write(self, row: Mapping[str, float | int | str]) -> None:
        """Take one row; all its names share a prefix's step axis."""
        ...

    def alert(self, title: str, text: str) -> None:
        """Call for a person, where the sink can reach one."""
        ...

    def summarize(self, figures: Mapping[str, float | int | str | None]) -> None:
        """Take the run's closing figures, where the sink keeps such; None is not known."""
        ...

    def close(self) -> None:
        """Flush and let go. May be called twice."""
        ...


class RewardService(Scorer, Protocol):
    """The scorer, and the door through which it takes a new version."""

    async def swap(self, version: RewardVersion) -> None:
        """Return when every replica serves `version`; the old one serves until then.

        May be called twice. Raises VersionError for one older than what is served, and what a
        replica raised that cannot take it: then it is withdrawn for good, and its bundle says so.
        """
        ...

    async def withdraw(self, version: RewardVersion, why: AndonError) -> None:
        """Withdraw a version that was never asked for, as one that a replica refused.

        May be called twice. One that is served, or older, stays.
        """
        ...


class FolderStore(Protocol):
    """The folders of a run that one process writes and others read, on whichever node each is.

    A folder is named by its path on the run's own node, where the driver and the run's folder are.
    It is drafted file by file, by one process or by several, and appears whole or not at all, also
    where a writer is killed; only `amend` changes one that is there. Every method blocks, and may
    be called twice.

    Raises OSError where a disk refuses, ResourceError, which is one, where the store does, and
    BundleCorrupt where bytes are not those that were written.
    """

    def versions(self, root: Path) -> tuple[Path, ...]:
        """Return the whole folders below `root` that are called v1, v000002 …, oldest first."""
        ...

    def fetch(self, folder: Path, files: Collection[str] = ("*",)) -> Path:
        """Return where this node has a folder, or those of its files that match; only to read.

        Args:
            folder: Its name.
            files: Patterns, e.g. "*.json"; hidden files are left out.

        Raises MissingError where there is no such folder.
        """
        ...

    def draft(self, folder: Path) -> Path:
        """Return the folder in which this process writes files that are to be in `folder`."""
        ...

    def put(self, folder: Path, file: str) -> None:
        """Hand in a file of the draft: it is on disk, or in the store, when this returns."""
        ...

    def complete(self, folder: Path, files: Collection[str]) -> None:
        """Have the folder appear with these files, all of which were put; the old one gives way.

        Called by one process, once all have put. Raises MissingError where a file was not put.
        """
        ...

    def discard(self, folder: Path) -> None:
        """Forget what was drafted. Called by one process, while no other drafts this folder."""
        ...

    def amend(self, folder: Path, file: str, content: bytes) -> None:
        """Give a whole folder a file, in the place of one that it has: a reader sees either."""
        ...

    def remove(self, folder: Path) -> None:
        """Delete a folder, here and in the store, if it is there."""
        ...


OpenStore = Callable[[], FolderStore]
"""What a process is handed to reach the run's folders from where it is; can be sent to it."""
