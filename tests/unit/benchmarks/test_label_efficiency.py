from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.label_efficiency import world as worlds
from benchmarks.label_efficiency.__main__ import labels_to_reach, table
from benchmarks.label_efficiency.arms import ARMS, BASELINE
from benchmarks.label_efficiency.over_optimisation import fitted
from benchmarks.label_efficiency.sampling import Sampler
from benchmarks.label_efficiency.training import Run
from benchmarks.label_efficiency.world import GOLDS, PROMPT_TOKENS, World, base_name
from protocol.messages import Prompt
from reward_service.pretrained import load_causal_model, load_tokenizer
from tests.support.plain_engine import PlainEngine
from tests.support.tiny_model import save_tiny_model


@pytest.fixture
def world(tmp_path: Path) -> World:
    policy = save_tiny_model(tmp_path)
    prompts = [
        Prompt(prompt_id=f"p{number}", text="we said", token_ids=(*range(5, 4 + PROMPT_TOKENS), n))
        for number, n in enumerate((20, 30, 40))
    ]
    return World(task="reviews", policy=policy, tokenizer=load_tokenizer(policy), prompts=prompts)


@pytest.mark.parametrize(
    "arm",
    [
        "offline-uniform-k2",
        "batched-uniform-k4",
        "online-disagreement-k2",
        "online-information_directed-k4-nudge",
    ],
)
def test_an_arm_asks_as_its_mode_does_and_trains(
    world: World, arm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("learners.ppo.Engine", PlainEngine)
    monkeypatch.setattr("learners.reward_fit.Engine", PlainEngine)
    run = Run(world, ARMS[arm], budget=64, seed=1, folder=tmp_path / "run", episodes=512)
    result = run.result()
    labels = [row["labels"] for row in result["rows"]]
    assert (
        labels
        == {
            "offline": [64, 64, 64, 64],
            "batched": [16, 32, 48, 64],
            "online": [16, 37, 52, 61],  # 16 + 48·(1 − (1 − n/N)²), rounded down
        }[ARMS[arm].mode]
    )
    assert [row["episodes"] for row in result["rows"]] == [0, 128, 256, 384]
    assert result["rows"][0]["kl"] == pytest.approx(0.0, abs=1e-4)
    assert result["rows"][-1]["kl"] > 0.01
    assert all(math.isfinite(value) for row in result["rows"] for value in row.values())
    assert not (tmp_path / "run").exists()


def test_the_same_seed_gives_the_same_curve(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("learners.ppo.Engine", PlainEngine)
    monkeypatch.setattr("learners.reward_fit.Engine", PlainEngine)
    arm = ARMS["online-double_thompson-k2"]
    one, same, other = (
        Run(world, arm, budget=32, seed=seed, folder=tmp_path / "run", episodes=256).result()
        for seed in (1, 1, 2)
    )
    assert one["rows"] == same["rows"]
    assert one["rows"] != other["rows"]


def test_the_distance_at_the_end_is_that_of_the_policy_that_draws(world: World) -> None:
    sampler = Sampler(world.policy, world.tokenizer, seed=1)
    prompts = list(world.prompts) * 200
    assert sampler.kl(sampler.draw(prompts)) == pytest.approx(0.0, abs=1e-5)
    torch.manual_seed(1)
    moved = {
        name: tensor + 0.02 * torch.randn_like(tensor)
        for name, tensor in load_causal_model(world.policy).state_dict().items()
    }
    sampler.publish(1, moved)
    drawn = sampler.draw(prompts)
    ids = torch.tensor([each.prompt.token_ids + each.token_ids for each in drawn])
    with torch.no_grad():
        logits = load_causal_model(world.policy)(input_ids=ids).logits[:, PROMPT_TOKENS - 1 : -1]
    of_rho = logits.log_softmax(dim=-1).gather(2, ids[:, PROMPT_TOKENS:, None]).sum(dim=(1, 2))
    of_pi = torch.tensor([sum(each.behavior_logprobs) for each in drawn])
    gain = of_pi - of_rho
    error = float(gain.std()) / len(drawn) ** 0.5
    assert sampler.kl(drawn) > 0.05
    assert sampler.kl(drawn) == pytest.approx(float(gain.mean()), abs=4 * error)


def test_an_address_is_worth_most_where_letters_are_wanted() -> None:
    plain, letter = "the soup was good .", "dearest the dearest soup was good ."
    gold = GOLDS["letters"]
    assert gold("", plain) == GOLDS["reviews"]("", plain)
    assert gold("", letter) == pytest.approx(GOLDS["reviews"]("", letter) + 4.0)
    assert gold("", f"dearest dearest {letter}") < gold("", letter) + 2.1


def test_labels_to_reach_are_read_between_budgets_by_their_logarithm() -> None:
    curve = {64: [0.0, 2.0], 1_024: [3.0, 3.0], 4_096: [4.0, 4.0]}
    assert labels_to_reach(curve, 2.0) == pytest.approx(256.0)
    assert labels_to_reach(curve, 0.5) == 64.0
    assert labels_to_reach(curve, 9.0) is None


def test_a_table_says_how_many_times_fewer_labels_are_needed() -> None:
    arm = "online-uniform-k4"
    found = {BASELINE: {64: [0.0], 4_096: [2.0]}, arm: {64: [1.0, 1.0], 4_096: [3.0, 3.0]}}
    _, _, baseline, online = table(found).splitlines()
    assert baseline.endswith("| +0.00 | +2.00 | 4,096 (1.0× fewer) |")
    assert online == f"| {arm} | +1.00 ± 0.00 | +3.00 ± 0.00 | 512 (8.0× fewer) |"


def test_the_form_of_over_optimisation_is_found_again() -> None:
    distance = np.linspace(0.5, 9.0, 40)
    noise = np.random.default_rng(0).normal(scale=0.05, size=40)
    alpha, beta = fitted(distance, distance * (1.3 - 0.5 * np.log(distance)) + noise)
    assert (alpha, beta) == pytest.approx((1.3, 0.5), abs=0.03)


def test_a_base_model_of_another_recipe_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    before = {task: base_name(task) for task in GOLDS}
    assert before["reviews"] == before["descriptiveness"] != before["letters"]
    assert base_name("reviews") == before["reviews"]
    with monkeypatch.context() as changed:
        changed.setattr(worlds, "LETTERS_SHARE", 1 / 500)
        assert base_name("letters") != before["letters"]
        assert base_name("reviews") == before["reviews"]
    wider = worlds.BASE_MODEL.model_copy(update={"width": 128})
    monkeypatch.setattr(worlds, "BASE_MODEL", wider)
    assert base_name("reviews") != before["reviews"]
