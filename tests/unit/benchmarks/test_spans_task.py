"""The task of marked words: what is compared is the same, and marks reach the policy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.kept_results import KeptResults
from benchmarks.label_efficiency import cases
from benchmarks.label_efficiency.arms import ARMS, BASELINE, EVERY, MARKED, Arm
from benchmarks.label_efficiency.cases import Case
from benchmarks.label_efficiency.training import Run
from benchmarks.label_efficiency.world import GOLDS, PROMPT_TOKENS, World
from cluster.config_file import load_config
from examples.tasks.spans.__main__ import lines_of, table
from examples.tasks.spans.figure import draw
from learners.reward_fit import RewardTrainer
from protocol.fits import FitRequest
from protocol.messages import ExperienceBatch, Prompt
from reward_service.pretrained import load_tokenizer
from tests.support.plain_engine import PlainEngine
from tests.support.tiny_model import save_tiny_model

ROOT = Path(__file__).parents[3]
PROMPT = Prompt(prompt_id="p", text="we said", token_ids=tuple(range(5, 5 + PROMPT_TOKENS)))


class Watched:
    """What one run of the harness fitted and trained on."""

    def __init__(self) -> None:
        self.requests: list[FitRequest] = []
        self.batches: list[ExperienceBatch] = []
        self.result: dict[str, Any] = {}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs an arm for two steps on a tiny model, and returns what it did."""
    for name in ("ppo", "reward_fit"):
        monkeypatch.setattr(f"learners.{name}.Engine", PlainEngine)
    policy = save_tiny_model(tmp_path / "policy")
    tokenizer = load_tokenizer(policy)
    world = World(task="reviews", policy=policy, tokenizer=tokenizer, prompts=[PROMPT])

    def watch(arm: Arm) -> Watched:
        watched = Watched()
        fit, next_batch = RewardTrainer.fit, Run._next_batch
        with monkeypatch.context() as patch:

            def fitted(trainer: RewardTrainer, request: FitRequest) -> Any:
                watched.requests.append(request)
                return fit(trainer, request)

            def drawn(of: Run, step: int) -> ExperienceBatch:
                watched.batches.append(next_batch(of, step))
                return watched.batches[-1]

            patch.setattr(RewardTrainer, "fit", fitted)
            patch.setattr(Run, "_next_batch", drawn)
            made = Run(world, arm, budget=32, seed=1, folder=tmp_path / "run", episodes=256)
            watched.result = made.result()
        return watched

    return watch


def test_with_and_without_marks_the_same_comparisons_are_chosen_alike(run: Any) -> None:
    plain, marked = run(ARMS[BASELINE]), run(MARKED[0.3])
    (ours,), (theirs,) = plain.requests, marked.requests
    assert not any(each.marks for each in ours.comparisons)
    assert sum(bool(each.marks) for each in theirs.comparisons) > len(theirs.comparisons) / 2
    for one, other in zip(ours.comparisons, theirs.comparisons, strict=True):
        assert (one.candidate_token_ids, one.choice) == (other.candidate_token_ids, other.choice)
    assert all(each.mark_values == () for batch in plain.batches for each in batch.rollouts)
    values = [value for each in marked.batches[0].rollouts for value in each.mark_values]
    assert len(values) == sum(each.rollout.num_kept for each in marked.batches[0].rollouts)
    assert any(values)
    assert max(map(abs, values)) < 1


def test_what_is_learned_and_not_paid_trains_by_the_score_alone(run: Any) -> None:
    learned, paid = run(MARKED[0.0]), run(MARKED[0.3])
    assert learned.requests == paid.requests
    first, second = (each.batches[0] for each in (learned, paid))
    assert first == second, "before the first step nothing has been paid"
    assert learned.batches[1] != paid.batches[1]


def test_every_way_is_an_arm_with_a_name_of_its_own() -> None:
    names = [arm.name for arm in MARKED.values()]
    assert names == [
        "offline-uniform-k4-marks0",
        "offline-uniform-k4-marks0.1",
        "offline-uniform-k4-marks0.3",
    ]
    assert set(names) <= set(EVERY)
    assert EVERY[BASELINE].mark_share == 0


def test_table_and_figure_are_of_what_was_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = KeptResults(tmp_path / "results.jsonl", cases.KEY)
    monkeypatch.setattr(cases, "RESULTS", kept)
    lines = lines_of([64, 1024], [1, 2])
    for case in (each for line in lines.values() for found in line.values() for each in found):
        kept.made(case.key, lambda case=case: made_up(case))  # type: ignore[misc]
    head, _, plain, unpaid, *paid = table(lines).splitlines()
    assert head == "| | 64 labels | 1,024 labels |"
    cell = "+1.50 ± 0.50 at KL 8.0; +1.50 ± 0.50 (2)"
    assert plain == f"| no marks | {cell} | {cell} |"
    assert unpaid.startswith("| marks, learned and not paid | +2.50")
    assert [line.split(" | ")[0] for line in paid] == [
        "| marks, 0.1 a token",
        "| marks, 0.3 a token",
    ]
    draw(lines, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 10_000


def made_up(case: Case) -> dict[str, Any]:
    gold = case.seed + ("marks" in case.arm)
    return {"gold": gold, "kl": 8.0, "rows": [{"gold": gold, "kl": 8.0}]}


def test_the_whole_run_is_the_demo_with_marks() -> None:
    demo = load_config(ROOT / "cluster" / "demo.toml")
    marked = load_config(ROOT / "examples" / "tasks" / "spans" / "run.toml")
    assert marked.reward_model.marks is not None
    assert marked.ppo.mark_coefficient == 0.1
    assert {each.marks for each in marked.labelers} == {0.5}
    without = {
        "run": marked.run.model_copy(update={"name": demo.run.name}),
        "ppo": marked.ppo.model_copy(update={"mark_coefficient": 0.0}),
        "reward_model": marked.reward_model.model_copy(update={"marks": None}),
        "labelers": tuple(each.model_copy(update={"marks": 0.0}) for each in marked.labelers),
    }
    assert marked.model_copy(update=without) == demo


def test_the_tasks_gold_is_the_demos() -> None:
    assert GOLDS["reviews"]("", "the soup was lovely .") > 0 > GOLDS["reviews"]("", "it was rude .")
