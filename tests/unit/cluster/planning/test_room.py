"""Where processes come to lie, what has no room, and what is proposed; what a machine has."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cluster.config import RunConfig
from cluster.planning.changes import advise
from cluster.planning.machine import asks_for_gpus, gpu_sizes, here_for, placed
from cluster.planning.needs import GIB, MIB, Process
from cluster.planning.plan import make_plan
from cluster.planning.table import WIDTH, as_json, as_text, change_words
from tests.support.plans import LARGE, ON_GPUS, config, machine, named


def test_processes_come_to_lie_as_ray_places_them() -> None:
    def process(name: str, gpus: float) -> Process:
        return Process(name=name, part=name, gpus=gpus)

    wanted = [process("a", 0.5), process("b", 1), process("c", 0.3), process("d", 0)]
    wanted.append(process("e", 2))
    devices, left_over = placed(wanted, None)
    assert [[p.name for p in each.processes] for each in devices] == [
        ["b"],
        ["e"],
        ["e"],
        ["a", "c"],
    ]
    assert left_over == []
    devices, left_over = placed(wanted, 3)
    assert [[p.name for p in each.processes] for each in devices] == [["b"], ["e"], ["e"]]
    assert [each.name for each in left_over] == ["a", "c"]


def test_parts_of_one_gpu_fill_it_and_no_more() -> None:
    tenth = [Process(name=str(n), part="p", gpus=0.1) for n in range(11)]
    devices, left_over = placed(tenth, 1)
    assert len(devices[0].processes) == 10
    assert [each.name for each in left_over] == ["10"]


def test_what_has_no_room_is_told_and_whether_it_is_certain() -> None:
    run = config(cluster=ON_GPUS, rollouts={"num_actors": 1, "kv_cache_gib": 4})
    plan = make_plan(run, LARGE, machine(num_gpus=2))
    told = [(each.parts, each.is_certain) for each in plan.problems]
    assert told == [
        (("reward trainer",), True),  # two GPUs for three processes
        (("learner",), True),  # 16 bytes of each of 7.6 billion weights, and ρ
    ] or told == [(("rollout actor",), True), (("learner",), True), (("reward trainer",), True)]
    assert "there are 2 GPUs, and none is left for rollout actor 0" in plan.problems[0].text


def test_a_cache_that_holds_no_sequence_is_told() -> None:
    run = config(rollouts={"kv_cache_gib": 0.5, "max_model_len": 32_768})
    (problem,) = make_plan(run, LARGE, machine()).problems
    assert not problem.is_certain  # the engine's own check is
    assert "0.50 GiB for its KV cache, and one sequence of 32768 tokens takes 3.50" in problem.text
    assert make_plan(config(rollouts={"kv_cache_gib": 4}), LARGE, machine()).fits


def test_an_object_store_without_room_for_the_versions_is_told_and_a_large_one_carries_them() -> (
    None
):
    rollouts = {"weight_transport": "object_store", "kv_cache_gib": 4}
    (problem,) = make_plan(config(rollouts=rollouts), LARGE, machine()).problems
    assert not problem.is_certain
    assert "no room for the versions that are kept" in problem.text
    roomy = {"object_store_gib": 5 * 28.4}
    assert make_plan(config(rollouts=rollouts, cluster=roomy), LARGE, machine()).fits


def test_host_and_disk_are_judged_where_they_are_known() -> None:
    run = config(rollouts={"kv_cache_gib": 4})
    assert make_plan(run, LARGE, machine()).fits
    small = replace(machine(), host_bytes=16 * GIB, disk_bytes=100 * GIB)
    parts = [each.parts for each in make_plan(run, LARGE, small).problems]
    assert parts == [("host",), ("disk",)]


def test_the_first_change_with_which_all_fits_is_proposed_and_was_tried() -> None:
    run = config(
        cluster=ON_GPUS,
        learner={"dtype": "bfloat16", "num_ranks": 4},
        reward_trainer={"dtype": "bfloat16", "num_ranks": 4, "zero_stage": 3},
        rollouts={"num_actors": 1, "dtype": "bfloat16", "kv_cache_gib": 4},
    )
    here = machine(num_gpus=9)
    advice = advise(run, make_plan(run, LARGE, here), lambda new: make_plan(new, LARGE, here))
    assert [change_words(each) for each in advice.changes] == ["--set learner.zero_stage=3"]
    assert advice.suffices


def test_what_nothing_mends_is_said() -> None:
    run = config(cluster=ON_GPUS, rollouts={"num_actors": 1})
    here = machine(num_gpus=3, gpu_gib=4)
    plan = make_plan(run, LARGE, here)
    advice = advise(run, plan, lambda new: make_plan(new, LARGE, here))
    assert not advice.suffices
    assert "it does not suffice" in as_text(plan, advice)
    assert "take larger or more devices, or a smaller model" in as_text(plan, advice)


def test_changes_that_make_no_config_are_not_proposed() -> None:
    # 16 episodes in 4 minibatches go on 1, 2 or 4 ranks: from 4 there is no doubling.
    run = config(
        cluster=ON_GPUS,
        rollouts={"num_actors": 1},
        ppo={"batch_size": 16},
        learner={"num_ranks": 4, "zero_stage": 3},
    )
    here = machine(gpu_gib=16)
    advice = advise(run, make_plan(run, LARGE, here), lambda new: make_plan(new, LARGE, here))
    assert advice.changes
    assert "learner.num_ranks" not in {key for change in advice.changes for key in change}


def test_a_plan_is_read_in_a_narrow_terminal_and_by_programs() -> None:
    run = config(
        cluster=ON_GPUS, rollouts={"num_actors": 3}, learner={"num_ranks": 8, "zero_stage": 3}
    )
    here = machine(num_gpus=16, gpu_gib=24)
    plan = make_plan(run, LARGE, here)
    advice = advise(run, plan, lambda new: make_plan(new, LARGE, here))
    text = as_text(plan, advice)
    assert all(len(line) <= WIDTH for line in text.splitlines())
    assert "DOES NOT FIT" in text
    told = json.loads(as_json(plan, advice))
    assert told["fits"] is False
    assert told["host"] == plan.host_bytes
    assert {each["name"] for each in told["processes"]} == {each.name for each in plan.processes}
    assert told["devices"][0]["used"] == plan.devices[0].used


def test_a_machine_whose_driver_tells_nothing_is_not_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    run = config(cluster=ON_GPUS, rollouts={"num_actors": 1, "kv_cache_gib": 4})
    assert asks_for_gpus(run)
    here = here_for(run, tmp_path / "runs" / "a-1")
    assert here.num_gpus is None
    assert not [each for each in make_plan(run, LARGE, here).problems if each.is_certain]


@pytest.mark.parametrize(
    ("shown", "sizes"),
    [
        (None, [81_559, 24_564]),
        ("0", [81_559]),
        ("1,0", [24_564, 81_559]),
        ("GPU-8932f937", [24_564]),
        ("1,-1,0", [24_564]),
        ("", []),
        ("7", []),
    ],
)
def test_the_driver_tells_of_the_gpus_that_may_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shown: str | None, sizes: list[int]
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\nprintf '81559\\n24564\\n'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if shown is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", shown)
    assert gpu_sizes() == [size * MIB for size in sizes]
    here = here_for(config(), tmp_path)
    assert (here.num_gpus, here.gpu_bytes) == (len(sizes), min(sizes, default=0) * MIB)


@pytest.mark.parametrize("script", ["exit 9", "echo '[N/A]'"])
def test_a_driver_that_does_not_answer_tells_of_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert gpu_sizes() == []


def on_one_gpu(colocation: str, **learner: Any) -> RunConfig:
    return config(
        run={"episodes": 5120, "max_policy_lag": 0},
        rollouts={"num_actors": 1, "dtype": "bfloat16", "kv_cache_gib": 8},
        learner={"zero_stage": 2, "dtype": "bfloat16", **learner},
        cluster={
            "gpus_per_actor": 0.25,
            "gpus_per_learner_rank": 0.25,
            "gpus_per_reward_replica": 0.25,
            "colocation": colocation,
        },
    )


def test_in_turns_a_gpu_holds_the_larger_side_and_what_the_other_keeps() -> None:
    beside = make_plan(on_one_gpu("beside"), LARGE, machine(1))
    plan = make_plan(on_one_gpu("turns"), LARGE, machine(1))
    learner, actor = named(plan, "learner rank 0"), named(plan, "rollout actor 0")
    always = (
        named(plan, "reward trainer rank 0").on_device + named(plan, "reward replica 0").on_device
    )
    [gpu] = plan.devices
    assert gpu.sides == ("learner", "engines")
    assert gpu.used_in("learner") == learner.on_device + actor.model["library"] + always
    assert gpu.used_in("engines") == actor.on_device + learner.model["library"] + always
    assert gpu.used == gpu.used_in("learner") > gpu.used_in("engines")
    assert beside.devices[0].used == learner.on_device + actor.on_device + always
    assert gpu.certain == beside.devices[0].certain - actor.certain


def test_in_turns_what_rests_is_on_the_host() -> None:
    beside = make_plan(on_one_gpu("beside"), LARGE, machine(1))
    plan = make_plan(on_one_gpu("turns"), LARGE, machine(1))

    def more_of(name: str) -> int:
        return named(plan, name).of_host - named(beside, name).of_host

    actor, learner = named(plan, "rollout actor 0").model, named(plan, "learner rank 0").model
    assert more_of("rollout actor 0") == actor["weights"]
    assert more_of("learner rank 0") == learner["weights"] + learner["optimizer"]
    assert more_of("reward trainer rank 0") == more_of("reward replica 0") == 0


def test_a_plan_tells_of_both_turns() -> None:
    run = on_one_gpu("turns")
    plan = make_plan(run, LARGE, machine(1))
    [gpu] = plan.devices
    advice = advise(run, plan, lambda changed: make_plan(changed, LARGE, machine(1)))
    told = json.loads(as_json(plan, advice))
    assert told["devices"][0]["turns"] == {
        "learner": gpu.used_in("learner"),
        "engines": gpu.used_in("engines"),
    }
    text = " ".join(as_text(plan, advice).split())
    assert f"{gpu.used_in('learner') / GIB:.1f} in the turn of the learner" in text
    assert f"{gpu.used_in('engines') / GIB:.1f} in the turn of the engines" in text
    assert "are wanted in the turn of the learner by" in text
