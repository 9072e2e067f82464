"""Sets of sequence numbers as ranges."""

from __future__ import annotations

from protocol.seq_ranges import as_ranges, numbers_in


def test_neighbours_share_a_range() -> None:
    assert as_ranges([1, 2, 3, 5, 8, 9]) == ((1, 3), (5, 5), (8, 9))
    assert as_ranges([]) == ()


def test_order_and_repetition_do_not_count() -> None:
    assert as_ranges([5, 3, 4, 3]) == ((3, 5),)


def test_ranges_hold_both_their_ends() -> None:
    assert list(numbers_in(((1, 3), (5, 5)))) == [1, 2, 3, 5]
