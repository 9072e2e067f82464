"""What a run's journal writes, under a clock moved by hand and by way of the real hub."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from protocol.cord import CordState, Pulled
from protocol.errors import ScoringFailed
from protocol.messages import ChatMessage, Prompt, StepReport
from protocol.text_tree import TextNode
from tests.support.journal_desk import START, Desk, make_batch, make_reward, make_stats
from tests.support.labels import make_cord
from tests.support.messages import (
    make_policy,
    make_prompt,
    make_request,
    make_rollout,
    make_scored,
)
from tests.support.metric_proofs import proves


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    made.recordings.close()


def test_before_the_first_step_there_is_no_pace(desk: Desk) -> None:
    desk.now += 5
    assert desk.journal.pace() == {}
    assert not desk.journal.loop_state().is_learning


def test_pace_counts_from_the_first_step(desk: Desk) -> None:
    desk.now += 100  # labels are gathered; nobody is idle yet
    with desk.journal.learning():
        desk.now += 3
    desk.step(make_batch(0, 1))
    with desk.journal.waiting("scores"):
        desk.now += 2
    with desk.journal.timing("weight_sync"):
        desk.now += 0.5
    with desk.journal.waiting("rollouts"):
        desk.now += 1.5
    with desk.journal.learning():
        desk.now += 1
    desk.step(make_batch(1, 1))

    # 16 episodes in 8 s, 4 of them in steps.
    assert desk.journal.pace() == {
        "throughput/episodes_per_s": 2.0,
        "throughput/learner_idle": 0.5,
        "throughput/training_s": 4.0,
        "throughput/scoring_s": 2.0,
        "throughput/weight_sync_s": 0.5,
    }


def test_a_step_that_fails_was_still_time_at_work(desk: Desk) -> None:
    def fail() -> None:
        with desk.journal.learning():
            desk.now += 2
            raise FloatingPointError

    with pytest.raises(FloatingPointError):
        fail()
    assert desk.journal.pace()["throughput/training_s"] == 2.0


def test_actors_are_idle_by_what_they_did_since_learning_began(desk: Desk) -> None:
    desk.journal.actors_stood([make_stats(10, 5, 100), make_stats(20, 0, 0, "rollout-1")])
    assert desk.sink.rows == []
    with desk.journal.learning():
        desk.now += 10

    desk.journal.actors_stood([make_stats(20, 10, 300), make_stats(30, 2.5, 100, "rollout-1")])

    # Of ten seconds each, the one worked 5 and the other 2.5: idle ½ and ¾.
    assert desk.last_row == {
        "time/wall_s": 10.0,
        "throughput/actor_idle": 0.625,
        "throughput/generation_s": 7.5,
        **desk.journal.pace(),
    }
    # 200 and 100 tokens in ten seconds each, told with the next step.
    desk.step(make_batch(0, 1))
    assert desk.last_row["rollout/tokens_per_s"] == 30.0


def test_learning_may_begin_before_anyone_looked_at_the_actors(desk: Desk) -> None:
    with desk.journal.learning():
        desk.now += 10

    desk.journal.actors_stood([make_stats(10, 5, 100)])
    assert desk.sink.rows == []

    desk.journal.actors_stood([make_stats(20, 10, 300)])
    assert desk.last_row["throughput/actor_idle"] == 0.5


@proves("rollout/length_mean", "rollout/truncated_rate", "rollout/queue_depth", "reward/gold_mean")
def test_a_step_s_row_is_whole(desk: Desk) -> None:
    desk.now += 60
    desk.step(make_batch(0, 0), num_waiting=5)
    # Gold is the prompt's 12 letters less the response's 11.
    assert desk.last_row == {
        "time/wall_s": 60.0,
        "policy/step": 1,
        "policy/loss": 0.5,
        "policy/version": 1,
        "policy/episodes": 8,
        "reward/gold_mean": 1.0,
        "rollout/length_mean": 3.0,
        "rollout/truncated_rate": 0.5,
        "rollout/queue_depth": 5,
        "staleness/dropped": 0,
        "staleness/reward_lag": 0,
    }


@proves(
    "reward/score_mean_height_0",
    "reward/score_mean_height_1",
    "reward/score_mean_height_2",
    "reward/score_mean_height_3",
    "reward/gold_mean_height_0",
    "reward/gold_mean_height_1",
    "reward/gold_mean_height_2",
    "reward/gold_mean_height_3",
)
def test_scores_of_a_long_text_s_nodes_are_told_apart_by_height(desk: Desk) -> None:
    batch = make_batch(0, 0)
    heights = [0, 0, 1, 1, 2, 3, 4, None]
    scores = [0.0, 1.0, 2.0, 4.0, 5.0, 6.0, 8.0, 100.0]
    scored = tuple(
        make_scored(
            replace(
                make_rollout(),
                prompt=replace(make_prompt(), node=node_at(height)),
                text="x" * place,
            ),
            score,
        )
        for place, (height, score) in enumerate(zip(heights, scores, strict=True))
    )
    desk.step(replace(batch, rollouts=scored))
    found = {name: x for name, x in desk.last_row.items() if "height" in name}
    # Gold is the prompt's 12 letters less the response's.
    assert found == {
        "reward/score_mean_height_0": 0.5,
        "reward/score_mean_height_1": 3.0,
        "reward/score_mean_height_2": 5.0,
        "reward/score_mean_height_3": 7.0,
        "reward/gold_mean_height_0": 11.5,
        "reward/gold_mean_height_1": 9.5,
        "reward/gold_mean_height_2": 8.0,
        "reward/gold_mean_height_3": 6.5,
    }


def node_at(height: int | None) -> TextNode | None:
    if height is None:
        return None
    return TextNode(
        document_id="b", path=(), siblings=(), height=height, num_children=2 if height else 0
    )


@proves("staleness/reward_lag")
def test_reward_lag_is_what_was_served_newer_when_the_step_began(desk: Desk) -> None:
    for version in (1, 2, 3):
        desk.journal.reward_served(make_reward(version))
    batch = make_batch(0, reward_version=1)
    desk.journal.step_begun(batch, 0)
    desk.journal.reward_served(make_reward(4))
    desk.journal.step_done(batch, StepReport(policy=make_policy(1, 8), metrics={}), 0)
    assert desk.last_row["staleness/reward_lag"] == 2


def test_a_version_that_scored_before_it_was_told_of_is_no_negative_lag(desk: Desk) -> None:
    desk.journal.reward_served(make_reward(1))
    desk.step(make_batch(0, reward_version=2))
    assert desk.last_row["staleness/reward_lag"] == 0


@proves("staleness/dropped")
def test_the_dropped_are_those_too_old_and_those_unscored(desk: Desk) -> None:
    desk.journal.scoring_failed(4, ScoringFailed("no replica answered"))
    desk.step(make_batch(0, 1), num_dropped=3)
    assert desk.last_row["staleness/dropped"] == 7


@proves("reward_model/labels_used", "reward_model/ledger_seq", "reward_model/fit_seconds")
def test_a_served_reward_is_recorded_and_told(desk: Desk) -> None:
    desk.now += 30
    desk.journal.reward_served(make_reward(2))
    assert desk.last_row == {
        "time/wall_s": 30.0,
        "reward_model/version": 2,
        "reward_model/loss": 0.25,
        "reward_model/labels_used": 18,
        "reward_model/ledger_seq": 20,
        "reward_model/fit_seconds": 0.5,
    }
    (recorded,) = desk.recorded("rewards")
    assert (recorded["version"], recorded["served_at"]) == (2, START + 30)


def test_a_row_never_says_two_things_by_one_name(desk: Desk) -> None:
    served = make_reward(2)
    desk.journal.reward_served(replace(served, metrics={"reward_model/labels_used": 18}))
    assert desk.last_row["reward_model/labels_used"] == 18
    with pytest.raises(AssertionError, match="reward_model/labels_used: 17 and 27"):
        desk.journal.reward_served(
            replace(make_reward(3), metrics={"reward_model/labels_used": 17})
        )
    report = StepReport(policy=make_policy(1, 8), metrics={"policy/episodes": 16})
    with pytest.raises(AssertionError, match="policy/episodes: 16 and 8"):
        desk.journal.step_done(make_batch(0, 1), report, 0)


PULL = Pulled(event_id="c1", actor="ann", reason="it shouts", at=START + 4)
GUARDS = Pulled(
    event_id="c2",
    actor="guard",
    reason="the KL is negative",
    at=START + 5,
    offered_rollback=40,
    guard="kl_sign",
    evidence="guards/0001-kl_sign.json",
)


@proves("cord/is_pulled")
def test_a_pulled_cord_is_told_once_with_its_reason_and_so_is_its_release(desk: Desk) -> None:
    hanging = CordState(is_pulled=False)
    desk.journal.cord_stood(hanging)
    assert desk.sink.rows == []
    desk.now += 5
    for state in (make_cord(PULL), make_cord(PULL), replace(make_cord(PULL), rollback_to=3)):
        desk.journal.cord_stood(state)
    desk.now += 60
    desk.journal.cord_stood(hanging)
    desk.journal.cord_stood(hanging)

    assert desk.sink.alerts == [
        ("cord pulled by ann", "it shouts"),
        ("cord released", "it was pulled by ann"),
    ]
    assert [row["cord/is_pulled"] for row in desk.sink.rows] == [1.0, 1.0, 1.0, 0.0]


def test_an_offer_to_go_back_and_the_evidence_are_told_with_a_guards_pull(desk: Desk) -> None:
    desk.journal.cord_stood(make_cord(GUARDS))
    assert desk.sink.alerts == [
        (
            "cord pulled by guard kl_sign",
            "the KL is negative; policy version 40 is offered for a rollback; "
            "evidence in guards/0001-kl_sign.json",
        )
    ]


def test_a_reason_that_comes_to_a_pulled_cord_is_told_too(desk: Desk) -> None:
    desk.journal.cord_stood(make_cord(PULL))
    desk.journal.cord_stood(make_cord(PULL, GUARDS))
    desk.journal.cord_stood(make_cord(PULL, GUARDS))
    desk.journal.cord_stood(make_cord(GUARDS))
    assert [title for title, _ in desk.sink.alerts] == [
        "cord pulled by ann",
        "cord pulled by guard kl_sign",
    ]


def test_standing_at_the_cord_is_neither_idle_nor_slow(desk: Desk) -> None:
    with desk.journal.learning():
        desk.now += 4
    desk.step(make_batch(0, 1))
    with desk.journal.waiting("cord"):
        desk.now += 100
        desk.journal.cord_stood(make_cord(PULL))
        # Still standing there: the time counts already.
        assert desk.last_row["cord/stopped_s"] == 100.0
        assert desk.journal.pace()["throughput/learner_idle"] == 0.0
    with desk.journal.waiting("rollouts"):
        desk.now += 4

    pace = desk.journal.pace()
    assert pace["throughput/learner_idle"] == 0.5
    assert pace["throughput/episodes_per_s"] == 1.0


def test_a_rollback_is_a_version_on_record(desk: Desk) -> None:
    desk.step(make_batch(0, 1))
    policy = replace(make_policy(2, 8), restored_from=0)
    desk.journal.rolled_back(policy, asked_for=1)
    assert desk.last_row == {
        "time/wall_s": 0.0,
        "policy/step": 2,
        "policy/version": 2,
        "policy/episodes": 8,
    }
    assert [line["restored_from"] for line in desk.recorded("policies")] == [None, 0]
    ((_, text),) = desk.sink.alerts
    assert text == (
        "policy version 2 is version 0 again, the newest kept of those up to 1, which was asked for"
    )


def test_a_comparison_of_rewards_is_on_record(desk: Desk) -> None:
    desk.journal.rewards_compared(3, 0.97, 256, "go_on")
    assert desk.last_row["reward_model/correlation_after_exclusion"] == 0.97
    (compared,) = desk.recorded("comparisons")
    assert (compared["version"], compared["verdict"]) == (3, "go_on")
    assert desk.sink.alerts == []


def test_a_version_s_first_sample_is_told_once(desk: Desk) -> None:
    desk.step(make_batch(0, reward_version=3))
    old, new = make_rollout(make_request(0), 0), make_rollout(make_request(1), 1)
    desk.journal.rollouts_finished([old, new, new])
    assert desk.journal.newly_sampled() == [(0, 11.0), (1, 11.0)]

    desk.journal.rollouts_finished([old, new])
    assert desk.journal.newly_sampled() == []
    assert [line["version"] for line in desk.recorded("first_samples")] == [0, 1]


@proves("rollout/probe_mismatch_max")
def test_what_the_probe_showed_is_told_for_every_version_loaded(desk: Desk) -> None:
    desk.journal.policy_loaded(make_policy(0), 1e-6)
    desk.step(make_batch(0, 1))
    desk.journal.policy_loaded(make_policy(1), 3e-6)
    told = [row for row in desk.sink.rows if "rollout/probe_mismatch_max" in row]
    assert [(row["policy/step"], row["rollout/probe_mismatch_max"]) for row in told] == [
        (0, 1e-6),
        (1, 3e-6),
    ]


def test_a_version_that_is_loaded_late_takes_no_figure_back_in_time(desk: Desk) -> None:
    desk.step(make_batch(0, 1))
    desk.step(make_batch(1, 1))
    desk.journal.policy_loaded(make_policy(1), 1e-6)
    desk.journal.labels_stood({}, {"online/coverage": 0.5})
    assert desk.last_row["policy/step"] == 2


def test_label_figures_are_drawn_against_the_step_once_there_is_one(desk: Desk) -> None:
    stats, online = {"labels/seq": 3.0, "labels/accepted": 2.0}, {"online/coverage": 0.75}
    desk.journal.labels_stood(stats, online)
    assert desk.sink.rows == [{"time/wall_s": 0.0, **stats}]

    desk.step(make_batch(0, 1))
    desk.journal.labels_stood({}, online)
    assert desk.last_row == {"time/wall_s": 0.0, "policy/step": 1, "online/coverage": 0.75}


@proves("labels/redrawn")
def test_how_often_responses_were_alike_is_told_with_the_labels(desk: Desk) -> None:
    stats = {"labels/seq": 3.0}
    desk.journal.drafted([make_rollout()], 0)
    desk.journal.labels_stood(stats, {})
    assert desk.last_row == {"time/wall_s": 0.0, **stats, "labels/redrawn": 0}
    desk.journal.drafted([make_rollout()], 7)
    desk.journal.labels_stood(stats, {})
    assert desk.last_row["labels/redrawn"] == 7


def test_a_chat_is_recorded_as_its_messages_and_in_one_text(desk: Desk) -> None:
    turns = (
        ChatMessage(role="system", content="Be brief."),
        ChatMessage(role="user", content="Hi"),
    )
    chat = Prompt(prompt_id="p-1", text="", messages=turns, token_ids=(1,))
    desk.journal.reference_drawn([replace(make_rollout(), prompt=chat), make_rollout()])
    first, plain = desk.recorded("rollouts")
    assert first["prompt"] == "system: Be brief.\n\nuser: Hi"
    assert first["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
    ]
    assert (plain["prompt"], plain["messages"]) == ("the soup was", [])


def test_a_trained_rollout_is_recorded_with_its_step_and_score(desk: Desk) -> None:
    desk.journal.reference_drawn([make_rollout()])
    desk.step(make_batch(1, reward_version=2))
    reference, first, second = desk.recorded("rollouts")
    assert (reference["step"], reference["score"], reference["reward_version"]) == (0, None, None)
    assert (first["step"], first["episodes"], first["score"]) == (2, 16, 0.5)
    assert (first["reward_version"], first["oldest_version"]) == (2, 1)
    assert [first["is_complete"], second["is_complete"]] == [True, False]
