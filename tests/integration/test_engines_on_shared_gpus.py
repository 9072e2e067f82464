"""Which rollout actors are told what their engine takes of a GPU that others use too."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cluster.run_folder import RunFolder
from cluster.starting.engine_memory import beside_cache_bytes
from protocol.folders import FoldersHere
from tests.support.plans import config

pytestmark = pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince20")

SHARED = {"gpus_per_actor": 0.25, "gpus_per_learner_rank": 0.25}


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("rollouts", "cluster", "is_told"),
    [
        ({"kv_cache_gib": 0}, SHARED, True),
        ({"kv_cache_gib": 1}, SHARED, False),
        ({"kv_cache_gib": 0}, {"gpus_per_actor": 1, "gpus_per_learner_rank": 1}, False),
        ({"kv_cache_gib": 0}, {}, False),
    ],
)
async def test_every_actor_is_told_where_its_device_is_shared(
    rollouts: dict[str, Any],
    cluster: dict[str, Any],
    is_told: bool,
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from cluster.starting import placement

    policy, actors = {"path": str(tiny_model)}, {"num_actors": 2, **rollouts}
    run = config(policy=policy, rollouts=actors, cluster=cluster)
    given: list[dict[str, Any]] = []

    class Actors:
        """Has all processes made, and starts none."""

        def __init__(self, count: int, spawn: Any, _: object) -> None:
            self.actors = [spawn(index, 0) for index in range(count)]

        async def start(self) -> None: ...

        async def stop(self) -> None: ...

    def spawn(*_: object) -> Any:
        return lambda *_, **named: given.append(named)

    monkeypatch.setattr(placement, "RolloutActors", Actors)
    monkeypatch.setattr(placement, "spawn", spawn)

    async def prepared() -> None: ...

    alone: Any = SimpleNamespace(is_on_a_cluster=False)
    unused: Any = SimpleNamespace()
    parts = placement.Placement(
        run, RunFolder(tmp_path / "run"), alone, tiny_model, prepared, None, unused, FoldersHere
    )
    seats: Any = SimpleNamespace(options=lambda _: {})
    await parts._start_actors(seats, prepared())
    beside = beside_cache_bytes(run)
    assert (beside is not None) == is_told
    assert [each["beside_cache"] for each in given] == [beside, beside]
