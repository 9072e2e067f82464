"""A part that ran out of memory is told apart from one that died of something else."""

from __future__ import annotations

import pytest
from ray.exceptions import RayActorError, RayTaskError

from protocol.errors import ActorDied, MemoryShort
from protocol.remote import raised_as_itself


class OutOfMemoryError(RuntimeError):
    """PyTorch's, by its name."""


def raise_in_another_process(cause: Exception) -> None:
    with raised_as_itself("the learner"):
        raise RayTaskError("step", "Traceback …", cause)


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        (OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB\nmore"), "2 GiB; use fewer"),
        (MemoryError(), "no more was to be had; use fewer"),
    ],
)
def test_what_a_part_raised_for_want_of_memory(cause: Exception, words: str) -> None:
    with pytest.raises(MemoryShort, match=rf"the learner ran out of memory: .*{words}"):
        raise_in_another_process(cause)


def test_another_error_is_raised_as_itself() -> None:
    with pytest.raises(ValueError, match="it"):
        raise_in_another_process(ValueError("it"))


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("The actor died.\nWorker exit type: NODE_OUT_OF_MEMORY", MemoryShort),
        ("Task was killed due to the node running low on memory.", MemoryShort),
        ("The actor died.\nWorker exit type: SYSTEM_ERROR", ActorDied),
    ],
)
def test_a_process_that_was_ended_for_want_of_memory(words: str, kind: type[Exception]) -> None:
    def die() -> None:
        with raised_as_itself("the learner"):
            raise RayActorError(error_msg=words)

    with pytest.raises(kind, match="the learner"):
        die()
