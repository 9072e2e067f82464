from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import InputError, NotFinite
from reward_service.batching import check_sequences, pad_right, raw_scores, score_sequences
from reward_service.buckets import PASS_TOKENS, BatchLimits, buckets
from reward_service.config import MarksConfig, RewardModelConfig
from reward_service.reward_model import RewardModel
from tests.support.architectures import save_architecture
from tests.support.reward import make_reward_model


def test_buckets_sort_by_length_and_count_padding() -> None:
    # Lengths 2, 3 | 5 | 9: 2 × 3 = 6 fits in 8 tokens, 3 × 5 = 15 does not, 9 goes alone.
    assert buckets([5, 2, 9, 3], BatchLimits(max_tokens=8, max_sequences=4)) == [[1, 3], [0], [2]]


def test_buckets_hold_at_most_so_many_sequences() -> None:
    assert buckets([1] * 5, BatchLimits(max_tokens=100, max_sequences=2)) == [[0], [1, 2], [3, 4]]


def test_sequences_of_like_lengths_go_together_where_padding_costs_more_than_a_pass() -> None:
    limits = BatchLimits(max_tokens=10_000, max_sequences=64)
    assert buckets([20, 21, 20, 22], limits) == [[0, 2, 1, 3]]
    assert buckets([20, 400, 21, 410], limits) == [[0, 2], [1, 3]]


@given(
    lengths=st.lists(st.integers(1, 600), max_size=9),
    max_tokens=st.integers(1, 2_000),
    max_sequences=st.integers(1, 9),
)
def test_no_split_by_length_costs_less(
    lengths: list[int], max_tokens: int, max_sequences: int
) -> None:
    limits = BatchLimits(max_tokens=max_tokens, max_sequences=max_sequences)
    found = buckets(lengths, limits)
    assert sorted(itertools.chain(*found)) == list(range(len(lengths)))
    rising = [lengths[index] for index in itertools.chain(*found)]
    assert rising == sorted(lengths)

    def cost(split: Sequence[Sequence[int]]) -> float:
        fits = all(
            len(one) <= max_sequences and (len(one) == 1 or len(one) * max(one) <= max_tokens)
            for one in split
        )
        return sum(len(one) * max(one) + PASS_TOKENS for one in split) if fits else math.inf

    def splits() -> Iterator[list[list[int]]]:
        for cuts in itertools.product([False, True], repeat=max(0, len(rising) - 1)):
            ends = [place for place, cut in enumerate(cuts, start=1) if cut]
            yield [
                rising[start:end]
                for start, end in itertools.pairwise([0, *ends, len(rising)])
                if end > start
            ]

    chosen = [[lengths[index] for index in one] for one in found]
    assert cost(chosen) == min(map(cost, splits()))


def test_no_sequences_make_no_buckets() -> None:
    assert buckets([], BatchLimits(max_tokens=8, max_sequences=4)) == []


def test_padding_goes_to_the_right() -> None:
    input_ids, attention_mask = pad_right([(5, 6, 7), (8,)])
    assert input_ids.tolist() == [[5, 6, 7], [8, 0, 0]]
    assert attention_mask.tolist() == [[1, 1, 1], [1, 0, 0]]


@pytest.mark.parametrize(
    ("bad", "named"),
    [((), "empty"), ((4,) * 65, "65 tokens"), ((99,), "id outside 0"), ((-1,), "id outside 0")],
)
def test_sequences_that_cannot_be_scored_are_named(
    reference: Path, bad: tuple[int, ...], named: str
) -> None:
    with pytest.raises(InputError, match=f"sequence 1 of the request.*{named}"):
        check_sequences(make_reward_model(reference), [(4,), bad])


