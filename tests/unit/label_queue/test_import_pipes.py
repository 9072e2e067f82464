"""What comes through a pipe is there once: an import takes all of it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from label_queue.exchange.imports import import_file
from label_queue.labeling.guidelines import read_guidelines
from label_queue.quality.gold_tasks import read_gold
from protocol.errors import InputError
from tests.unit.label_queue.exchanged import RUN, everything, ours
from tests.unit.label_queue.test_import_preferences import PLAIN, Words


@contextmanager
def piped(lines: Sequence[object]) -> Iterator[Path]:
    """Yield the path of a pipe that gives these lines and then ends, as a shell's `<(…)` has it."""
    reading, writing = os.pipe()
    try:
        os.write(writing, "".join(json.dumps(line) + "\n" for line in lines).encode())
        os.close(writing)
        yield Path(f"/dev/fd/{reading}")
    finally:
        os.close(reading)


def test_preferences_from_a_pipe_are_all_taken(tmp_path: Path) -> None:
    with piped([PLAIN] * 3) as path:
        imported = import_file(
            path, tmp_path / "copy.sqlite", run_id=RUN, tokenizer=Words(), at_time=7.0
        )
    assert imported.num_events == 3


def test_more_than_a_read_holds_is_taken_too(tmp_path: Path) -> None:
    line = {**PLAIN, "prompt": "the soup " * 300}
    with piped([line] * 20) as path:
        imported = import_file(
            path, tmp_path / "copy.sqlite", run_id=RUN, tokenizer=Words(), at_time=7.0
        )
    assert imported.num_events == 20


def test_a_full_record_from_a_pipe_is_taken(tmp_path: Path) -> None:
    with piped(ours(everything())) as path:
        imported = import_file(path, tmp_path / "copy.sqlite", at_time=7.0)
    assert (imported.num_queries, imported.num_events) == (3, 8)


def test_a_pipe_that_holds_nothing_is_said_to_be_empty(tmp_path: Path) -> None:
    with piped([]) as path, pytest.raises(InputError, match="is empty"):
        import_file(path, tmp_path / "copy.sqlite", run_id=RUN, tokenizer=Words(), at_time=7.0)


def test_what_a_run_reads_again_is_no_pipe() -> None:
    gold = {"prompt": "2 + 2 =", "candidates": ["4", "5"], "answer": 0}
    with piped([gold]) as path:
        with pytest.raises(InputError, match=r"gold tasks: .* write it to a file"):
            read_gold(path, 2)
        with pytest.raises(InputError, match=r"labels\.guidelines: .* write it to a file"):
            read_guidelines(path)
