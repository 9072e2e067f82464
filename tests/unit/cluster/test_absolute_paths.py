"""A run is gone on with from another folder than it began in: its config names places, not ways."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

from cluster.config import RunConfig
from cluster.config_file import load_config, parse_config, save_config
from cluster.run import RUNS, _cache
from cluster.starting.absolute_paths import PATHS, PATHS_OR_IDS, with_absolute_paths
from protocol.errors import InputError

NO_PATHS = frozenset({"cluster.store", "cluster.cache"})
"""Those of a path's name that must be absolute, or a URL, as they are given."""
NAMES_OF_PATHS = ("path", "dataset", "reward", "store", "cache", "tls_certificate", "tls_key")
"""Ends of names of keys that may be a path."""


def texts_that_may_be_paths(model: type[BaseModel], above: str = "") -> Iterator[str]:
    """Give the keys of all texts whose name is that of a path."""
    for name, field in model.model_fields.items():
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from texts_that_may_be_paths(kind, f"{above}{name}.")
            elif kind is str and name.endswith(NAMES_OF_PATHS):
                yield f"{above}{name}"


def relative() -> RunConfig:
    return parse_config(
        {
            "people": ["ann"],
            "run": {"episodes": 5120},
            "prompts": {"source": "jsonl", "path": "prompts.jsonl"},
            "policy": {"path": "some/model"},
            "pretraining": {"source": "hub", "dataset": "some/texts"},
            "reward_model": {
                "normalisation": "zero_at_reference",
                "normalisation_path": "texts.jsonl",
            },
            "guards": {"anchor_accuracy": {"path": "anchors.jsonl"}},
            "ppo": {"critic": "separate", "critic_path": "reward/v000001"},
        },
        "test",
    )


def test_every_text_of_the_config_that_may_be_a_path_is_known() -> None:
    assert set(texts_that_may_be_paths(RunConfig)) - NO_PATHS == {*PATHS, *PATHS_OR_IDS}


def test_what_is_saved_means_the_same_from_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    (here / "some" / "model").mkdir(parents=True)
    there.mkdir()
    monkeypatch.chdir(here)
    save_config(with_absolute_paths(relative()), tmp_path / "config.toml")
    monkeypatch.chdir(there)
    found = with_absolute_paths(load_config(tmp_path / "config.toml"))
    assert found.prompts.path == str(here / "prompts.jsonl")
    assert found.policy is not None
    assert found.policy.path == str(here / "some" / "model")
    assert found.pretraining is not None
    assert found.pretraining.dataset == "some/texts"
    assert found.reward_model.normalisation_path == str(here / "texts.jsonl")
    assert found.guards.anchor_accuracy.path == str(here / "anchors.jsonl")
    assert found.ppo.critic_path == str(here / "reward" / "v000001")


def test_nothing_named_is_no_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    content = {"people": ["ann"], "prompts": {"source": "reviews"}, "base_model": {}}
    config = parse_config(content, "test")
    assert with_absolute_paths(config) == config


def test_a_path_that_is_none_is_named_with_its_key() -> None:
    content = {"people": ["ann"], "prompts": {"source": "reviews"}, "policy": {"path": "n" * 300}}
    with pytest.raises(InputError, match=r"policy\.path: n+ is not a path"):
        with_absolute_paths(parse_config(content, "test"))


def test_the_base_model_of_a_run_that_goes_on_is_where_it_was_made(tmp_path: Path) -> None:
    made = tmp_path / "runs" / "base-model-1"
    assert _cache({"policy_path": str(made)}) == RUNS
    made.mkdir(parents=True)
    assert _cache({"policy_path": str(made)}) == tmp_path / "runs"
    assert _cache({}) == RUNS
