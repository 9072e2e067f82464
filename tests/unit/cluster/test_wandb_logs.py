"""What a kill leaves of wandb's log, at whatever byte; and which rows another sink still lacks."""

from __future__ import annotations

import json
import shutil
import subprocess
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Any

import psutil
import pytest
from wandb.proto.wandb_internal_pb2 import (
    HistoryItem,
    HistoryRecord,
    HistoryStep,
    Record,
    RunRecord,
)

from cluster.metrics import wandb_logs
from cluster.metrics.missing_rows import Confirmed, rows_after, rows_beyond
from cluster.metrics.wandb_logs import (
    BLOCK_BYTES,
    CHUNK_HEAD,
    HEAD_BYTES,
    kept_id,
    make_whole,
    read_records,
    write_record,
)
from protocol.errors import InputError
from tests.support.wandb_file import read_history
from tests.support.wandb_file import read_records as read_records_of


def row(step: int) -> dict[str, float]:
    return {"policy/step": step, "time/wall_s": step / 4, "policy/loss": 1 / (step + 1)}


def log_of(records: list[Record]) -> tuple[bytes, list[int]]:
    """Return a log as wandb writes it, by LevelDB's rules, and where its records end."""
    file, ends = BytesIO(), []
    file.write(b":W&B\xe1\xbe\x00")
    for record in records:
        write_record(file, record.SerializeToString())
        ends.append(file.tell())
    return file.getvalue(), ends


def history(given: dict[str, float], step: int = 7) -> Record:
    items = [HistoryItem(nested_key=[name], value_json=json.dumps(v)) for name, v in given.items()]
    items.append(HistoryItem(nested_key=["_step"], value_json=str(step)))
    return Record(history=HistoryRecord(item=items, step=HistoryStep(num=step)))


def steps_in(path: Path) -> list[int]:
    """Return the rows' numbers, which stand in a log twice."""
    found = []
    for record in read_records_of(path):
        if record.HasField("history"):
            (written,) = (x for x in record.history.item if x.nested_key == ["_step"])
            assert int(written.value_json) == record.history.step.num
            found.append(record.history.step.num)
    return found


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
        known = make_whole(tmp_path / str(cut))
        assert known == [row(step) for step in range(num_whole - 1)]
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
        assert make_whole(tmp_path) == [row(0)]
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
    assert make_whole(tmp_path)[-1] == row(0)


def test_what_comes_after_a_damaged_record_is_cut_off(tmp_path: Path) -> None:
    content, ends = log_of([run(1), *(history(row(step)) for step in range(3))])
    damaged = bytearray(content)
    damaged[ends[1] + CHUNK_HEAD.size + 5] ^= 1
    path = put(tmp_path, 1, bytes(damaged))
    assert make_whole(tmp_path)[-1] == row(0)
    assert path.stat().st_size == ends[1]


def test_the_last_rows_are_those_of_the_logs_in_the_order_they_were_begun(tmp_path: Path) -> None:
    for began_at, rows in ((30, []), (9, [row(0), row(1)]), (20, [row(2)])):
        put(tmp_path, began_at, log_of([run(began_at), *map(history, rows)])[0])
    put(tmp_path, 40, b":W&B\xe1\xbe\x00")
    for _ in range(2):
        assert make_whole(tmp_path) == [row(0), row(1), row(2)]
    assert make_whole(tmp_path / "none") == []


def test_rows_of_lost_steps_are_left_out_unless_they_were_sent(tmp_path: Path) -> None:
    rows = [row(step) for step in range(6)]
    wide = {f"policy/{number}": float(number) for number in range(3_000)}
    sent = put(tmp_path, 1, log_of([run(1), *map(history, rows[:2])])[0])
    sent.with_name("run-demo-1.wandb.synced").touch()
    given = [*rows[2:4], wide, *rows[4:]]
    numbered = [history(each, number) for number, each in enumerate(given)]
    path = put(tmp_path, 2, log_of([run(2), *numbered])[0])
    assert steps_in(path) == [0, 1, 2, 3, 4]
    assert make_whole(tmp_path, [rows[0], rows[3], rows[5], row(9)]) == [
        *rows[:2],
        rows[2],
        wide,
        rows[4],
    ]
    assert read_history(sent) == rows[:2]
    assert read_history(path) == [rows[2], wide, rows[4]]
    assert steps_in(path) == [0, 1, 2]
    assert sorted(tmp_path.rglob("*.wandb*")) == [
        sent,
        sent.with_name("run-demo-1.wandb.synced"),
        path,
    ]


