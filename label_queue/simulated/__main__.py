"""`python -m label_queue.simulated`: one simulated labeler as a process of its own."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import get_args

import httpx
from pydantic import ValidationError

from label_queue.http_client import open_client
from label_queue.simulated.client import (
    ANSWER_TIMEOUT_S,
    LONGEST_TASK_WAIT_S,
    SimulatedLabeler,
)
from label_queue.simulated.config import GoldName, LabelerProfile
from label_queue.simulated.gold.registry import gold_of
from protocol.errors import AndonError, ConfigError, LabelerFailed
from protocol.files import read_text

TOKEN_VARIABLE = "ANDON_LABELER_TOKEN"
PARENT_POLL_S = 1.0


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m label_queue.simulated", description=__doc__)
    parser.add_argument("--url", required=True, help="the intake, e.g. http://127.0.0.1:8000")
    parser.add_argument("--token-file", type=Path, help=f"instead of ${TOKEN_VARIABLE}")
    parser.add_argument("--profile", required=True, help="a LabelerProfile as JSON text")
    parser.add_argument(
        "--gold", choices=get_args(GoldName), default="reviews", help="the score it judges by"
    )
    parser.add_argument("--parent", type=int, help="pid of the process to end with")
    parser.add_argument("--report", type=Path, required=True, help="where counts are written")
    return parser.parse_args(argv)


def _token(path: Path | None) -> str:
    """Return the labeler's token from a file, or else from the environment."""
    if path is None:
        token = os.environ.get(TOKEN_VARIABLE, "")
    else:
        token = read_text(path, "no such token file", "see --token-file")
    if not token.strip():
        raise ConfigError(f"no labeler token: give --token-file or set {TOKEN_VARIABLE}")
    return token.strip()


def _profile(text: str) -> LabelerProfile:
    """Parse the profile; the first fault is named."""
    try:
        return LabelerProfile.model_validate_json(text)
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(str(part) for part in fault["loc"]) or "it"
        raise ConfigError(f"--profile: {place}: {fault['msg']}") from error


async def _end_with(parent: int | None, stop: asyncio.Event) -> None:
    """Set `stop` once the process that started this one, if it was named, is gone."""
    while parent in (None, os.getppid()):  # noqa: ASYNC110 -- no event tells of its end
        await asyncio.sleep(PARENT_POLL_S)
    stop.set()


async def _work(arguments: argparse.Namespace) -> None:
    """Run the labeler until the run is over, a signal comes, or its parent is gone.

    Raises LabelerFailed where it gave up: its run would wait for its labels for ever.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with open_client(
        httpx.AsyncClient,
        arguments.url,
        headers={"authorization": f"Bearer {_token(arguments.token_file)}"},
        timeout=LONGEST_TASK_WAIT_S + ANSWER_TIMEOUT_S,
    ) as http:
        labeler = SimulatedLabeler(
            http=http,
            profile=_profile(arguments.profile),
            gold=gold_of(arguments.gold),
            report_path=arguments.report,
        )
        watching = loop.create_task(_end_with(arguments.parent, stop))
        await labeler.work(stop)
        watching.cancel()
    if labeler.gave_up is not None:
        raise LabelerFailed(f"the labeler gave up: {labeler.gave_up}")


def main(argv: list[str] | None = None) -> int:
    """Label until the run is over; return the exit status, 2 where the labeler had to give up.

    Why is then the last line of its log.
    """
    try:
        asyncio.run(_work(_arguments(argv)))
    except AndonError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
