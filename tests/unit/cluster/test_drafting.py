"""Drafts for people: complete responses only, drawn again where they are not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

from cluster.loops.drafting import MAX_REDRAWS, Drafter
from cluster.loops.fleet import RolloutFleet
from protocol.labels import QueryOrder
from protocol.messages import Prompt, Rollout, RolloutRequest
from tests.support.labels import make_config
from tests.support.messages import SAMPLING, make_prompt, make_rollout
from tests.support.parts import FakeActor, FakePrompts
from tests.support.small_books import small_books


def order(num_drafts: int, num_candidates: int, prompts: tuple[Prompt, ...] = ()) -> QueryOrder:
    return QueryOrder(
        order_id="order-0",
        purpose="train",
        num_drafts=num_drafts,
        num_queries=num_drafts,
        num_candidates=num_candidates,
        prompts=prompts,
    )


class Drawing:
    """A drafter over one actor."""

    def __init__(
        self,
        is_complete: Callable[[RolloutRequest], bool] = lambda _: True,
        actor: FakeActor | None = None,
        seed: int | None = None,
    ) -> None:
        self.actor = actor or FakeActor(is_complete)
        self.prompts = FakePrompts()
        fleet = RolloutFleet([self.actor], requests_per_call=4)
        self.drafter = Drafter(fleet, self.prompts, SAMPLING, seed)

    @property
    def asked(self) -> list[str]:
        return [request.prompt.prompt_id for request in self.actor.requests]


async def test_an_order_is_filled_from_the_prompt_source() -> None:
    drawing = Drawing()

    drafts = await drawing.drafter.fill(order(num_drafts=3, num_candidates=2))

    assert [draft.prompt.prompt_id for draft in drafts] == ["p-0", "p-1", "p-2"]
    assert drawing.asked == ["p-0", "p-0", "p-1", "p-1", "p-2", "p-2"]
    ids = [rollout.rollout_id for draft in drafts for rollout in draft.rollouts]
    assert ids == [f"q-{number:06d}" for number in range(6)]
    assert {request.purpose for request in drawing.actor.requests} == {"query"}
    assert {request.sampling for request in drawing.actor.requests} == {SAMPLING}


async def test_an_order_that_brings_prompts_takes_none_from_the_source() -> None:
    drawing = Drawing()

    drafts = await drawing.drafter.fill(order(1, 2, prompts=(make_prompt(7),)))

    assert [draft.prompt.prompt_id for draft in drafts] == ["p-7"]
    assert drawing.prompts.draw(1) == [make_prompt(0)]


async def test_only_what_did_not_end_is_drawn_again() -> None:
    drawing = Drawing(lambda request: request.rollout_id not in ("q-000001", "q-000002"))

    drafts = await drawing.drafter.fill(order(num_drafts=2, num_candidates=2))

    assert drawing.asked == ["p-0", "p-0", "p-1", "p-1", "p-0", "p-1"]
    ids = [[rollout.rollout_id for rollout in draft.rollouts] for draft in drafts]
    assert ids == [["q-000000", "q-000004"], ["q-000003", "q-000005"]]


async def test_a_prompt_whose_responses_never_end_is_given_up() -> None:
    drawing = Drawing(lambda request: request.prompt.prompt_id != "p-0")

    drafts = await drawing.drafter.fill(order(num_drafts=2, num_candidates=2))

    assert [draft.prompt.prompt_id for draft in drafts] == ["p-1"]
    assert drawing.asked.count("p-0") == 2 * (1 + MAX_REDRAWS)
    assert drawing.asked.count("p-1") == 2


class Says(FakeActor):
    """An actor that gives the texts it is told to, one after the other, the last for ever."""

    def __init__(self, *texts: str) -> None:
        super().__init__()
        self._texts = list(texts)

    async def generate(self, requests: Sequence[RolloutRequest]) -> list[Rollout]:
        self.requests += requests
        return [self._say(request) for request in requests]

    def _say(self, request: RolloutRequest) -> Rollout:
        text = self._texts.pop(0) if len(self._texts) > 1 else self._texts[0]
        ids = tuple(text.encode())
        return replace(make_rollout(request), text=text, token_ids=ids, num_kept=len(ids))


async def test_only_a_response_alike_another_of_its_draft_is_drawn_again() -> None:
    drawing = Drawing(actor=Says("warm", "warm ", "cold", "cold", "dry", "cold", "new"))

    [draft] = await drawing.drafter.fill(order(num_drafts=1, num_candidates=4))

    assert [rollout.text for rollout in draft.rollouts] == ["warm", "cold", "dry", "new"]
    assert len(drawing.asked) == 7
    assert drawing.drafter.num_alike == 3


async def test_alike_responses_to_different_prompts_are_left_alone() -> None:
    drawing = Drawing(actor=Says("warm", "cold", "warm", "cold"))

    drafts = await drawing.drafter.fill(order(num_drafts=2, num_candidates=2))

    assert [len(draft.rollouts) for draft in drafts] == [2, 2]
    assert drawing.drafter.num_alike == 0


async def test_who_gave_the_order_is_shown_responses_that_stay_alike() -> None:
    drawing = Drawing(actor=Says("warm"))

    [draft] = await drawing.drafter.fill(order(num_drafts=1, num_candidates=2))

    assert [rollout.text for rollout in draft.rollouts] == ["warm", "warm"]
    assert len(drawing.asked) == 2 + MAX_REDRAWS
    assert drawing.drafter.num_alike == 1 + MAX_REDRAWS


async def test_samples_of_the_reference_policy_stay_as_they_fall() -> None:
    drawing = Drawing(actor=Says("warm"))

    rollouts = await drawing.drafter.draw_reference(make_config(num_candidates=4), 4)

    assert [rollout.text for rollout in rollouts] == ["warm"] * 4
    assert drawing.drafter.num_alike == 0


def test_seeded_requests_have_a_seed_each_which_follows_from_the_id() -> None:
    prompts = [make_prompt(n) for n in range(3)]

    def seeds(run_seed: int) -> list[int | None]:
        requests = Drawing(seed=run_seed).drafter.requests(prompts, "train")
        assert {replace(each.sampling, seed=None) for each in requests} == {SAMPLING}
        return [each.sampling.seed for each in requests]

    assert seeds(1) == seeds(1)
    assert len({*seeds(1), *seeds(2)}) == 6
    assert None not in seeds(1)


async def test_a_node_s_first_response_feeds_its_parent_and_one_that_never_ends_does_too() -> None:
    endless = Drawing(lambda request: not request.prompt.prompt_id.endswith("1.2"))
    fleet = RolloutFleet([endless.actor], requests_per_call=4)
    drafter = Drafter(fleet, small_books(), SAMPLING)

    drafts = await drafter.fill(order(num_drafts=2, num_candidates=2))
    [above] = await drafter.fill(order(num_drafts=1, num_candidates=2))

    first = drafts[0].rollouts[0].text
    last = f"very good {1 + 2 * (MAX_REDRAWS + 1)} ."
    assert [draft.prompt.prompt_id for draft in drafts] == ["b0-0/1.1"]
    assert above.prompt.prompt_id == "b0-0/1"
    assert above.prompt.text == f"{first}\n{last} TL;DR:"


async def test_what_a_rollback_leaves_behind_is_not_what_people_are_asked_to_sum_up() -> None:
    actor = FakeActor()
    actor.version = 3
    fleet = RolloutFleet([actor], requests_per_call=4)
    left_behind: list[int] = []
    drafter = Drafter(
        fleet,
        small_books(),
        SAMPLING,
        None,
        lambda versions: any(v in left_behind for v in versions),
    )
    await drafter.fill(order(num_drafts=4, num_candidates=2))
    left_behind.append(3)
    actor.version = 4
    drafts = await drafter.fill(order(num_drafts=5, num_candidates=2))
    assert [draft.prompt.prompt_id for draft in drafts] == [
        "b0-0/1.1",
        "b0-0/1.2",
        "b0-0/2.1",
        "b0-0/2.2",
        "b1-0/1.1",
    ]


async def test_what_was_being_drawn_for_people_when_a_run_died_is_handed_out_again() -> None:
    actor = FakeActor()
    actor.may_answer.clear()
    fleet = RolloutFleet([actor], requests_per_call=4)
    drafter = Drafter(fleet, small_books(), SAMPLING)
    filling = asyncio.create_task(drafter.fill(order(num_drafts=3, num_candidates=2)))
    await asyncio.sleep(0)
    kept = drafter.state
    filling.cancel()
    assert kept.trees is not None
    assert len(kept.trees.handed_out) == 3

    again = Drafter(RolloutFleet([FakeActor()], requests_per_call=4), small_books(), SAMPLING)
    again.resume(kept)
    drafts = await again.fill(order(num_drafts=4, num_candidates=2))
    assert [draft.prompt.prompt_id for draft in drafts] == [
        "b0-0/1.1",
        "b0-0/1.2",
        "b0-0/2.1",
        "b0-0/2.2",
    ]
