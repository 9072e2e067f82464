"""Adapters that travel alone, added to the weights of a folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from actors.low_rank import whole_weights
from protocol.errors import InputError
from protocol.low_rank import is_low_rank
from tests.support.tiny_model import save_tiny_model

NAME = "transformer.h.0.attn.c_proj.weight"


def version(name: str = NAME) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        "@scaling": torch.tensor(0.5, dtype=torch.float64),
        f"{name}@left": torch.randn(64, 3, generator=generator),
        f"{name}@right": torch.randn(3, 64, generator=generator),
    }


def whole(folder: Path, dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    return dict(whole_weights(folder, version(), dtype=dtype, device=torch.device("cpu")))


def test_one_weight_is_the_sum_and_the_rest_as_the_folder_has_it(tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path)
    stored, found, sent = load_file(folder / "model.safetensors"), whole(folder), version()
    added = 0.5 * sent[f"{NAME}@left"] @ sent[f"{NAME}@right"]
    assert torch.allclose(found.pop(NAME), stored.pop(NAME) + added, atol=1e-6)
    assert found.keys() == stored.keys()
    assert all(torch.equal(found[name], stored[name]) for name in stored)


def test_the_sum_is_made_in_float32_and_rounded_once(tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path)
    expected = whole(folder)[NAME].bfloat16()
    assert torch.equal(whole(folder, torch.bfloat16)[NAME], expected)


def test_a_folder_of_several_files_is_read_whole(tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path)
    expected = whole(folder)
    stored = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    places = {name: f"part-{number % 2}.safetensors" for number, name in enumerate(sorted(stored))}
    for file in set(places.values()):
        save_file({n: x for n, x in stored.items() if places[n] == file}, folder / file)
    index = json.dumps({"weight_map": places})
    (folder / "model.safetensors.index.json").write_text(index, encoding="utf-8")
    found = whole(folder)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_weight_that_the_folder_does_not_hold_is_named(tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path)
    strange = version("model.layers.0.q_proj.weight")
    with pytest.raises(InputError, match=r"no weight 'model\.layers\.0\.q_proj\.weight'"):
        whole_weights(folder, strange, dtype=torch.float32, device=torch.device("cpu"))


def test_whole_weights_are_told_apart() -> None:
    assert is_low_rank(version().keys())
    assert not is_low_rank(["lm_head.weight", NAME])
