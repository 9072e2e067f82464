"""Where a folder names the general tokenizer, it is loaded without torch, and is the same."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from actors.tokenizer import load_tokenizer
from protocol.errors import InputError
from protocol.tokenizer_files import CONFIG_FILE
from tests.support.tiny_model import save_tiny_model

LOADS = """
import sys
from pathlib import Path
from actors.tokenizer import load_tokenizer
load_tokenizer(Path(sys.argv[1]))
assert "torch" not in sys.modules
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("policy"))


def name_class(folder: Path, name: str | None) -> None:
    path = folder / CONFIG_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), "tokenizer_class": name}))


@pytest.mark.parametrize("name", ["PreTrainedTokenizerFast", "TokenizersBackend", None])
def test_it_is_the_one_that_the_library_would_choose(folder: Path, name: str | None) -> None:
    name_class(folder, name)
    ours, chosen = load_tokenizer(folder), AutoTokenizer.from_pretrained(str(folder))
    assert type(ours) is type(chosen)
    assert ours.get_vocab() == chosen.get_vocab()
    assert ours.special_tokens_map == chosen.special_tokens_map
    words = " ".join(sorted(ours.get_vocab())[:40])
    assert ours(words)["input_ids"] == chosen(words)["input_ids"]
    assert ours.decode(range(20)) == chosen.decode(range(20))


def test_the_general_one_needs_no_torch(folder: Path) -> None:
    name_class(folder, "TokenizersBackend")
    subprocess.run([sys.executable, "-c", LOADS, str(folder)], check=True, timeout=60)


def test_a_config_that_is_no_json_is_named(folder: Path, tmp_path: Path) -> None:
    (tmp_path / CONFIG_FILE).write_text("{")
    with pytest.raises(InputError, match=CONFIG_FILE):
        load_tokenizer(tmp_path)
