import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from cluster.config import RunConfig, parse_config
from cluster.controller import Controller
from cluster.loops.fleet import RolloutFleet
from cluster.loops.journal import Journal
from cluster.loops.parts import Parts
from cluster.recordings.streams import Recordings
from protocol.errors import InputError, LoopEnded, ProbeMismatch, ScoringFailed
from protocol.labels import FitRequest, QueryOrder, RewardVersion
from protocol.messages import ExperienceBatch, PolicyVersion, Score, StepReport
from tests.support.messages import make_policy
from tests.support.parts import (
    FakeActor,
    FakeLabelQueue,
    FakeLearner,
    FakePrompts,
    FakeRewardService,
    FakeRewardTrainer,
)

BATCH = 8


class Rows:
    def __init__(self) -> None:
        self.rows: list[dict[str, float | int | str]] = []
        self.alerts: list[str] = []

    def write(self, row: Mapping[str, float | int | str]) -> None:
        self.rows.append(dict(row))

    def alert(self, title: str, text: str) -> None:
        self.alerts.append(title)

    def summarize(self, figures: Mapping[str, float | int | str | None]) -> None:
        raise AssertionError("the controller sums nothing up")

    def close(self) -> None:
        return None


def small_config(**run: object) -> RunConfig:
    return parse_config(
        {
            "people": ["ann"],
            "run": {"episodes": 5 * BATCH, "max_policy_lag": 1, **run},
            "prompts": {"source": "reviews"},
            "policy": {"path": "model"},
            "ppo": {"batch_size": BATCH},
            "rollouts": {"requests_per_call": 4},
            "reward_model": {"num_normalisation_samples": 6},
            "labels": {"total": 40, "initial": 10, "ahead": 1},
        },
        "test",
    )


class World:
    """A controller among fakes."""

    def __init__(self, folder: Path, actors: list[FakeActor] | None = None) -> None:
        self.actors = actors or [FakeActor(), FakeActor()]
        self.learner = FakeLearner()
        self.service = FakeRewardService()
        self.trainer = FakeRewardTrainer()
        self.labels = FakeLabelQueue()
        self.rows = Rows()
        self.recordings = Recordings(folder)
        self.journal = Journal(self.recordings, self.rows, now=lambda: 100.0)

    def controller(self, config: RunConfig | None = None) -> Controller:
        parts = Parts(
            prompts=FakePrompts(),
            query_prompts=FakePrompts(),
            fleet=RolloutFleet(self.actors, requests_per_call=4),
            learner=self.learner,
            reward_trainer=self.trainer,
            reward_service=self.service,
            labels=self.labels,
        )
        return Controller(config or small_config(), parts, self.journal, make_policy())


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.recordings.close()


async def test_trains_every_episode_once_and_ends(world: World) -> None:
    await world.controller().run()

    assert [batch.step for batch in world.learner.batches] == [0, 1, 2, 3, 4]
    trained = [s.rollout.rollout_id for b in world.learner.batches for s in b.rollouts]
    assert len(trained) == len(set(trained)) == 5 * BATCH
    assert world.labels.progress == [8, 16, 24, 32, 40]


async def test_nothing_older_than_the_bound_is_trained_on(world: World) -> None:
    await world.controller().run()

    lags = [
        batch.step - scored.rollout.oldest_version
        for batch in world.learner.batches
        for scored in batch.rollouts
    ]
    assert max(lags) <= 1


