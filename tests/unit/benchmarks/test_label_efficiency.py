from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.kept_results import KeptResults
from benchmarks.label_efficiency import cases, over_optimisation
from benchmarks.label_efficiency import recipe as recipes
from benchmarks.label_efficiency import world as worlds
from benchmarks.label_efficiency.__main__ import (
    GOLD_ITSELF,
    cases_of,
    cells_of,
    curves,
    ends_table,
    labels_to_reach,
    table,
)
from benchmarks.label_efficiency.arms import ARMS, BASELINE, EVERY, FREE, OFTEN
from benchmarks.label_efficiency.cases import Case
from benchmarks.label_efficiency.figure import draw as efficiency_figure
from benchmarks.label_efficiency.over_optimisation import fitted
from benchmarks.label_efficiency.recipe import kl_config, recipe_of
from benchmarks.label_efficiency.sampling import Sampler
from benchmarks.label_efficiency.training import Run
from benchmarks.label_efficiency.world import GOLDS, PROMPT_TOKENS, World, base_name
from cluster.config_file import load_config
from label_queue.simulated.config import LabelerProfile
from learners.config import PPOConfig, RewardFitConfig
from learners.kl_control import KLController
from protocol.messages import Prompt
from reward_service.config import RewardModelConfig
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
        "online-information_directed-k4-nudge0.05",
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


def test_few_texts_that_the_reference_learns_from_address_their_reader() -> None:
    """And of its responses half as many again do; see tests/integration/test_letters_task.py."""
    addressed = [text for text in worlds._texts("letters") if worlds.ADDRESS in text.split()]
    assert 0 < len(addressed) / worlds.NUM_TEXTS < 1e-3 / 1.5


def test_labels_to_reach_are_read_between_budgets_by_their_logarithm() -> None:
    curve = {64: [0.0, 2.0], 1_024: [3.0, 3.0], 4_096: [4.0, 4.0]}
    assert labels_to_reach(curve, 2.0) == pytest.approx(256.0)
    assert labels_to_reach(curve, 0.5) == 64.0
    assert labels_to_reach(curve, 9.0) is None


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KeptResults:
    kept = KeptResults(tmp_path / "results.jsonl", cases.KEY)
    monkeypatch.setattr(cases, "RESULTS", kept)
    return kept


def made_up(gold: float, kls: Sequence[float] = (8.0,)) -> dict[str, Any]:
    """A run whose policy ended elsewhere than its steps were."""
    rows = [
        {"episodes": 128 * step, "gold": gold, "score": 2 * gold, "kl": kl}
        for step, kl in enumerate(kls)
    ]
    return {"gold": gold + 5.0, "kl": 20.0, "rows": rows}


def keep(results: KeptResults, case: Case, result: dict[str, Any]) -> Case:
    results.made(case.key, lambda: result)
    return case


def test_a_table_compares_gold_at_the_target_and_another_says_where_policies_ended(
    results: KeptResults,
) -> None:
    arm, wild = "online-uniform-k4", "online-uniform-k2"
    golds = {(BASELINE, 64): 0.0, (BASELINE, 4_096): 2.0, (arm, 64): 1.0, (arm, 4_096): 3.0}
    made = [
        keep(results, Case(task="reviews", arm=name, budget=budget, seed=seed), made_up(gold))
        for (name, budget), gold in golds.items()
        for seed in (1, 2)
    ]
    # One that was never near its target at the end, and the gold score itself, which asks nobody.
    far = made_up(9.0, [8.0, 8.0, 8.9, 7.1])
    made.append(keep(results, Case(task="reviews", arm=wild, budget=64, seed=1), far))
    direct = Case(task="reviews", arm="direct-kl8", budget=0, seed=1)
    made.append(keep(results, direct, made_up(4.0, [1.0, 8.0, 8.7, 7.3])))
    head, _, baseline, online, wilder, itself = table(cells_of(made)).splitlines()
    assert head == f"| arm | none | 64 | 4,096 | labels for {BASELINE}'s |"
    assert baseline.endswith("| +0.00 ± 0.00 (2) | +2.00 ± 0.00 (2) | 4,096 (1.0× fewer) |")
    row = "| – | +1.00 ± 0.00 (2) | +3.00 ± 0.00 (2) | 512 (8.0× fewer) |"
    assert online == f"| {arm} {row}"
    assert wilder == f"| {wild} | – | – (0) | – | – |"
    assert itself == "| direct-kl8 | +4.00 (2) | – | – | – |"
    *_, online, wilder, itself = ends_table(cells_of(made)).splitlines()
    assert online == f"| {arm} | – | +6.00 ± 0.00 (20) | +8.00 ± 0.00 (20) |"
    assert wilder == f"| {wild} | – | +14.00 (20) | – |"
    assert itself == "| direct-kl8 | +9.00 (20) | – | – |"


