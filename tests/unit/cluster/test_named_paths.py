"""Paths that somebody names may be none, or lie where this user may not look: each is said so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from actors.prompts.jsonl import prompt_lines
from cluster.config_file import parse_config
from cluster.starting.given_reward import find_bundle
from cluster.starting.policy_source import model_shape, policy_folder
from cluster.starting.written_responses import ResponseReader
from label_queue.connector_config import RedisConfig
from label_queue.connectors.stream_messages import check_tls_files
from protocol.ending import EndRule
from protocol.errors import InputError, ResourceError
from protocol.tokenizing import PolicyTokenizer
from reward_service.base_weights import BaseWeights, base_folder
from reward_service.bundle_manifest import read_manifest
from tests.support import tokenizers_of_all_kinds as kinds
from tests.support.other_user import open_folder, other_user


def written_responses(path: Path) -> None:
    rule = EndRule(mode="fixed", marker_ids=frozenset())
    reader = ResponseReader(PolicyTokenizer(kinds.words()), rule, 8)
    list(reader.lines(path, "guards.anchor_accuracy.path", "better"))


def shape(path: Path) -> None:
    content = {
        "policy": {"path": str(path)},
        "prompts": {"source": "reviews"},
        "people": ["ann"],
        "run": {"episodes": 5120},
    }
    model_shape(parse_config(content, "test"))


def tls_file(path: Path) -> None:
    check_tls_files(RedisConfig(kind="redis", url="rediss://host", stream="labels", ca_path=path))


def base_of_adapters(path: Path) -> None:
    base_folder(BaseWeights(path=str(path), sha256="0" * 64), Path("reward/v000001"))


READERS: dict[str, Callable[[Path], object]] = {
    "prompts.path": lambda path: prompt_lines(path, "prompt file"),
    "guards.anchor_accuracy.path": written_responses,
    "policy.path": lambda path: policy_folder(str(path)),
    "policy.path ": shape,
    "run.reward": lambda path: find_bundle(f"{path}@3"),
    "labels.connectors (redis): ca_path": tls_file,
    "reward bundle": read_manifest,
    "reward/v000001": base_of_adapters,
}
"""By the name that the error begins with."""


@pytest.fixture
def closed() -> Iterator[Path]:
    """A path in a folder that only its owner may look into."""
    with open_folder() as folder:
        (folder / "closed").mkdir(mode=0o700)
        (folder / "closed" / "named").touch()
        yield folder / "closed" / "named"


@pytest.mark.parametrize("key", READERS)
@pytest.mark.parametrize("name", ["a\0b", "n" * 300], ids=["NUL", "too long"])
def test_what_is_no_path_is_said(tmp_path: Path, key: str, name: str) -> None:
    with pytest.raises(InputError, match="is not a path") as told:
        READERS[key](tmp_path / name)
    assert str(told.value).startswith(f"{key.strip()}: ")


@pytest.mark.parametrize("key", READERS)
def test_what_may_not_be_looked_at_is_said(closed: Path, key: str) -> None:
    (closed.parent).chmod(0)
    with other_user(), pytest.raises(ResourceError, match="may not be read by this user") as told:
        READERS[key](closed)
    closed.parent.chmod(0o700)
    assert str(told.value).startswith(f"{key.strip()}: ")
