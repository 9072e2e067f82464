"""One Ray, one small model and one whole run for the whole tier."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.run_process import RunProcess, save_inputs
from tests.support.tiny_model import save_tiny_model
from tests.support.warm_python import WarmPython
from tests.support.watched_run import SETTINGS, Seen, watch


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """A local Ray with 8 logical CPUs, however many the machine has; shut down at the end."""
    import ray

    ray.init(
        address="local",  # whatever cluster another test has just started here
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
def warm_pythons() -> Iterator[tuple[WarmPython, WarmPython]]:
    """Two processes that have imported torch and the learners, each for one rank at a time."""
    pythons = WarmPython(), WarmPython()
    yield pythons
    for python in pythons:
        python.end()


Replay = Callable[..., tuple[int, str]]


@pytest.fixture
def replay(warm_pythons: tuple[WarmPython, WarmPython], tmp_path: Path) -> Replay:
    """Do `andon replay FOLDER …` beside that folder; return its exit code, and what it wrote."""

    def replayed(run: Path, *arguments: str) -> tuple[int, str]:
        said = tmp_path / "replay.txt"
        python = warm_pythons[0]
        command = ("replay", str(run), *arguments)
        python.begin("cluster.cli", *command, folder=run.parent, output=said)
        return python.wait(), said.read_text()

    return replayed


@pytest.fixture(scope="session")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where runs of `examples/tasks` lie."""
    return tmp_path_factory.mktemp("tasks")


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
