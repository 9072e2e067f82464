"""How many bundles are reserved for the policy's processes, and of what."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from cluster.config_file import parse_config
from cluster.starting.seats import reserve_policy


class Reserved:
    """Remembers what was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, dict[str, float], str]] = []

    async def __call__(
        self, count: int, resources: dict[str, float], strategy: str, what: str
    ) -> Any:
        self.asked.append((count, resources, strategy))
        return SimpleNamespace(what=what)


def content(**cluster: object) -> dict[str, Any]:
    return {
        "people": ["ann"],
        "prompts": {"source": "reviews"},
        "policy": {"path": "model"},
        "run": {"max_policy_lag": 0},
        "learner": {"zero_stage": 2},
        "cluster": {"gpus_per_actor": 0.25, "gpus_per_learner_rank": 0.5, **cluster},
    }


async def test_in_turns_all_are_on_one_bundle_with_what_each_asks_for() -> None:
    reserved = Reserved()
    run = parse_config(content(colocation="turns", cpus_per_part=0.5), "test")
    learner, actors = await reserve_policy(run, reserved)
    assert reserved.asked == [(1, {"CPU": 1.5, "GPU": 1.0}, "PACK")]
    assert learner.group is actors.group
    for seats, gpus in ((learner, 0.5), (actors, 0.25)):
        for index in (0, 1):
            options = seats.options(index)
            assert (options["num_cpus"], options["num_gpus"]) == (0.5, gpus)
            assert options["scheduling_strategy"].placement_group_bundle_index == 0


async def test_those_who_open_memory_of_a_gpu_to_each_other_are_on_one_bundle() -> None:
    reserved = Reserved()
    given = content(gpus_per_actor=0.25, gpus_per_learner_rank=0.25)
    given["rollouts"] = {"weight_transport": "ipc", "num_actors": 2}
    learner, actors = await reserve_policy(parse_config(given, "test"), reserved)
    assert reserved.asked == [(1, {"CPU": 3.0, "GPU": 0.75}, "PACK")]
    assert learner.group is actors.group
    assert learner.is_shared
    assert actors.is_shared


async def test_beside_each_other_each_has_a_bundle() -> None:
    reserved = Reserved()
    learner, actors = await reserve_policy(parse_config(content(), "test"), reserved)
    assert sorted(reserved.asked, key=lambda asked: asked[0]) == [
        (1, {"CPU": 1.0, "GPU": 0.5}, "PACK"),
        (2, {"CPU": 1.0, "GPU": 0.25}, "SPREAD"),
    ]
    assert learner.group is not actors.group
    indices = [
        actors.options(index)["scheduling_strategy"].placement_group_bundle_index
        for index in (0, 1)
    ]
    assert indices == [0, 1]
