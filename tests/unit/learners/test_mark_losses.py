"""Marks of labels: which tokens they are of, what is lost on them, and a head that learns them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from learners.mark_losses import NUM_SUMS, MarkedTokens, MarkLosses
from learners.reward_fit import RewardTrainer
from learners.reward_state import digest_of
from protocol.errors import InputError
from reward_service.bundle import load_bundle
from reward_service.config import RewardModelConfig
from tests.support import learner_inputs as inputs
from tests.support.marked_labels import (
    FIT,
    MARKS,
    WITH_MARKS,
    PlainMarks,
    comparison,
    marking_request,
    tokens_of,
)
from tests.support.metric_proofs import proves
from tests.support.plain_engine import PlainEngine
from tests.support.present import present


@pytest.fixture
def marked(model_folder: Path) -> MarkedTokens:
    return MarkedTokens(model_folder, MARKS)


def test_a_token_is_marked_where_a_mark_touches_what_it_shows(marked: MarkedTokens) -> None:
    #                                  0123456789012345678
    two = comparison("was so lovely .", "was rude and cold .", marks=[(0, 6, 13, "good")])
    assert marked.signs(two) == [[0.0, 0.0, 1.0, 0.0], []], "the space before it is in the mark"
    both = replace(two, marks=((0, 9, 10, "good"), (1, 4, 17, "bad"), (1, 9, 12, "good")))
    assert marked.signs(both) == [[0.0, 0.0, 1.0, 0.0], [0.0, -1.0, 1.0, -1.0, 0.0]]


@pytest.mark.parametrize("span", [(3, 3), (3, 16), (-1, 2), (5, 4)])
def test_a_mark_outside_its_response_is_refused_by_label_and_with_a_mend(
    marked: MarkedTokens, span: tuple[int, int]
) -> None:
    wrong = comparison("was so lovely .", "was rude .", marks=[(0, *span, "bad")], seq=7)
    with pytest.raises(
        InputError, match=r"seq 7 marks characters .* of which 15 are shown: retract"
    ):
        marked.signs(wrong)


def test_a_mark_on_nothing_but_blanks_is_none(marked: MarkedTokens) -> None:
    blank = comparison("was so lovely .", "was rude .", marks=[(0, 3, 4, "bad")])
    assert marked.signs(blank) == [[], []]
    losses = MarkLosses(marked, [blank], {})
    lost, sums = losses.of([0], torch.ones(1), torch.full((2, 12), 0.5))
    assert (lost.tolist(), sums.tolist()) == ([0.0], [0.0] * NUM_SUMS)


def test_the_loss_is_the_weighted_mean_of_squares_by_hand(marked: MarkedTokens) -> None:
    plain = comparison("was so", "was rude")
    good = comparison("was lovely", "was rude", marks=[(0, 4, 10, "good"), (1, 4, 8, "bad")])
    losses = MarkLosses(marked, [plain, good], {"ann": 0.8})
    # Prompt of two, then the responses: columns 2 and 3.
    values = torch.zeros(4, 4)
    values[2, 2:] = torch.tensor([0.2, 0.5])
    values[3, 2:] = torch.tensor([-0.4, 0.1])
    found, sums = losses.of([0, 1], torch.ones(2), values)
    # Weights ¼, 1, ¼, 1 of 2.5: (0.25·0.04 + 1·0.25 + 0.25·0.16 + 1·1.21) / 2.5 = 0.604.
    assert found.tolist() == pytest.approx([0.0, 0.5 * 0.8 * 0.604])
    # The loss without its weight; one comparison with marks; of two marked tokens one is right.
    assert sums.tolist() == pytest.approx([0.8 * 0.604, 1.0, 1.0, 2.0])


def test_what_only_fills_a_batch_up_counts_nowhere(marked: MarkedTokens) -> None:
    good = comparison("was lovely", "was rude", marks=[(0, 4, 10, "good")])
    losses = MarkLosses(marked, [good], {})
    values = torch.full((4, 4), 0.5)
    one, sums = losses.of([0], torch.ones(1), values[:2])
    filled, same = losses.of([0, 0], torch.tensor([1.0, 0.0]), values)
    assert filled.tolist() == [float(one[0]), 0.0]
    assert same.tolist() == sums.tolist()


# --- the trainer ---------------------------------------------------------------------------------


def make(
    model_folder: Path,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    model: RewardModelConfig = WITH_MARKS,
    *,
    keeps_state: bool = False,
    **fit: Any,
) -> RewardTrainer:
    monkeypatch.setattr("learners.reward_fit.Engine", PlainEngine)
    return RewardTrainer(
        policy_path=model_folder,
        model=model,
        fit=FIT.model_copy(update=fit),
        deepspeed=inputs.engine_config(1, 0),
        root=root / "reward",
        reference_sequences=inputs.reference_sequences(),
        clock=lambda: 0.0,
        keeps_state=keeps_state,
    )


def test_a_fit_with_marks_is_plain_torch_s(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = present(make(model_folder, tmp_path, monkeypatch).fit(marking_request()))
    plain = PlainMarks(model_folder)
    loss = plain.refit(marking_request())
    assert version.metrics["reward_model/mark_loss"] == pytest.approx(loss)
    model = load_bundle(Path(version.path)).model
    assert model.mark_head is not None
    assert model.mark_head.weight.any()
    found = model.state_dict()
    for name, tensor in plain.tensors().items():
        torch.testing.assert_close(found[name], tensor, atol=5e-5, rtol=1e-4, msg=name)


@proves("reward_model/mark_loss", "reward_model/mark_accuracy")
def test_loss_and_accuracy_of_marks_are_of_what_the_fit_had_not_learned(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make(model_folder, tmp_path, monkeypatch, lr=3e-3, batch_size=4)
    first = present(trainer.fit(marking_request(2)))
    # One of the two has marks, two of the eight tokens of its responses. Before the first step all
    # values are 0: each marked token loses 1, the others, of weight ¼, nothing, and ann counts 0.9.
    expected = 0.9 * (1 + 1) / (2 + 0.25 * 6)
    assert first.metrics["reward_model/mark_loss"] == pytest.approx(expected)
    assert first.metrics["reward_model/mark_accuracy"] == 0.0
    later = present(trainer.fit(replace(marking_request(40), kind="refit")))
    assert later.metrics["reward_model/mark_accuracy"] > 0.6


def test_it_learns_which_words_are_good_and_which_bad_and_holds_it_on_new_responses(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make(model_folder, tmp_path, monkeypatch, lr=3e-3, batch_size=4)
    model = load_bundle(Path(present(trainer.fit(marking_request(96))).path)).model
    ids = torch.tensor([tokens_of("the soup felt lovely and rude .")])
    with torch.no_grad():
        _, values = model(ids, torch.ones_like(ids), with_marks=True)
    assert float(values[0, 3]) > 0.3, "lovely"
    assert float(values[0, 5]) < -0.3, "rude"


def test_without_the_section_marks_change_nothing_bit_for_bit(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = RewardModelConfig(num_heads=2)
    request = marking_request()
    bare = replace(
        request, comparisons=tuple(replace(each, marks=()) for each in request.comparisons)
    )
    versions = [
        present(make(model_folder, tmp_path / name, monkeypatch, plain).fit(each))
        for name, each in (("marks", request), ("bare", bare))
    ]
    assert versions[0].sha256 == versions[1].sha256
    assert versions[0].metrics == versions[1].metrics
    manifest = (Path(versions[1].path) / "manifest.json").read_text()
    assert '"marks"' not in manifest


def test_a_request_without_marks_is_known_by_the_digest_it_always_had() -> None:
    # Worked out by the code from before there were marks.
    assert digest_of(inputs.fit_request(count=2)) == (
        "937d217c2a88732db0fe305a20a1b986ea5df6f669b29db22c433dd69bb9bdc2"
    )
    assert digest_of(marking_request()) != digest_of(marking_request(5))


def test_a_trainer_goes_on_from_a_version_with_marks_bit_for_bit(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warm = replace(marking_request(9), kind="warm", ledger_seq=99)
    through = make(model_folder, tmp_path / "through", monkeypatch)
    through.fit(marking_request())
    expected = present(through.fit(warm))
    kept = make(model_folder, tmp_path / "kept", monkeypatch, keeps_state=True)
    first = present(kept.fit(marking_request()))
    again = RewardTrainer(
        policy_path=model_folder,
        model=WITH_MARKS,
        fit=FIT,
        deepspeed=inputs.engine_config(1, 0),
        root=tmp_path / "kept" / "reward",
        reference_sequences=inputs.reference_sequences(),
        clock=lambda: 0.0,
        resume_from=Path(first.path),
    )
    assert present(again.fit(warm)).sha256 == expected.sha256
