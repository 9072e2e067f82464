"""From a run's ledger to a file. The command line's `andon export` is this and no more."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from label_queue.exchange.line_file import write_lines
from label_queue.exchange.preferences import Style, preference_lines
from label_queue.exchange.record_lines import record_lines
from label_queue.ledger.sql import SqlLedger
from label_queue.ledger_place import LedgerPlace
from label_queue.quality_config import QualityConfig
from protocol.errors import InputError

ExportForm = Literal["trl", "andon"]


def export_run(
    ledger_place: LedgerPlace,
    out: Path,
    form: ExportForm,
    *,
    quality: QualityConfig | None = None,
    style: Style | None = None,
    keep_all: bool = False,
    force: bool = False,
) -> int:
    """Write a ledger's labels to a JSON Lines file; return the number of lines.

    The run may go on meanwhile. The file appears only once it is complete.

    Args:
        ledger_place: The run folder's `ledger.sqlite`, or a server's.
        out: The file to write.
        form: TRL's preferences (see `preferences`), or our own full record (`record_lines`).
        quality: The run's `labels.quality`, for "trl"; by default, the defaults.
        style: For "trl": the chats alone, or the plain prompts alone; see `preferences`.
        keep_all: For "trl": also labels of excluded labelers, and labels held back.
        force: Overwrite `out`.

    Raises:
        MissingError: There is no such ledger.
        InputError: It is no ledger, holds nothing to export, or chats and plain prompts though no
            style is given; `out` exists; or the full record is to be only a part.
        ResourceError: The disk refuses.
    """
    ledger = SqlLedger.open_to_read(ledger_place)
    try:
        if form == "andon":
            if style is not None or keep_all:
                raise InputError("--style and --all are of --format trl: the full record has all")
            lines = record_lines(ledger)
        else:
            lines = preference_lines(
                ledger, quality or QualityConfig(), style=style, keep_all=keep_all
            )
        return write_lines(out, lines, force=force)
    finally:
        ledger.close()
