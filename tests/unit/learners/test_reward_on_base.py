"""Reward fits that leave ρ's weights as they are, of adapters and of heads alone.

They are pure, go on beside each other, are resumed, and have ρ's weights there once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from learners.reward_fit import RewardTrainer
from learners.reward_reading import RewardReading
from protocol.errors import ConfigError
from reward_service.bundle import load_bundle
from reward_service.config import LoRAConfig, RewardModelConfig
from reward_service.forward import hidden_states
from reward_service.pretrained import load_backbone
from reward_service.retention import newest_bundle
from tests.support import learner_inputs as inputs
from tests.support.plain_engine import PlainEngine
from tests.support.present import present

ADAPTERS = inputs.REWARD_MODEL.model_copy(update={"lora": LoRAConfig(rank=3, alpha=6.0)})
HEADS = inputs.REWARD_MODEL.model_copy(update={"frozen_trunk": True})
FEWER_LAYERS = HEADS.model_copy(update={"layers": 1})
FIT = inputs.REWARD_FIT.model_copy(update={"lr": 1e-2, "warm_lr": 5e-3})
Make = Callable[..., RewardTrainer]
REFIT = inputs.fit_request(count=8)
WARM = inputs.fit_request("warm", count=5, first=8)
WARM_AGAIN = inputs.fit_request("warm", count=6, first=9)


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("learners.reward_fit.Engine", PlainEngine)


@pytest.fixture(params=[ADAPTERS, HEADS, FEWER_LAYERS], ids=["adapters", "heads", "fewer layers"])
def make(request: pytest.FixtureRequest, model_folder: Path) -> Make:
    """Makes a trainer of each kind with its bundles in a folder."""
    return partial(trainer_of, model_folder, request.param)


def trainer_of(
    model_folder: Path, model: RewardModelConfig, root: Path, **changes: Any
) -> RewardTrainer:
    ticks = iter(range(1000))
    settings: dict[str, Any] = {
        "policy_path": model_folder,
        "model": model,
        "fit": FIT,
        "deepspeed": inputs.engine_config(1, 0),
        "root": root,
        "reference_sequences": inputs.reference_sequences(),
        "clock": lambda: float(next(ticks)),
        "keeps_state": True,
    }
    return RewardTrainer(**{**settings, **changes})


def test_a_fit_moves_adapters_and_heads_and_leaves_the_reference(
    model_folder: Path, tmp_path: Path
) -> None:
    version = present(trainer_of(model_folder, ADAPTERS, tmp_path).fit(REFIT))
    before = load_backbone(model_folder).state_dict()
    after = load_bundle(Path(version.path)).model.state_dict()
    base = {
        name.removeprefix("backbone.").replace(".base_layer.", "."): x
        for name, x in after.items()
        if name.startswith("backbone.") and ".lora_" not in name
    }
    assert base.keys() == before.keys()
    assert all(torch.equal(base[name], before[name]) for name in before)
    assert all(bool(x.any()) for name, x in after.items() if ".lora_B" in name)


def test_a_refit_worked_off_between_updates_is_the_one_made_at_once(
    make: Make, tmp_path: Path
) -> None:
    first, refit = inputs.fit_request(count=4), inputs.fit_request(count=11)
    update = inputs.fit_request("warm", count=5, first=11)
    trainer = make(tmp_path / "between")
    trainer.fit(first)
    assert not trainer.advance(1, refit)
    beside = present(trainer.fit(update))
    late = present(trainer.fit(refit))
    other = make(tmp_path / "at once")
    other.fit(first)
    assert present(other.fit(update)).sha256 == beside.sha256
    assert present(other.fit(refit)).sha256 == late.sha256
    assert load_file(Path(late.path) / "model.safetensors").keys() == (
        load_file(Path(beside.path) / "model.safetensors").keys()
    )


def test_a_refit_and_the_live_model_have_the_reference_in_common(
    make: Make, tmp_path: Path
) -> None:
    trainer = make(tmp_path)
    trainer.fit(inputs.fit_request(count=4))
    trainer.advance(1, REFIT)
    assert trainer._engine is not None
    assert trainer._refit is not None
    live, refit = trainer._engine.module, trainer._refit.engine.module
    base = live.base_parameters()
    own = dict(refit.named_parameters(remove_duplicate=False))
    assert base
    assert all(own[name] is parameter for name, parameter in base.items())
    assert all(own[n] is not x for n, x in live.named_parameters() if n not in base)


def test_a_trainer_in_anothers_place_goes_on_bit_for_bit(make: Make, tmp_path: Path) -> None:
    undisturbed = make(tmp_path / "undisturbed")
    wanted = [present(undisturbed.fit(each)) for each in (REFIT, WARM, WARM_AGAIN, REFIT)]
    made = []
    for request in (REFIT, WARM, WARM_AGAIN, REFIT):
        root = tmp_path / "reward"
        trainer = make(root, resume_from=newest_bundle(root))
        made.append(present(trainer.fit(request)))
    assert [each.sha256 for each in made] == [each.sha256 for each in wanted]
    assert [each.metrics for each in made] == [each.metrics for each in wanted]


def test_its_state_holds_no_weight_of_the_reference(make: Make, tmp_path: Path) -> None:
    make(tmp_path).fit(REFIT)
    share = load_file(tmp_path / "trainer" / "v000001" / "rank-0000.safetensors")
    kept = {name for name in share if name.startswith("engine/weight/")}
    assert kept
    assert all(".lora_" in name or "heads." in name for name in kept)


def count_passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that grows by the texts of each pass through a trunk."""
    passes: list[int] = []

    def counted(backbone: Any, input_ids: torch.Tensor) -> torch.Tensor:
        passes.append(len(input_ids))
        return hidden_states(backbone, input_ids)

    monkeypatch.setattr("reward_service.reward_model.hidden_states", counted)
    return passes


