"""Ranks that do something together, of which one cannot: all learn whose fault it is."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from learners.agreed_checkpoints import AgreedCheckpoints
from learners.agreement import MOST_TOLD_BYTES, as_rank_0_sees, on_all
from learners.engine import Engine
from protocol.errors import BundleCorrupt, MissingError
from protocol.folders import FoldersHere
from tests.support import learner_inputs as inputs
from tests.support.positions import make_position
from tests.support.threaded_ranks import WORLD_SIZE, ThreadedEngine, ThreadedRanks, told

CONFIG = inputs.engine_config(WORLD_SIZE, 0)


def engine() -> Engine:
    made: Engine = ThreadedEngine(nn.Linear(2, 2), CONFIG)  # type: ignore[assignment]
    return made


def raising(error: Exception) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


def test_each_rank_gets_its_own_answer() -> None:
    assert ThreadedRanks().each(lambda rank: on_all(engine(), lambda: rank * 10)) == [0, 10]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (BundleCorrupt("the file is torn"), "BundleCorrupt"),
        (OSError(errno.ENOSPC, "the file is torn"), "DiskFull"),
        (OSError(errno.EIO, "the file is torn"), "ResourceError"),
    ],
)
def test_what_one_rank_raises_the_other_raises_with_its_name(error: Exception, kind: str) -> None:
    def act(rank: int) -> None:
        on_all(engine(), raising(error) if rank == 1 else lambda: None)

    first, second = ThreadedRanks().each(act)
    assert second is error
    assert type(first).__name__ == kind
    assert str(first) == f"rank 1 of 2: {error}"


def test_where_both_fail_each_raises_its_own() -> None:
    own = (MissingError("no folder"), BundleCorrupt("torn"))
    assert ThreadedRanks().each(lambda rank: on_all(engine(), raising(own[rank]))) == list(own)


def test_a_long_error_is_told_in_part() -> None:
    def act(rank: int) -> None:
        on_all(engine(), raising(MissingError("é" * MOST_TOLD_BYTES)) if rank else lambda: None)

    first, _ = ThreadedRanks().each(act)
    assert str(first).startswith("rank 1 of 2: éé")


def test_all_do_as_rank_0_sees() -> None:
    ranks = ThreadedRanks()
    found = ranks.each(lambda rank: as_rank_0_sees(engine(), lambda: rank == 0))
    assert found == [True, True]
    found = ranks.each(lambda rank: as_rank_0_sees(engine(), lambda: rank == 1))
    assert found == [False, False]


class Disk(FoldersHere):
    full_for = ""

    def put(self, folder: Path, file: str) -> None:
        if file == self.full_for:
            raise OSError(errno.ENOSPC, "No space left on device", file)
        super().put(folder, file)

    def amend(self, folder: Path, file: str, content: bytes) -> None:
        if file == self.full_for:
            raise OSError(errno.ENOSPC, "No space left on device", file)
        super().amend(folder, file, content)


@pytest.mark.parametrize("file", ["manifest.json", "rank-0001.safetensors"])
def test_a_checkpoint_that_one_rank_cannot_write_is_none_and_is_written_later(
    tmp_path: Path, file: str
) -> None:
    disk, ranks = Disk(), ThreadedRanks()
    where = make_position(3, reward_version=1, learned_through=9)

    def checkpoints(rank: int) -> AgreedCheckpoints:
        with torch.random.fork_rng():
            return AgreedCheckpoints(tmp_path, CONFIG, engine(), disk)

    own = ranks.each(checkpoints)

    def keep(rank: int) -> None:
        mine = own[rank]
        assert isinstance(mine, AgreedCheckpoints)
        mine.keep(where)

    disk.full_for = file
    assert all(words.startswith("DiskFull: ") and file in words for words in told(ranks.each(keep)))
    assert list(tmp_path.iterdir()) == []
    disk.full_for = ""
    assert told(ranks.each(keep)) == ["", ""]
    assert [path.name for path in tmp_path.iterdir()] == ["v000003"]
    # To note that a cut names it is rank 0's alone.
    disk.full_for = "manifest.json"
    assert all(words.startswith("DiskFull: ") for words in told(ranks.each(keep)))
    disk.full_for = ""
    assert told(ranks.each(keep)) == ["", ""]
