"""Records what crosses a process, in a thread of its own, so that the loops do not wait for it."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter
from pydantic_core import to_json

from cluster.recordings.config import RecordingConfig
from cluster.recordings.crossings import START, AnswerT, AskT, Crossing, StreamName
from cluster.recordings.segment_files import SegmentFile, seal_left, segment_files
from cluster.recordings.segments import SegmentWriter
from protocol.errors import AndonError
from protocol.files import writing
from protocol.logs import logger_of

SEGMENT_BYTES = 64 * 2**20
"""A segment is sealed before it grows beyond this, or a sixteenth of the bound on the disk."""
NUM_WAITING = 256
"""Messages that may wait for the disk; with more, who records waits too."""
MEND = "see to the disk under the run's folder, or take [recording] out of the config"

ASKED, ANSWERED, FAILED = "asked", "answered", "failed"
"""The last part of a topic, after the crossing's name."""

T = TypeVar("T")
_TEXT = TypeAdapter(str)


class Recorder:
    """Writes the streams that the config asks for, and keeps them within its bound.

    What is recorded survives the end of this process but for the last few milliseconds. A live
    segment that an earlier process left behind is sealed first, without its torn tail.

    Args:
        folder: Where segments lie; made if missing.
        config: Which streams, and how much disk.
        clock: Unix seconds.

    Raises:
        ResourceError: The disk refuses. `through` and `close` raise it too, of what was recorded
            before.
    """

    def __init__(self, folder: Path, config: RecordingConfig, clock: Callable[[], float]) -> None:
        self._folder = folder
        self._streams: set[StreamName] = set(config.record)
        if "labels" in self._streams:
            self._streams.add(START)
        self._max_bytes = config.max_bytes
        self._segment_bytes = min(SEGMENT_BYTES, config.max_bytes // 16)
        self._clock = clock
        self._log = logger_of("recorder")
        self._calls = itertools.count()
        self._live: dict[StreamName, SegmentWriter] = {}
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="recorder")
        self._places = threading.BoundedSemaphore(NUM_WAITING)
        self._failure: BaseException | None = None
        with writing(folder, MEND):
            folder.mkdir(parents=True, exist_ok=True)
            seal_left(folder)
        numbers = [file.number for file in segment_files(folder)]
        self._numbers = itertools.count(max(numbers, default=0) + 1)

    def wants(self, crossing: Crossing[Any, Any]) -> bool:
        """Whether a crossing's stream is recorded."""
        return crossing.stream in self._streams

    async def through(
        self,
        crossing: Crossing[AskT, AnswerT],
        ask: AskT,
        send: Callable[[], Awaitable[T]],
        as_recorded: Callable[[T], AnswerT],
    ) -> T:
        """Record what is asked, wait for the answer, record and return it.

        Args:
            crossing: What is asked of whom.
            ask: As it is recorded.
            send: Makes the call; not at all where what it asks cannot be recorded.
            as_recorded: The answer's form in the recording.

        Raises:
            AndonError: What the call raised, which is recorded as well.
        """
        if not self.wants(crossing):
            return await send()
        number = next(self._calls)
        self._write(crossing, ASKED, number, crossing.asks, ask)
        try:
            answer = await send()
        except AndonError as error:
            self._write(crossing, FAILED, number, _TEXT, f"{type(error).__name__}: {error}")
            raise
        self._write(crossing, ANSWERED, number, crossing.answers, as_recorded(answer))
        return answer

    def wait(self) -> None:
        """Block until all that was recorded so far is written."""
        self._thread.submit(lambda: None).result()
        self._refuse_after_failure()

    def close(self) -> None:
        """Write what waits and seal all segments. May be called twice."""
        self._thread.shutdown(wait=True)
        live, self._live = self._live, {}
        with writing(self._folder, MEND):
            for writer in live.values():
                writer.seal()
        self._refuse_after_failure()

    def _write(
        self, crossing: Crossing[Any, Any], word: str, number: int, kind: TypeAdapter[Any], it: Any
    ) -> None:
        self._refuse_after_failure()
        self._places.acquire()
        done = self._thread.submit(self._append, crossing, word, number, kind, it, self._clock())
        done.add_done_callback(self._appended)

    def _appended(self, done: Future[None]) -> None:
        self._places.release()
        self._failure = self._failure or done.exception()

    def _refuse_after_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _append(
        self,
        crossing: Crossing[Any, Any],
        word: str,
        number: int,
        kind: TypeAdapter[Any],
        message: Any,
        at: float,
    ) -> None:
        """Append one message, in the recorder's thread; after a failure no more is taken."""
        if self._failure is not None:
            return
        content = to_json(message, inf_nan_mode="constants")
        with writing(self._folder, MEND):
            self._writer(crossing.stream, len(content)).add(
                f"{crossing.name}.{word}",
                crossing.version,
                _schema(kind),
                sequence=number,
                at=at,
                content=content,
            )

    def _writer(self, stream: StreamName, num_bytes: int) -> SegmentWriter:
        """Return the stream's live segment; one that has no room left for so many is sealed."""
        writer = self._live.get(stream)
        if writer is not None and writer.num_bytes + num_bytes > self._segment_bytes:
            self._live.pop(stream).seal()
            self._drop_oldest()
            writer = None
        if writer is None:
            file = SegmentFile(number=next(self._numbers), stream=stream, folder=self._folder)
            writer = self._live[stream] = SegmentWriter(file.path)
        return writer

    def _drop_oldest(self) -> None:
        """Remove sealed segments until the rest, and all live ones once full, are in bounds."""
        sealed = [f for f in segment_files(self._folder) if not f.is_live]
        sizes = {file: file.path.stat().st_size for file in sealed}
        room = self._max_bytes - len(self._streams) * self._segment_bytes
        for file in sealed:
            if sum(sizes.values()) <= room:
                return
            if file.stream != START:
                file.path.unlink()
                self._log.warning(
                    f"recording.max_gib is reached: {file.path.name} was dropped, the oldest",
                    num_bytes=sizes.pop(file),
                )


@cache
def _schema(kind: TypeAdapter[Any]) -> bytes:
    return json.dumps(kind.json_schema()).encode()