async def test_an_actor_that_never_takes_weights_starves_the_learner_but_never_breaks_the_bound(
    tmp_path: Path,
) -> None:
    class Stuck(FakeActor):
        async def load_policy(self, policy: PolicyVersion) -> float:
            await asyncio.Event().wait()
            raise AssertionError

    world = World(tmp_path, [Stuck()])
    running = asyncio.ensure_future(world.controller().run())
    for _ in range(500):
        await asyncio.sleep(0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    world.recordings.close()

    # With η = 1, version 0 may train steps 0 and 1, and nothing after.
    assert [batch.step for batch in world.learner.batches] == [0, 1]


async def test_a_batch_is_one_reward_version_and_says_what_it_learned(world: World) -> None:
    await world.controller().run()

    for batch in world.learner.batches:
        assert {s.score.reward_version for s in batch.rollouts} == {batch.reward_version}
        assert batch.learned_through == 10 * batch.reward_version


async def test_queries_get_complete_responses_only(tmp_path: Path) -> None:
    # Every third response misses its cut; those are drawn again.
    seen = iter(range(10**6))
    world = World(tmp_path, [FakeActor(is_complete=lambda _: next(seen) % 3 != 0)])

    await world.controller().run()
    world.recordings.close()

    assert len(world.labels.drafts) == 2
    for draft in world.labels.drafts:
        assert len(draft.rollouts) == 4
        assert all(rollout.is_complete for rollout in draft.rollouts)


async def test_an_incomplete_response_is_trained_on_with_the_fixed_score(tmp_path: Path) -> None:
    world = World(tmp_path, [FakeActor(is_complete=lambda request: request.purpose == "query")])

    await world.controller().run()
    world.recordings.close()

    values = {s.score.value for b in world.learner.batches for s in b.rollouts}
    assert values == {-1.0}


async def test_a_rollout_without_a_score_is_replaced_never_zero(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.service = FakeRewardService(failures=1)

    await world.controller().run()
    world.recordings.close()

    assert len(world.learner.batches) == 5
    assert {s.score.value for b in world.learner.batches for s in b.rollouts} == {0.1}
    dropped = [row["staleness/dropped"] for row in world.rows.rows if "staleness/dropped" in row]
    assert float(dropped[-1]) > 0


async def test_a_loop_that_ends_early_is_an_error(world: World) -> None:
    controller = world.controller()

    async def ends() -> None:
        return None

    controller.queries = ends  # type: ignore[method-assign]
    with pytest.raises(ExceptionGroup) as caught:
        await controller.run()
    assert caught.group_contains(LoopEnded, match="ends loop ended before the run was over")


async def test_a_failure_in_one_loop_stops_the_others_and_is_told(world: World) -> None:
    async def broken(_: object) -> None:
        raise FloatingPointError("loss is NaN")

    world.learner.step = broken  # type: ignore[method-assign, assignment]
    with pytest.raises(ExceptionGroup) as caught:
        await world.controller().run()
    assert caught.group_contains(FloatingPointError, match="loss is NaN")


async def test_stop_ends_the_run_once_the_step_under_way_is_done_and_told(world: World) -> None:
    controller = world.controller(small_config(episodes=10_000 * BATCH))
    begun = asyncio.Event()
    step = world.learner.step

    async def third_step_stops(batch: ExperienceBatch) -> StepReport:
        if batch.step == 2:
            controller.stop()
            begun.set()
        return await step(batch)

    world.learner.step = third_step_stops  # type: ignore[method-assign]
    running = asyncio.ensure_future(controller.run())
    await asyncio.wait_for(begun.wait(), 5)
    await asyncio.wait_for(running, 5)

    assert [batch.step for batch in world.learner.batches] == [0, 1, 2]
    assert world.labels.progress == [8, 16, 24]
    assert [row["policy/version"] for row in world.rows.rows if "policy/version" in row][-1] == 3


async def test_a_batch_that_cannot_be_scored_anew_is_replaced(world: World) -> None:
    score = world.service.score
    calls: list[int] = []

    async def one_is_older_and_is_refused(sequences: Sequence[Sequence[int]]) -> list[Score]:
        calls.append(len(sequences))
        if len(sequences) == 1:
            raise ScoringFailed("no replica answered")
        first, *others = await score(sequences)
        return [replace(first, reward_version=0) if len(calls) == 1 else first, *others]

    world.service.score = one_is_older_and_is_refused  # type: ignore[method-assign]
    world.labels = FakeLabelQueue(max_fits=1)
    await asyncio.wait_for(world.controller().run(), 5)

    assert calls.count(1) == 1
    assert [batch.step for batch in world.learner.batches] == [0, 1, 2, 3, 4]
    dropped = [row["staleness/dropped"] for row in world.rows.rows if "staleness/dropped" in row]
    assert dropped[-1] == BATCH


async def test_actors_prove_the_starting_policy_before_it_is_sampled(world: World) -> None:
    async def differs(policy: PolicyVersion) -> float:
        raise ProbeMismatch(f"version {policy.version}")

    world.actors[1].load_policy = differs  # type: ignore[method-assign]
    with pytest.raises(ProbeMismatch, match="version 0"):
        await world.controller().draw_reference()
    assert world.actors[0].requests == []


async def test_validation_of_many_candidates_has_half_of_them_from_the_reference(
    world: World,
) -> None:
    config = small_config()
    labels = config.labels.model_copy(update={"num_candidates": 6})
    await world.controller(config.model_copy(update={"labels": labels})).draw_reference()

    drawn = Counter(rollout.prompt.prompt_id for rollout in world.labels.reference)
    assert set(drawn.values()) == {3}


async def test_a_starting_policy_that_never_ends_a_response_is_refused(tmp_path: Path) -> None:
    world = World(tmp_path, [FakeActor(is_complete=lambda _: False)])
    with pytest.raises(InputError, match="never ended its responses"):
        await world.controller().draw_reference()
    world.recordings.close()


async def test_the_first_draws_of_the_reference_are_told_from_the_redrawn(tmp_path: Path) -> None:
    world = World(
        tmp_path, [FakeActor(is_complete=lambda request: int(request.rollout_id[2:]) % 3 > 0)]
    )
    controller = world.controller()
    await controller.draw_reference()
    draws = controller.drafter.first_reference_draws
    assert len({(rollout.prompt.prompt_id, rollout.rollout_id) for rollout in draws}) == len(draws)
    assert {rollout.is_complete for rollout in draws} == {True, False}
    assert len(draws) == len(world.labels.reference)
    world.recordings.close()


async def test_reference_samples_normalise_the_reward_and_wait_for_validation(world: World) -> None:
    sequences = await world.controller().draw_reference()

    # The prompt's three tokens and the three kept of the response.
    assert sequences[0] == (1, 2, 3, 4, 11, 6)
    assert len(sequences) >= 6
    assert len(world.labels.reference) == len(sequences)
    assert {rollout.purpose for rollout in world.labels.reference} == {"reference"}


async def settle() -> None:
    """Let every loop go as far as it can."""
    for _ in range(500):
        await asyncio.sleep(0)


async def test_a_pulled_cord_stops_the_learner_alone_until_it_is_released(world: World) -> None:
    await world.labels.pull_cord("ann", "it swears")
    running = asyncio.ensure_future(world.controller().run())
    await settle()

    assert world.learner.batches == []
    # Two versions' worth of rollouts, queries and fits were made meanwhile, and are kept.
    assert sum(len(actor.requests) for actor in world.actors) > 2 * BATCH
    assert len(world.labels.drafts) == 2
    assert len(world.labels.learned_versions) == 3

    await world.labels.release()
    await asyncio.wait_for(running, 5)
    assert [batch.step for batch in world.learner.batches] == [0, 1, 2, 3, 4]


async def test_a_cord_pulled_during_a_step_holds_back_the_next(world: World) -> None:
    step = world.learner.step

    async def second_is_pulled_in(batch: ExperienceBatch) -> StepReport:
        if batch.step == 1:
            await world.labels.pull_cord("ann", "it swears")
        return await step(batch)

    world.learner.step = second_is_pulled_in  # type: ignore[method-assign]
    running = asyncio.ensure_future(world.controller().run())
    await settle()
    assert world.labels.progress == [8, 16]
    await world.labels.release()
    await asyncio.wait_for(running, 5)
    assert len(world.learner.batches) == 5


async def test_a_run_can_be_stopped_while_the_cord_is_pulled(world: World) -> None:
    await world.labels.pull_cord("ann", "it swears")
    controller = world.controller()
    running = asyncio.ensure_future(controller.run())
    await settle()
    controller.stop()
    await asyncio.wait_for(running, 5)
    assert world.learner.batches == []


async def roll_back_after(world: World, num_steps: int, to_version: int) -> asyncio.Future[None]:
    """Run with a rollback ordered in a step; the cord stays pulled."""
    step = world.learner.step

    async def ordered(batch: ExperienceBatch) -> StepReport:
        if batch.step == num_steps - 1:
            await world.labels.order_rollback(to_version)
        return await step(batch)

    world.learner.step = ordered  # type: ignore[method-assign]
    running = asyncio.ensure_future(world.controller().run())
    await settle()
    assert len(world.learner.batches) == num_steps
    return running


async def test_a_rollback_makes_a_new_version_and_forgets_what_came_after(world: World) -> None:
    running = await roll_back_after(world, num_steps=3, to_version=2)

    (policy,) = world.labels.rollbacks
    assert (policy.version, policy.restored_from, policy.episodes) == (4, 2, 3 * BATCH)
    assert world.labels.cord_state.is_pulled
    assert {actor.version for actor in world.actors} == {4}
    assert world.rows.alerts == ["the policy was rolled back"]

    await world.labels.release()
    await asyncio.wait_for(running, 5)
    after = world.learner.batches[3:]
    assert [batch.step for batch in after] == [4, 5]
    assert [batch.episodes_before for batch in after] == [3 * BATCH, 4 * BATCH]
    written_by = {v for b in after for s in b.rollouts for v in s.rollout.policy_versions}
    assert 3 not in written_by
    lags = {b.step - s.rollout.oldest_version for b in after for s in b.rollouts}
    assert max(lags) <= 1


async def test_a_version_that_was_not_kept_gives_way_to_the_one_before_it(world: World) -> None:
    running = await roll_back_after(world, num_steps=4, to_version=3)
    assert world.learner.restored == [2]
    await world.labels.release()
    await asyncio.wait_for(running, 5)
    assert len(world.learner.batches) == 5


def force_second_fit(labels: FakeLabelQueue, *, once: asyncio.Event) -> None:
    """Hold the second fit back until `once` is set; ask for it as forced."""
    next_fit = labels.next_fit

    async def second_is_forced() -> FitRequest:
        request = await next_fit()
        if request.ledger_seq == 20:
            await once.wait()
            request = replace(request, is_forced=True)
        return request

    labels.next_fit = second_is_forced  # type: ignore[method-assign]


async def test_what_the_reward_taken_back_has_scored_is_scored_again(world: World) -> None:
    world.labels = FakeLabelQueue(max_fits=2)
    world.service.value = lambda version, sequence: version + sum(sequence) / 100
    await world.labels.pull_cord("ann", "bob only clicks")
    bob_is_excluded = asyncio.Event()
    force_second_fit(world.labels, once=bob_is_excluded)
    running = asyncio.ensure_future(world.controller().run())
    await settle()
    bob_is_excluded.set()
    await settle()
    assert [version.version for version in world.labels.learned_versions] == [1, 2]

    await world.labels.release()
    await asyncio.wait_for(running, 5)
    assert {batch.reward_version for batch in world.learner.batches} == {2}
    assert len(world.learner.batches) == 5


async def test_no_step_is_taken_on_a_condemned_reward_when_the_cord_is_released_mid_swap(
    world: World,
) -> None:
    """The learner stands at the cord; a forced refit begins its swap; the owner lets go."""
    world.labels = FakeLabelQueue(max_fits=2)
    await world.labels.pull_cord("ann", "bob only clicks")
    bob_is_excluded, may_swap = asyncio.Event(), asyncio.Event()
    swap = world.service.swap
    force_second_fit(world.labels, once=bob_is_excluded)

    async def second_takes_its_time(version: RewardVersion) -> None:
        if version.version == 2:
            await may_swap.wait()
        await swap(version)

    world.service.swap = second_takes_its_time  # type: ignore[method-assign]
    running = asyncio.ensure_future(world.controller().run())
    await settle()
    bob_is_excluded.set()
    await settle()
    await world.labels.release()
    await settle()
    assert world.learner.batches == []

    # All sequences here are alike, so the rewards cannot be compared, and the guard pulls too.
    may_swap.set()
    await settle()
    assert (world.learner.batches, world.labels.cord_state.pulled_by) == ([], "guard")
    await world.labels.release()
    await asyncio.wait_for(running, 5)
    assert {batch.reward_version for batch in world.learner.batches} == {2}
    assert len(world.learner.batches) == 5


async def test_an_order_whose_drafts_cannot_be_scored_is_left_unanswered(world: World) -> None:
    controller = world.controller()
    order = (await world.labels.next_orders(timeout_s=0))[0]
    orders = iter([[replace(order, num_drafts=3)], [order]])
    scored = world.service.score

    async def next_orders(timeout_s: float) -> list[QueryOrder]:
        await controller._has_reward.wait()
        found = next(orders, None)
        if found is None:
            await asyncio.Event().wait()
        return found or []

    async def queries_are_refused(sequences: Sequence[Sequence[int]]) -> list[Score]:
        if len(sequences) == 3 * order.num_candidates:
            raise ScoringFailed("no replica answered")
        return await scored(sequences)

    world.labels.next_orders = next_orders  # type: ignore[method-assign]
    world.service.score = queries_are_refused  # type: ignore[method-assign]
    await asyncio.wait_for(controller.run(), 5)

    assert len(world.learner.batches) == 5
    assert len(world.labels.drafts) == 2
    dropped = [row["staleness/dropped"] for row in world.rows.rows if "staleness/dropped" in row]
    assert dropped[-1] == 3 * order.num_candidates
