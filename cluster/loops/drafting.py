"""Requests for responses, and from an order of the label queue to drafts of fresh ones."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from cluster.loops.fleet import RolloutFleet
from cluster.loops.prompt_cursor import PromptCursor
from cluster.loops.reference_ends import MEND, refuse_endless
from label_queue.config import LabelsConfig
from protocol.distinct import is_like_any
from protocol.errors import InputError, PromptsExhausted
from protocol.labels import QueryDraft, QueryOrder
from protocol.messages import Prompt, Purpose, Rollout, RolloutRequest, Sampling
from protocol.ports import PromptSource
from protocol.seeds import derived_seed
from protocol.text_tree import TreesState

# A response without its cut token is never sent to people [Z], nor one like another of its query;
# it is drawn again, this often.
MAX_REDRAWS = 8
# Rounds in which ρ is sampled where prompts are made of responses, so that some are.
REFERENCE_ROUNDS = 4


def draw_prompts(source: PromptSource, count: int) -> list[Prompt]:
    """Return the next `count` prompts of a source, which promises to be endless.

    Raises:
        PromptsExhausted: There were fewer: the loop that draws would turn for ever.
    """
    prompts = source.draw(count)
    if len(prompts) < count:
        raise PromptsExhausted(
            f"the prompt source is exhausted: it gave {len(prompts)} of {count} prompts; give one "
            "that begins again at its end"
        )
    return prompts


@dataclass(frozen=True, slots=True, kw_only=True)
class DrafterState:
    """How far the drafter is, as a checkpoint keeps it."""

    num_requests: dict[Purpose, int] = field(default_factory=dict)
    """Requests made so far, for each purpose."""
    num_prompts: int = 0
    """Prompts of its own stream that were drawn."""
    num_resumed: int = 0
    """How often the run was resumed: names requests for people apart from those that were lost."""
    trees: TreesState | None = None
    """How far its stream is, where its prompts are made of responses."""


class Drafter:
    """Draws responses for people to compare, and the samples of ρ that normalise the reward.

    Args:
        fleet: The rollout actors.
        prompts: Where prompts come from when an order brings none.
        sampling: As in training: people judge what the policy is trained on.
        seed: Of the run, from which each request gets a seed of its own; None: the engine chooses.
        are_left_behind: Whether any of some policy versions is one that a rollback left behind.
    """

    def __init__(
        self,
        fleet: RolloutFleet,
        prompts: PromptSource,
        sampling: Sampling,
        seed: int | None = None,
        are_left_behind: Callable[[Sequence[int]], bool] = lambda _: False,
    ) -> None:
        self._fleet = fleet
        self._prompts = PromptCursor(prompts)
        self._sampling = sampling
        self._seed = seed
        self._are_left_behind = are_left_behind
        self._num_requests: Counter[Purpose] = Counter()
        self._num_resumed = 0
        self.first_reference_draws: tuple[Rollout, ...] = ()
        """The first draw of each response of ρ that was asked for first, ended or not."""
        self.num_alike = 0
        """Responses that were like another of their draft, since the start or resume."""

    async def fill(self, order: QueryOrder) -> list[QueryDraft]:
        """Return one draft a prompt; a prompt whose responses never end gives none.

        Of one whose responses stay alike, however often they are drawn, the draft holds some that
        are: who gave the order drops it, and so knows why it brought nothing.
        """
        await self._fleet.wait_for_version(order.least_version)
        self._prompts.forget(self._are_left_behind)
        prompts = order.prompts or draw_prompts(self._prompts, order.num_drafts)
        drawn = await self.draw_complete(prompts, order.num_candidates, "query")
        return [
            QueryDraft(prompt=prompt, rollouts=tuple(rollouts))
            for prompt, rollouts in zip(prompts, drawn, strict=True)
            if len(rollouts) == order.num_candidates
        ]

    async def draw_reference(self, labels: LabelsConfig, num_rollouts: int) -> list[Rollout]:
        """Sample ρ: half of K complete responses to each prompt that gives so many.

        Prompts are drawn for at least `num_rollouts`, and for as many validation queries as the
        labels will need.

        Raises:
            InputError: ρ does not end its responses, so there is nothing to compare.
        """
        num_each = max(2, labels.num_candidates // 2)
        num_queries = math.ceil(labels.total * labels.validation_share)
        num_prompts = max(num_queries, math.ceil(num_rollouts / num_each))
        at_once = math.ceil(num_prompts / (REFERENCE_ROUNDS if self._prompts.listens else 1))
        drawn: list[list[Rollout]] = []
        while len(drawn) < num_prompts:
            prompts = draw_prompts(self._prompts, min(at_once, num_prompts - len(drawn)))
            drawn += await self.draw_complete(prompts, num_each, "reference")
        rollouts = [rollout for group in drawn if len(group) == num_each for rollout in group]
        if not rollouts:
            raise InputError(
                f"the starting policy never ended its responses to {num_prompts} prompts: {MEND}"
            )
        return rollouts

    async def draw_complete(
        self, prompts: Sequence[Prompt], num_responses: int, purpose: Purpose
    ) -> list[list[Rollout]]:
        """Return up to `num_responses` complete responses for each prompt, redrawing the others.

        Where people are to compare them, those alike are redrawn too. Samples of ρ stay as they
        fall: they say what ρ is like.
        """
        complete: list[list[Rollout]] = [[] for _ in prompts]
        alike: list[list[Rollout]] = [[] for _ in prompts]
        endless: dict[int, Rollout] = {}
        for _ in range(1 + MAX_REDRAWS):
            wanted = [
                index
                for index, have in enumerate(complete)
                for _ in range(num_responses - len(have))
            ]
            if not wanted:
                break
            requests = self.requests([prompts[index] for index in wanted], purpose)
            rollouts = await self._fleet.generate(requests)
            if purpose == "reference" and not self.first_reference_draws:
                self.first_reference_draws = tuple(rollouts)
                refuse_endless(rollouts)
            for index, rollout in zip(wanted, rollouts, strict=True):
                if not rollout.is_complete:
                    endless[index] = rollout
                    continue
                is_alike = purpose == "query" and is_like_any(rollout, complete[index])
                (alike if is_alike else complete)[index].append(rollout)
        self.num_alike += sum(map(len, alike))
        # What people see first of a prompt's responses, or, where none ended, what came last.
        first = [kept[0] if kept else endless.get(index) for index, kept in enumerate(complete)]
        self._prompts.responded([rollout for rollout in first if rollout is not None])
        return [(kept + spare)[:num_responses] for kept, spare in zip(complete, alike, strict=True)]

    def requests(self, prompts: Sequence[Prompt], purpose: Purpose) -> list[RolloutRequest]:
        """Return one request a prompt; no two that are ever trained on or asked have the same id.

        What is trained on is drawn again after a resume, under its old id; of what people are asked
        the ledger may hold some that no checkpoint knows.
        """
        again = "" if purpose == "train" or not self._num_resumed else str(self._num_resumed)
        requests = []
        for prompt in prompts:
            rollout_id = f"{purpose[0]}{again}-{self._num_requests[purpose]:06d}"
            self._num_requests[purpose] += 1
            requests.append(
                RolloutRequest(
                    rollout_id=rollout_id,
                    prompt=prompt,
                    purpose=purpose,
                    sampling=self._sampling_of(rollout_id),
                )
            )
        return requests

    @property
    def state(self) -> DrafterState:
        """How far it is, for a checkpoint."""
        return DrafterState(
            num_requests=dict(self._num_requests),
            num_prompts=self._prompts.num_drawn,
            num_resumed=self._num_resumed,
            trees=self._prompts.trees,
        )

    def resume(self, state: DrafterState) -> None:
        """Go on from what was kept, before anything was drawn."""
        self._num_requests = Counter(state.num_requests)
        # What was being drawn for people is lost, and nobody will tell of it.
        trees = None if state.trees is None else state.trees.with_all_due_again()
        self._prompts.resume(state.num_prompts, trees)
        self._num_resumed = state.num_resumed + 1

    def _sampling_of(self, rollout_id: str) -> Sampling:
        if self._seed is None:
            return self._sampling
        return replace(self._sampling, seed=derived_seed(self._seed, f"request {rollout_id}"))
