"""A run that loses what cannot be replaced while the rest goes on: it goes on from a checkpoint.

The learner's ranks are of this kind: the rollouts under way, the clock and the bound belong to the
version they stood at. So does a part that was started again too often for its own good, but then
the run ends.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import closing
from functools import partial
from pathlib import Path

from rich.console import Console

from cluster.conduct import conduct
from cluster.config import RunConfig
from cluster.ending import Ending
from cluster.failure import first_cause
from cluster.inert_text import inert
from cluster.recordings.records import RestartRecord
from cluster.recordings.streams import RESTARTS, Recordings
from cluster.run_folder import RunFolder
from cluster.starting.prompts import RunTexts
from cluster.starting.resumption import Resumption, after_a_death, kept_version
from cluster.supervision.restarts import Restarts
from protocol.errors import PartFailed
from protocol.logs import logger_of

WHOLE_RUN = "the run"
"""Its name among the parts that are started again."""

_log = logger_of("restarts")


async def conduct_through_deaths(
    config: RunConfig,
    folder: RunFolder,
    cache: Path,
    console: Console,
    texts: RunTexts | None,
    ending: Ending,
    resumption: Resumption | None,
) -> None:
    """Conduct a run; where it loses a part, go on from its newest checkpoint. As `conduct` else.

    Raises:
        PartFailed: It happened too often, or is not mended by a start.
    """
    restarts = Restarts(config.cluster.restarts, partial(_record, folder))
    starts_again = False
    while True:
        try:
            await conduct(
                *(config, folder, cache, console, texts, ending, resumption),
                starts_again=starts_again,
            )
            return
        except Exception as error:
            cause = first_cause(error)
            if not isinstance(cause, PartFailed) or ending.has_stopped:
                raise
        folder.forget_picture()
        # Out of the handler: an error of a group that is raised there has the group as its context.
        await restarts.allow(WHOLE_RUN, cause, is_whole=True)
        config, resumption = await asyncio.to_thread(after_a_death, config, folder)
        starts_again = True
        texts, version = None, kept_version(resumption)
        where = "the beginning" if resumption is None else f"the checkpoint of v{version}"
        words = f"{inert(str(cause))}: all parts start again, from {where}"
        console.print(words, markup=False, highlight=False, soft_wrap=True)
        _log.warning("the run starts again", cause=str(cause), policy_version=version)
        folder.update_state(state="starting")


def _record(folder: RunFolder, part: str, cause: PartFailed) -> None:
    with closing(Recordings(folder.recordings)) as recordings:
        recordings.write(RESTARTS, RestartRecord.of(part, cause, time.time()))
