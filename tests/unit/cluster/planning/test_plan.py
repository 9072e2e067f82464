"""Which process takes what, where it lies, what has no room, and what is proposed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from actors.prompts.articles import MAX_PROMPT_TOKENS
from cluster.config import RunConfig
from cluster.config_file import parse_config
from cluster.planning.changes import advise
from cluster.planning.machine import Machine, asks_for_gpus, gpu_sizes, here_for, placed
from cluster.planning.models import MetaModels, PolicyKind
from cluster.planning.needs import GIB, MIB, Process
from cluster.planning.plan import Plan, make_plan
from cluster.planning.table import WIDTH, as_json, as_text, change_words
from cluster.planning.trained import PROCESS
from cluster.planning.transport import version_bytes
from reward_service.pretrained import read_config
from tests.support.architectures import ARCHITECTURES

SHAPES = Path(__file__).parents[3] / "support" / "model_configs"
MODELS = MetaModels(ARCHITECTURES["qwen2"][1]())
LARGE = MetaModels(read_config(SHAPES / "qwen2.5-7b"), follows_passes=False)
ON_GPUS = {"gpus_per_actor": 1, "gpus_per_learner_rank": 1}


def config(**sections: Any) -> RunConfig:
    content: dict[str, Any] = {
        "people": ["ann"],
        "run": {"episodes": 5120},
        "policy": {"path": "model"},
        "prompts": {"source": "reviews"},
        **sections,
    }
    return parse_config(content, "test")


def machine(num_gpus: int | None = None, gpu_gib: float = 79.0) -> Machine:
    return Machine(
        num_gpus=num_gpus,
        gpu_bytes=int(gpu_gib * GIB),
        host_bytes=None,
        disk_bytes=None,
        is_here=False,
    )


def named(plan: Plan, name: str) -> Process:
    (process,) = (each for each in plan.processes if each.name == name)
    return process


# One whose states are narrower than its config says is refused before it is trained.
@pytest.mark.parametrize("name", sorted(set(ARCHITECTURES) - {"opt, projected"}))
def test_every_architecture_has_a_plan(name: str) -> None:
    models = MetaModels(ARCHITECTURES[name][1]())
    plan = make_plan(config(learner={"gradient_checkpointing": True}), models, machine())
    rank = named(plan, "learner rank 0").model
    assert rank["optimizer"] == 8 * models.policy(PolicyKind()).total
    assert rank["activations"] > 0


def test_every_process_of_a_run_is_in_the_plan() -> None:
    run = config(
        rollouts={"num_actors": 2},
        learner={"num_ranks": 2},
        labelers=[{"name": "robot"}],
        people=[],
    )
    plan = make_plan(run, MODELS, machine())
    assert [each.name for each in plan.processes] == [
        *("learner rank 0", "learner rank 1", "reward trainer rank 0"),
        *("rollout actor 0", "rollout actor 1", "reward replica 0"),
        *("driver", "label queue", "weigher of labelers", "intake", "metrics hub"),
        *("reward announcer", "Ray and Serve", "robot"),
    ]
    assert plan.devices == ()
    assert plan.fits
    assert plan.host_bytes == sum(each.of_host for each in plan.processes) > GIB


def test_the_longest_prompt_is_that_of_the_source_as_far_as_there_is_room() -> None:
    def longest(**prompts: Any) -> int:
        return make_plan(config(prompts=prompts), MODELS, machine()).prompt_tokens

    assert longest(source="reviews", prompt_tokens=9) == 9
    assert longest(source="articles") == 64 - 24  # the model's context less a response
    assert (
        make_plan(
            config(prompts={"source": "articles"}, response={"max_tokens": 4, "cut_after": 2}),
            MODELS,
            machine(),
        ).prompt_tokens
        == MAX_PROMPT_TOKENS
    )


def test_what_a_learner_holds_is_what_its_weights_make() -> None:
    run = config(learner={"num_ranks": 4, "zero_stage": 3, "dtype": "bfloat16"}, cluster=ON_GPUS)
    plan = make_plan(run, LARGE, machine())
    rank = named(plan, "learner rank 1").model
    own = LARGE.policy(PolicyKind()).total / 4
    reference = 2 * LARGE.language_model.total / 4
    assert rank["weights"] == pytest.approx(2 * own + reference)
    assert rank["optimizer"] == pytest.approx(12 * own)
    assert rank["gradients"] == pytest.approx(4 * own)


def test_where_weights_are_spread_no_rank_has_a_model_on_the_host() -> None:
    spread = {"num_ranks": 4, "zero_stage": 3, "dtype": "bfloat16"}
    rollouts = {"weight_transport": "shared_memory", "kv_cache_gib": 4}
    sections: dict[str, Any] = {"rollouts": rollouts, "cluster": ON_GPUS}
    parted = make_plan(config(learner=spread, reward_trainer=spread, **sections), LARGE, machine())
    policy, reward = LARGE.policy(PolicyKind()), LARGE.reward(config().reward_model)
    # One weight as it is read and in the engine's type: the embeddings are larger than a layer.
    one_weight = 6 * policy.largest
    assert one_weight == 6 * 152_064 * 3584 > 4 * policy.layer
    for rank in (0, 1):
        assert named(parted, f"learner rank {rank}").host == PROCESS + one_weight
    # Beside it a warm update's way back: this rank's weights, masters and moments.
    kept = (2 + 4 + 8) * -(-reward.trained // 4)
    assert named(parted, "reward trainer rank 0").host == PROCESS + kept + one_weight

    whole = make_plan(config(learner={**spread, "zero_stage": 2}, **sections), LARGE, machine())
    both = 4 * (policy.total + LARGE.language_model.total)
    assert named(whole, "learner rank 1").host == PROCESS + both


@pytest.mark.parametrize(
    ("learner", "ranks"),
    [
        ({}, 1),
        ({"zero_stage": 2, "num_ranks": 2}, 2),
        ({"zero_stage": 3, "num_ranks": 4, "dtype": "bfloat16"}, 4),
        ({"zero_stage": 2, "optimizer": "cpu_adam", "offload_optimizer": True}, 1),
    ],
    ids=["plain", "stage 2", "stage 3", "offloaded"],
)
def test_an_average_takes_4_bytes_a_weight_more_wherever_the_optimizer_has_its_own(
    learner: dict[str, Any], ranks: int
) -> None:
    with_it = {**learner, "ema": {}}
    plain, averaged = (
        make_plan(config(learner=each, cluster=ON_GPUS), LARGE, machine())
        for each in (learner, with_it)
    )
    trained = LARGE.policy(PolicyKind()).trained
    own = -(-trained // ranks)
    before, after = (named(plan, "learner rank 0") for plan in (plain, averaged))
    if "offload_optimizer" in learner:
        assert after.host - before.host == 4 * own
    else:
        assert after.model["optimizer"] - before.model["optimizer"] == 4 * own
        assert after.on_device - before.on_device == 4 * own
    kept = 9
    checkpoints = [plan.disk[0].num_bytes for plan in (plain, averaged)]
    assert checkpoints[1] - checkpoints[0] == kept * ranks * 4 * own
    assert averaged.disk[1].num_bytes == 2 * plain.disk[1].num_bytes


def test_blocks_of_text_longer_than_responses_are_the_largest_passes() -> None:
    def activations(block_tokens: int, **ppo: Any) -> int:
        run = config(ppo=ppo, pretraining={"block_tokens": block_tokens})
        return named(make_plan(run, MODELS, machine()), "learner rank 0").model["activations"]

    without = named(make_plan(config(), MODELS, machine()), "learner rank 0").model["activations"]
    trained = {"ptx": {"coefficient": 1.0}}
    assert activations(2, **trained) == without
    # 64 sequences a pass: of 32 tokens with their prompt, or of 320.
    assert activations(320, **trained) > 8 * without
    # To look at them takes no activations for a backward pass.
    assert without <= activations(320) < 0.5 * activations(320, **trained)
    few = {"batch_size": 16, "minibatches": 4, "ptx": {"coefficient": 1.0}}
    of_one = activations(320, **{**few, "ptx": {"coefficient": 1.0, "examples_per_episode": 1}})
    assert of_one == pytest.approx(activations(320, **few) / 8, rel=0.05)


def test_a_refit_beside_the_live_reward_is_a_second_model_in_training() -> None:
    run = config(reward_trainer={"dtype": "bfloat16"}, cluster=ON_GPUS)
    plan = make_plan(run, LARGE, machine())
    trainer = named(plan, "reward trainer rank 0").model
    assert trainer["copies"] == trainer["weights"] + trainer["optimizer"] + trainer["gradients"]


ADAPTED: dict[str, Any] = {
    "policy": {"path": "model", "lora": {"rank": 8}},
    "reward_model": {"lora": {"rank": 8}},
    "learner": {"dtype": "bfloat16"},
    "reward_trainer": {"dtype": "bfloat16"},
    "reward_service": {"dtype": "bfloat16"},
    "cluster": ON_GPUS,
}


def test_beside_adapters_a_model_is_there_once() -> None:
    run = config(**ADAPTED)
    plan = make_plan(run, LARGE, machine())
    assert run.policy_lora is not None
    adapters, reward = LARGE.adapters(run.policy_lora), LARGE.reward(run.reward_model)
    head = 3584 + 1
    learner = named(plan, "learner rank 0").model
    # No second model for ρ, and moments of what is trained alone.
    assert learner["weights"] == 2 * (LARGE.language_model.total + adapters.total + head)
    assert learner["optimizer"] == 12 * (adapters.total + head)
    assert learner["gradients"] == 4 * (adapters.total + head)
    trainer = named(plan, "reward trainer rank 0").model
    assert trainer["weights"] == 2 * reward.total
    assert trainer["copies"] == (2 + 12 + 4) * reward.trained
    replica = named(plan, "reward replica 0").model
    assert (replica["weights"], replica["copies"]) == (2 * reward.total, 2 * reward.trained)


@pytest.mark.parametrize(("transport", "is_whole"), [("shared_memory", False), ("ipc", True)])
def test_adapters_travel_alone_where_engines_add_them(transport: str, is_whole: bool) -> None:
    gpus = {"gpus_per_actor": 0.25, "gpus_per_learner_rank": 0.25}
    rollouts = {"num_actors": 1, "weight_transport": transport}
    run = config(**{**ADAPTED, "rollouts": rollouts, "cluster": gpus})
    assert run.policy_lora is not None
    size = version_bytes(run, LARGE)
    assert size == 2 * (LARGE.published if is_whole else LARGE.adapters(run.policy_lora).total)
    actor = named(make_plan(run, LARGE, machine()), "rollout actor 0").model
    assert (actor["copies"] == 0) == is_whole
    plain = {**ADAPTED, "policy": {"path": "model"}, "rollouts": rollouts, "cluster": gpus}
    assert version_bytes(config(**plain), LARGE) == 2 * LARGE.published


def test_what_is_kept_of_adapters_is_small_and_the_last_policy_is_whole() -> None:
    found = {}
    for name, changes in (("adapters", ADAPTED), ("all", {**ADAPTED, **WHOLE})):
        disk = make_plan(config(**changes), LARGE, machine()).disk
        found[name] = {each.name.split(" ", 1)[-1]: each.num_bytes for each in disk}
    assert found["adapters"]["last policy"] == found["all"]["last policy"]
    for name in ("policy checkpoints", "reward versions", "of the reward trainer"):
        assert found["adapters"][name] < found["all"][name] / 100


WHOLE: dict[str, Any] = {"policy": {"path": "model"}, "reward_model": {}}


def test_a_given_reward_has_no_trainer() -> None:
    run = config(run={"episodes": 5120, "mode": "fixed", "reward": "bundle"}, people=[])
    plan = make_plan(run, MODELS, machine())
    assert not [each for each in plan.processes if each.part == "reward trainer"]


def test_a_swap_has_two_models_in_their_type() -> None:
    for dtype, size in (("float32", 4), ("bfloat16", 2)):
        plan = make_plan(config(reward_service={"dtype": dtype}), LARGE, machine())
        replica = named(plan, "reward replica 0").model
        weights = LARGE.reward(config().reward_model).total
        assert replica["weights"] == replica["copies"] == size * weights


@pytest.mark.parametrize(("transport", "on_device"), [("shared_memory", 0), ("ipc", 4)])
def test_versions_that_are_kept_lie_where_the_transport_keeps_them(
    transport: str, on_device: int
) -> None:
    gpus = {"gpus_per_actor": 0.25, "gpus_per_learner_rank": 0.25}
    run = config(rollouts={"num_actors": 1, "weight_transport": transport}, cluster=gpus)
    rank = named(make_plan(run, LARGE, machine()), "learner rank 0")
    version = 4 * LARGE.published
    assert rank.model["copies"] == on_device * version
    assert rank.shared == (0 if on_device else 5 * version)


def test_vllm_takes_its_share_of_a_device_and_what_is_left_of_it_is_cache() -> None:
    rollouts = {"num_actors": 1, "kv_cache_gib": 0, "gpu_memory_utilization": 0.5}
    plan = make_plan(config(rollouts=rollouts, cluster=ON_GPUS), MODELS, machine(gpu_gib=40))
    actor = named(plan, "rollout actor 0")
    assert actor.on_device == 20 * GIB
    assert actor.model["kv_cache"] > 18 * GIB


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


def test_an_object_store_that_cannot_carry_a_version_is_told() -> None:
    rollouts = {"weight_transport": "object_store", "kv_cache_gib": 4}
    problems = make_plan(config(rollouts=rollouts), LARGE, machine()).problems
    assert [each.is_certain for each in problems] == [True, False]
    assert "28.4 GiB cannot go by the object store: engines take 4.0" in problems[0].text
    assert "no room for the versions that are kept" in problems[1].text


def test_host_and_disk_are_judged_where_they_are_known() -> None:
    run = config(rollouts={"kv_cache_gib": 4})
    assert make_plan(run, LARGE, machine()).fits
    small = replace(machine(), host_bytes=16 * GIB, disk_bytes=100 * GIB)
    parts = [each.parts for each in make_plan(run, LARGE, small).problems]
    assert parts == [("host",), ("disk",)]


def test_the_disk_is_bounded_by_what_the_config_keeps() -> None:
    def versions(**changes: Any) -> int:
        plan = make_plan(config(**changes), LARGE, machine())
        (size,) = (each.num_bytes for each in plan.disk if "reward versions" in each.name)
        weights = LARGE.reward(config().reward_model).total
        return size // (4 * weights)

    # 20 refits, each perhaps caught up with, one at the start, and an update every 16 of 1024.
    assert versions() == 41 + 64
    assert versions(reward_service={"keep_versions": 8}) == 9
    assert versions(run={"episodes": 5120, "mode": "offline"}) == 1


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
