import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from cluster.starting.normalisation_texts import read_normalisation_texts
from protocol.errors import InputError, MissingError

WORDS = {"<unk>": 0, "the": 1, "soup": 2, "was": 3, "good": 4}


@pytest.fixture
def tokenizer() -> PreTrainedTokenizerFast:
    words = Tokenizer(models.WordLevel(WORDS, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>")


def write(folder: Path, *lines: object) -> Path:
    path = folder / "texts.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in lines))
    return path


def test_prompt_and_response_become_one_sequence(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    line = {"prompt": "the soup", "response": "was good"}
    path = write(tmp_path, line, {**line, "response": "was"})

    assert read_normalisation_texts(path, tokenizer, longest=4) == [(1, 2, 3, 4), (1, 2, 3)]


def test_a_bad_line_is_named(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    good = {"prompt": "the soup", "response": "was good"}

    with pytest.raises(InputError, match='line 2: no "response"'):
        read_normalisation_texts(write(tmp_path, good, {"prompt": "the"}), tokenizer, 4)
    with pytest.raises(InputError, match=r"line 1: .* are 4 tokens long .* is 3"):
        read_normalisation_texts(write(tmp_path, good, good), tokenizer, 3)
    with pytest.raises(InputError, match="1 lines: normalisation needs at least 2"):
        read_normalisation_texts(write(tmp_path, good), tokenizer, 4)
    with pytest.raises(MissingError, match=r"reward_model\.normalisation_path"):
        read_normalisation_texts(tmp_path / "none.jsonl", tokenizer, 4)
