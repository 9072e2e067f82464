"""Parts of a config that must agree: told before anything is started."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from cluster.config_file import load_config, parse_config
from protocol.errors import ConfigError

ROOT = Path(__file__).parents[3]

FROM_A_FILE: dict[str, Any] = {"prompts": {"source": "jsonl", "path": "prompts.jsonl"}}
FEW_TOKENS: dict[str, Any] = {"learner": {"micro_batch_tokens": 100}}


def test_a_batch_that_the_ranks_cannot_share_is_refused() -> None:
    content = {
        "people": ["ann"],
        "run": {"episodes": 96},
        "prompts": {"source": "reviews"},
        "policy": {"path": "model"},
        "ppo": {"batch_size": 12, "minibatches": 4},
        "rollouts": {"requests_per_call": 4},
        "learner": {"num_ranks": 2},
        "labels": {},
    }
    with pytest.raises(ConfigError, match="batch_size 12 is not a multiple of 8"):
        parse_config(content, "test")


@pytest.mark.parametrize("name", ["owner", "guard", "learner"])
def test_nobody_is_called_like_those_who_act_in_a_ledger_besides_labelers(name: str) -> None:
    content = {"people": [name], "prompts": {}, "policy": {"path": "model"}, "labels": {}}
    with pytest.raises(ConfigError, match=f"no labeler can be called '{name}'"):
        parse_config(content, "test")


def test_the_faces_may_not_have_one_port() -> None:
    ports = ("cluster.http_port=8000", "cluster.reward_port=8000")
    with pytest.raises(ConfigError, match="cluster: http_port and reward_port are both 8000"):
        load_config(ROOT / "cluster/demo.toml", ports)
    free = ("cluster.http_port=0", "cluster.reward_port=0")
    assert load_config(ROOT / "cluster/demo.toml", free).cluster.reward_port == 0


@pytest.mark.parametrize(
    ("sections", "complaint"),
    [
        # 8 of a prompt and 24 of a response, and of each of four candidates.
        ({"learner": {"micro_batch_tokens": 31}}, "learner.micro_batch_tokens 31 .* the 32 tokens"),
        ({"reward_trainer": {"micro_batch_tokens": 127}}, "the 128 tokens of 4 candidates"),
        (
            {"rollouts": {"max_model_len": 300}, **FROM_A_FILE, **FEW_TOKENS},
            "the 300 tokens of the longest prompt and response, .* make it 300 or more",
        ),
        ({"prompts": {**FROM_A_FILE["prompts"], "max_tokens": 90}, **FEW_TOKENS}, "the 114 tokens"),
        ({"pretraining": {"block_tokens": 200}, **FEW_TOKENS}, r"200 tokens of a \[pretraining\]"),
    ],
)
def test_a_pass_holds_at_least_the_longest_sequence(
    sections: dict[str, Any], complaint: str
) -> None:
    content = {"people": ["ann"], "prompts": {}, "policy": {"path": "model"}, "labels": {}}
    with pytest.raises(ConfigError, match=complaint):
        parse_config({**content, **sections}, "test")
    just = {"learner": {"micro_batch_tokens": 32}, "reward_trainer": {"micro_batch_tokens": 128}}
    parse_config({**content, **just}, "test")
    parse_config({**content, **FROM_A_FILE, **FEW_TOKENS}, "test")  # how long, the model says


def devices(transport: str, per_actor: float, per_rank: float) -> dict[str, object]:
    return {
        "people": ["ann"],
        "prompts": {"source": "reviews"},
        "policy": {"path": "model"},
        "labels": {},
        "rollouts": {"weight_transport": transport},
        "cluster": {"gpus_per_actor": per_actor, "gpus_per_learner_rank": per_rank},
    }


@pytest.mark.parametrize(
    ("transport", "per_actor", "per_rank", "complaint"),
    [
        ("nccl", 0, 1, "goes from GPU to GPU: set cluster.gpus_per_actor"),
        ("ipc", 0.2, 0, "goes from GPU to GPU: set cluster.gpus_per_actor"),
        ("nccl", 0.5, 1, "no two processes of one GPU"),
        # Two actors, and a rank each of the learner and the reward trainer.
        ("ipc", 0.3, 0.25, "shares the memory of one GPU, and .* ask for 1.1"),
    ],
)
def test_weights_from_device_to_device_need_the_devices(
    transport: str, per_actor: float, per_rank: float, complaint: str
) -> None:
    with pytest.raises(ConfigError, match=complaint) as caught:
        parse_config(devices(transport, per_actor, per_rank), "test")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("transport", "per_actor"), [("nccl", 2.0), ("ipc", 0.25)])
def test_weights_from_device_to_device_can_be_chosen(transport: str, per_actor: float) -> None:
    config = parse_config(devices(transport, per_actor, max(0.25, per_actor // 2)), "test")
    assert config.rollouts.weight_transport == transport


def test_a_reward_replica_on_the_gpu_counts_among_those_that_share_it() -> None:
    content: Any = devices("ipc", 0.25, 0.25)
    content["cluster"]["gpus_per_reward_replica"] = 0.25
    with pytest.raises(ConfigError, match=r"the reward replicas ask for 1\.25"):
        parse_config(content, "test")


def test_a_reward_that_is_given_needs_no_place_on_the_gpu() -> None:
    content: Any = devices("ipc", 0.25, 0.5)
    content |= {"people": [], "run": {"mode": "fixed", "reward": "bundle"}}
    assert parse_config(content, "test").rollouts.weight_transport == "ipc"


@pytest.mark.parametrize(("gpus", "is_enough"), [(0.5, False), (1, False), (2, True), (0, True)])
def test_a_split_engine_has_its_gpus(gpus: float, is_enough: bool) -> None:
    content: Any = devices("shared_memory", gpus, 0)
    content["rollouts"]["tensor_parallel_size"] = 2
    if is_enough:
        assert parse_config(content, "test").rollouts.tensor_parallel_size == 2
        return
    with pytest.raises(ConfigError, match=r"splits an engine .* give each actor 2"):
        parse_config(content, "test")


@pytest.mark.parametrize("section", ["learner", "reward_trainer"])
@pytest.mark.parametrize(
    ("ranks", "gpus", "is_allowed"),
    [(2, 0.2, False), (2, 0.5, False), (2, 0.6, True), (2, 1, True), (2, 0, True), (1, 0.2, True)],
)
def test_ranks_that_might_share_a_gpu_are_refused(
    section: str, ranks: int, gpus: float, is_allowed: bool
) -> None:
    content: Any = devices("auto", 0, gpus)
    content[section] = {"num_ranks": ranks}
    if is_allowed:
        assert parse_config(content, "test").cluster.gpus_per_learner_rank == gpus
        return
    told = rf"{section}\.num_ranks is 2 .* set {section}\.num_ranks to 1"
    with pytest.raises(ConfigError, match=told) as caught:
        parse_config(content, "test")
    assert "\n" not in str(caught.value)


def in_turns(**changes: dict[str, object]) -> dict[str, Any]:
    content: dict[str, Any] = devices("shared_memory", 0.2, 0.5)
    content |= {"run": {"max_policy_lag": 0}, "learner": {"zero_stage": 2}}
    content["cluster"]["colocation"] = "turns"
    for section, values in changes.items():
        content[section] = {**content.get(section, {}), **values}
    return content


def test_learner_and_engines_can_have_one_gpu_in_turns() -> None:
    assert parse_config(in_turns(), "test").cluster.colocation == "turns"


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"cluster": {"gpus_per_actor": 0}}, "a process on the CPU has none: set cluster.gpus_per"),
        ({"cluster": {"gpus_per_learner_rank": 0}}, "on the CPU has none: set cluster.gpus_per"),
        ({"learner": {"num_ranks": 2}}, r"learner\.num_ranks is 2: set it to 1"),
        (
            {"rollouts": {"num_actors": 3}},
            r"the actors and the learner ask for 1\.1: lower cluster",
        ),
        ({"run": {"max_policy_lag": 2}}, r"run\.max_policy_lag is 2: set it to 0"),
        (
            {
                "rollouts": {"weight_transport": "ipc", "num_actors": 1},
                "cluster": {"gpus_per_learner_rank": 0.25},
            },
            "'ipc' do not go together, .* choose 'auto'",
        ),
        ({"rollouts": {"weight_transport": "nccl"}}, "'nccl' do not go together, .* choose"),
        ({"learner": {"zero_stage": 0}}, r"learner\.zero_stage is 0: set it to 2"),
        ({"learner": {"zero_stage": 3}}, r"learner\.zero_stage is 3: set it to 2"),
    ],
)
def test_turns_are_refused_where_they_cannot_be_taken(
    changes: dict[str, dict[str, object]], complaint: str
) -> None:
    with pytest.raises(ConfigError, match=complaint) as caught:
        parse_config(in_turns(**changes), "test")
    assert "leave cluster.colocation at 'beside'" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_turns_are_refused_to_an_engine_of_several_gpus() -> None:
    content = in_turns(rollouts={"tensor_parallel_size": 2, "num_actors": 1})
    content["cluster"]["gpus_per_actor"] = 2
    with pytest.raises(ConfigError, match=r"rollouts\.tensor_parallel_size is 2: set it to 1"):
        parse_config(content, "test")


def rounds(labels: dict[str, object], **run: object) -> dict[str, object]:
    return {
        "people": ["ann"],
        "run": {"mode": "batched", "episodes": 64, **run},
        "prompts": {"source": "reviews"},
        "policy": {"path": "model"},
        "ppo": {"batch_size": 16, "minibatches": 4},
        "rollouts": {"requests_per_call": 4},
        "labels": {"total": 40, "initial": 10, "ahead": 1, "rounds": 4, **labels},
    }


@pytest.mark.parametrize(
    ("labels", "complaint"),
    [
        ({"rounds": 5}, r"labels\.rounds 5 is above the 4 steps of the run"),
        ({"rounds": 1}, r"labels\.rounds: Input should be greater than or equal to 2"),
        ({"initial": 38}, r"labels\.total 40 leaves no label for each of 4 rounds"),
        ({"when_starved": "continue"}, r"labels\.when_starved 'continue' is for mode 'online'"),
        ({"when_starved": "slow"}, r"labels\.when_starved 'slow' is for mode 'online'"),
    ],
)
def test_rounds_without_labels_or_steps_are_refused(
    labels: dict[str, object], complaint: str
) -> None:
    assert parse_config(rounds({}), "test").run.mode == "batched"
    with pytest.raises(ConfigError, match=complaint):
        parse_config(rounds(labels), "test")


def fixed(**changes: object) -> dict[str, object]:
    run = {"mode": "fixed", "reward": "reward/v000001"}
    return {"run": run, "prompts": {}, "policy": {"path": "model"}, **changes}


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"run": {"mode": "fixed"}}, "run.reward names the reward of mode 'fixed'"),
        (
            {"run": {"reward": "reward/v000001"}, "people": ["ann"]},
            "run.reward names the reward of mode 'fixed'",
        ),
        ({"people": ["ann"]}, "mode 'fixed' has no use for people"),
        ({"labelers": [{"name": "ann"}]}, "mode 'fixed' has no use for labelers"),
    ],
)
def test_a_fixed_reward_is_named_and_nobody_labels(
    changes: dict[str, object], complaint: str
) -> None:
    assert parse_config(fixed(), "test").run.reward == "reward/v000001"
    with pytest.raises(ConfigError, match=complaint):
        parse_config(fixed(**changes), "test")


def judging(*judges: str, **changes: object) -> dict[str, object]:
    content = {
        "people": ["ann", "dot"],
        "judges": list(judges),
        "prompts": {},
        "policy": {"path": "model"},
        "labels": {},
    }
    return {**content, **changes}


def test_labelers_and_people_can_judge() -> None:
    config = parse_config(judging("dot", "sim", labelers=[{"name": "sim"}]), "test")
    assert config.judges == ("dot", "sim")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (judging("dot", "eve"), "'eve' is among neither labelers nor people"),
        (judging("ann", "dot"), "all labelers and people judge"),
        (judging("dot", labels={"validation_share": 0.0}), "validation_share is 0"),
        (judging("dot", run={"mode": "offline"}), "mode 'offline' asks all before"),
    ],
)
def test_judges_must_have_what_to_judge_and_leave_somebody_to_train(
    content: dict[str, object], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_config(content, "test")


def test_marks_that_are_paid_must_be_learned() -> None:
    content = tomllib.loads((ROOT / "cluster" / "demo.toml").read_text())
    content["ppo"]["mark_coefficient"] = 0.3
    with pytest.raises(ConfigError, match=r"mark_coefficient is above 0.*\[reward_model.marks\]"):
        parse_config(content, "test")
    content["reward_model"] = {"marks": {}}
    config = parse_config(content, "test")
    assert config.ppo.mark_coefficient == 0.3
    assert config.reward_model.marks is not None