def test_the_figure_is_drawn_also_of_arms_that_were_never_at_their_target(
    results: KeptResults, tmp_path: Path
) -> None:
    rows = {"direct-kl8": [8.0], "direct-kl16": [1.0], BASELINE: [8.0], "online-uniform-k2": [1.0]}
    made = [
        keep(results, Case(task="reviews", arm=arm, budget=0, seed=1), made_up(1.0, kls))
        if arm.startswith("direct")
        else keep(results, Case(task="reviews", arm=arm, budget=64, seed=1), made_up(1.0, kls))
        for arm, kls in rows.items()
    ]
    efficiency_figure({"reviews": curves(cells_of(made))}, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


CHANGES = {
    "a rate": ("ppo_config", lambda arm: PPOConfig(batch_size=128, lr=3e-4)),
    "the labeler": ("LABELER", LabelerProfile(beta=2.0, eps_mistake=0.05)),
    "the episodes": ("EPISODES", 4_096),
    "the heads": ("reward_model_config", lambda arm: RewardModelConfig(num_heads=4)),
    "how it is fitted": ("fit_config", lambda seed: RewardFitConfig(lr=1e-4, seed=seed)),
    "where the KL is held": ("kl_target", lambda task: 6.0),
    "what a run does": ("RECIPE", recipes.RECIPE + 1),
    "the engine": ("ENGINE", recipes.ENGINE.model_copy(update={"micro_batch_size": 64})),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_was_kept_of_another_recipe_is_not_read(
    results: KeptResults, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    case = Case(task="reviews", arm=BASELINE, budget=64, seed=1)
    keep(results, case, made_up(1.0))
    assert case.is_kept
    assert case.result["recipe"] == case.key[-1]
    monkeypatch.setattr(recipes, *CHANGES[change])
    assert not case.is_kept
    with pytest.raises(KeyError):
        case.result  # noqa: B018 - it is looked up


def test_an_arm_s_values_and_the_base_model_are_of_the_recipe(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nudged = ARMS["online-uniform-k2-nudge0.05"]
    other = replace(nudged, nudge=0.5)
    assert nudged.name != other.name
    assert recipe_of("reviews", nudged, 64) != recipe_of("reviews", other, 64)
    assert recipe_of("reviews", nudged, 64) != recipe_of("descriptiveness", nudged, 64)
    before = recipe_of("letters", nudged, 64)
    monkeypatch.setattr(worlds, "ADDRESS_WORTH", 3.0)
    assert recipe_of("letters", nudged, 64) != before
    assert len({arm.name for arm in EVERY.values()}) == len(EVERY)


def test_results_of_before_are_shown_by_themselves_and_never_made(results: KeptResults) -> None:
    old = Case(task="reviews", arm=BASELINE, budget=64, seed=1, kept_recipe=cases.BEFORE)
    with pytest.raises(LookupError, match=r"'before' no result is kept of offline.*seed 1"):
        old.run()
    keep(results, old, made_up(1.0))
    old.run()
    new = replace(old, kept_recipe="")
    assert not new.is_kept
    asked = "reviews", [BASELINE, GOLD_ITSELF], [64], [1]
    assert cases_of(*asked, kept_recipe=cases.BEFORE) == [old]
    direct = Case(task="reviews", arm="direct-kl8", budget=0, seed=1)
    assert cases_of(*asked) == [new, direct]


def test_what_was_added_since_has_left_the_names_of_kept_results_as_they_were() -> None:
    """They took hours, and `docs/fewer_labels.md` tells of them."""
    arms = ("online-uniform-k4", "offline-uniform-k4", "batched-uniform-k4", OFTEN.name)
    assert {arm: recipe_of("letters", ARMS[arm], 256) for arm in arms} == {
        "online-uniform-k4": "71a897cb",
        "offline-uniform-k4": "5330d6dc",
        "batched-uniform-k4": "0eac37a1",
        OFTEN.name: "1d8b6c62",
    }


def test_every_result_that_is_kept_says_its_recipe() -> None:
    lines = (Path(cases.__file__).parent / "results.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert rows
    assert all(row.keys() >= set(cases.KEY) for row in rows)
    assert len({tuple(row[name] for name in cases.KEY) for row in rows}) == len(rows)


def test_the_kl_is_held_as_in_the_demo() -> None:
    demo = load_config(Path(__file__).parents[3] / "cluster" / "demo.toml")
    held = kl_config("reviews", ARMS[BASELINE])
    assert (held.target, held.proportional) == (demo.kl.target, demo.kl.proportional) == (8.0, 0.5)
    assert kl_config("letters", ARMS[BASELINE]).target == 16.0


def test_a_free_policy_goes_where_its_reward_leads_by_a_beta_that_stays(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("learners.ppo.Engine", PlainEngine)
    monkeypatch.setattr("learners.reward_fit.Engine", PlainEngine)
    betas: list[float] = []
    for_batch = KLController.for_batch

    def seen(controller: KLController, kl: float) -> float:
        betas.append(for_batch(controller, kl))
        return betas[-1]

    monkeypatch.setattr(KLController, "for_batch", seen)
    free = FREE["online-uniform-k4-free"]
    run = Run(world, free, budget=32, seed=1, folder=tmp_path / "run", episodes=512)
    rows = run.result()["rows"]
    assert betas == [0.005] * 4
    assert rows[-1]["kl"] > 0.01


def test_over_optimisation_is_told_and_drawn_of_what_was_kept(
    results: KeptResults, tmp_path: Path
) -> None:
    """Gold d·(3 − log d), which is highest at d = e², and a score that only rises, 2·d."""
    groups = {}
    for arm in FREE:
        case = Case(task="reviews", arm=arm, budget=64, seed=1)
        distances = [0.0, *np.linspace(0.6, 12.0, 30)]
        rows = [
            {
                "kl": d**2,
                "gold": d * (3 - math.log(d)) if d else 0.0,
                "score": 2 * d,
            }
            for d in distances
        ]
        groups[arm, 64] = [keep(results, case, {"gold": 0.0, "kl": 1.0, "rows": rows})]
    lines = over_optimisation.table(groups).splitlines()
    top = f"| 7.4 | {math.exp(2):+.2f} |"
    assert lines[2] == f"| {next(iter(FREE))} | 64 | gold | 3.00 | 1.00 {top}"
    assert lines[3].startswith(f"| {next(iter(FREE))} | 64 | score | 2.00 |")
    over_optimisation.draw(groups, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


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