def test_a_trunk_that_stays_reads_each_comparison_once(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes = count_passes(monkeypatch)
    trainer = trainer_of(model_folder, HEADS, tmp_path)
    trainer.fit(REFIT)
    candidates = sum(len(each.candidate_token_ids) for each in REFIT.comparisons)
    assert sum(passes) == candidates + len(inputs.reference_sequences())
    trainer.fit(WARM)
    read = sum(passes)
    both = (*REFIT.comparisons, *WARM.comparisons)
    trainer.judge(both)
    trainer.fit(replace(REFIT, comparisons=both))
    assert sum(passes) == read


def test_what_is_not_kept_is_read_again_and_makes_the_same_version(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = present(trainer_of(model_folder, HEADS, tmp_path / "kept").fit(REFIT))
    few = partial(RewardReading, most_bytes=500)
    monkeypatch.setattr("learners.reward_fit.RewardReading", few)
    passes = count_passes(monkeypatch)
    again = present(trainer_of(model_folder, HEADS, tmp_path / "again").fit(REFIT))
    assert len(passes) > FIT.epochs * len(REFIT.comparisons) / 2
    assert again.sha256 == kept.sha256


def test_a_known_trunk_scores_as_one_that_is_run(model_folder: Path, tmp_path: Path) -> None:
    trainer = trainer_of(model_folder, HEADS, tmp_path)
    model = load_bundle(Path(present(trainer.fit(REFIT)).path)).model
    reading = RewardReading(HEADS, inputs.reference_sequences())
    whole = RewardReading(inputs.REWARD_MODEL, inputs.reference_sequences())
    known, run = (each.raw(model, WARM.comparisons) for each in (reading, whole))
    torch.testing.assert_close(known, run)
    torch.testing.assert_close(reading.normalise(model), whole.normalise(model))


def test_heads_alone_are_in_a_version_and_learn(model_folder: Path, tmp_path: Path) -> None:
    trainer = trainer_of(model_folder, HEADS, tmp_path)
    versions = [present(trainer.fit(each)) for each in (REFIT, WARM)]
    tensors = [load_file(Path(each.path) / "model.safetensors") for each in versions]
    assert {*tensors[0]} == {"heads.weight", "heads.bias", "gain", "bias"}
    assert not torch.equal(tensors[0]["heads.weight"], tensors[1]["heads.weight"])


def test_more_layers_than_there_are_are_refused(model_folder: Path, tmp_path: Path) -> None:
    model = HEADS.model_copy(update={"layers": 99})
    with pytest.raises(ConfigError, match=r"reward_model.layers is 99, and the model has \d+: "):
        trainer_of(model_folder, model, tmp_path).fit(REFIT)
