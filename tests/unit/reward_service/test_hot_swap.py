from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModel

from protocol.errors import (
    BundleCorrupt,
    InputError,
    MemoryShort,
    NotFinite,
    ScoringFailed,
    VersionError,
)
from protocol.fits import RewardVersion
from protocol.messages import Score
from reward_service.batching import score_sequences
from reward_service.buckets import BatchLimits
from reward_service.bundle import write_bundle
from reward_service.config import MarksConfig, RewardModelConfig
from reward_service.hot_swap import LiveModel
from reward_service.reward_model import RewardModel
from tests.support.architectures import save_architecture
from tests.support.reward import make_reward_model, make_reward_version, write_reward_versions

VALIDATION = ((4, 5, 6),)
SEQUENCES = [(5, 6, 7), (8,), (9, 10)]


@pytest.fixture
def versions(reference: Path, tmp_path: Path) -> list[RewardVersion]:
    return write_reward_versions(tmp_path, reference, 3)


@pytest.fixture
def live(versions: list[RewardVersion], limits: BatchLimits) -> LiveModel:
    live = LiveModel(VALIDATION, limits)
    live.swap(versions[0])
    return live


def own_values(reference: Path, version: int, limits: BatchLimits) -> list[float]:
    model = make_reward_model(reference, seed=version)
    return [score.value for score in score_sequences(model, SEQUENCES, version, limits)]


def overflowing_on(reference: Path, token: int) -> RewardModel:
    """Return a model of finite weights that scores every sequence with this token as NaN."""
    model = make_reward_model(reference)
    with torch.no_grad():
        # So large that the variance inside a layer norm overflows.
        model.backbone.get_input_embeddings().weight[token] = 1e30
    return model


def test_there_is_no_score_before_the_first_version(limits: BatchLimits) -> None:
    live = LiveModel(VALIDATION, limits)
    assert live.version is None
    with pytest.raises(ScoringFailed, match="no reward version"):
        live.check(SEQUENCES)
    with pytest.raises(ScoringFailed, match="no reward version"):
        live.score([SEQUENCES])


def test_weights_are_served_in_the_type_that_is_set_and_gain_and_bias_as_they_are(
    versions: list[RewardVersion], reference: Path, limits: BatchLimits
) -> None:
    live = LiveModel(VALIDATION, limits, dtype=torch.bfloat16)
    live.swap(versions[0])
    (answer,) = live.score([SEQUENCES])
    assert not isinstance(answer, NotFinite)
    expected = own_values(reference, versions[0].version, limits)
    assert [score.value for score in answer] == pytest.approx(expected, abs=0.1)
    assert [score.value for score in answer] != expected


def test_positions_are_not_rounded_with_the_weights(tmp_path: Path, limits: BatchLimits) -> None:
    """The trunk in bfloat16 as the library itself loads it, under the same head."""
    folder = save_architecture("qwen3", tmp_path / "model")
    model = make_reward_model(folder)
    live = LiveModel(VALIDATION, limits, dtype=torch.bfloat16)
    live.swap(write_bundle(tmp_path / "reward", model, make_reward_version(1)))
    text = torch.randint(4, 53, (1, 60), generator=torch.Generator().manual_seed(0))
    trunk = AutoModel.from_pretrained(folder, dtype=torch.bfloat16).eval()
    with torch.no_grad():
        hidden = trunk(input_ids=text, use_cache=False).last_hidden_state[:, -1]
        expected = model.heads.to(torch.bfloat16)(hidden).item()
    [[score]] = live.score([[text[0].tolist()]])  # type: ignore[misc]
    assert score.value == expected


