"""What is said of a model folder before anything is loaded from it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import save_file

from protocol.context_length import context_of
from protocol.errors import InputError, MissingError
from protocol.model_folder import inspect_model
from tests.support.tiny_model import save_tiny_model

VOCABULARY = 54


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "model"))


def change(folder: Path, name: str, **entries: Any) -> None:
    path = folder / name
    content = json.loads(path.read_text())
    content |= entries
    path.write_text(json.dumps({key: x for key, x in content.items() if x is not None}))


def shard(folder: Path) -> None:
    """Spread the weights over two files and an index."""
    from safetensors.numpy import load_file

    tensors = load_file(folder / "model.safetensors")
    names = sorted(tensors)
    places = {name: f"model-{1 + index % 2}.safetensors" for index, name in enumerate(names)}
    for place in set(places.values()):
        save_file({name: tensors[name] for name in names if places[name] == place}, folder / place)
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))


def cut(path: Path, keep: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])


def test_a_whole_folder_is_described(folder: Path) -> None:
    model = inspect_model(folder)
    assert (model.architecture, model.context_length) == ("GPT2LMHeadModel", 64)
    assert (model.num_embeddings, dict(model.ids_beyond)) == (VOCABULARY, {})
    shard(folder)
    assert inspect_model(folder) == model


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"nowhere does not exist: check its path"):
        inspect_model(tmp_path / "nowhere")


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"x")
    with pytest.raises(InputError, match="is a file"):
        inspect_model(tmp_path / "model.bin")


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is empty"):
        inspect_model(tmp_path)


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("config.json", "holds no config.json"),
        ("model.safetensors", r"no \.safetensors weights"),
        ("tokenizer_config.json", "holds no tokenizer"),
        ("tokenizer.json", "no vocabulary of the tokenizer"),
    ],
)
def test_a_part_that_lacks_is_named(folder: Path, name: str, complaint: str) -> None:
    (folder / name).unlink()
    with pytest.raises(InputError, match=complaint) as told:
        inspect_model(folder)
    assert str(folder) in str(told.value)


@pytest.mark.parametrize(
    "name", ["config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json"]
)
@pytest.mark.parametrize(
    "text", ["", "not json", "[]", '{"a": ', "\xff", "[" * 100_000, "9" * 5000]
)
def test_a_json_file_in_disguise_is_named(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text, encoding="latin-1")
    with pytest.raises(InputError, match=name.replace(".", r"\.")):
        inspect_model(folder)


@pytest.mark.parametrize(
    ("entries", "complaint"),
    [
        ({"model_type": None}, "names no model_type"),
        ({"model_type": 3}, "names no model_type"),
        ({"architectures": None}, "names no architectures"),
        ({"architectures": []}, "names no architectures"),
        ({"architectures": [7]}, "names no architectures"),
        ({"vocab_size": 60}, "says vocab_size 60 and the weights hold 54 embeddings"),
        ({"vocab_size": -1}, "names no vocab_size"),
        ({"vocab_size": "54"}, "names no vocab_size"),
        ({"tie_word_embeddings": False}, r"lacks the output head, lm_head\.weight"),
        ({"quantization_config": {"bits": 4}}, "quantized"),
    ],
)
def test_a_config_that_does_not_fit_is_refused(folder: Path, entries: Any, complaint: str) -> None:
    change(folder, "config.json", **entries)
    with pytest.raises(InputError, match=complaint):
        inspect_model(folder)


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda path: path.write_bytes(b""), "not a safetensors file"),
        (lambda path: path.write_bytes(b"<html>not found</html>"), "not a safetensors file"),
        (lambda path: cut(path, 0.001), "not a safetensors file"),
        (lambda path: cut(path, 0.5), "the file is cut short"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "the file is cut short"),
        (lambda path: path.write_bytes(path.read_bytes() + b"x"), "1 bytes belong to no tensor"),
        (lambda path: path.write_bytes(bytes(path.stat().st_size)), "not a safetensors file"),
    ],
)
def test_weights_that_are_not_whole_are_refused(
    folder: Path, spoil: Callable[[Path], object], complaint: str
) -> None:
    spoil(folder / "model.safetensors")
    with pytest.raises(InputError, match=complaint) as told:
        inspect_model(folder)
    assert "model.safetensors" in str(told.value)


def test_a_tensor_that_does_not_fit_its_place_is_named(folder: Path) -> None:
    path = folder / "model.safetensors"
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = content[8 : 8 + length].replace(b'"shape":[54,64]', b'"shape":[54,65]')
    path.write_bytes(content[:8] + header + content[8 + length :])
    with pytest.raises(InputError, match=r"wte\.weight of F32 \[54, 65\] cannot take 13,824 bytes"):
        inspect_model(folder)


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda f: (f / "model-1.safetensors").unlink(), "names model-1.safetensors, which is not"),
        (lambda f: cut(f / "model-2.safetensors", 0.7), "model-2.safetensors: the file is cut"),
        (
            lambda f: shutil.copy(f / "model-1.safetensors", f / "model-2.safetensors"),
            "lacks .*, which model.safetensors.index.json says it holds",
        ),
        (
            lambda f: (f / "model.safetensors.index.json").write_text('{"weight_map": [1]}'),
            "has no weight_map",
        ),
        (
            lambda f: change(f, "model.safetensors.index.json", weight_map={"a": "../x"}),
            "names ../x, which is not there",
        ),
        (
            lambda f: shutil.copy(f / "model-1.safetensors", f / "model.safetensors"),
            "holds both model.safetensors and",
        ),
    ],
)
def test_shards_that_do_not_make_a_whole_are_refused(
    folder: Path, spoil: Callable[[Path], object], complaint: str
) -> None:
    shard(folder)
    spoil(folder)
    with pytest.raises(InputError, match=complaint):
        inspect_model(folder)


def test_an_adapter_alone_is_named(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text("{}")
    with pytest.raises(InputError, match="merge it into its model"):
        inspect_model(folder)


def test_a_file_that_may_not_be_read_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, *_: Any, **__: Any) -> Any:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(InputError, match=r"config\.json cannot be read: Permission denied"):
        inspect_model(folder)


def add_token(folder: Path, text: str, token_id: int) -> None:
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    entry = {**content["added_tokens"][0], "id": token_id, "content": text}
    content["added_tokens"].append(entry)
    path.write_text(json.dumps(content))


def test_a_vocabulary_beyond_the_embeddings_is_refused(folder: Path) -> None:
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    content["model"]["vocab"]["extra"] = VOCABULARY
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="token ids up to 54 and the model 54 embeddings"):
        inspect_model(folder)


def test_a_token_added_beyond_the_embeddings_is_noted_and_refused_in_texts(folder: Path) -> None:
    add_token(folder, "<image>", VOCABULARY)
    model = inspect_model(folder)
    assert dict(model.ids_beyond) == {VOCABULARY: "<image>"}
    model.check_ids((0, VOCABULARY - 1), "line 1")
    with pytest.raises(InputError, match=r"line 2: token 54 \('<image>'\) is beyond the 54"):
        model.check_ids((3, VOCABULARY), "line 2")


def test_an_end_beyond_the_embeddings_is_refused(folder: Path) -> None:
    add_token(folder, "<end>", VOCABULARY)
    change(folder, "tokenizer_config.json", eos_token="<end>")
    with pytest.raises(InputError, match="eos_token '<end>' is beyond the 54 embeddings"):
        inspect_model(folder)


def scaled(kind: str, *, model_type: str = "llama", **entries: object) -> dict[str, Any]:
    positions = {"rope_type": kind, **entries}
    return {"model_type": model_type, "max_position_embeddings": 64, "rope_parameters": positions}


PHI_OF_OLD: dict[str, Any] = {
    "max_position_embeddings": 64,
    "original_max_position_embeddings": 16,
    "rope_scaling": {"type": "su", "short_factor": [1.0], "long_factor": [2.0]},
}


@pytest.mark.parametrize(
    ("config", "context"),
    [
        ({"max_position_embeddings": 8}, 8),
        ({"n_positions": 1024, "n_ctx": 512}, 1024),
        ({"max_seq_len": 2048}, 2048),
        ({"seq_length": 2048}, 2048),
        ({"text_config": {"max_position_embeddings": 32}}, 32),
        ({"max_position_embeddings": None, "n_positions": 16}, 16),
        ({"max_position_embeddings": "8"}, None),
        ({"max_position_embeddings": -1}, None),
        ({"max_position_embeddings": True}, None),
        ({"text_config": 3}, None),
        ({}, None),
        (scaled("linear", factor=4.0), 256),
        ({"text_config": scaled("linear", factor=4.0)}, 256),
        (scaled("linear", factor=4.0, model_type="gemma3_text"), 64),
        (scaled("linear", factor=0.5), 64),
        (scaled("linear", factor="4"), 64),
        (scaled("dynamic", factor=4.0), 64),
        (scaled("yarn", factor=4.0, original_max_position_embeddings=16), 64),
        (scaled("llama3", factor=8.0, original_max_position_embeddings=16), 64),
        (scaled("longrope", original_max_position_embeddings=16), 16),
        (scaled("longrope"), 64),
        (PHI_OF_OLD, 16),
    ],
)
def test_the_context_goes_by_many_names(config: dict[str, Any], context: int | None) -> None:
    assert context_of(config) == context
