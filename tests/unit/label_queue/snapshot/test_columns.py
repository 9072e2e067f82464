"""What the folds hold comes back from a snapshot's columns as it was."""

from __future__ import annotations

import hashlib

import msgspec
import pytest

from label_queue.snapshot.columns import ColumnReader, ColumnWriter
from tests.support.memory_ledger import MemoryLedger


@pytest.mark.parametrize(
    "values",
    [
        [],
        [1, -5, 2**62],
        [True, False],
        [0.5, float("inf")],
        [None, None],
        ["ann", "q0", "nobody's id"],
        [(), (1, "ann"), ("q0", None)],
        [{"ann": {1, 2}}, {}],
        [1, 1.0, True, "1", None],
    ],
)
def test_values_come_back_as_they_were(values: list[object]) -> None:
    column = ColumnWriter().column(values)
    back = ColumnReader(MemoryLedger()).column(
        msgspec.msgpack.decode(msgspec.msgpack.encode(column))
    )
    assert back == values
    assert list(map(type, back)) == list(map(type, values))


def test_what_is_no_state_of_a_fold_is_not_written() -> None:
    with pytest.raises(TypeError, match="no column for"):
        ColumnWriter().column([hashlib.sha256()])
