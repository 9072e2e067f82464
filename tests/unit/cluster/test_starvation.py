"""People are waited for and told of; a part that gives nothing ends the run, and is named."""

from __future__ import annotations

import pytest

from cluster.loops.activity import LoopState
from cluster.loops.drafting import draw_prompts
from cluster.loops.time_spent import Doing
from cluster.watching.starvation import STARVED_S, TOLD_AFTER_S, Starvation
from protocol.errors import LoopStarved, PromptsExhausted
from protocol.fits import FitKind
from protocol.messages import Prompt
from tests.support.labels import ManualClock
from tests.support.messages import make_prompt


class Watched:
    """A starvation's surroundings."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.alerts: list[str] = []
        self.starvation = Starvation(lambda title, _: self.alerts.append(title), self.clock)

    def look(
        self,
        learner: Doing | None,
        for_s: float,
        *,
        progress: int = 0,
        fit: FitKind | None = None,
        has_reward: bool = True,
        is_cord_pulled: bool = False,
    ) -> None:
        self.starvation.look(
            LoopState(
                learner=learner,
                learner_for_s=for_s,
                is_learning=True,
                has_reward=has_reward,
                fit=fit,
                is_cord_pulled=is_cord_pulled,
            ),
            (progress,),
        )


@pytest.fixture
def watched() -> Watched:
    watched = Watched()
    watched.look("step", 0.0)
    watched.clock.now += STARVED_S
    return watched


@pytest.mark.parametrize(
    ("learner", "part"),
    [
        ("rollouts", "the rollout actors"),
        ("scores", "the reward service"),
        ("reward", "the reward trainer"),
    ],
)
def test_a_part_that_gives_nothing_is_named(watched: Watched, learner: Doing, part: str) -> None:
    with pytest.raises(LoopStarved, match=rf"30 minutes it has waited for {learner}.*{part}$"):
        watched.look(learner, STARVED_S)


def test_a_wait_in_which_something_comes_is_none(watched: Watched) -> None:
    watched.look("rollouts", STARVED_S, progress=1)
    watched.look("rollouts", STARVED_S + 1, progress=1)


def test_nobody_starves_before_the_first_reward_during_a_fit_or_at_the_cord(
    watched: Watched,
) -> None:
    watched.look("rollouts", STARVED_S, has_reward=False)
    watched.look("reward", STARVED_S, fit="refit")
    watched.clock.now += STARVED_S
    watched.look("rollouts", STARVED_S, is_cord_pulled=True)
    watched.look("rollouts", STARVED_S - 1)
    watched.look("step", STARVED_S)
    assert watched.alerts == []


def test_people_are_waited_for_and_told_of_once_a_wait(watched: Watched) -> None:
    watched.look("labels", TOLD_AFTER_S - 1)
    assert watched.alerts == []
    for _ in range(2):
        watched.look("labels", 10 * STARVED_S)
    assert watched.alerts == ["the run waits for labels"]
    watched.look("step", 1.0)
    watched.look("labels", TOLD_AFTER_S)
    assert len(watched.alerts) == 2


def test_a_prompt_source_that_ends_is_an_error() -> None:
    class Ending:
        def draw(self, count: int) -> list[Prompt]:
            return [make_prompt(number) for number in range(min(count, 3))]

        def skip(self, count: int) -> None:
            raise AssertionError("nothing is skipped here")

    assert len(draw_prompts(Ending(), 3)) == 3
    with pytest.raises(PromptsExhausted, match="3 of 8 prompts; give one that begins again"):
        draw_prompts(Ending(), 8)
