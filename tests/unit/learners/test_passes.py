"""How a batch is cut into passes: by rows, by tokens, and alike on every rank."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from learners.config import DeepSpeedConfig
from learners.passes import cut_into_passes, pass_limits
from learners.side_by_side import SideBySide

LENGTHS = torch.tensor([3, 40, 5, 4, 39, 3, 9, 8, 4, 3, 5, 2])


class Rank:
    """What of an engine the cut asks for."""

    passes = SideBySide(1)

    def __init__(self, rank: int, world_size: int) -> None:
        self.rank, self.world_size = rank, world_size

    def share(self, indices: torch.Tensor) -> torch.Tensor:
        return indices[self.rank :: self.world_size]


def as_engine(rank: int, world_size: int) -> Any:
    return Rank(rank, world_size)


def cut(rank: Any, **limits: int) -> list[list[int]]:
    _, passes = cut_into_passes(rank, LENGTHS, pass_limits(DeepSpeedConfig(**limits)))
    return [rows.tolist() for rows in passes]


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_no_pass_holds_more_tokens_and_ranks_have_as_many(world_size: int) -> None:
    by_rank = [cut(Rank(rank, world_size), micro_batch_tokens=40) for rank in range(world_size)]
    assert sorted(row for passes in by_rank for rows in passes for row in rows) == [*range(12)]
    assert len({tuple(map(len, passes)) for passes in by_rank}) == 1
    held = [len(rows) * int(LENGTHS[rows].max()) for passes in by_rank for rows in passes]
    assert max(held) <= 40
    assert max(len(rows) for rows in by_rank[0]) > 1


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_results_come_together_in_the_order_that_is_told(world_size: int) -> None:
    limits = pass_limits(DeepSpeedConfig(micro_batch_tokens=40))
    cuts = [cut_into_passes(as_engine(r, world_size), LENGTHS, limits) for r in range(world_size)]
    (order, _), *_ = cuts
    gathered = torch.stack([torch.cat(passes) for _, passes in cuts], dim=1).flatten(0, 1)
    assert gathered.equal(order)
    assert sorted(order.tolist()) == [*range(12)]


def test_the_pass_with_most_tokens_comes_first() -> None:
    held = [len(rows) * int(LENGTHS[rows].max()) for rows in cut(Rank(0, 1), micro_batch_size=5)]
    assert len(held) > 2
    assert held == sorted(held, reverse=True)


def test_rows_bound_a_pass_as_well() -> None:
    assert max(map(len, cut(Rank(0, 1), micro_batch_tokens=40, micro_batch_size=2))) == 2


def test_without_a_bound_a_pass_holds_what_its_rows_have() -> None:
    assert cut(Rank(0, 1), micro_batch_size=3) == cut(
        Rank(0, 1), micro_batch_size=3, micro_batch_tokens=10_000
    )


def test_a_sequence_longer_than_all_of_a_pass_still_has_its_own() -> None:
    passes = cut(Rank(0, 1), micro_batch_tokens=10)
    assert [1] in passes
    assert [4] in passes
