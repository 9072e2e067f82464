"""Reward versions of a model with adapters: what lies on disk, and what is loaded beside it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from protocol.errors import BundleCorrupt, MissingError, NotFinite
from protocol.fits import RewardVersion
from reward_service.adapters import base_parameters
from reward_service.base_weights import base_weights
from reward_service.batching import score_sequences
from reward_service.buckets import BatchLimits
from reward_service.bundle import WEIGHTS_FILE, load_bundle, write_bundle
from reward_service.bundle_manifest import MANIFEST_FILE, read_manifest
from reward_service.hot_swap import LiveModel
from reward_service.reward_model import RewardModel
from tests.support.elsewhere import Elsewhere
from tests.support.reward import make_reward_model, make_reward_version

SEQUENCES = [(5, 6, 7), (8,), (9, 10)]
LORA = {"rank": 2, "alpha": 4.0}


def adapted(reference: Path, seed: int = 0, **config: Any) -> RewardModel:
    """A model whose adapters have moved, another for each seed."""
    model = make_reward_model(reference, seed=seed, **{"num_heads": 2, "lora": LORA, **config})
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".lora_B" in name:
                parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model


def values(model: RewardModel, limits: BatchLimits) -> list[float]:
    return [score.value for score in score_sequences(model, SEQUENCES, 1, limits)]


@pytest.fixture
def own_reference(reference: Path, tmp_path: Path) -> Path:
    """A copy of ρ that a test may spoil."""
    return Path(shutil.copytree(reference, tmp_path / "policy"))


@pytest.fixture
def written(own_reference: Path, tmp_path: Path) -> RewardVersion:
    return write_bundle(tmp_path / "reward", adapted(own_reference), make_reward_version(7))


@pytest.mark.parametrize("heads", ["linear", "epistemic"])
def test_it_scores_as_it_did(
    reference: Path, tmp_path: Path, limits: BatchLimits, heads: str
) -> None:
    model = adapted(reference, heads=heads)
    version = write_bundle(tmp_path, model, make_reward_version())
    assert values(load_bundle(Path(version.path)).model, limits) == values(model, limits)


def test_it_holds_adapters_and_heads_and_names_the_rest(
    written: RewardVersion, own_reference: Path
) -> None:
    folder = Path(written.path)
    stored = load_file(folder / WEIGHTS_FILE)
    assert {name for name in stored if ".lora_" not in name} == {
        *("heads.weight", "heads.bias", "gain", "bias")
    }
    manifest = read_manifest(folder)
    assert manifest.format == 2
    assert manifest.base is not None
    assert manifest.base.path == str(own_reference)
    whole = (own_reference / "model.safetensors").stat().st_size
    assert (folder / WEIGHTS_FILE).stat().st_size < whole / 8


def test_without_adapters_the_manifest_is_what_it_was(reference: Path, tmp_path: Path) -> None:
    version = write_bundle(tmp_path, make_reward_model(reference), make_reward_version())
    content = json.loads((Path(version.path) / MANIFEST_FILE).read_text())
    assert content["format"] == 1
    assert "base" not in content
    assert "lora" not in content["reward_model"]


def test_versions_of_one_model_share_its_weights_and_nothing_else(
    reference: Path, tmp_path: Path, limits: BatchLimits
) -> None:
    models = [adapted(reference, seed=seed) for seed in (1, 2)]
    one, other = (
        write_bundle(tmp_path, model, make_reward_version(number))
        for number, model in enumerate(models, start=1)
    )
    live = LiveModel(SEQUENCES, limits)
    live.swap(one)
    first = live._live()
    live.swap(other)
    second = live._live()
    base = base_parameters(first.model)
    assert base
    own = dict(second.model.named_parameters(remove_duplicate=False))
    assert all(own[name] is parameter for name, parameter in base.items())
    # Who still scores with the old one gets its scores.
    assert values(first.model, limits) == values(models[0], limits)
    assert values(second.model, limits) == values(models[1], limits)


def test_a_version_with_other_adapters_is_loaded_by_itself(
    reference: Path, tmp_path: Path, limits: BatchLimits
) -> None:
    models = [
        adapted(reference),
        adapted(reference, lora={"rank": 3}),
        make_reward_model(reference),
    ]
    live = LiveModel(SEQUENCES, limits)
    for number, model in enumerate(models, start=1):
        live.swap(write_bundle(tmp_path, model, make_reward_version(number)))
        assert values(live._live().model, limits) == values(model, limits)


def test_versions_in_half_precision_share_too(
    reference: Path, tmp_path: Path, limits: BatchLimits
) -> None:
    live = LiveModel(SEQUENCES, limits, dtype=torch.bfloat16)
    alone = LiveModel(SEQUENCES, limits, dtype=torch.bfloat16)
    for number in (1, 2):
        version = write_bundle(
            tmp_path, adapted(reference, seed=number), make_reward_version(number)
        )
        live.swap(version)
    alone.swap(version)
    assert live.score([SEQUENCES]) == alone.score([SEQUENCES])
    assert live._live().model.gain.dtype == torch.float32


def test_a_model_that_is_gone_is_named(written: RewardVersion, own_reference: Path) -> None:
    shutil.rmtree(own_reference)
    with pytest.raises(MissingError, match=r"policy, which is not there: put it back.*manifest"):
        load_bundle(Path(written.path))


def test_another_model_in_its_place_is_found(written: RewardVersion, own_reference: Path) -> None:
    weights = load_file(own_reference / "model.safetensors")
    weights["transformer.wte.weight"] = weights["transformer.wte.weight"] + 1.0
    save_file(weights, own_reference / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BundleCorrupt, match="is based on a model with sha256"):
        load_bundle(Path(written.path))


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"base": None}, "belong together"),
        ({"format": 1}, "belong together"),
    ],
)
def test_a_manifest_that_is_half_of_each_format_is_refused(
    written: RewardVersion, changes: dict[str, object], complaint: str
) -> None:
    path = Path(written.path) / MANIFEST_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(BundleCorrupt, match=complaint):
        load_bundle(Path(written.path))


def test_adapters_that_do_not_fit_the_model_are_a_broken_bundle(written: RewardVersion) -> None:
    path = Path(written.path) / MANIFEST_FILE
    content = json.loads(path.read_text())
    content["reward_model"]["lora"]["target_modules"] = ["q_proj"]
    path.write_text(json.dumps(content))
    with pytest.raises(BundleCorrupt, match="no linear layer 'q_proj'"):
        load_bundle(Path(written.path))


def test_a_broken_adapter_is_never_written(reference: Path, tmp_path: Path) -> None:
    model = adapted(reference)
    with torch.no_grad():
        next(x for name, x in model.named_parameters() if ".lora_A" in name)[0, 0] = torch.nan
    with pytest.raises(NotFinite, match="lora_A"):
        write_bundle(tmp_path, model, make_reward_version())


def test_it_is_written_and_served_on_nodes_that_have_no_such_folders(
    reference: Path, own_reference: Path, tmp_path: Path, limits: BatchLimits
) -> None:
    run, nodes = Path("/no/such/place/demo-1"), Elsewhere(tmp_path, Path("/no/such/place/demo-1"))
    nodes.give(own_reference)
    shutil.rmtree(own_reference)
    writer = nodes.node("a")
    model = adapted(reference)
    model.base = base_weights(writer.fetch(own_reference), named=own_reference)
    version = write_bundle(run / "reward", model, make_reward_version(7), writer)
    assert version.path == "/no/such/place/demo-1/reward/v000007"

    live = LiveModel([(4, 5, 6)], limits, store=nodes.node("b"))
    live.swap(version)
    (answer,) = live.score([SEQUENCES])
    assert [score.value for score in answer] == values(model, limits)  # type: ignore[union-attr]
    assert live.version == version  # by the path that all nodes know it by
    base = read_manifest(nodes.node("b").fetch(run / "reward" / "v000007")).base
    assert base is not None
    assert base.path == str(own_reference)
