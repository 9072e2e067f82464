"""Loading strictly, and the self-test that finds what an architecture does otherwise than we do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import ExaoneMoeConfig, Gemma3nTextConfig

from protocol.errors import ConfigError, InputError
from protocol.model_folder import inspect_model
from reward_service.forward import check_forward, hidden_states
from reward_service.pretrained import (
    check_loads,
    first_layers,
    load_backbone,
    load_causal_model,
    load_tokenizer,
)
from tests.support.architectures import ARCHITECTURES, save_architecture
from tests.support.reward import make_reward_model
from tests.support.tiny_model import save_tiny_model

REFUSED = {
    "gemma2, soft caps": "Gemma2ForCausalLM .* caps logits (attn_logit_softcapping)",
    "gemma2, cap on attention alone": "Gemma2ForCausalLM .* caps logits (attn_logit_softcapping)",
    "gemma2, low cap on attention": "Gemma2ForCausalLM .* caps logits (attn_logit_softcapping)",
    "cohere, scaled logits": "CohereForCausalLM .* scales or caps its logits",
    "granite, scaled logits": "GraniteForCausalLM .* scales or caps its logits",
    "opt, projected": "OPTForCausalLM .* hidden states are 16 wide and its config says 32",
    "bert, sees both ways": "BertLMHeadModel .* fast attention on a padded batch is off by",
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("architectures")
    return {name: save_architecture(name, root / str(i)) for i, name in enumerate(ARCHITECTURES)}


@pytest.mark.parametrize("name", sorted(set(ARCHITECTURES) - set(REFUSED)))
def test_architectures_that_compute_as_we_do_pass(folders: dict[str, Path], name: str) -> None:
    folder = folders[name]
    check_loads(folder)
    check_forward(load_causal_model(folder), folder)
    check_forward(load_backbone(folder), folder)


@pytest.mark.parametrize("name", sorted(set(ARCHITECTURES) - set(REFUSED)))
def test_the_first_layers_leave_what_they_leave_in_the_whole(
    folders: dict[str, Path], name: str, tmp_path: Path
) -> None:
    folder = folders[name]
    whole, part = load_backbone(folder).eval(), load_backbone(folder, layers=1).eval()
    ids = torch.tensor([[1, 2, 3, 4]])
    with torch.no_grad():
        kept = whole(input_ids=ids, output_hidden_states=True).hidden_states
        states = part(input_ids=ids).last_hidden_state
    # Others begin with what goes into the first layer.
    torch.testing.assert_close(states, kept[0 if name == "mamba" else 1])
    check_forward(part, folder)
    part.config.save_pretrained(tmp_path)  # as beside a reward version
    assert type(part.config).from_pretrained(tmp_path).num_hidden_layers == 1


def test_the_kind_of_each_layer_is_kept_of_the_first() -> None:
    sizes = {"num_experts": 2, "num_experts_per_tok": 1, "first_k_dense_replace": 1}
    config = ExaoneMoeConfig(num_hidden_layers=3, **sizes)
    first = first_layers(config, 2)
    assert (len(first.layer_types), first.mlp_layer_types) == (2, ["dense", "sparse"])


def test_an_architecture_that_cannot_say_what_its_first_layers_are_is_refused() -> None:
    config = Gemma3nTextConfig(num_hidden_layers=5, intermediate_size=[64] * 5)
    assert first_layers(config, None) is config
    with pytest.raises(ConfigError, match=r"^reward_model.layers: of gemma3n_text .*2 values.* 5"):
        first_layers(config, 2)


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_architectures_that_do_not_are_refused_by_name(folders: dict[str, Path], name: str) -> None:
    folder = folders[name]
    reason = REFUSED[name].replace("(", r"\(").replace(")", r"\)")
    with pytest.raises(InputError, match=reason) as told:
        check_forward(load_causal_model(folder), folder)
    assert str(folder) in str(told.value)
    if "gemma2" in name:
        with pytest.raises(InputError, match=reason):
            check_loads(folder)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("gemma2, low cap on attention", "fast attention on a padded batch is off by"),
        ("gemma2, soft caps", "scales or caps its logits"),
    ],
)
def test_the_trial_finds_a_cap_that_no_key_names(
    folders: dict[str, Path], name: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reward_service.forward._CAPS", ())
    with pytest.raises(InputError, match=reason):
        check_forward(load_causal_model(folders[name]), folders[name])


def test_a_model_is_left_as_it_was(folders: dict[str, Path]) -> None:
    model = load_causal_model(folders["llama untied"])
    before = model.config._attn_implementation
    check_forward(model, folders["llama untied"])
    assert model.config._attn_implementation == before == "sdpa"
    assert model.model.config._attn_implementation == before


def test_padding_changes_no_hidden_state(folders: dict[str, Path]) -> None:
    model = load_backbone(folders["opt, offset positions"])
    with torch.no_grad():
        padded = hidden_states(model, torch.tensor([[5, 6, 7, 0, 0], [8, 9, 10, 11, 12]]))
        alone = hidden_states(model, torch.tensor([[5, 6, 7]]))
    torch.testing.assert_close(padded[:1, :3], alone)


@pytest.mark.parametrize("load", [check_loads, load_causal_model])
def test_an_untied_model_without_its_head_is_refused(
    tmp_path: Path, load: Callable[[Path], object]
) -> None:
    """Also where the config leaves it to the architecture's default, which reading cannot know."""
    folder = save_architecture("llama untied", tmp_path)
    weights = load_file(folder / "model.safetensors")
    del weights["lm_head.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"lacks the output head, lm_head\.weight"):
        load(folder)
    config = json.loads((folder / "config.json").read_text())
    del config["tie_word_embeddings"]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"lacks weights .*: lm_head\.weight"):
        load(folder)


