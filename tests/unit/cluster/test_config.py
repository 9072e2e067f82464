"""Parts of a config that must agree: told before anything is started."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from cluster.config_file import load_config, parse_config, save_config
from protocol.errors import ConfigError, DiskFull
from tests.support.no_room import no_room

ROOT = Path(__file__).parents[3]
SHIPPED = (
    ROOT / "cluster/demo.toml",
    ROOT / "cluster/smollm2/run.toml",
    *sorted((ROOT / "examples").rglob("*.toml")),
)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_every_shipped_config_is_valid_and_saved_as_it_was_read(path: Path, tmp_path: Path) -> None:
    given = ("prompts.path=prompts.jsonl",) if path.name == "reviews.toml" else ()
    config = load_config(path, given)
    save_config(config, tmp_path / "config.toml")
    assert load_config(tmp_path / "config.toml") == config


def test_a_config_that_finds_no_room_leaves_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    config = load_config(ROOT / "cluster/demo.toml")
    save_config(config, path)
    other = load_config(ROOT / "cluster/demo.toml", ("ppo.lr=1e-3",))
    with no_room():
        with pytest.raises(DiskFull):
            save_config(other, path)
        save_config(config, path)  # says so already, and is left alone
    assert load_config(path) == config
    assert list(tmp_path.iterdir()) == [path]
    save_config(other, path)
    assert load_config(path) == other


@pytest.mark.parametrize("override", ["response.cut_token=", 'response.cut_token=""'])
def test_a_run_without_a_cut_token_is_saved_as_one(override: str, tmp_path: Path) -> None:
    config = load_config(ROOT / "cluster/demo.toml", (override,))
    assert config.response.cut_token == ""
    save_config(config, tmp_path / "config.toml")
    assert load_config(tmp_path / "config.toml").response.cut_token == ""


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


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("public_url=label.example.org", "public_url: want https://HOST or https://HOST/PATH"),
        ("public_url=https://ann:pw@h.example", "public_url: take user, password"),
        ("public_url=https://h.example?run=a", "public_url: take user, password"),
        ("public_url=https://h.example/run-a/", "public_url: leave the / at its end out"),
        ("public_url=http://h.example", "public_url: http would carry tokens in the clear"),
        ('trusted_proxies=["10.0.0.1"]', "trusted_proxies.0: no connection comes from there"),
        ("http_host=0.0.0.0", "http_host: it is open to the network"),
        ("http_host=label", "http_host: 'label' does not appear to be an IPv4 or IPv6 address"),
    ],
)
def test_a_bad_public_address_is_told_with_its_key_and_mend(setting: str, said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"cluster.{said}")) as caught:
        load_config(ROOT / "cluster/demo.toml", (f"cluster.{setting}",))
    assert "\n" not in str(caught.value)


def test_the_faces_may_not_have_one_port() -> None:
    ports = ("cluster.http_port=8000", "cluster.reward_port=8000")
    with pytest.raises(ConfigError, match="cluster: http_port and reward_port are both 8000"):
        load_config(ROOT / "cluster/demo.toml", ports)
    free = ("cluster.http_port=0", "cluster.reward_port=0")
    assert load_config(ROOT / "cluster/demo.toml", free).cluster.reward_port == 0


def test_a_public_address_is_saved_as_it_was_read(tmp_path: Path) -> None:
    url = "https://label.example.org/run-a"
    settings = (f"cluster.public_url={url}", "cluster.trusted_proxies=[]")
    config = load_config(ROOT / "cluster/demo.toml", settings)
    assert (config.cluster.public_url, config.cluster.trusted_proxies) == (url, ())
    save_config(config, tmp_path / "config.toml")
    assert load_config(tmp_path / "config.toml") == config


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
            "'ipc' do not go together, .* choose 'shared_memory'",
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


SECRET = "tr0ub4dor"
URL = "postgresql://ann@db.example/andon"


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://ann:{SECRET}@db/andon",
        f"postgresql://ann:{SECRET}/@#?@db/andon",
        f"postgresql://db/andon?password={SECRET}",
        f"mysql://ann:{SECRET}@db/andon",
        [f"postgresql://ann:{SECRET}@db/andon"],
    ],
    ids=str,
)
def test_a_password_in_the_ledger_s_url_is_refused_and_not_shown(url: object) -> None:
    content = {
        "people": ["ann"],
        "prompts": {},
        "policy": {"path": "model"},
        "labels": {"ledger_url": url},
    }
    with pytest.raises(ConfigError, match=r"labels\.ledger_url: want postgresql://") as refused:
        parse_config(content, "test")
    assert SECRET not in str(refused.value)
    with pytest.raises(ConfigError, match="PGPASSWORD") as refused:
        load_config(ROOT / "cluster/demo.toml", (f"labels.ledger_url={url}",))
    assert SECRET not in str(refused.value)


def test_what_is_saved_of_a_ledger_on_a_server_is_its_url_and_no_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", SECRET)
    config = load_config(ROOT / "cluster/demo.toml", (f"labels.ledger_url={URL}",))
    save_config(config, tmp_path / "config.toml")
    saved = (tmp_path / "config.toml").read_text()
    assert URL in saved
    # The same dump is what wandb is given.
    assert SECRET not in saved + config.model_dump_json()
    assert load_config(tmp_path / "config.toml").labels.ledger_place(Path("file")) == URL
    plain = load_config(ROOT / "cluster/demo.toml")
    assert plain.labels.ledger_place(Path("file")) == Path("file")


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


@pytest.mark.parametrize(
    ("section", "content", "field"),
    [
        ("prompts", {"language": "jp"}, "prompts.language: 'jp' is no language: want a BCP 47"),
        ("prompts", {"language": "de_DE"}, "prompts.language: 'de_DE' is no language"),
        (
            "labels",
            {"intake": {"language": "tlh"}},
            "labels.intake.language: the labelers' pages are not in 'tlh': choose one of",
        ),
    ],
)
def test_a_language_that_is_none_is_refused_by_its_field(
    section: str, content: dict[str, Any], field: str
) -> None:
    whole = {"people": ["ann"], "prompts": {}, "policy": {"path": "model"}, "labels": {}}
    with pytest.raises(ConfigError, match=re.escape(field)):
        parse_config({**whole, section: content}, "test")


def test_marks_that_are_paid_must_be_learned() -> None:
    content = tomllib.loads((ROOT / "cluster" / "demo.toml").read_text())
    content["ppo"]["mark_coefficient"] = 0.3
    with pytest.raises(ConfigError, match=r"mark_coefficient is above 0.*\[reward_model.marks\]"):
        parse_config(content, "test")
    content["reward_model"] = {"marks": {}}
    config = parse_config(content, "test")
    assert config.ppo.mark_coefficient == 0.3
    assert config.reward_model.marks is not None


def test_marks_are_saved_with_all_that_they_hold(tmp_path: Path) -> None:
    content = tomllib.loads((ROOT / "cluster" / "demo.toml").read_text())
    content["reward_model"] = {"marks": {"weight": 0.5}}
    config = parse_config(content, "test")
    save_config(config, tmp_path / "config.toml")
    assert load_config(tmp_path / "config.toml") == config


def test_all_that_is_wrong_is_said_at_once_in_one_line() -> None:
    overrides = ["ppo.lr=-1", "kl.targett=8", "run.episodes=many"]
    with pytest.raises(ConfigError) as caught:
        load_config(ROOT / "cluster/demo.toml", overrides)
    said = str(caught.value)
    assert "3 problems: " in said
    for key in ("ppo.lr: ", "kl.targett is not a known key; did you mean target?", "run.episodes"):
        assert key in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ('people="ann"', "people: must be a list, in [ ], but got 'ann'"),
        ('labelers={name="ann"}', "labelers: must be a list of sections ([[labelers]])"),
        ('labelers=["ann"]', "labelers.0: must be a section ([[labelers]]), but got 'ann'"),
        ("ppo=3", "ppo: must be a section ([ppo]), but got 3"),
        ("ppo=[1]", "ppo: must be a section ([ppo]), but got [1]"),
        (
            "learner.checkpoint=1",
            "learner.checkpoint: must be a section ([learner.checkpoint]), but got 1",
        ),
        (
            "labels.connectors=[3]",
            "labels.connectors.0: must be a section ([[labels.connectors]]), but got 3",
        ),
        (
            'labels.connectors=[{kind="jsonl",path="x",labelers=3}]',
            "labels.connectors.0.jsonl.labelers: must be a section, but got 3",
        ),
        ("run.name=3", "run.name: must be a text, in quotes, but got 3"),
        ("people=[3]", "people.0: must be a text, in quotes, but got 3"),
        ("labels.guidelines=3", "labels.guidelines: must be a path, in quotes, but got 3"),
    ],
)
def test_a_value_of_another_kind_is_told_in_words_of_the_file(override: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(ROOT / "cluster/demo.toml", [override])
    assert str(caught.value).partition("demo.toml: ")[2] == said


def test_of_very_many_problems_the_first_few_are_said() -> None:
    overrides = [f"ppo.unknown_{number}=1" for number in range(7)]
    with pytest.raises(ConfigError, match=r"7 problems: .*unknown_4 .*; and 2 more$"):
        load_config(ROOT / "cluster/demo.toml", overrides)
