"""Who was given a GPU that PyTorch cannot use says so, and does not work on the CPU in silence."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from actors.shell import RolloutActorShell
from learners.shell import SupervisedRank
from learners.text_config import BaseModelConfig
from protocol.errors import ResourceError
from protocol.remote import check_gpus_are_seen, own_gpus


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("protocol.remote.own_gpus", lambda: ["GPU 3 of node ab"])


def test_a_rank_with_a_gpu_that_it_cannot_use_joins_nobody(given: None, tmp_path: Path) -> None:
    rank = SupervisedRank(rank=1, config=BaseModelConfig())
    told = r"rank 1 of a learner on GPU 3 of node ab, .* or set cluster\.gpus_per_learner_rank to 0"
    with pytest.raises(ResourceError, match=told):
        rank.start("127.0.0.1", 1, [], tmp_path)


async def test_nor_does_an_actor_start_its_engine(given: None) -> None:
    shell: RolloutActorShell = object.__new__(RolloutActorShell)  # its own engine is vLLM's
    with pytest.raises(ResourceError, match=r"a rollout actor on GPU 3 .* cluster\.gpus_per_actor"):
        await shell.start()


def test_who_was_given_none_or_can_use_it_goes_on(given: None) -> None:
    check_gpus_are_seen("a rank", "a.key", is_seen=True)


def test_outside_of_ray_nobody_was_given_any() -> None:
    assert own_gpus() == []
    check_gpus_are_seen("a rank", "a.key", is_seen=False)
