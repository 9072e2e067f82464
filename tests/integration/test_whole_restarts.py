"""A run whose parts all start again: what is told of it meanwhile."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from cluster.config_file import parse_config
from cluster.ending import Ending
from cluster.run_folder import RunFolder
from protocol.errors import ActorDied

pytestmark = pytest.mark.filterwarnings(
    # Ray Serve declares its own models in a style that pydantic has deprecated.
    "ignore::pydantic.warnings.PydanticDeprecatedSince20"
)
CONFIG = parse_config(
    {
        "prompts": {"source": "reviews"},
        "base_model": {"num_texts": 100},
        "people": ["ann"],
        "run": {"episodes": 5120},
        "cluster": {"restarts": {"first_pause_s": 1e-3}},
    },
    "test",
)


async def test_a_run_that_starts_again_is_not_told_by_what_it_did_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cluster import whole_restarts

    folder = RunFolder.create(tmp_path)
    folder.update_state(state="running", started_at=1_000.0)
    had_picture: list[bool] = []
    did_start_again: list[bool] = []

    async def conduct(*_: object, starts_again: bool) -> None:
        had_picture.append(folder.inspection.exists())
        did_start_again.append(starts_again)
        folder.inspection.write_text("{}")
        if len(had_picture) == 1:
            raise ActorDied("rank 0 of the learner died")

    monkeypatch.setattr(whole_restarts, "conduct", conduct)
    monkeypatch.setattr(whole_restarts, "after_a_death", lambda *_: (CONFIG, None))
    await whole_restarts.conduct_through_deaths(
        CONFIG,
        folder,
        tmp_path,
        Console(file=io.StringIO()),
        None,
        Ending(folder, stop_s=15.0),
        None,
    )
    assert had_picture == [False, False]
    assert did_start_again == [False, True], "only at first is it an error that wandb is away"
    assert folder.inspection.exists(), "of a run that has ended it says how that stood"
