"""All guards at once: whom they ask, what they keep, and that the cord is pulled once."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from cluster.guards.anchor_accuracy import AnchorAccuracyState
from cluster.guards.config import GuardsConfig
from cluster.guards.evidence import Evidence
from cluster.guards.guards import Guards
from cluster.guards.kl_runaway import KLRunawayState
from cluster.guards.kl_sign import KLSignState
from cluster.guards.logprob_mismatch import LogprobMismatchState
from cluster.guards.score_falls import LowStep, ScoreFallsState
from cluster.guards.state import GuardsState
from cluster.guards.winrate import WinrateState
from cluster.run_folder import RunFolder
from label_queue.figures.known_order import KnownPair
from learners.config import KLConfig
from protocol.errors import NotFinite, ResourceError
from protocol.fits import RewardVersion
from protocol.messages import ExperienceBatch, StepReport
from tests.support.cord import release_shown
from tests.support.labels import make_fit, make_reward
from tests.support.memory_sink import MemorySink
from tests.support.messages import make_policy, make_rollout, make_scored
from tests.support.metric_proofs import proves
from tests.support.parts import FakeRewardService
from tests.support.real_queue import LabelSide

NEGATIVE = {"kl/reference_mean": -2.0, "kl/reference_std": 0.5}


class Desk:
    """Guards before a real label queue; nobody labels."""

    def __init__(self, folder: Path) -> None:
        self.run = RunFolder(folder)
        self.people = LabelSide()
        self.service = FakeRewardService()
        self.sink = MemorySink()
        self.guards = self.make()

    def make(
        self, state: GuardsState | None = None, config: Mapping[str, object] | None = None
    ) -> Guards:
        return Guards(
            GuardsConfig.model_validate(config or {}),
            KLConfig(target=6.0),
            labels=self.people.loop,
            scorer=self.service,
            evidence=Evidence(self.run),
            tell=self.sink.write,
            anchors=[
                KnownPair(
                    prompt="the soup was",
                    better=f"good {n}",
                    worse=f"bad {n}",
                    better_tokens=(n, 1),
                    worse_tokens=(n, 0),
                )
                for n in range(40)
            ],
            state=state,
            now=lambda: 77.0,
        )

    async def steps(self, count: int, metrics: Mapping[str, float], first: int = 0) -> None:
        for number in range(first, first + count):
            await self.guards.step_done(make_batch(number), report(number + 1, metrics))

    async def open_reasons(self) -> list[str]:
        return [each.guard for each in (await self.people.loop.cord()).reasons]

    def kept(self) -> list[dict[str, Any]]:
        return [json.loads(path.read_text()) for path in sorted(self.run.guards.iterdir())]


def make_batch(step: int) -> ExperienceBatch:
    return ExperienceBatch(
        step=step,
        rollouts=(make_scored(), make_scored(make_rollout())),
        episodes_before=8 * step,
        reward_version=1,
        learned_through=0,
    )


def report(version: int, metrics: Mapping[str, float]) -> StepReport:
    return StepReport(policy=make_policy(version, 8 * version), metrics=dict(metrics))


def reward(version: int) -> RewardVersion:
    return replace(make_reward(version, ledger_seq=10), labels_used=100)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    made = Desk(tmp_path / "run-1")
    yield made
    await made.people.close()


async def test_a_guard_that_trips_keeps_what_it_saw_and_pulls_by_its_name(desk: Desk) -> None:
    await desk.steps(3, NEGATIVE)
    [reason] = (await desk.people.loop.cord()).reasons
    assert (reason.actor, reason.guard) == ("guard", "kl_sign")
    assert reason.evidence == "guards/0001-kl_sign.json"
    [kept] = desk.kept()
    assert (kept["format"], kept["guard"], kept["at"]) == (1, "kl_sign", 77.0)
    assert (kept["policy_version"], kept["episodes"]) == (3, 24)
    assert (kept["figures"]["mean"], kept["reason"]) == (-2.0, reason.reason)
    [sample, *_] = kept["samples"]
    batch = make_batch(2).rollouts[0]
    assert (sample["prompt"], sample["response"]) == (
        batch.rollout.prompt.text,
        batch.rollout.text,
    )
    assert sample["figures"] == {"score": batch.score.value}


async def test_while_its_reason_is_open_it_says_nothing_more_and_then_begins_anew(
    desk: Desk,
) -> None:
    await desk.steps(9, NEGATIVE)
    assert await desk.open_reasons() == ["kl_sign"]
    assert len(desk.kept()) == 1
    await release_shown(desk.people.queue, "looked into")
    await desk.steps(2, NEGATIVE, first=9)
    assert await desk.open_reasons() == []
    await desk.steps(1, NEGATIVE, first=11)
    assert await desk.open_reasons() == ["kl_sign"]
    assert [path.name for path in sorted(desk.run.guards.iterdir())] == [
        "0001-kl_sign.json",
        "0002-kl_sign.json",
    ]


async def test_each_guard_has_a_reason_of_its_own_behind_a_labeler_s(desk: Desk) -> None:
    await desk.people.queue.people.pull_cord("ann", "typo")
    await desk.steps(3, {**NEGATIVE, "rollout/logprob_mismatch_mean": 0.4})
    await desk.steps(6, {"kl/reference_mean": 18.1}, first=3)
    assert await desk.open_reasons() == ["", "logprob_mismatch", "kl_sign", "kl_runaway"]
    left = await release_shown(desk.people.queue, "only a typo")
    assert left.is_pulled
    assert left.pulled_by == "guard"


@pytest.mark.parametrize("name", ["kl_sign", "kl_runaway", "logprob_mismatch"])
async def test_a_guard_that_is_off_does_not_look(desk: Desk, name: str) -> None:
    desk.guards = desk.make(config={name: {"is_on": False}})
    metrics = {
        "kl_sign": NEGATIVE,
        "kl_runaway": {"kl/reference_mean": 99.0},
        "logprob_mismatch": {"rollout/logprob_mismatch_mean": 9.0},
    }
    await desk.steps(9, metrics[name])
    assert await desk.open_reasons() == []


async def test_after_a_rollback_it_takes_fresh_evidence(desk: Desk) -> None:
    """Two of the three steps that it takes were of versions left behind."""
    await desk.steps(2, {**NEGATIVE, "rollout/logprob_mismatch_mean": 0.01})
    desk.guards.rolled_back(replace(make_policy(3, 16), restored_from=0))
    await desk.steps(2, NEGATIVE, first=3)
    assert await desk.open_reasons() == []
    await desk.steps(1, NEGATIVE, first=5)
    assert await desk.open_reasons() == ["kl_sign"]


async def test_a_step_taken_back_that_left_no_version_behind_takes_no_evidence_with_it(
    desk: Desk,
) -> None:
    await desk.steps(2, NEGATIVE)
    desk.guards.rolled_back(replace(make_policy(3, 16), restored_from=2))
    await desk.steps(1, NEGATIVE, first=3)
    assert await desk.open_reasons() == ["kl_sign"]


async def test_what_is_known_of_the_base_model_and_of_rewards_outlasts_a_rollback(
    desk: Desk,
) -> None:
    low = (LowStep(reward_version=2, mean=-2.0, variance=0.1),)
    known = ScoreFallsState(num_reference=128, reference_mean=0.1, reference_variance=1.0)
    state = GuardsState(
        anchor_accuracy=AnchorAccuracyState(was_above=True, num_lost=1),
        winrate=WinrateState(since=7.0),
        kl_sign=KLSignState(means=(-1.0,), variances=(0.1,)),
        kl_runaway=KLRunawayState(num_above=5),
        score_falls=replace(known, low=low, is_told=True),
        logprob_mismatch=LogprobMismatchState(num_above=1),
        num_trips=2,
    )
    desk.guards = desk.make(state=state)
    desk.guards.rolled_back(replace(make_policy(9, 16), restored_from=2))
    assert desk.guards.state == GuardsState(
        anchor_accuracy=state.anchor_accuracy,
        winrate=state.winrate,
        score_falls=known,
        num_trips=2,
    )


async def test_what_it_remembers_goes_through_json(desk: Desk) -> None:
    await desk.steps(2, NEGATIVE)
    as_kept = TypeAdapter(GuardsState)
    text = as_kept.dump_json(desk.guards.state)
    desk.guards = desk.make(state=as_kept.validate_json(text))
    await desk.steps(1, NEGATIVE, first=2)
    assert await desk.open_reasons() == ["kl_sign"]
    assert as_kept.validate_json(as_kept.dump_json(GuardsState())) == GuardsState()


@proves("reward_model/anchor_accuracy", "reward_model/anchor_pairs")
async def test_a_reward_version_is_asked_about_the_anchor_pairs(desk: Desk) -> None:
    desk.service.value = lambda version, tokens: float(tokens[-1]) * (-1.0 if version > 1 else 1.0)
    accuracies = []
    for version in (1, 2, 3):
        await desk.service.swap(reward(version))
        await desk.guards.reward_served(reward(version))
        accuracies.append(desk.sink.rows[-1 if version < 3 else -2])
    assert [dict(row) for row in accuracies] == [
        {
            "reward_model/version": version,
            "reward_model/anchor_accuracy": accuracy,
            "reward_model/anchor_pairs": 40,
        }
        for version, accuracy in ((1, 1.0), (2, 0.0), (3, 0.0))
    ]
    assert await desk.open_reasons() == ["anchor_accuracy"]


async def test_nan_from_the_service_at_the_anchors_is_nan(desk: Desk) -> None:
    async def refused(_: object) -> list[object]:
        raise NotFinite("sequence 3 scores NaN")

    desk.service.score = refused  # type: ignore[method-assign, assignment]
    await desk.guards.reward_served(reward(1))
    assert await desk.open_reasons() == ["not_finite"]


async def test_nan_pulls_the_cord_with_the_responses_that_have_it(desk: Desk) -> None:
    batch = make_batch(4)
    scored = batch.rollouts[1]
    broken = replace(scored, score=replace(scored.score, value=float("nan")))
    spoiled: ExperienceBatch = replace(batch, rollouts=(batch.rollouts[0], broken))
    await desk.guards.step_broken(NotFinite("the loss on rank 0 is nan"), spoiled)
    [kept] = desk.kept()
    assert "the loss on rank 0 is nan" in kept["reason"]
    assert [(s["note"], s["figures"]) for s in kept["samples"]] == [("not finite itself", {})]
    await release_shown(desk.people.queue, "mended")
    await desk.guards.fit_broken(NotFinite("the loss is inf"), make_fit())
    await release_shown(desk.people.queue, "mended")
    await desk.guards.unscored(NotFinite("score is nan"), [make_rollout()])
    assert [each["guard"] for each in desk.kept()] == ["not_finite"] * 3


async def test_where_that_guard_is_off_nan_is_the_error_it_was(desk: Desk) -> None:
    desk.guards = desk.make(config={"not_finite": {"is_on": False}})
    with pytest.raises(NotFinite, match="loss"):
        await desk.guards.step_broken(NotFinite("the loss is nan"), make_batch(0))
    assert await desk.open_reasons() == []


async def test_the_line_is_stopped_even_where_the_disk_takes_no_evidence(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise ResourceError("no space left")

    monkeypatch.setattr("cluster.guards.evidence.write_json", full)
    await desk.steps(3, NEGATIVE)
    [reason] = (await desk.people.loop.cord()).reasons
    assert (reason.guard, reason.evidence) == ("kl_sign", "")
