"""The words for what a run does now, in each state it can be in."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cluster.loops.activity import BRIEF_S, LoopState, activity

TRAINING = LoopState(
    learner="step",
    learner_for_s=0.5,
    is_learning=True,
    has_reward=True,
    fit=None,
    is_cord_pulled=False,
)
NO_REWARD = replace(TRAINING, is_learning=False, has_reward=False, learner_for_s=30.0)


@pytest.mark.parametrize(
    ("state", "words"),
    [
        # Before the first reward there is nothing to train on.
        (replace(NO_REWARD, learner=None), "collecting first labels"),
        (replace(NO_REWARD, learner="labels"), "collecting first labels"),
        (replace(NO_REWARD, learner="rollouts"), "about to fit the first reward"),
        (replace(NO_REWARD, learner="rollouts", fit="refit"), "fitting the first reward"),
        (replace(NO_REWARD, learner="labels", fit="refit"), "fitting the first reward"),
        # With it, before the first step.
        (replace(NO_REWARD, has_reward=True, learner=None), "starting to train"),
        (replace(NO_REWARD, has_reward=True, learner="rollouts"), "waiting for rollouts"),
        (
            replace(NO_REWARD, has_reward=True, learner="rollouts", learner_for_s=0.0),
            "waiting for rollouts",
        ),
        # At work: what waits but briefly goes on training, fits or none.
        (TRAINING, "training"),
        (replace(TRAINING, fit="refit"), "training"),
        (replace(TRAINING, learner=None), "training"),
        (replace(TRAINING, learner="passing"), "training"),
        (replace(TRAINING, learner="rollouts"), "training"),
        (replace(TRAINING, learner="labels", learner_for_s=BRIEF_S - 0.1), "training"),
        # Waiting.
        (replace(TRAINING, learner="labels", learner_for_s=BRIEF_S), "waiting for labels"),
        (
            replace(TRAINING, learner="labels", learner_for_s=60.0, fit="refit"),
            "waiting for labels",
        ),
        (replace(TRAINING, learner="rollouts", learner_for_s=9.0), "waiting for rollouts"),
        (replace(TRAINING, learner="scores", learner_for_s=9.0), "waiting for scores"),
        (
            replace(TRAINING, learner="reward", learner_for_s=9.0),
            "waiting for a reward to be judged",
        ),
        # The cord.
        (replace(TRAINING, learner="cord", is_cord_pulled=True), "stopped by the cord"),
        (replace(TRAINING, learner="labels", is_cord_pulled=True), "stopped by the cord"),
        (replace(NO_REWARD, learner=None, is_cord_pulled=True), "stopped by the cord"),
        (replace(TRAINING, is_cord_pulled=True), "finishing a step before the cord"),
        (replace(TRAINING, learner="rollback", is_cord_pulled=True), "rolling back the policy"),
    ],
)
def test_the_words_say_what_happens_now(state: LoopState, words: str) -> None:
    assert activity(state) == words
