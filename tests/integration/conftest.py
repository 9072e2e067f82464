"""One Ray and one small model for the whole tier."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.tiny_model import save_tiny_model


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """A local Ray with 8 logical CPUs, however many the machine has; shut down at the end."""
    import ray

    ray.init(
        num_cpus=8,
        include_dashboard=False,
        _node_ip_address="127.0.0.1",
        object_store_memory=256 * 2**20,
        log_to_driver=False,
    )
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a random GPT-2 with tied embeddings and a 53-token word vocabulary."""
    return save_tiny_model(tmp_path_factory.mktemp("models") / "tiny-gpt2")
