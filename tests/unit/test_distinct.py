"""Which responses are alike, and so what a comparison is."""

from __future__ import annotations

import unicodedata
from dataclasses import replace

import pytest

from protocol.distinct import BLANK, are_alike, first_alike, is_comparison, seen
from tests.support.labels import make_candidate
from tests.support.messages import make_rollout


def candidate(text: str, *token_ids: int):  # type: ignore[no-untyped-def]
    return replace(make_candidate("q0-a"), text=text, token_ids=token_ids)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("warm .", " warm ."),
        ("warm .", "warm .\n\n"),
        ("warm .", "\u00a0warm .\u3000"),
        ("caf\u00e9", "cafe\u0301"),
        ("", " \t"),
    ],
)
def test_what_the_eye_cannot_tell_apart_is_alike(one: str, other: str) -> None:
    assert seen(one) == seen(other)
    assert are_alike(candidate(one, 1, 2), candidate(other, 3))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("warm .", "Warm ."),
        ("a b", "a  b"),
        ("a\nb", "a b"),
        ("a", "a\u200b"),  # shown as a mark of its own
        ("soup", "s\u043eup"),
    ],
)
def test_what_differs_on_the_page_is_not(one: str, other: str) -> None:
    assert not are_alike(candidate(one, 1, 2), candidate(other, 3))


def test_no_space_is_forgotten() -> None:
    spaces = {chr(code) for code in range(0x110000) if unicodedata.category(chr(code)) == "Zs"}
    assert set(BLANK) == spaces | {"\t", "\n"}


def test_equal_tokens_are_alike_whatever_they_are_shown_as() -> None:
    assert are_alike(candidate("warm", 1, 2), candidate("cold", 1, 2))
    assert not are_alike(candidate("warm"), candidate("cold"))  # gold from a file has no tokens


def test_of_a_rollout_only_what_is_kept_counts() -> None:
    rollout = make_rollout()
    other = replace(rollout, token_ids=(*rollout.token_ids[: rollout.num_kept], 99), text="other")
    assert are_alike(rollout, other)


def test_a_comparison_is_of_two_or_more_that_are_not_alike() -> None:
    warm, cold, warm_again = candidate("warm", 1), candidate("cold", 2), candidate("warm ", 3)
    assert is_comparison([warm, cold])
    assert not is_comparison([warm])
    assert not is_comparison([])
    assert first_alike([cold, warm, warm_again]) == (1, 2)
    assert not is_comparison([cold, warm, warm_again])
