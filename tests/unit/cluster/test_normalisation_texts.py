import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from cluster.starting.normalisation_texts import read_normalisation_texts
from cluster.starting.written_responses import ResponseReader
from protocol.ending import EndRule
from protocol.errors import InputError, MissingError
from protocol.tokenizing import PolicyTokenizer
from tests.support import tokenizers_of_all_kinds as kinds

WORDS = {"<unk>": 0, "the": 1, "soup": 2, "was": 3, "good": 4}
WHOLE = EndRule(mode="fixed", marker_ids=frozenset())


@pytest.fixture
def tokenizer() -> PolicyTokenizer:
    words = Tokenizer(models.WordLevel(WORDS, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PolicyTokenizer(PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>"))


def write(folder: Path, *lines: object) -> Path:
    path = folder / "texts.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in lines))
    return path


def test_prompt_and_response_become_one_sequence(
    tmp_path: Path, tokenizer: PolicyTokenizer
) -> None:
    line = {"prompt": "the soup", "response": "was good"}
    path = write(tmp_path, line, {**line, "response": "was"})

    assert read_normalisation_texts(path, ResponseReader(tokenizer, WHOLE, 4)) == [
        (1, 2, 3, 4),
        (1, 2, 3),
    ]


def test_a_bad_line_is_named(tmp_path: Path, tokenizer: PolicyTokenizer) -> None:
    good = {"prompt": "the soup", "response": "was good"}

    with pytest.raises(InputError, match='line 2: no "response"'):
        read_normalisation_texts(
            write(tmp_path, good, {"prompt": "the"}),
            ResponseReader(tokenizer, WHOLE, 4),
        )
    with pytest.raises(InputError, match=r"line 1: .* are 4 tokens long .* is 3"):
        read_normalisation_texts(write(tmp_path, good, good), ResponseReader(tokenizer, WHOLE, 3))
    with pytest.raises(InputError, match="1 lines: normalisation needs at least 2"):
        read_normalisation_texts(write(tmp_path, good), ResponseReader(tokenizer, WHOLE, 4))
    with pytest.raises(MissingError, match=r"reward_model\.normalisation_path"):
        read_normalisation_texts(tmp_path / "none.jsonl", ResponseReader(tokenizer, WHOLE, 4))


def test_texts_end_where_sampled_responses_do(tmp_path: Path, tokenizer: PolicyTokenizer) -> None:
    line = {"prompt": "the soup", "response": "was good was the"}
    path = write(tmp_path, line, line)
    cut = EndRule(mode="fixed", cut_after=1, marker_ids=frozenset({3}))
    assert (
        read_normalisation_texts(path, ResponseReader(tokenizer, cut, 8)) == [(1, 2, 3, 4, 3)] * 2
    )

    inner = kinds.gemma()
    end_of_turn, eos = inner.convert_tokens_to_ids(["<end_of_turn>", "<eos>"])
    ends = EndRule(mode="end_token", marker_ids=frozenset({end_of_turn, eos}))
    chat = {"prompt": [{"role": "user", "content": "hello"}], "response": "good <eos>"}
    path = write(tmp_path, line, chat)
    plain, turn = read_normalisation_texts(path, ResponseReader(PolicyTokenizer(inner), ends, 99))
    assert (plain[-1], plain.count(eos)) == (eos, 1)
    assert (turn[-1], turn.count(eos)) == (end_of_turn, 0)
