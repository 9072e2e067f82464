"""vLLM is given the weights that learners read, whatever other weights lie beside them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from actors.served_folder import served_folder
from protocol.model_folder import inspect_model
from tests.support.tiny_model import save_tiny_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_tiny_model(tmp_path / "model")


def names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


def test_a_folder_without_other_weights_is_itself(folder: Path) -> None:
    assert served_folder(folder) == folder


@pytest.mark.parametrize("name", ["consolidated.safetensors", "adapter_model.safetensors"])
def test_other_weights_are_left_out(folder: Path, name: str) -> None:
    before = names(folder)
    (folder / name).write_bytes(b"of another program")
    found = served_folder(folder)
    assert names(found) == before
    assert inspect_model(found).architecture == "GPT2LMHeadModel"
    assert (found / "model.safetensors").samefile(folder / "model.safetensors")
    assert name in names(folder), "nothing of it is changed"


def test_of_shards_those_count_that_the_index_names(folder: Path) -> None:
    weights = folder / "model.safetensors"
    shard = weights.rename(folder / "model-00001-of-00001.safetensors")
    whole = inspect_tensor_names(shard)
    index = {"weight_map": dict.fromkeys(whole, shard.name)}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "consolidated.safetensors").write_bytes(b"of another program")
    assert names(served_folder(folder)) == names(folder) - {"consolidated.safetensors"}


def inspect_tensor_names(file: Path) -> list[str]:
    from safetensors import safe_open

    with safe_open(file, framework="np") as opened:
        return list(opened.keys())
