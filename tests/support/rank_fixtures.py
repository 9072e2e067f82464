"""What ranks of a learner wrote, as a fixture: with one rank, and with two."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from learners.engine import free_port
from tests.support.learner_ranks import HOST
from tests.support.run_process import REPOSITORY
from tests.support.warm_python import WarmPython


def ran_by_ranks(
    engines: Sequence[str],
    module: str = "tests.support.learner_ranks",
    *,
    alone: Sequence[pytest.MarkDecorator] = (),
) -> Callable[..., Path]:
    """Return a fixture: the folder that a module's ranks wrote to, by these engines.

    Args:
        engines: As `learner_inputs.named_engine` calls them.
        module: What a rank runs.
        alone: Marks of the tests with one rank.
    """

    @pytest.fixture(
        scope="module",
        params=[pytest.param(1, id="one-rank", marks=alone), pytest.param(2, id="two-ranks")],
    )
    def ran(
        request: pytest.FixtureRequest,
        tiny_model: Path,
        tmp_path_factory: pytest.TempPathFactory,
        warm_pythons: tuple[WarmPython, WarmPython],
    ) -> Path:
        out = tmp_path_factory.mktemp(f"ranks-{request.param}")
        run_warm(warm_pythons[: request.param], module, tiny_model, out, engines)
        return out

    return ran


def run_warm(
    pythons: Sequence[WarmPython], module: str, model: Path, out: Path, engines: Sequence[str]
) -> None:
    """Run a rank from each process and wait; a failure raises with the rank's own words.

    Ranks of one process would have the same seed of hashes, and so the same order of any set.
    """
    port = free_port(HOST)
    words = [out / f"rank-{rank}.txt" for rank in range(len(pythons))]
    try:
        for rank, python in enumerate(pythons):
            arguments = map(str, (rank, len(pythons), port, model, out, *engines))
            python.begin(module, *arguments, folder=REPOSITORY, output=words[rank])
        for python, said in zip(pythons, words, strict=True):
            assert python.wait() == 0, said.read_text()
    except BaseException:
        for python in pythons:
            python.end()
        raise
