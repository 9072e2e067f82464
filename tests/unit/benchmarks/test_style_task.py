from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest

from benchmarks.kept_results import KeptResults
from benchmarks.label_efficiency import cases
from benchmarks.label_efficiency.arms import DIRECT, Arm
from benchmarks.label_efficiency.cases import Case
from benchmarks.label_efficiency.direct import DirectRun
from benchmarks.label_efficiency.world import GOLDS, PROMPT_TOKENS, World
from cluster.config_file import load_config
from examples.tasks.style.__main__ import table
from examples.tasks.style.figure import draw
from examples.tasks.style.frontier import (
    Point,
    frontier,
    gold_at,
    reference_golds,
    reweighted,
)
from protocol.messages import Prompt
from reward_service.pretrained import load_tokenizer
from tests.support.plain_engine import PlainEngine
from tests.support.tiny_model import save_tiny_model

STYLE = Path(__file__).parents[3] / "examples" / "tasks" / "style"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A tiny policy, and a gold score that it can climb: how often it writes an "e"."""
    monkeypatch.setitem(GOLDS, "reviews", lambda prompt, response: float(response.count("e")))
    policy = save_tiny_model(tmp_path)
    prompts = [
        Prompt(prompt_id=f"p{number}", text="we said", token_ids=(*range(5, 4 + PROMPT_TOKENS), n))
        for number, n in enumerate((20, 30, 40))
    ]
    return World(task="reviews", policy=policy, tokenizer=load_tokenizer(policy), prompts=prompts)


def test_a_direct_run_climbs_the_gold_score_and_asks_nobody(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("learners.ppo.Engine", PlainEngine)
    run = DirectRun(world, DIRECT["direct-kl8"], seed=1, folder=tmp_path / "run", episodes=1_536)
    result = run.result()
    rows = result["rows"]
    assert [row["episodes"] for row in rows] == [128 * step for step in range(12)]
    assert {row["labels"] for row in rows} == {0}
    assert rows[0]["kl"] == pytest.approx(0.0, abs=1e-4)
    assert rows[-1]["kl"] > 0.01
    assert fmean(row["gold"] for row in rows[-3:]) > fmean(row["gold"] for row in rows[:3])
    # Normalised as learned rewards are: a standard deviation of ρ's responses is 1.
    assert abs(rows[0]["score"]) < 0.5
    assert not (tmp_path / "run").exists()


def test_a_direct_arm_is_told_by_its_target() -> None:
    assert list(DIRECT) == ["direct-kl2", "direct-kl4", "direct-kl8"]
    assert Arm(mode="online").name == "online-uniform-k4"


# Two responses of a prompt, of gold 0 and 1: at β the better one has weight p = 1/(1 + e^{−1/β}).
@pytest.mark.parametrize("beta", [0.5, 1.0, 10.0])
def test_a_point_of_the_frontier_worked_out_by_hand(beta: float) -> None:
    p = 1 / (1 + math.exp(-1 / beta))
    point, effective = reweighted(np.array([[0.0, 1.0]]), beta)
    assert point.gold == pytest.approx(p)
    assert point.kl == pytest.approx(p * math.log(2 * p) + (1 - p) * math.log(2 * (1 - p)))
    assert effective == pytest.approx(1 / (p**2 + (1 - p) ** 2))


def test_the_frontier_of_a_normal_gold_is_the_known_one() -> None:
    # Of N(0, 1), reweighted by e^{r/β}: mean 1/β and KL 1/(2β²), so gold = √(2·KL).
    golds = np.random.default_rng(0).normal(size=(16, 20_000))
    points = frontier(golds)
    assert points[-1].kl > 3
    for point in points:
        if point.kl < 3:
            assert point.gold == pytest.approx(math.sqrt(2 * point.kl), rel=0.03, abs=0.01)
    kls = [point.kl for point in points]
    assert kls == sorted(kls)
    assert gold_at(points, 2.0) == pytest.approx(2.0, abs=0.06)
    assert gold_at(points, 50.0) is None


def test_the_frontier_ends_where_few_responses_carry_the_weight() -> None:
    assert frontier(np.random.default_rng(0).normal(size=(4, 64)))[-1].kl < math.log(64 / 8)


def test_the_frontier_of_unlike_prompts_ends_before_it_lies_below_what_is_possible() -> None:
    # Of N(0, σ²): gold σ²/β, KL σ²/(2β²), each the mean over prompts.
    deviations = np.repeat([0.2, 2.0], 8)
    golds = np.random.default_rng(0).normal(size=(16, 20_000)) * deviations[:, None]
    for point in frontier(golds)[1:]:
        optimum = (deviations**2).mean() / point.beta
        assert point.gold == pytest.approx(optimum, rel=0.1)


def test_gold_is_read_off_responses_of_the_reference(world: World) -> None:
    golds = reference_golds(world, seed=3, num_prompts=2, num_responses=1_030)
    assert golds.shape == (2, 1_030)
    assert golds.std() > 0
    assert np.array_equal(golds[:, :5], reference_golds(world, 3, 2, 1_030)[:, :5])


@pytest.fixture
def series(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Case]]:
    """Results as runs leave them, made up."""
    results = KeptResults(tmp_path / "results.jsonl", cases.KEY)
    monkeypatch.setattr(cases, "RESULTS", results)
    made = {}
    for name, arm, budget, gold in (
        ("direct", "direct-kl8", 0, 3.0),
        ("64 labels", "online-uniform-k4", 64, 2.0),
    ):
        case = Case(task="reviews", arm=arm, budget=budget, seed=1)
        rows = [{"episodes": 128 * n, "gold": gold * n / 8, "kl": 1.0 + n} for n in range(8)]
        result = {"gold": gold, "kl": 1.5, "rows": rows}
        results.made(case.key, partial(dict, result))
        made[name] = [case]
    return made


def test_the_table_says_what_share_of_direct_s_gain_labels_bring(
    series: dict[str, list[Case]],
) -> None:
    points = [Point(beta=1.0, kl=0.0, gold=1.0), Point(beta=0.5, kl=3.0, gold=5.0)]
    *_, direct, learned = table(series, points, base=1.0, best=3.0).splitlines()
    assert direct == "| direct | +3.00 | 100% | 1.5 | +3.00 | +2.62 (1) |"
    assert learned == "| 64 labels | +2.00 | 50% | 1.5 | +3.00 | +1.75 (1) |"
    assert table(series, points[:1], base=1.0, best=3.0).endswith("| – | +1.75 (1) |")


def test_the_figure_is_drawn(series: dict[str, list[Case]], tmp_path: Path) -> None:
    points = [Point(beta=1.0, kl=0.0, gold=1.0), Point(beta=0.5, kl=3.0, gold=5.0)]
    shown = {"sentiment": (series, series, points), "other": (series, series, points)}
    draw(shown, tmp_path / "style.png")
    assert (tmp_path / "style.png").read_bytes().startswith(b"\x89PNG")


def test_the_config_of_the_whole_system_is_the_demo_s_but_for_its_taste() -> None:
    style = load_config(STYLE / "run.toml")
    demo = load_config(STYLE.parents[2] / "cluster" / "demo.toml")
    assert style.gold == "descriptiveness"
    same = {
        "run": style.run.model_copy(update={"name": demo.run.name}),
        "labels": style.labels.model_copy(update={"simulated": demo.labels.simulated}),
    }
    assert style.model_copy(update=same) == demo
