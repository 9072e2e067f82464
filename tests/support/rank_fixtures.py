"""What ranks of a learner wrote, as a fixture: with one rank, and with two."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.support.learner_ranks import run_ranks


def ran_by_ranks(
    engines: Sequence[str], module: str = "tests.support.learner_ranks"
) -> Callable[..., Path]:
    """Return a fixture: the folder that a module's ranks wrote to, by these engines."""

    @pytest.fixture(scope="module", params=[1, 2], ids=["one-rank", "two-ranks"])
    def ran(
        request: pytest.FixtureRequest, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
    ) -> Path:
        out = tmp_path_factory.mktemp(f"ranks-{request.param}")
        run_ranks(request.param, tiny_model, out, engines, module=module)
        return out

    return ran
