"""The average of a policy's versions: by hand, as it is kept, and as it is saved."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from learners.config import EMAConfig, LearnerConfig
from learners.ppo import PPOLearner
from learners.weight_average import WeightAverage
from protocol.errors import BundleCorrupt
from reward_service.config import LoRAConfig
from reward_service.pretrained import load_causal_model, load_tokenizer
from tests.support import learner_inputs as inputs
from tests.support.messages import weights_path
from tests.support.policy_learner import policy_learner
from tests.support.present import digest_of, present

DECAY = inputs.EMA.decay


def make(
    folder: Path,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    ema: EMAConfig | None = inputs.EMA,
    lora: LoRAConfig | None = None,
) -> PPOLearner:
    learner = LearnerConfig(**{**inputs.engine_config(1, 0).model_dump(), "ema": ema})
    return policy_learner(
        folder, root, monkeypatch, learner=learner, lora=lora, adapters_travel=False
    )


def averaged(learner: PPOLearner, folder: Path) -> dict[str, Tensor]:
    learner.save(folder / "final")
    tensors: dict[str, Tensor] = load_file(folder / "final_ema" / "model.safetensors")
    return tensors


def test_an_average_worked_out_by_hand() -> None:
    weights = torch.tensor([4.0, -8.0])
    average = WeightAverage([weights], decay=0.75)
    for value in (8.0, 0.0):
        weights.fill_(value)
        average.update([weights])
    # 0.75·(0.75·4 + 0.25·8) + 0.25·0, and with −8 in the place of 4.
    (found,) = average.state().values()
    assert found.tolist() == [3.75, -3.0]


def test_in_place_of_the_weights_and_back_no_bit_is_changed() -> None:
    generator = torch.Generator().manual_seed(1)
    weights = [torch.randn(5, generator=generator), torch.randn(2, 3, generator=generator)]
    average = WeightAverage(weights, decay=0.9)
    for each in weights:
        each.mul_(1.1)
    average.update(weights)
    before = [each.clone() for each in (*weights, *average.state().values())]

    def break_off_half_way() -> None:
        with average.in_place_of(weights):
            assert all(x.equal(y) for x, y in zip(weights, before[2:], strict=True))
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        break_off_half_way()
    after = [*weights, *average.state().values()]
    assert all(x.equal(y) for x, y in zip(after, before, strict=True))


def test_what_is_saved_beside_the_policy_is_the_average_of_its_versions(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = make(model_folder, tmp_path, monkeypatch)
    wanted = load_file(weights_path(present(learner.announce())))
    for step in range(3):
        report = present(learner.step(inputs.experience_batch(step)))
        version = load_file(weights_path(report.policy))
        wanted = {name: DECAY * x + (1 - DECAY) * version[name] for name, x in wanted.items()}
    found = averaged(learner, tmp_path)
    assert found.keys() == wanted.keys() | {"lm_head.weight"}
    for name, x in wanted.items():
        torch.testing.assert_close(found[name], x, atol=1e-6, rtol=1e-5)
    said = load_causal_model(tmp_path / "final_ema").state_dict()
    assert all(said[name].equal(found[name]) for name in wanted)
    assert load_tokenizer(tmp_path / "final_ema").eos_token == "<eos>"


def test_to_keep_one_and_to_save_it_changes_no_step(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = make(model_folder, tmp_path / "1", monkeypatch)
    other = make(model_folder, tmp_path / "2", monkeypatch, ema=None)
    for step in range(2):
        reports = [present(each.step(inputs.experience_batch(step))) for each in (one, other)]
        digests = {digest_of(report.policy.weights) for report in reports}
        assert len(digests) == 1
        one.save(tmp_path / "1" / "final")
        other.save(tmp_path / "2" / "final")
    assert not (tmp_path / "2" / "final_ema").exists()


def test_a_restore_takes_the_average_back_too(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = make(model_folder, tmp_path, monkeypatch)
    for step in range(2):
        learner.step(inputs.experience_batch(step))
    learner.keep()
    kept = averaged(learner, tmp_path / "kept")
    learner.step(inputs.experience_batch(2))
    after = averaged(learner, tmp_path / "after")
    learner.restore(2)
    assert same(averaged(learner, tmp_path / "restored"), kept)
    learner.step(inputs.as_step(inputs.experience_batch(2), 4))
    assert same(averaged(learner, tmp_path / "again"), after)
    assert not same(kept, after)

    another = make(model_folder, tmp_path, monkeypatch)
    another.resume(2)
    assert same(averaged(another, tmp_path / "resumed"), kept)


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(one[name].equal(other[name]) for name in one)


@pytest.mark.parametrize("kept_with", [inputs.EMA, None])
def test_a_checkpoint_goes_with_the_average_it_was_kept_with_alone(
    model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kept_with: EMAConfig | None,
) -> None:
    make(model_folder, tmp_path, monkeypatch, ema=kept_with).keep()
    other = make(
        model_folder, tmp_path, monkeypatch, ema=None if kept_with is not None else inputs.EMA
    )
    with pytest.raises(BundleCorrupt, match=f"has_average={kept_with is not None}"):
        other.resume(0)


def test_the_average_of_adapters_is_saved_merged(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = make(model_folder, tmp_path, monkeypatch, lora=LoRAConfig(rank=4, alpha=8.0))
    for step in range(2):
        learner.step(inputs.experience_batch(step))
    found = averaged(learner, tmp_path)
    start = load_file(model_folder / "model.safetensors")
    final = load_file(tmp_path / "final" / "model.safetensors")
    assert found.keys() == final.keys()
    assert found["transformer.wte.weight"].equal(start["transformer.wte.weight"])
    name = "transformer.h.0.attn.c_attn.weight"
    assert not found[name].equal(final[name])
    assert (found[name] - start[name]).norm() < (final[name] - start[name]).norm()


@pytest.mark.parametrize("decay", [-0.1, 1.0])
def test_a_decay_is_a_share(decay: float) -> None:
    with pytest.raises(ValueError, match="decay"):
        EMAConfig(decay=decay)
