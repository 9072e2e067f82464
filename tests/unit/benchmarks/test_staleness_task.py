"""The staleness task: who draws by which weights, and what is told of it."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import torch

from benchmarks.kept_results import KeptResults
from benchmarks.label_efficiency import cases
from benchmarks.label_efficiency.arms import EVERY, LAGS, MISMATCHED, NOISES, STALE, Drawn
from benchmarks.label_efficiency.cases import Case
from benchmarks.label_efficiency.direct import DirectRun
from benchmarks.label_efficiency.sampling import Sampler
from benchmarks.label_efficiency.world import GOLDS, PROMPT_TOKENS, World
from cluster.config_file import load_config
from examples.tasks.staleness.__main__ import free_lags_of, lags_of, noises_of, table
from examples.tasks.staleness.figure import draw
from protocol.messages import Prompt, Rollout
from reward_service.pretrained import load_causal_model, load_tokenizer
from tests.support.plain_engine import PlainEngine
from tests.support.tiny_model import save_tiny_model

STALENESS = Path(__file__).parents[3] / "examples" / "tasks" / "staleness"
PROMPT = Prompt(prompt_id="p", text="we said", token_ids=tuple(range(5, 5 + PROMPT_TOKENS)))


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    return save_tiny_model(tmp_path)


def sampler_of(policy: Path, drawn: Drawn) -> Sampler:
    return Sampler(policy, load_tokenizer(policy), seed=1, drawn=drawn)


def changed(policy: Path, version: int) -> dict[str, torch.Tensor]:
    """Weights that differ much more from version to version than two orders of adding up do."""
    tensors = load_causal_model(policy).state_dict()
    return {name: x * (1.0 + version / 4) for name, x in tensors.items()}


def logprobs_under(policy: Path, tensors: dict[str, torch.Tensor], rollout: Rollout) -> list[float]:
    model = load_causal_model(policy).eval()
    model.load_state_dict(tensors)
    ids = torch.tensor([*rollout.prompt.token_ids, *rollout.token_ids])
    with torch.no_grad():
        log_p = model(ids[None]).logits[0, :-1].log_softmax(dim=-1)
    told: list[float] = log_p.gather(1, ids[1:, None])[PROMPT_TOKENS - 1 :, 0].tolist()
    return told


@pytest.mark.parametrize(
    ("lag", "versions"),
    [(0, [0, 1, 2, 3, 4, 5]), (2, [0, 0, 0, 1, 2, 3]), (None, [0, 0, 1, 1, 2, 2])],
)
def test_the_version_that_draws(lag: int | None, versions: list[int]) -> None:
    assert [Drawn(lag=lag).version(newest) for newest in range(6)] == versions


@pytest.mark.parametrize("lag", [0, 1, 2, None])
def test_responses_are_of_the_weights_they_say(policy: Path, lag: int | None) -> None:
    drawn = Drawn(lag=lag)
    sampler = sampler_of(policy, drawn)
    weights = [changed(policy, version) for version in range(5)]
    for newest in range(5):
        if newest:
            sampler.publish(newest, weights[newest])
        (rollout,) = sampler.draw([PROMPT])
        version = drawn.version(newest)
        assert set(rollout.policy_versions) == {version}
        expected = logprobs_under(policy, weights[version], rollout)
        assert rollout.behavior_logprobs == pytest.approx(expected, abs=1e-4)


def test_the_last_responses_are_of_the_newest_weights_without_noise(policy: Path) -> None:
    sampler = sampler_of(policy, Drawn(lag=2, noise=1.0))
    for version in (1, 2, 3):
        sampler.publish(version, changed(policy, version))
    sampler.catch_up()
    (rollout,) = sampler.draw([PROMPT])
    assert set(rollout.policy_versions) == {3}
    expected = logprobs_under(policy, changed(policy, 3), rollout)
    assert rollout.behavior_logprobs == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("tells_noise", [True, False])
def test_a_noisy_sampler_tells_what_it_drew_by_or_what_it_should_have(
    policy: Path, tells_noise: bool
) -> None:
    sampler = sampler_of(policy, Drawn(noise=1.0, tells_noise=tells_noise))
    (rollout,) = sampler.draw([PROMPT])
    exact = logprobs_under(policy, changed(policy, 0), rollout)
    difference = max(
        abs(told - other) for told, other in zip(rollout.behavior_logprobs, exact, strict=True)
    )
    assert (difference > 0.1) is tells_noise
    assert difference > 0.1 or difference < 1e-4


def test_every_way_is_an_arm_with_a_name_of_its_own() -> None:
    names = [arm.name for arm in (*STALE.values(), *MISMATCHED.values())]
    assert len(set(names)) == len(names) == 4 * len(LAGS) + 2 * len(NOISES)
    assert set(names) <= set(EVERY)
    assert STALE["decoupled", 0, False] == EVERY["direct-kl8"], "a run of the style task, read here"
    assert STALE["naive", None, False].name == "direct-kl8-naive-unbounded"
    assert STALE["naive", None, True].name == "direct-free-naive-unbounded"


@pytest.mark.parametrize(
    "name", ["direct-free-lag1", "direct-kl8-naive-lag2", "direct-kl8-noise0.5-unweighed"]
)
def test_each_way_trains(
    policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("learners.ppo.Engine", PlainEngine)
    monkeypatch.setitem(GOLDS, "reviews", lambda prompt, response: float(response.count("e")))
    tokenizer = load_tokenizer(policy)
    world = World(task="reviews", policy=policy, tokenizer=tokenizer, prompts=[PROMPT])
    folder = tmp_path / "run"
    result = DirectRun(world, EVERY[name], seed=1, folder=folder, episodes=1_536).result()
    golds = [row["gold"] for row in result["rows"]]
    assert fmean(golds[-3:]) > fmean(golds[:3])


def test_tables_and_figure_are_of_what_was_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = KeptResults(tmp_path / "results.jsonl", cases.KEY)
    monkeypatch.setattr(cases, "RESULTS", kept)
    panels = {"lag": lags_of([1, 2]), "free": free_lags_of([1, 2]), "noise": noises_of([1, 2])}
    for lines in panels.values():
        for line in lines.values():
            for each in (case for ways in line.values() for case in ways):
                kept.made(each.key, lambda case=each: made_up(case))  # type: ignore[misc]
    rows = table(panels["lag"], "lag").splitlines()
    assert rows[0] == "| lag | decoupled | naive |"
    decoupled = "+1.50 ± 0.50 at KL 8.0; +0.50 ± 0.50 (4)"
    naive = "+0.50 ± 0.50 at KL 8.0; -0.50 ± 0.50 (4)"
    assert rows[2] == f"| 0 | {decoupled} | {naive} |"
    assert rows[-1].startswith("| ∞ | +1.50")
    free = "+1.50 ± 0.50 at KL 8.0 | +0.50 ± 0.50 at KL 8.0"
    assert table(panels["free"], "lag").splitlines()[2] == f"| 0 | {free} |"
    assert table(panels["noise"], "σ").splitlines()[2].startswith("| 0 | +1.50")
    draw(panels, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 10_000


def made_up(case: Case) -> dict[str, Any]:
    worse = 1.0 if "naive" in case.arm else 0.0
    rows = [{"gold": case.seed - worse - 1.0, "kl": kl} for kl in (8.0, 8.0, 8.7, 7.3)]
    return {"gold": case.seed - worse, "kl": 8.0, "rows": rows}


def test_the_whole_run_is_the_demo_with_older_responses() -> None:
    demo = load_config(Path(__file__).parents[3] / "cluster" / "demo.toml")
    stale = load_config(STALENESS / "run.toml")
    assert (stale.run.max_policy_lag, stale.ppo.objective) == (4, "decoupled")
    same = {"name": demo.run.name, "max_policy_lag": demo.run.max_policy_lag}
    assert stale.model_copy(update={"run": stale.run.model_copy(update=same)}) == demo
