"""A model folder in which one file is garbled: an error of ours that names it, or a whole model.

Each door is tried: the inspection that everybody begins with, the strict loading of the learners'
side, both tokenizers, a reward bundle, and the policy loop's prompts.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.tokenizer import load_tokenizer as load_on_the_actors_side
from protocol.errors import AndonError, BundleCorrupt, UserError
from protocol.model_folder import inspect_model
from reward_service.bundle import load_bundle
from reward_service.forward import check_forward
from reward_service.pretrained import check_loads, load_causal_model, load_tokenizer
from tests.support.architectures import save_architecture
from tests.support.reward import write_reward_versions
from tests.support.tiny_model import save_tiny_model

TRIES = settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
Spoil = Callable[[bytes], bytes]


def _cut(share: float) -> Spoil:
    return lambda content: content[: int(share * len(content))]


def _zero(share: float, length: int) -> Spoil:
    def spoil(content: bytes) -> bytes:
        first = int(share * len(content))
        end = min(first + length, len(content))
        return content[:first] + bytes(end - first) + content[end:]

    return spoil


def _flip(seed: int, count: int) -> Spoil:
    def spoil(content: bytes) -> bytes:
        changed, rng = bytearray(content), random.Random(seed)
        for _ in range(count if changed else 0):
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
        return bytes(changed)

    return spoil


def _replace(text: bytes) -> Spoil:
    return lambda _: text


JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([10**12, -(2**63), 1e308, -0.5, "", "x", "gpt2", [], {}, [None], {"a": 1}]),
)


def _set_entry(seed: int, value: object) -> Spoil:
    """Put a strange value at some place of a JSON file."""

    def spoil(content: bytes) -> bytes:
        whole = json.loads(content)
        place, rng = whole, random.Random(seed)
        while isinstance(place, dict | list) and place:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            key = rng.choice(keys)
            if not isinstance(place[key], dict | list) or rng.random() < 0.4:
                place[key] = value
                break
            place = place[key]
        return json.dumps(whole).encode()

    return spoil


BYTES = st.one_of(
    st.builds(_cut, st.floats(0, 1)),
    st.builds(_zero, st.floats(0, 1), st.integers(1, 4_000)),
    st.builds(_flip, st.integers(0, 2**32), st.integers(1, 8)),
    st.builds(_replace, st.binary(max_size=200)),
)
ENTRIES = st.one_of(st.builds(_set_entry, st.integers(0, 2**32), JUNK), BYTES)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    save_tiny_model(root / "tied")
    save_architecture("llama untied", root / "untied")
    write_reward_versions(root / "reward", root / "tied", 1)
    return root


def garbled(whole: Path, place: Path, name: str, spoil: Spoil) -> Path:
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(whole, place)
    (place / name).write_bytes(spoil((whole / name).read_bytes()))
    return place


def ours_or_success(door: Callable[[], Any], folder: Path, kind: type[AndonError]) -> None:
    """Call it; anything but success or an error of ours fails the test."""
    message = f"{folder.name} is whole"
    try:
        door()
    except kind as error:
        message = str(error)
    assert "\n" not in message
    assert folder.name in message


def try_every_door(folder: Path) -> None:
    def train() -> None:
        check_loads(folder)
        check_forward(load_causal_model(folder), folder)

    def read() -> None:
        inspect_model(folder)
        load_tokenizer(folder)("the soup was good")

    def act() -> None:
        inspect_model(folder)
        load_on_the_actors_side(folder)

    for door in (train, read, act):
        ours_or_success(door, folder, UserError)


@TRIES
@given(spoil=ENTRIES, which=st.sampled_from(["tied", "untied"]))
def test_a_garbled_config(root: Path, spoil: Spoil, which: str) -> None:
    try_every_door(garbled(root / which, root / "garbled", "config.json", spoil))


@TRIES
@given(spoil=BYTES, which=st.sampled_from(["tied", "untied"]))
def test_garbled_weights(root: Path, spoil: Spoil, which: str) -> None:
    try_every_door(garbled(root / which, root / "garbled", "model.safetensors", spoil))


@TRIES
@given(spoil=ENTRIES, name=st.sampled_from(["tokenizer.json", "tokenizer_config.json"]))
def test_a_garbled_tokenizer(root: Path, spoil: Spoil, name: str) -> None:
    try_every_door(garbled(root / "tied", root / "garbled", name, spoil))


@TRIES
@given(spoil=ENTRIES)
def test_a_garbled_generation_config(root: Path, spoil: Spoil) -> None:
    try_every_door(garbled(root / "tied", root / "garbled", "generation_config.json", spoil))


@TRIES
@given(
    spoil=ENTRIES,
    name=st.sampled_from(["config.json", "manifest.json"]),
)
def test_a_garbled_bundle(root: Path, spoil: Spoil, name: str) -> None:
    folder = garbled(root / "reward" / "v000001", root / "garbled", name, spoil)
    ours_or_success(lambda: load_bundle(folder), folder, BundleCorrupt)


@TRIES
@given(spoil=BYTES)
def test_a_bundle_of_garbled_weights(root: Path, spoil: Spoil) -> None:
    folder = garbled(root / "reward" / "v000001", root / "garbled", "model.safetensors", spoil)
    ours_or_success(lambda: load_bundle(folder), folder, BundleCorrupt)


@TRIES
@given(spoil=ENTRIES)
def test_a_garbled_index(root: Path, spoil: Spoil) -> None:
    from safetensors.numpy import load_file, save_file

    whole = root / "sharded"
    if not whole.exists():
        shutil.copytree(root / "untied", whole)
        tensors = load_file(whole / "model.safetensors")
        places = {name: f"model-{i % 2}.safetensors" for i, name in enumerate(tensors)}
        for place in set(places.values()):
            stored = {name: tensors[name] for name in tensors if places[name] == place}
            save_file(stored, whole / place, metadata={"format": "pt"})
        (whole / "model.safetensors").unlink()
        (whole / "model.safetensors.index.json").write_text(
            json.dumps({"metadata": {"total_size": 1}, "weight_map": places})
        )
    try_every_door(garbled(whole, root / "garbled", "model.safetensors.index.json", spoil))
