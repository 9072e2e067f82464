"""Where a label's time went, of the hand-made run."""

from __future__ import annotations

from pathlib import Path

from benchmarks.label_path import ways
from cluster.recordings.records import Span
from cluster.recordings.streams import FITS, Recordings
from cluster.run_folder import RunFolder
from label_queue.ledger.sql import SqlLedger
from tests.support.hand_made_run import fill


def test_a_labels_way_is_told_by_what_learned_it_first(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    ledger = SqlLedger.open(folder.ledger, "run-1")
    fill(ledger)
    ledger.close()
    folder.recordings.mkdir()
    recordings = Recordings(folder.recordings)
    # The second refit is worked off beside the update, and ends while it is swapped in.
    spans = ("refit", 190.0, 195.0), ("warm", 288.0, 296.0), ("refit", 200.0, 298.0)
    for doing, start, end in spans:
        recordings.write(FITS, Span(doing=doing, started_at=start, ended_at=end))
    recordings.close()
    [(count, gathering, waiting, update, swap, step)] = ways(folder)
    # The update learns 5, which was held until 267, and 9; it replays 1.
    assert (count, gathering, waiting) == (2, 250 - (140 + 250) / 2, 288 - 250)
    assert (update, swap, step) == (296 - 288, 300 - 296, 305 - 300)
