"""A base model made without a run: once, and where runs look for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from actors.prompts.corpora import corpus
from cluster.alone.base_model import base_model
from cluster.starting.base_model import made_base_model
from learners.config import BaseModelConfig
from protocol.errors import InputError

RECIPE = BaseModelConfig(texts="articles", num_texts=3, seed=7)


@pytest.fixture
def ranks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was joined and left."""
    done: list[str] = []
    monkeypatch.setattr("learners.engine.join_ranks", lambda *_: done.append("joined"))
    monkeypatch.setattr("learners.engine.leave_ranks", lambda: done.append("left"))
    return done


def test_it_is_made_of_its_texts_once_and_found_by_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ranks: list[str]
) -> None:
    taught: list[list[str]] = []

    def train(texts: list[str], recipe: BaseModelConfig, folder: Path) -> float:
        taught.append(texts)
        folder.mkdir()
        return 2.5

    monkeypatch.setattr("learners.base_model.train_base_model", train)
    folder = base_model(RECIPE, tmp_path)
    assert taught == [corpus("articles", 3, 7)]
    assert ranks == ["joined", "left"]
    assert json.loads((folder / "made.json").read_text())["loss"] == 2.5
    assert base_model(RECIPE, tmp_path) == folder == made_base_model(RECIPE, tmp_path)
    other = RECIPE.model_copy(update={"texts": "summaries"})
    assert base_model(other, tmp_path) != folder
    assert len(taught) == 2


def test_one_that_could_not_be_made_is_not_found_and_the_ranks_are_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ranks: list[str]
) -> None:
    def train(*_: Any) -> float:
        raise InputError("too few texts")

    monkeypatch.setattr("learners.base_model.train_base_model", train)
    with pytest.raises(InputError, match="too few"):
        base_model(RECIPE, tmp_path)
    assert ranks == ["joined", "left"]
    assert made_base_model(RECIPE, tmp_path) is None
