from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from label_queue.ledger.records import Ledger
from tests.support.streams import NewReader, Stream, StreamReader


@pytest.fixture
async def readers() -> AsyncIterator[NewReader]:
    async with AsyncExitStack() as stack:

        async def new_reader(
            stream: Stream, *, ledger: Ledger | None = None, **changes: Any
        ) -> StreamReader:
            reader = StreamReader(stream, ledger, **changes)
            stack.push_async_callback(reader.close)
            await reader.ask()
            return reader

        yield new_reader
