"""A process of the run as another sees it: a Ray actor whose methods keep their types.

    learner = spawn(LearnerRank, "learner rank 0", {"num_cpus": 1})(rank=0, policy=…)
    report = await learner.ask(LearnerRank.step, batch)

A method is named by the function itself, so a type checker sees arguments and answer, and an editor
goes from the call to the code that runs. What the other process raised comes out as it was raised.
An actor with several callers has a side for each, an object of a class of its own, whose coroutine
methods its caller has as if they were here:

    people = side_of(label_queue, PeopleSide)
    task = await people.next_task("ann", wait_s=20.0)

Ray is imported when the first actor is spawned or asked, not with this module.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial, wraps
from inspect import iscoroutinefunction
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, overload
from uuid import uuid4

from protocol import fault_points
from protocol.errors import ActorDied, MemoryShort, ResourceError, StartFailed
from protocol.gathering import Call, Gathered, Outcome, outcome_of

MEND_MEMORY = "use fewer actors or replicas, smaller batches, or a machine with more memory"
KILLED_FOR_MEMORY = ("NODE_OUT_OF_MEMORY", "running low on memory")
"""What Ray says of a process that its memory monitor ended."""

_THIS_PROCESS = uuid4().hex

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
P = ParamSpec("P")
R = TypeVar("R")
SidesT = TypeVar("SidesT", bound="Sides")


class Remote(Generic[T_co]):
    """A Ray actor of class `T_co`, or of one that inherits from it; can be sent to processes.

    Args:
        handle: What Ray gave for it.
        who: Names it in errors, e.g. "rollout actor rollout-0".
    """

    def __init__(self, handle: object, who: str) -> None:
        self.handle = handle
        """Ray's own handle, for what Ray itself is asked of the actor."""
        self.who = who

    @overload
    async def ask(
        self,
        method: Callable[Concatenate[T_co, P], Coroutine[Any, Any, R]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R: ...
    @overload
    async def ask(
        self, method: Callable[Concatenate[T_co, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> R: ...
    async def ask(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call a method over there and wait for the answer; other calls go on meanwhile.

        Raises:
            ActorDied: The process is gone. Whether the call took effect is not known.
        """
        with raised_as_itself(self.who):
            return await self.send(method, *args, **kwargs)

    def send(
        self, method: Callable[Concatenate[T_co, P], Any], *args: P.args, **kwargs: P.kwargs
    ) -> Awaitable[Any]:
        """Call a method without waiting; return Ray's reference to the answer."""
        reference: Awaitable[Any] = getattr(self.handle, method.__name__).remote(*args, **kwargs)
        return reference


def spawn(make: Callable[P, T], who: str, options: Mapping[str, Any]) -> Callable[P, Remote[T]]:
    """Return what starts a class as a Ray actor; it takes the constructor's own arguments.

    Returns at once: a constructor that fails raises at the first call that is asked of it.

    Args:
        make: The class.
        who: Names the actor in errors.
        options: Ray's, e.g. {"num_cpus": 1, "max_concurrency": 100}.
    """
    import ray

    actor: Any = ray.remote(make).options(**options)

    def start(*args: P.args, **kwargs: P.kwargs) -> Remote[T]:
        return Remote(actor.remote(*args, **kwargs), who)

    return start


def own_gpus() -> list[str]:
    """Return the GPUs that Ray has given this process, each with its node, which Ray tells apart.

    None outside of Ray.
    """
    import ray

    if not ray.is_initialized():
        return []
    here = ray.get_runtime_context()
    node = here.get_node_id()[:8]
    return [f"GPU {gpu} of node {node}" for gpu in here.get_accelerator_ids()["GPU"]]


def check_gpus_are_seen(who: str, key: str, *, is_seen: bool) -> None:
    """Refuse to work on the CPU in a process that Ray has given a GPU.

    Args:
        who: Names the process in the error.
        key: Of the config, by which it asked for one.
        is_seen: Whether PyTorch can use a GPU here.

    Raises:
        ResourceError: It was given one, and PyTorch can use none.
    """
    if (given := own_gpus()) and not is_seen:
        raise ResourceError(
            f"Ray has placed {who} on {given[0]}, and PyTorch can use none there: its build is for "
            f"the CPU, or the GPU is hidden; see `andon doctor` on that node, or set {key} to 0"
        )


def named(name: str, who: str, namespace: str | None = None) -> Remote[Any]:
    """Return an actor of this run that was started under a name; blocks for a look-up.

    For an actor that is given another and may be started again: Ray warns that it could not, where
    its constructor was handed the other itself.

    Args:
        name: As it was started with, e.g. "label-queue".
        who: Names it in errors.
        namespace: The run's, for a process that Serve has started; None: this process's own.

    Raises:
        ActorDied: There is none of this name.
    """
    import ray

    try:
        return Remote(ray.get_actor(name, namespace), who)
    except ValueError as error:
        raise ActorDied(f"{who} is not there: no actor is named {name!r}") from error


class StartedAgain:
    """What an actor inherits that Ray itself starts again when its process is gone."""

    def incarnation(self) -> str:
        """Return what names this process, and no other before or after it. Does not block."""
        return _THIS_PROCESS


class Sides(StartedAgain):
    """What an actor with several callers inherits: a call names a side's method, and goes there."""

    def __init__(self, *sides: object) -> None:
        """Take the sides, each of a class of its own."""
        self._sides: dict[type, object] = {type(side): side for side in sides}

    async def on_side(
        self, side: type[T], method: Callable[..., Awaitable[R]], args: Any, kwargs: Any
    ) -> R:
        """Call a method of the side of that class, and wait for its answer."""
        return await method(self._sides[side], *args, **kwargs)

    async def on_side_each(self, side: type, calls: Sequence[Call]) -> list[Outcome]:
        """Make many calls at once, as `on_side` makes each; return what became of each.

        None of them waits for another, and what one raises is its own.
        """
        made = (self.on_side(side, method, args, kwargs) for method, args, kwargs in calls)
        return await asyncio.gather(*map(outcome_of, made))


def side_of(actor: Remote[SidesT], side: type[T], *gathered: Collection[str]) -> T:
    """Return one side of an actor: an object of its class whose methods run over there.

    Errors come out as they were raised; ActorDied where the process is gone. What is no coroutine
    method of the class itself cannot be had from here and raises AttributeError or TypeError.

    Args:
        actor: Has a side of that class.
        side: The class.
        gathered: Groups of methods, by name, whose calls cross together (`protocol.gathering`),
            from one event loop: such as all take about as long. An error of theirs that is no
            AndonError comes out as a RuntimeError which says what it was.
    """

    def in_company(
        group: Gathered[Call], method: Callable[..., Awaitable[Any]]
    ) -> Callable[..., Awaitable[Any]]:
        async def ask(*args: Any, **kwargs: Any) -> Any:
            return await group.ask((method, args, kwargs))

        return ask

    def alone(method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def ask(*args: Any, **kwargs: Any) -> Any:
            return await actor.ask(Sides.on_side, side, method, args, kwargs)

        return ask

    together: dict[str, Gathered[Call]] = {}
    for names in gathered:
        together |= dict.fromkeys(names, Gathered(partial(actor.ask, Sides.on_side_each, side)))

    def over_there(method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        group = together.get(method.__name__)
        ask = alone(method) if group is None else in_company(group, method)

        @wraps(method)
        async def call(_: T, *args: Any, **kwargs: Any) -> Any:
            point = f"{side.__name__}.{method.__name__}"
            return await fault_points.call(point, partial(ask, *args, **kwargs))

        return call

    methods = {
        name: over_there(member)
        for name, member in vars(side).items()
        if iscoroutinefunction(member)
    }
    assert methods.keys() >= together.keys(), f"{side.__name__} has not all of {gathered}"
    remote_class = type(f"Remote{side.__name__}", (side,), {"__slots__": (), **methods})
    remote: T = object.__new__(remote_class)
    return remote


@contextmanager
def raised_as_itself(who: str) -> Iterator[None]:
    """Raise what another process raised, without Ray's wrapping; ActorDied where it is gone.

    MemoryShort where that was for want of memory.
    """
    from ray.exceptions import ObjectLostError, RayActorError, RayTaskError

    try:
        yield
    except RayTaskError as error:
        cause = error.cause
        if isinstance(cause, MemoryError) or type(cause).__name__ == "OutOfMemoryError":
            lines = str(cause).strip().splitlines() or ["no more was to be had"]
            raise MemoryShort(f"{who} ran out of memory: {lines[0]}; {MEND_MEMORY}") from error
        raise cause from error
    except RayActorError as error:
        lines = str(error).strip().splitlines()
        # Of what a constructor raised Ray keeps the traceback alone, whose last line says it.
        words = f"did not start: {lines[-1]}" if error.actor_init_failed else f"died: {lines[0]}"
        if any(sign in str(error) for sign in KILLED_FOR_MEMORY):
            raise MemoryShort(f"{who} was ended for want of memory; {MEND_MEMORY}") from error
        kind = StartFailed if error.actor_init_failed else ActorDied
        raise kind(f"{who} {words}") from error
    except ObjectLostError as error:  # a large answer stays on its node until it is fetched
        raise ActorDied(f"{who} was lost with its node, and an answer with it") from error
