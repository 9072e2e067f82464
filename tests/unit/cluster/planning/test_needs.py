"""What each process of a run takes, on its device and on the host, and what is kept on the disk."""

from __future__ import annotations

from typing import Any

import pytest

from actors.prompts.articles import MAX_PROMPT_TOKENS
from cluster.planning.models import MetaModels, PassShape, PolicyKind
from cluster.planning.needs import GIB
from cluster.planning.plan import make_plan
from cluster.planning.trained import PROCESS
from cluster.planning.transport import version_bytes
from label_queue.fitting.retraining import RetrainingPlan
from learners.weights import PIECE_BYTES
from reward_service.config import MarksConfig
from tests.support.architectures import ARCHITECTURES
from tests.support.plans import LARGE, MODELS, ON_GPUS, config, machine, named


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
        *("reward announcer", "reward's face", "Ray and Serve", "robot"),
    ]
    assert plan.devices == ()
    assert plan.fits
    assert plan.host_bytes == sum(each.of_host for each in plan.processes) > GIB


def test_the_longest_prompt_is_that_of_the_source_as_far_as_there_is_room() -> None:
    def longest(**prompts: Any) -> int:
        return make_plan(config(prompts=prompts), MODELS, machine()).prompt_tokens

    assert longest(source="reviews", prompt_tokens=9) == 9
    assert longest(source="dialogues") == 31
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


def test_passes_of_fewer_tokens_hold_less_wherever_models_train() -> None:
    def activations(name: str, **engine: Any) -> int:
        text = {"block_tokens": 30}
        run = config(learner=engine, reward_trainer=engine, pretraining=text)
        return named(make_plan(run, MODELS, machine()), name).model["activations"]

    for name, share in (("learner rank 0", 0.5), ("reward trainer rank 0", 1.0)):
        whole = activations(name, micro_batch_size=64)
        assert activations(name, micro_batch_size=64, micro_batch_tokens=64 * 32) == whole
        # Scores are normalised in passes of their own, without gradients.
        assert activations(name, micro_batch_size=64, micro_batch_tokens=128) < share * whole


def test_more_rows_of_short_prompts_may_be_the_largest_pass() -> None:
    """24 of 32 tokens are a response's, and those of a pass are more where prompts are short."""
    most = PassShape(rows=2, prompt_tokens=1, response_tokens=24)
    run = config(learner={"micro_batch_tokens": 50})
    rank = named(make_plan(run, MODELS, machine()), "learner rank 0").model
    held = MODELS.policy_step(
        PolicyKind(), most, "float32", checkpointing=False, gradients_are_new=False
    )
    assert rank["activations"] >= held


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


def test_under_heads_alone_a_trunk_is_there_once_and_what_it_says_is_kept() -> None:
    run = config(
        reward_model={"frozen_trunk": True, "layers": 14},
        reward_trainer={"dtype": "bfloat16"},
        cluster=ON_GPUS,
    )
    plan = make_plan(run, LARGE, machine())
    trainer, reward = named(plan, "reward trainer rank 0"), LARGE.reward(run.reward_model)
    assert reward.trained == 3584 + 1
    assert reward.total < 0.6 * LARGE.language_model.total
    assert trainer.model["weights"] == 2 * reward.total
    assert trainer.model["copies"] == (2 + 12 + 4) * reward.trained
    marked = run.model_copy(
        update={"reward_model": run.reward_model.model_copy(update={"marks": MarksConfig()})}
    )
    of_texts = 2 * 3584 * (run.labels.total * run.labels.num_candidates + 256)
    unkept = named(make_plan(marked, LARGE, machine()), "reward trainer rank 0")
    assert trainer.host - unkept.host == pytest.approx(of_texts, rel=1e-3)


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


def test_no_process_has_a_version_that_goes_in_pieces_whole_on_the_host() -> None:
    policy, version = LARGE.policy(PolicyKind()), 4 * LARGE.published
    hosts = {}
    for transport in ("shared_memory", "object_store"):
        rollouts = {"num_actors": 1, "weight_transport": transport, "kv_cache_gib": 4}
        learner = {"num_ranks": 4, "zero_stage": 3}
        plan = make_plan(config(rollouts=rollouts, learner=learner), LARGE, machine())
        hosts[transport] = [
            named(plan, name).host for name in ("learner rank 0", "rollout actor 0")
        ]
    learner_more, actor_more = (
        more - less
        for more, less in zip(hosts["object_store"], hosts["shared_memory"], strict=True)
    )
    assert learner_more <= 2 * PIECE_BYTES
    assert actor_more == 3 * PIECE_BYTES + 4 * max(policy.largest, policy.layer) < version / 5


def test_both_ends_of_nccl_have_vllms_buffers_on_their_devices() -> None:
    gpus = {"gpus_per_actor": 1, "gpus_per_learner_rank": 1}
    for models, taken in (
        (LARGE, 3 * (GIB + 4 * LARGE.policy(PolicyKind()).largest)),
        (MODELS, 2 * 4 * MODELS.published),
    ):
        plans = {
            transport: make_plan(
                config(
                    rollouts={"num_actors": 1, "weight_transport": transport, "kv_cache_gib": 4},
                    cluster=gpus,
                ),
                models,
                machine(),
            )
            for transport in ("nccl", "shared_memory")
        }
        for name in ("learner rank 0", "rollout actor 0"):
            nccl, file = (named(plans[each], name).model["copies"] for each in plans)
            assert nccl - file == taken


def test_vllm_takes_its_share_of_a_device_and_what_is_left_of_it_is_cache() -> None:
    rollouts = {"num_actors": 1, "kv_cache_gib": 0, "gpu_memory_utilization": 0.5}
    plan = make_plan(config(rollouts=rollouts, cluster=ON_GPUS), MODELS, machine(gpu_gib=40))
    actor = named(plan, "rollout actor 0")
    assert actor.on_device == 20 * GIB
    assert actor.model["kv_cache"] > 18 * GIB


def reward_versions(**changes: Any) -> int:
    """Return how many of them a plan has on the disk."""
    plan = make_plan(config(**changes), LARGE, machine())
    (size,) = (each.num_bytes for each in plan.disk if "reward versions" in each.name)
    return size // (4 * LARGE.reward(config().reward_model).total)


def test_the_disk_is_bounded_by_what_the_config_keeps() -> None:
    # 20 refits, each perhaps caught up with, one at the start, and an update for each label since.
    assert reward_versions() == 41 + 1024 - 256
    assert reward_versions(reward_service={"keep_versions": 8}) == 9
    assert reward_versions(run={"episodes": 5120, "mode": "offline"}) == 1
    assert reward_versions(labels={"warm": {"every_labels": 0}}) == 41


@pytest.mark.parametrize("label_s", [1.0, 10.0, 31.0])
def test_no_pace_of_labels_makes_more_versions_than_are_planned(label_s: float) -> None:
    run = config()
    fits = RetrainingPlan(run.label_schedule, run.labels.warm)
    made, now = 0, 0.0
    for labels in range(1, run.labels.total + 1):
        now += label_s
        if fits.is_refit_due(labels):
            made += 2
            fits.fitted("refit", labels=labels, now=now)
        elif fits.update_due_in_s(labels, now) == 0.0:
            made += 1
            fits.fitted("warm", labels=labels, now=now)
    assert 41 < made <= reward_versions()