def test_a_device_without_room_is_named_and_the_old_version_stays(
    live: LiveModel, versions: list[RewardVersion], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(RewardModel, "to", full)
    with pytest.raises(MemoryShort, match=r"no room on cpu for reward version 2 .*dtype"):
        live.swap(versions[1])
    assert live.version == versions[0]
    monkeypatch.undo()
    live.swap(versions[1])
    assert live.version == versions[1]


def test_requests_share_a_pass_and_are_answered_apart(
    live: LiveModel, reference: Path, limits: BatchLimits
) -> None:
    answers = live.score([SEQUENCES[:1], SEQUENCES[1:]])
    assert [len(answer) for answer in answers if isinstance(answer, list)] == [1, 2]
    values = [s.value for answer in answers if isinstance(answer, list) for s in answer]
    assert values == pytest.approx(own_values(reference, 1, limits), abs=1e-5)


def test_from_a_version_that_was_withdrawn_it_goes_back_and_on_to_the_next(
    live: LiveModel, versions: list[RewardVersion], reference: Path, limits: BatchLimits
) -> None:
    live.swap(versions[1])
    for _ in range(2):
        live.go_back(versions[0])
    assert live.version == versions[0]
    (answer,) = live.score([SEQUENCES])
    assert not isinstance(answer, NotFinite)
    values = [score.value for score in answer]
    assert values == pytest.approx(own_values(reference, 1, limits), abs=1e-5)
    with pytest.raises(BundleCorrupt):
        live.go_back(replace(versions[1], sha256="0" * 64))
    live.swap(versions[2])
    assert live.version == versions[2]


def test_a_swap_changes_scores_and_their_version(
    live: LiveModel, versions: list[RewardVersion], reference: Path, limits: BatchLimits
) -> None:
    live.swap(versions[2])
    live.swap(versions[2])
    assert live.version == versions[2]
    (answer,) = live.score([SEQUENCES])
    assert isinstance(answer, list)
    assert {score.reward_version for score in answer} == {3}
    values = [score.value for score in answer]
    assert values == pytest.approx(own_values(reference, 3, limits), abs=1e-5)


def test_versions_only_rise(live: LiveModel, versions: list[RewardVersion]) -> None:
    live.swap(versions[1])
    with pytest.raises(VersionError, match="only rise"):
        live.swap(versions[0])
    with pytest.raises(VersionError, match="only rise"):
        live.swap(replace(versions[1], sha256="other weights"))
    assert live.version == versions[1]


def test_other_weights_than_announced_are_refused(
    live: LiveModel, versions: list[RewardVersion]
) -> None:
    with pytest.raises(BundleCorrupt, match="announced was 2"):
        live.swap(replace(versions[2], version=2))
    assert live.version == versions[0]


def test_a_version_whose_scores_overflow_is_refused(
    live: LiveModel, versions: list[RewardVersion], reference: Path, tmp_path: Path
) -> None:
    model = overflowing_on(reference, VALIDATION[0][0])
    broken = write_bundle(tmp_path, model, make_reward_version(4))
    with pytest.raises(NotFinite, match="reward version 4"):
        live.swap(broken)
    assert live.version == versions[0]


def test_nan_in_one_request_does_not_fail_another(reference: Path, tmp_path: Path) -> None:
    model = overflowing_on(reference, 11)
    live = LiveModel(VALIDATION, BatchLimits(max_tokens=64, max_sequences=4))
    live.swap(write_bundle(tmp_path, model, make_reward_version(1)))
    good, bad = live.score([[(5, 6)], [(7,), (11,)]])
    assert isinstance(good, list)
    assert isinstance(bad, NotFinite)
    assert "sequence 1" in str(bad)


def test_check_refuses_before_a_batch_is_formed(live: LiveModel) -> None:
    with pytest.raises(InputError, match="empty"):
        live.check([()])


def test_scoring_goes_on_while_versions_are_swapped_in(
    live: LiveModel, versions: list[RewardVersion], reference: Path, limits: BatchLimits
) -> None:
    done = threading.Event()

    def keep_scoring() -> list[list[Score]]:
        answers: list[list[Score]] = []
        while not done.is_set() or not answers:
            (answer,) = live.score([SEQUENCES])
            assert isinstance(answer, list)
            answers.append(answer)
        return answers

    with ThreadPoolExecutor(3) as pool:
        scoring = [pool.submit(keep_scoring) for _ in range(3)]
        try:
            for version in versions[1:]:
                live.swap(version)
        finally:
            done.set()
        answers = [answer for future in scoring for answer in future.result()]

    expected = {v: own_values(reference, v, limits) for v in (1, 2, 3)}
    for answer in answers:
        (number,) = {score.reward_version for score in answer}
        assert [s.value for s in answer] == pytest.approx(expected[number], abs=1e-5)


def test_requests_that_share_a_pass_get_the_mark_values_of_their_own_sequences(
    reference: Path, tmp_path: Path, limits: BatchLimits
) -> None:
    config = RewardModelConfig(marks=MarksConfig())
    model = RewardModel.from_reference(reference, config, torch.Generator().manual_seed(1))
    assert model.mark_head is not None
    with torch.no_grad():
        model.mark_head.weight.fill_(0.01)
    version = write_bundle(tmp_path / "reward", model, make_reward_version(1))
    live = LiveModel(VALIDATION, limits, dtype=torch.bfloat16)
    live.swap(version)
    together = live.score([SEQUENCES[:1], SEQUENCES[1:]])
    alone = [live.score([[sequence]])[0] for sequence in SEQUENCES]
    answers = [score for answer in together for score in answer]  # type: ignore[union-attr]
    assert [len(score.mark_values) for score in answers] == [3, 1, 2]
    for score, other in zip(answers, alone, strict=True):
        assert isinstance(other, list)
        assert score.mark_values == pytest.approx(other[0].mark_values, abs=0.02)
    live = LiveModel(VALIDATION, limits)
    live.swap(version)
    expected = score_sequences(model.eval(), SEQUENCES, 1, limits)
    assert live.score([SEQUENCES])[0] == expected
