"""From a file to a new ledger. The command line's `andon import` is this and no more."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from label_queue.exchange.line_file import MEND, NumberedLine, read_lines
from label_queue.exchange.preference_import import WrittenEnds, read_preferences
from label_queue.exchange.record_lines import is_header, read_records
from label_queue.ledger.opening import is_there
from label_queue.ledger.records import Record
from label_queue.ledger.sql import SqlLedger
from label_queue.ledger_place import LedgerPlace
from protocol.errors import InputError
from protocol.files import writing
from protocol.labels import ComparisonQuery, LabelEvent
from protocol.model_folder import ModelFolder
from protocol.tokenizing import PolicyTokenizer, Tokenizer


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What an import wrote."""

    run_id: str
    num_queries: int
    num_events: int
    num_endless: int = 0
    """Responses of preferences that nothing ends, though the run's responses have an end."""


def import_file(
    path: Path,
    ledger_place: LedgerPlace,
    *,
    at_time: float,
    run_id: str | None = None,
    tokenizer: Tokenizer | None = None,
    ends: WrittenEnds | None = None,
    model: ModelFolder | None = None,
) -> Imported:
    """Make a new ledger of a file of our own form, or of TRL's preferences.

    Every line is checked first. A file is made beside its place and moved there once it is
    complete, and on a server all is written in one transaction: after an error there is nothing.

    Args:
        path: The file, which may be a pipe; its first line tells which form it has.
        ledger_place: The ledger to make.
        at_time: Unix seconds, noted as when preferences came.
        run_id: Of the new ledger. Our own form names its run: leave it out there, or repeat it.
        tokenizer: The policy's, as Hugging Face's library has it; needed for preferences, see
            `preference_import`. Of our own form it proves that marks lie on what people saw.
        ends: Where preferences' responses end; None: turns of a chat with the tokenizer's end
            token, plain texts where they end.
        model: The policy, which must be able to read all that trains; None: that is not checked.

    Raises:
        InputError: Anything in the file is wrong (line and field are named), the ledger exists, or
            what preferences need is not given.
        MissingError: There is no such file.
        ResourceError: The disk or the server refuses.
    """
    if _is_taken(ledger_place):
        raise InputError(f"{ledger_place}: is there already; import into a new ledger")
    first, lines = _opened(path)
    reader = None if tokenizer is None else PolicyTokenizer(tokenizer)
    if first is not None and is_header(first):
        written_by, records = read_records(path, lines, reader, model)
        if run_id not in (None, written_by):
            raise InputError(
                f"{path}: run_id: the file is of run {written_by!r}, not {run_id!r}: a full record "
                "goes on in a folder of its run's name"
            )
        run_id, ends = written_by, None
    else:
        if reader is None:
            raise InputError(
                f"{path}: is not of our own form; texts alone need the policy's tokenizer: give "
                "the model's folder"
            )
        if not run_id:
            raise InputError(f"{path}: preferences name no run: give the new run's name")
        if ends is None:
            end_id = reader.eos_token_id
            ends = WrittenEnds.unknown(frozenset() if end_id is None else frozenset({end_id}))
        records = read_preferences(
            path, lines, reader, ends, run_id=run_id, at_time=at_time, model=model
        )
    if isinstance(ledger_place, Path):
        _write_file(ledger_place, run_id, records)
    else:
        _write(ledger_place, run_id, records)
    return Imported(
        run_id=run_id,
        num_queries=sum(isinstance(record, ComparisonQuery) for record in records),
        num_events=sum(isinstance(record, LabelEvent) for record in records),
        num_endless=0 if ends is None else _num_endless(records, ends),
    )


def _opened(path: Path) -> tuple[dict[str, Any] | None, Iterator[NumberedLine]]:
    """Return what a file's first line says, None where there is none, and all lines with it."""
    lines = read_lines(path)
    first = next(lines, None)
    if first is None:
        return None, lines
    return first[1], chain((first,), lines)


def _num_endless(records: list[Record], ends: WrittenEnds) -> int:
    return sum(
        not ends.of(is_chat=bool(query.prompt_messages)).find(candidate.token_ids).is_complete
        for query in records
        if isinstance(query, ComparisonQuery)
        for candidate in query.candidates
    )


def _is_taken(place: LedgerPlace) -> bool:
    """Whether there is a ledger: of files any, on a server one that holds something."""
    if isinstance(place, Path):
        with writing(place, MEND):
            return place.exists()
    if not is_there(place, MEND):
        return False
    ledger = SqlLedger.open_to_read(place)
    try:
        return not ledger.is_empty()
    finally:
        ledger.close()


def _write(place: LedgerPlace, run_id: str, records: list[Record]) -> None:
    ledger = SqlLedger.open(place, run_id)
    try:
        ledger.write(records)
    finally:
        ledger.close()


def _write_file(ledger_path: Path, run_id: str, records: list[Record]) -> None:
    partial = ledger_path.with_name(f".{ledger_path.name}.{os.getpid()}.importing")
    with writing(ledger_path, MEND):
        _remove(partial)
    try:
        _write(partial, run_id, records)
        with writing(ledger_path, MEND):
            _put(partial, ledger_path)
    finally:
        with suppress(OSError):  # what could not be written may not be removed either
            _remove(partial)


def _put(partial: Path, ledger_path: Path) -> None:
    """Give a ledger its name, unless another has come by it since that was looked at."""
    try:
        os.link(partial, ledger_path)
    except FileExistsError as error:
        raise InputError(f"{ledger_path}: is there already; import into a new ledger") from error
    except OSError:  # a file system without links
        partial.rename(ledger_path)


def _remove(partial: Path) -> None:
    """Take away what an import leaves beside the ledger, whole or not."""
    for ending in ("", "-wal", "-shm", ".lock"):
        partial.with_name(partial.name + ending).unlink(missing_ok=True)