def test_policy_and_reference_of_an_untied_model_have_one_head(tmp_path: Path) -> None:
    folder = save_architecture("llama untied", tmp_path)
    heads = [load_causal_model(folder).lm_head.weight for _ in range(2)]
    assert torch.equal(*heads)


@pytest.mark.parametrize("load", [check_loads, load_causal_model, load_backbone])
def test_weights_of_other_shapes_are_refused(
    tmp_path: Path, load: Callable[[Path], object]
) -> None:
    folder = save_tiny_model(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "n_inner": 100}))
    with pytest.raises(InputError, match=r"other shapes|cannot load it"):
        load(folder)


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ({"model_type": "no_such_model"}, "no_such_model"),
        (
            {"model_type": "own", "auto_map": {"AutoConfig": "own.Config"}},
            "cannot load it as a causal language model",
        ),
        ({"model_type": "vit"}, "cannot load it as a causal language model"),
        ({"n_layer": 3}, "lacks weights"),
        ({"n_head": 7}, "cannot load it"),
        ({"n_embd": -8}, "cannot load it|other shapes"),
        ({"activation_function": "no_such_function"}, "cannot load it"),
    ],
)
def test_a_config_that_no_model_can_be_made_of_is_refused(
    tmp_path: Path, entries: dict[str, object], reason: str
) -> None:
    folder = save_tiny_model(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **entries}))
    with pytest.raises(InputError, match=reason) as told:
        check_loads(folder)
    assert "\n" not in str(told.value)
    assert str(folder) in str(told.value)


def test_a_tokenizer_that_cannot_be_loaded_is_named(tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path)
    content = json.loads((folder / "tokenizer.json").read_text())
    content["model"]["type"] = "NoSuchModel"
    (folder / "tokenizer.json").write_text(json.dumps(content))
    inspect_model(folder)
    with pytest.raises(InputError, match="its tokenizer cannot be loaded"):
        load_tokenizer(folder)


def test_a_reward_without_a_bound_takes_any_length(tmp_path: Path) -> None:
    """ALiBi has no longest sequence, and Bloom's config names none."""
    folder = save_architecture("bloom, alibi", tmp_path)
    config = json.loads((folder / "config.json").read_text())
    del config["max_position_embeddings"]
    (folder / "config.json").write_text(json.dumps(config))
    assert make_reward_model(folder).context_length is None
