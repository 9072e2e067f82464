"""The learner's end of the weight path is chosen here and made in another process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from ray import cloudpickle

from cluster.config_file import parse_config
from cluster.starting.publishers import publisher_maker
from learners.ipc_weights import IpcPublisher
from learners.weights import ObjectStorePublisher, SharedMemoryPublisher
from protocol.ports import PushingPublisher, WeightPublisher

DEVICES = {
    "nccl": {"gpus_per_actor": 1.0, "gpus_per_learner_rank": 1.0},
    "ipc": {"gpus_per_actor": 0.25, "gpus_per_learner_rank": 0.25},
}


def sent_maker(transport: str) -> Callable[[], WeightPublisher]:
    """Return the maker as it arrives in the learner's process."""
    content = {
        "people": ["ann"],
        "prompts": {"source": "reviews"},
        "policy": {"path": "model"},
        "labels": {},
        "rollouts": {"weight_transport": transport},
        "cluster": DEVICES.get(transport, {}),
    }
    config = parse_config(content, "test")
    actors = ["rollout-0", "rollout-1"]
    maker = publisher_maker(config, actors, config.rollouts.weight_transport, "a")
    arrived: Callable[[], WeightPublisher] = cloudpickle.loads(cloudpickle.dumps(maker))
    return arrived


@pytest.mark.parametrize(
    ("transport", "kind"),
    [
        ("shared_memory", SharedMemoryPublisher),
        ("object_store", ObjectStorePublisher),
        ("ipc", IpcPublisher),
    ],
)
def test_weights_that_are_pulled(
    transport: str, kind: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cluster.starting.publishers.SHARED_MEMORY", tmp_path)
    publisher = sent_maker(transport)()
    assert isinstance(publisher, kind)
    assert not isinstance(publisher, PushingPublisher)
    publisher.close()


def test_weights_that_are_pushed_are_chosen_without_vllm() -> None:
    assert callable(sent_maker("nccl"))  # made, it would ask for a GPU
