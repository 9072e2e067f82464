"""Where the policy comes from: whatever the hub's client raises, the user is told what to mend."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest

from actors.prompts.corpora import CorpusName, corpus
from cluster.alone.sources import find_policy
from cluster.config_file import parse_config
from cluster.starting.policy_source import model_shape, policy_folder
from cluster.starting.revisions import at_commits
from learners.word_tokenizer import build_tokenizer
from protocol.errors import InputError, MissingError
from tests.support.hub_stand_in import HubStandIn
from tests.support.tiny_model import save_tiny_model


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HubStandIn:
    return HubStandIn(tmp_path, monkeypatch)


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


def test_what_is_not_there_is_named_as_it_was_given(tmp_path: Path) -> None:
    path = str(tmp_path / "none")
    with pytest.raises(MissingError, match=r"^policy\.path .*/none does not exist: name a model"):
        find_policy(None, config_at(path), None, tmp_path)
    with pytest.raises(MissingError, match=r"^--policy .*/none does not exist: name a model"):
        find_policy(path, config_at("some/model"), None, tmp_path)
    with pytest.raises(MissingError, match=r"^policy\.path .*/none does not exist: name a model"):
        model_shape(config_at(path))  # of which `andon plan` asks the config alone


def config_at(path: str, **policy: Any) -> Any:
    content = {
        "prompts": {"source": "hub", "dataset": "some/set"},
        "policy": {"path": path, **policy},
        "people": ["ann"],
        "run": {"episodes": 5120},
    }
    return parse_config(content, "test")


def test_a_revision_is_what_is_fetched(hub: HubStandIn) -> None:
    first = hub.commit("a" * 40, main=True)
    second = hub.commit("b" * 40, branch="next")
    assert policy_folder("some/model") == first
    assert policy_folder("some/model", "next") == second
    assert policy_folder("some/model", "b" * 40) == second
    with pytest.raises(MissingError, match=r"some/model at revision old: .*policy\.revision"):
        policy_folder("some/model", "old")


def test_a_model_in_its_makers_own_form_is_left_out(hub: HubStandIn) -> None:
    """Official repositories hold the weights twice; an engine would start on the other ones."""
    folder = hub.commit("a" * 40, main=True)
    policy_folder("some/model")
    given = hub.given(folder)
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= given
    assert not given & {"consolidated.safetensors", "params.json", "model.bin"}


def test_a_folder_has_no_revision(tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path / "model")
    with pytest.raises(InputError, match=r"policy\.revision 'main' is of a hub id, .*leave"):
        policy_folder(str(folder), "main")


def test_a_run_keeps_the_commits_that_it_began_with(hub: HubStandIn) -> None:
    first = hub.commit("a" * 40, main=True)
    begun, commits = at_commits(config_at("some/model"), {})
    assert commits == {"policy": "a" * 40, "prompts": "d" * 40}
    assert begun.policy is not None
    assert (begun.policy.revision, begun.prompts.revision) == ("a" * 40, "d" * 40)

    hub.commit("b" * 40, main=True)
    hub.dataset_main = "e" * 40
    resumed, again = at_commits(config_at("some/model"), commits)
    assert (resumed, again) == (begun, commits)
    assert resumed.policy is not None
    assert policy_folder(resumed.policy.path, resumed.policy.revision) == first
    assert at_commits(config_at("some/model"), {})[1]["policy"] == "b" * 40

    hub.forget("a" * 40)
    with pytest.raises(MissingError, match=f"some/model at revision {'a' * 40}"):
        policy_folder(resumed.policy.path, resumed.policy.revision)


def test_what_is_on_this_machine_has_no_commit(tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path / "model")
    config = config_at(str(folder))
    here = config.prompts.model_copy(update={"dataset": str(tmp_path)})
    config = config.model_copy(update={"prompts": here})
    assert at_commits(config, {}) == (config, {})


def test_a_dataset_that_is_in_the_cache_alone_stays_as_it_was_given(
    hub: HubStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise ConnectionError("no route")

    hub.commit("a" * 40, main=True)
    monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", refuse)
    begun, commits = at_commits(config_at("some/model"), {})
    assert commits == {"policy": "a" * 40}
    assert begun.prompts.revision is None


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
