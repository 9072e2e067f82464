"""What a kill leaves of wandb's log, at whatever byte; and which rows another sink still lacks."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import pytest
from wandb.proto.wandb_internal_pb2 import HistoryItem, HistoryRecord, Record, RunRecord

from cluster.metrics.missing_rows import rows_after, rows_beyond
from cluster.metrics.wandb_logs import (
    BLOCK_BYTES,
    CHUNK_HEAD,
    FIRST,
    FULL,
    HEAD_BYTES,
    LAST,
    newest_row,
    read_records,
)
from protocol.errors import InputError
from tests.support.wandb_file import read_history

MIDDLE = 3


def row(step: int) -> dict[str, float]:
    return {"policy/step": step, "time/wall_s": step / 4, "policy/loss": 1 / (step + 1)}


def log_of(records: list[Record]) -> tuple[bytes, list[int]]:
    """Return a log as wandb writes it, by LevelDB's rules, and where its records end."""
    content, ends = b":W&B\xe1\xbe\x00", []
    for record in records:
        left, is_first = record.SerializeToString(), True
        while left or is_first:
            room = BLOCK_BYTES - len(content) % BLOCK_BYTES
            if room < CHUNK_HEAD.size:
                content += bytes(room)
                room = BLOCK_BYTES
            part, left = left[: room - CHUNK_HEAD.size], left[room - CHUNK_HEAD.size :]
            kind = (LAST if not left else MIDDLE) if not is_first else FIRST if left else FULL
            checked = bytes([kind]) + part
            content += CHUNK_HEAD.pack(zlib.crc32(checked), len(part), kind) + part
            is_first = False
        ends.append(len(content))
    return content, ends


def history(given: dict[str, float]) -> Record:
    items = [HistoryItem(nested_key=[name], value_json=json.dumps(v)) for name, v in given.items()]
    items.append(HistoryItem(key="_step", value_json="7"))
    return Record(history=HistoryRecord(item=items))


def run(began_at: int) -> Record:
    record = Record(run=RunRecord(run_id="demo-1"))
    record.run.start_time.FromSeconds(began_at)
    return record


def put(folder: Path, began_at: int, content: bytes) -> Path:
    path = folder / f"offline-run-{began_at}-demo-1" / "run-demo-1.wandb"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return path


def test_a_log_cut_at_any_byte_is_made_whole_and_says_its_last_row(tmp_path: Path) -> None:
    content, ends = log_of([run(1), *(history(row(step)) for step in range(6))])
    for cut in range(len(content) + 1):
        path = put(tmp_path / str(cut), 1, content[:cut])
        num_whole = sum(end <= cut for end in ends)
        newest = newest_row(tmp_path / str(cut))
        assert newest == (row(num_whole - 2) if num_whole > 1 else None)
        if num_whole == 0:
            assert not path.exists()  # `wandb sync` would stop at it, and send nothing at all
        else:
            assert path.read_bytes() == content[: ends[num_whole - 1]]
            assert read_history(path) == [row(step) for step in range(num_whole - 1)]


def test_records_over_several_blocks_are_read(tmp_path: Path) -> None:
    wide = {f"policy/{number}": float(number) for number in range(5_000)}
    records = [run(1), history(row(0)), history(wide), history(row(1))]
    content, ends = log_of(records)
    assert len(content) > 3 * BLOCK_BYTES
    path = put(tmp_path, 1, content)
    with path.open("rb") as file:
        found = list(read_records(file))
    assert [end for _, end in found] == ends
    assert [Record.FromString(content) for content, _ in found] == records
    for cut in (ends[1] + BLOCK_BYTES, ends[2] - 1):
        path.write_bytes(content[:cut])
        assert newest_row(tmp_path) == row(0)
        assert path.stat().st_size == ends[1]


@pytest.mark.parametrize("room", range(9))
def test_a_block_is_filled_up_where_no_chunk_begins(tmp_path: Path, room: int) -> None:
    def log(width: int) -> tuple[bytes, list[int]]:
        return log_of([run(1), history({"policy/" + "x" * width: 1.0}), history(row(0))])

    most = BLOCK_BYTES - log(0)[1][1]
    content, ends = next(
        found for found in map(log, range(most, 0, -1)) if found[1][1] == BLOCK_BYTES - room
    )
    path = put(tmp_path, 1, content)
    with path.open("rb") as file:
        assert [end for _, end in read_records(file)] == ends
    assert newest_row(tmp_path) == row(0)


def test_what_comes_after_a_damaged_record_is_cut_off(tmp_path: Path) -> None:
    content, ends = log_of([run(1), *(history(row(step)) for step in range(3))])
    damaged = bytearray(content)
    damaged[ends[1] + CHUNK_HEAD.size + 5] ^= 1
    path = put(tmp_path, 1, bytes(damaged))
    assert newest_row(tmp_path) == row(0)
    assert path.stat().st_size == ends[1]


def test_the_newest_row_is_that_of_the_log_begun_last_that_has_one(tmp_path: Path) -> None:
    for began_at, rows in ((30, []), (9, [row(0), row(1)]), (20, [row(2)])):
        put(tmp_path, began_at, log_of([run(began_at), *map(history, rows)])[0])
    put(tmp_path, 40, b":W&B\xe1\xbe\x00")
    assert newest_row(tmp_path) == row(2)
    assert newest_row(tmp_path) == row(2)
    assert newest_row(tmp_path / "none") is None


def test_a_head_alone_is_as_long_as_said() -> None:
    assert len(log_of([])[0]) == HEAD_BYTES


def written(path: Path, rows: list[Any], tail: str = "") -> Path:
    path.write_text("".join(json.dumps(each) + "\n" for each in rows) + tail)
    return path


def test_rows_after_the_newest_known_one(tmp_path: Path) -> None:
    rows = [row(step) for step in range(5)]
    path = written(tmp_path / "metrics.jsonl", rows, tail='{"half')
    for number in range(5):
        assert list(rows_after(path, row(number))) == rows[number + 1 :]
        assert list(rows_beyond(path, number)) == rows[number:]
    assert list(rows_after(path, None)) == rows
    assert list(rows_after(path, row(17))) == rows
    assert list(rows_beyond(path, 9)) == []


def test_there_are_none_where_there_is_no_file(tmp_path: Path) -> None:
    assert list(rows_after(tmp_path / "metrics.jsonl", row(1))) == []
    assert list(rows_beyond(tmp_path / "metrics.jsonl", 0)) == []


def test_a_line_that_is_no_row_is_named(tmp_path: Path) -> None:
    path = written(tmp_path / "metrics.jsonl", [row(0), [1]])
    with pytest.raises(InputError, match=r"metrics\.jsonl, byte \d+: want a JSON object, got list"):
        list(rows_after(path, None))
