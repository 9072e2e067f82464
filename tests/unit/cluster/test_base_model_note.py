"""The note that says that a base model is whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.starting.base_model import MADE_FILE, _made, made_base_model
from learners.text_config import BaseModelConfig


def test_a_base_model_is_whole_when_its_note_is(tmp_path: Path) -> None:
    assert _made(tmp_path) is None
    (tmp_path / MADE_FILE).write_text('{"seconds": 41.5, "loss": 2.0}')
    assert _made(tmp_path) == {"seconds": 41.5}


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"seconds": "long"}', "{}"])
def test_a_garbled_note_has_the_model_made_anew(tmp_path: Path, content: str) -> None:
    (tmp_path / MADE_FILE).write_text(content)
    assert _made(tmp_path) is None


def test_a_run_that_began_before_recipes_said_more_finds_its_base_model(tmp_path: Path) -> None:
    """By the name that the demo's had then; a run's own config says what was the default."""
    engine = {"torch_threads": 2, "adam_betas": [0.9, 0.999], "adam_eps": 1e-5}
    recipe = BaseModelConfig.model_validate({"num_texts": 36_000, "engine": engine})
    folder = tmp_path / "base-model-4dc622c34279"
    folder.mkdir()
    (folder / MADE_FILE).write_text('{"seconds": 41.5, "loss": 2.0}')
    assert made_base_model(recipe, tmp_path) == folder
    other = recipe.model_copy(update={"texts": "articles"})
    assert made_base_model(other, tmp_path) is None
