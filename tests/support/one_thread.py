"""Everything on the event loop's own thread, so that a test of several loops runs in one order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


def do_threads_work_at_once() -> None:
    """From here on, do at once what the running loop is asked to do in a thread."""
    loop = asyncio.get_running_loop()

    def run(_: object, function: Callable[..., T], *args: Any) -> asyncio.Future[T]:
        done: asyncio.Future[T] = loop.create_future()
        try:
            done.set_result(function(*args))
        except Exception as error:  # noqa: BLE001 -- raised where it is waited for
            done.set_exception(error)
        return done

    loop.run_in_executor = run  # type: ignore[method-assign, assignment]


async def settle() -> None:
    """Let every task go as far as it can; after `do_threads_work_at_once`, to where all wait."""
    for _ in range(2_000):
        await asyncio.sleep(0)