def test_a_score_holds_the_value_its_heads_and_the_version(
    reference: Path, limits: BatchLimits
) -> None:
    model = make_reward_model(reference, num_heads=2)
    model.set_normalisation(torch.tensor([2.0, 4.0]), torch.tensor([1.0, -1.0]))
    sequences = [(5, 6, 7), (8,)]
    raw = raw_scores(model, sequences, limits)
    for score, (first, second) in zip(
        score_sequences(model, sequences, 7, limits), raw.tolist(), strict=True
    ):
        assert score.heads == pytest.approx((2 * first + 1, 4 * second - 1), rel=1e-5)
        assert score.value == pytest.approx(sum(score.heads) / 2, rel=1e-5)
        assert score.reward_version == 7


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_a_score_that_is_no_number_is_an_error(
    reference: Path, limits: BatchLimits, broken: float
) -> None:
    model = make_reward_model(reference)
    model.set_normalisation(torch.tensor([1.0]), torch.tensor([broken]))
    with pytest.raises(NotFinite, match="reward version 7 scores sequence 0"):
        score_sequences(model, [(5, 6)], 7, limits)


def marking_model(reference: Path) -> RewardModel:
    config = RewardModelConfig(marks=MarksConfig())
    model = RewardModel.from_reference(reference, config, torch.Generator().manual_seed(1))
    assert model.mark_head is not None
    torch.nn.init.normal_(model.mark_head.weight, generator=torch.Generator().manual_seed(2))
    return model.eval()


def test_a_mark_head_says_something_of_each_token_and_leaves_the_scores_as_they_are(
    reference: Path, limits: BatchLimits
) -> None:
    model = marking_model(reference)
    assert model.mark_head is not None
    sequences = [(5, 6, 7, 8), (9,), (10, 11), (12, 13, 14)]
    found = score_sequences(model, sequences, 7, limits)
    assert [len(each.mark_values) for each in found] == [4, 1, 2, 3]
    with torch.no_grad():
        for sequence, score in zip(sequences, found, strict=True):
            hidden = model.backbone(input_ids=torch.tensor([sequence])).last_hidden_state[0]
            expected = torch.tanh(hidden @ model.mark_head.weight[0]).tolist()
            assert score.mark_values == pytest.approx(expected, abs=1e-5)
    assert any(abs(value) > 0.1 for score in found for value in score.mark_values)
    bare = RewardModel.from_reference(
        reference, RewardModelConfig(), torch.Generator().manual_seed(1)
    )
    without = score_sequences(bare.eval(), sequences, 7, limits)
    assert [replace(each, mark_values=()) for each in found] == without


def test_a_mark_value_that_is_nan_never_leaves_the_service(
    reference: Path, limits: BatchLimits
) -> None:
    model = marking_model(reference)
    assert model.mark_head is not None
    with torch.no_grad():
        model.mark_head.bias.fill_(torch.nan)
    with pytest.raises(NotFinite, match="reward version 7"):
        score_sequences(model, [(5, 6)], 7, limits)


def test_no_score_hangs_on_how_long_another_text_is(tmp_path: Path) -> None:
    """Phi-3's long contexts scale the positions of a whole batch by its longest text."""
    model = make_reward_model(save_architecture("phi3, two scales", tmp_path)).eval()
    limits = BatchLimits(max_tokens=8192, max_sequences=8)
    short, longest = list(range(4, 14)), [*range(4, 28)]
    alone = raw_scores(model, [short], limits)
    torch.testing.assert_close(raw_scores(model, [short, longest], limits)[:1], alone)
    with pytest.raises(InputError, match=r"sequence 1 .* 25 tokens, over .* context of 24"):
        raw_scores(model, [short, [*longest, 5]], limits)


def test_a_stretched_model_scores_what_its_engine_writes(tmp_path: Path) -> None:
    model = make_reward_model(save_architecture("llama, stretched", tmp_path)).eval()
    limits = BatchLimits(max_tokens=8192, max_sequences=8)
    assert bool(raw_scores(model, [[5] * 128], limits).isfinite().all())
    with pytest.raises(InputError, match=r"129 tokens, over .* context of 128"):
        raw_scores(model, [[5] * 129], limits)
