"""The example's real language model, read out of its package and made trainable."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from actors.tokenizer import load_tokenizer
from cluster.config_file import load_config
from cluster.starting.policy_reading import PolicyReading
from cluster.starting.prompts import prompt_sources
from cluster.starting.smollm2 import CONFIG, PROMPTS, packed_model, smollm2_folder
from learners.dequantised import write_dequantised
from protocol.errors import InputError, MissingError
from protocol.model_folder import inspect_model
from protocol.tokenizing import PolicyTokenizer
from reward_service.pretrained import load_causal_model
from tests.support.needed import needed


@pytest.fixture(scope="module")
def packed() -> Path:
    """The GGUF file of the package, where it is installed."""
    try:
        found = packed_model()
    except MissingError as missing:
        return needed(None, "ANDON_REQUIRE_SMOLLM2", str(missing))
    return found


@pytest.fixture(scope="module")
def folder(packed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    told: list[str] = []
    cache = tmp_path_factory.mktemp("cache")
    made = smollm2_folder(cache, told.append)
    assert len(told) == 1
    # No draft is left.
    assert {each.name for each in cache.iterdir()} == {made.name, f".{made.name}.lock"}
    return made


def test_it_is_a_whole_model_that_a_run_takes(folder: Path) -> None:
    model = inspect_model(folder)
    assert (model.architecture, model.num_embeddings) == ("LlamaForCausalLM", 49_152)
    assert model.context_length == 8_192
    config = load_config(CONFIG, (f"policy.path={folder}", f"prompts.path={PROMPTS}"))
    prompts, _ = prompt_sources(config, PolicyReading.of_folder(folder))
    (prompt,) = prompts.draw(1)
    assert 4 < len(prompt.token_ids) < 30


def test_its_weights_are_those_of_the_package(folder: Path, packed: Path) -> None:
    gguf: Any = pytest.importorskip("gguf")
    stored = {tensor.name: tensor for tensor in gguf.GGUFReader(packed).tensors}
    with safe_open(folder / "model.safetensors", "pt") as written:
        for ours, theirs in (
            ("model.embed_tokens.weight", "token_embd.weight"),
            ("model.layers.7.mlp.down_proj.weight", "blk.7.ffn_down.weight"),
            ("model.layers.29.self_attn.o_proj.weight", "blk.29.attn_output.weight"),
        ):
            tensor = stored[theirs]
            wanted = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
            assert torch.equal(written.get_tensor(ours), torch.from_numpy(wanted))


@torch.no_grad()
def test_it_has_not_forgotten_what_it_knew(folder: Path) -> None:
    model, tokenizer = load_causal_model(folder), PolicyTokenizer(load_tokenizer(folder))
    ids = tokenizer.prompt_ids("The capital of France is", where="a test")
    likeliest = int(model(torch.tensor([ids])).logits[0, -1].argmax())
    assert tokenizer.shown_text((likeliest,)).strip() == "Paris"


def test_a_file_that_is_no_gguf_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF" + b"\xff" * 64)
    with pytest.raises(InputError, match=r"model\.gguf: transformers cannot read it as a GGUF"):
        write_dequantised(tmp_path / "model.gguf", tmp_path / "made")
    with pytest.raises(MissingError, match=r"none\.gguf: no such GGUF file"):
        write_dequantised(tmp_path / "none.gguf", tmp_path / "made")
    assert [path.name for path in tmp_path.iterdir()] == ["model.gguf"]
