"""A process that reads a stream into a ledger until it is killed.

Run as `python -m tests.faults.stream_reader PLACE CONFIG`, a ledger's path or URL and a connector's
config as JSON, with a plan of faults in its environment. It says "reading" when it begins.
"""

from __future__ import annotations

import asyncio
import os
import sys

from pydantic import TypeAdapter

from label_queue.connector_config import ConnectorConfig
from label_queue.ledger.sql import SqlLedger
from label_queue.ledger_place import LedgerPlace, place_of
from tests.support.labels import ManualClock
from tests.support.outside import OutsideRun

READ: TypeAdapter[ConnectorConfig] = TypeAdapter(ConnectorConfig)


async def main(place: LedgerPlace, config: ConnectorConfig) -> None:
    run = OutsideRun(SqlLedger.open(place, "run-1"), [config], ManualClock())
    run.outposts([config]).start()
    os.write(1, b"reading\n")
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(place_of(sys.argv[1], "PLACE"), READ.validate_json(sys.argv[2])))
