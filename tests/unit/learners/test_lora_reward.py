"""Reward fits of adapters: pure, beside each other, resumed, and with ρ's weights there once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from learners.reward_fit import RewardTrainer
from reward_service.adapters import base_parameters
from reward_service.bundle import load_bundle
from reward_service.config import LoRAConfig
from reward_service.pretrained import load_backbone
from reward_service.retention import newest_bundle
from tests.support import learner_inputs as inputs
from tests.support.plain_engine import PlainEngine
from tests.support.present import present

MODEL = inputs.REWARD_MODEL.model_copy(update={"lora": LoRAConfig(rank=3, alpha=6.0)})
FIT = inputs.REWARD_FIT.model_copy(update={"lr": 1e-2, "warm_lr": 5e-3})
REFIT = inputs.fit_request(count=8)
WARM = inputs.fit_request("warm", count=5, first=8)
WARM_AGAIN = inputs.fit_request("warm", count=6, first=9)


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("learners.reward_fit.Engine", PlainEngine)


def make(model_folder: Path, root: Path, **changes: Any) -> RewardTrainer:
    ticks = iter(range(1000))
    settings: dict[str, Any] = {
        "policy_path": model_folder,
        "model": MODEL,
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
    version = present(make(model_folder, tmp_path).fit(REFIT))
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
    model_folder: Path, tmp_path: Path
) -> None:
    first, refit = inputs.fit_request(count=4), inputs.fit_request(count=11)
    update = inputs.fit_request("warm", count=5, first=11)
    trainer = make(model_folder, tmp_path / "between")
    trainer.fit(first)
    assert not trainer.advance(1, refit)
    beside = present(trainer.fit(update))
    late = present(trainer.fit(refit))
    other = make(model_folder, tmp_path / "at once")
    other.fit(first)
    assert present(other.fit(update)).sha256 == beside.sha256
    assert present(other.fit(refit)).sha256 == late.sha256
    assert load_file(Path(late.path) / "model.safetensors").keys() == (
        load_file(Path(beside.path) / "model.safetensors").keys()
    )


def test_a_refit_and_the_live_model_have_the_reference_in_common(
    model_folder: Path, tmp_path: Path
) -> None:
    trainer = make(model_folder, tmp_path)
    trainer.fit(inputs.fit_request(count=4))
    trainer.advance(1, REFIT)
    assert trainer._engine is not None
    assert trainer._refit is not None
    live, refit = trainer._engine.module, trainer._refit.engine.module
    base = base_parameters(live)
    own = dict(refit.named_parameters(remove_duplicate=False))
    assert base
    assert all(own[name] is parameter for name, parameter in base.items())
    assert all(own[n] is not x for n, x in live.named_parameters() if n not in base)


def test_a_trainer_in_anothers_place_goes_on_bit_for_bit(
    model_folder: Path, tmp_path: Path
) -> None:
    undisturbed = make(model_folder, tmp_path / "undisturbed")
    wanted = [present(undisturbed.fit(each)) for each in (REFIT, WARM, WARM_AGAIN, REFIT)]
    made = []
    for request in (REFIT, WARM, WARM_AGAIN, REFIT):
        root = tmp_path / "reward"
        trainer = make(model_folder, root, resume_from=newest_bundle(root))
        made.append(present(trainer.fit(request)))
    assert [each.sha256 for each in made] == [each.sha256 for each in wanted]
    assert [each.metrics for each in made] == [each.metrics for each in wanted]


def test_its_state_holds_no_weight_of_the_reference(model_folder: Path, tmp_path: Path) -> None:
    make(model_folder, tmp_path).fit(REFIT)
    share = load_file(tmp_path / "trainer" / "v000001" / "rank-0000.safetensors")
    kept = {name for name in share if name.startswith("engine/weight/")}
    assert kept
    assert all(".lora_" in name or "heads." in name for name in kept)
