"""One Ray, one small model and one whole run for the whole tier."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.run_process import RunProcess, save_inputs
from tests.support.tiny_model import save_tiny_model
from tests.support.watched_run import SETTINGS, Seen, watch


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


@pytest.fixture(scope="session")
def reviews_inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a person brings to a run: `policy/` and `prompts.jsonl`."""
    return save_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture(scope="session")
def seen(reviews_inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    """One run from start to end, watched from outside and recorded; nobody changes its folder."""
    folder = tmp_path_factory.mktemp("runs") / "reviews-1"
    run = RunProcess(reviews_inputs, folder, SETTINGS)
    try:
        yield watch(run, reviews_inputs)
    finally:
        run.kill()