def test_a_run_keeps_its_id_where_its_folder_is_moved(tmp_path: Path) -> None:
    assert kept_id(tmp_path) is None
    put(tmp_path, 2, log_of([run(2)])[0])
    assert kept_id(tmp_path) == "demo-1"


def test_a_writer_that_is_left_is_ended_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wandb_logs, "WRITER_S", 0.2)
    program = tmp_path / "wandb-core"
    shutil.copy(shutil.which("sleep") or "", program)
    left, another = tmp_path / "a", tmp_path / "b"
    path = put(left, 1, log_of([run(1), history(row(0))])[0])
    with (
        path.open("ab") as ours,
        put(another, 1, b"").open("ab") as theirs,
        subprocess.Popen([program, "60"], stdout=ours) as writer,
        subprocess.Popen([program, "60"], stdout=theirs) as stranger,
    ):
        try:
            assert make_whole(left) == [row(0)]
            assert not psutil.pid_exists(writer.pid)
            assert stranger.poll() is None
        finally:
            writer.kill()
            stranger.kill()


def test_a_head_alone_is_as_long_as_said() -> None:
    assert len(log_of([])[0]) == HEAD_BYTES


def written(path: Path, rows: list[Any], tail: str = "") -> Path:
    path.write_text("".join(json.dumps(each) + "\n" for each in rows) + tail)
    return path


def test_rows_after_the_last_that_is_known(tmp_path: Path) -> None:
    rows = [row(step) for step in range(5)]
    path = written(tmp_path / "metrics.jsonl", rows, tail='{"half')
    for number in range(5):
        assert list(rows_after(path, [row(number), row(17)])) == rows[number + 1 :]
        assert list(rows_after(path, [*rows[: number + 1]])) == rows[number + 1 :]
    assert list(rows_after(path, [])) == rows
    assert list(rows_after(path, [row(17)])) == rows


def test_there_are_none_where_there_is_no_file(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    assert list(rows_after(path, [row(1)])) == []
    assert rows_beyond(path, tmp_path / "lost", Confirmed(), 0) == (Confirmed(), [])


def test_a_line_that_is_no_row_is_named(tmp_path: Path) -> None:
    path = written(tmp_path / "metrics.jsonl", [row(0), [1]])
    with pytest.raises(InputError, match=r"metrics\.jsonl, byte \d+: want a JSON object, got list"):
        list(rows_after(path, []))


@pytest.mark.parametrize("seed", range(20))
def test_a_server_that_counts_has_each_row_that_was_kept_once(tmp_path: Path, seed: int) -> None:
    """Rows are written, some reach the server; then a crash, and some of the last are lost."""
    random = Random(seed)
    path, lost_path = tmp_path / "metrics.jsonl", tmp_path / "lost.jsonl"
    kept: list[Any] = []
    lost: list[Any] = []
    server: list[Any] = []
    confirmed, clock = Confirmed(), 0
    for _ in range(8):
        written(path, kept)
        written(lost_path, lost)
        confirmed, queue = rows_beyond(path, lost_path, confirmed, len(server))
        for _ in range(random.randrange(12)):
            clock += 1
            new = {"time/wall_s": float(clock)}
            kept.append(new)
            queue.append(new)
        server += queue[: random.randrange(len(queue) + 1)]
        since = clock - random.randrange(6)
        gone = [each for each in kept if each["time/wall_s"] > since and random.random() < 0.5]
        lost += gone
        kept = [each for each in kept if each not in gone]
    written(path, kept)
    written(lost_path, lost)
    server += rows_beyond(path, lost_path, confirmed, len(server))[1]
    assert [each for each in server if each in kept] == kept
    assert len({each["time/wall_s"] for each in server}) == len(server)
