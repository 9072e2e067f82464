"""Where the policy comes from: whatever the hub's client raises, the user is told what to mend."""

from __future__ import annotations

from typing import get_args

import pytest

from actors.prompts.corpora import CorpusName, corpus
from cluster.config_file import parse_config
from cluster.starting.policy_source import model_shape, policy_folder
from learners.word_tokenizer import build_tokenizer
from protocol.errors import MissingError


@pytest.mark.parametrize(
    "error",
    [OSError("no route"), ValueError("not a repo id"), RuntimeError("client"), KeyError("x")],
    ids=lambda error: type(error).__name__,
)
def test_what_the_hub_raises_is_told(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise error

    monkeypatch.setattr("huggingface_hub.snapshot_download", refuse)
    with pytest.raises(MissingError, match=rf"policy\.path some/model: .*{type(error).__name__}"):
        policy_folder("some/model")


@pytest.mark.parametrize("texts", get_args(CorpusName))
def test_a_base_model_has_the_words_of_its_texts_before_it_is_made(texts: CorpusName) -> None:
    content = {
        "prompts": {"source": "reviews" if texts == "reviews" else "articles"},
        "base_model": {"texts": texts},
        "people": ["ann"],
        "run": {"episodes": 5120},
    }
    shape = model_shape(parse_config(content, "test"))
    assert shape.vocab_size == len(build_tokenizer(corpus(texts, 4_000, seed=1)))
