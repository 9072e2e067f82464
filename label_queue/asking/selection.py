"""Which drafts become queries, and which of a draft's responses are compared."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from label_queue.asking.response_choice import RULES, Rule, preference_variance, uniform
from label_queue.config import LabelsConfig
from protocol.errors import InputError
from protocol.labels import QueryDraft
from protocol.messages import Rollout


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """A draft that was chosen, and how likely that was."""

    draft: QueryDraft
    probability: float
    """Probability with which the selector chose the draft from its pool, and its responses of all
    to the prompt, in (0, 1]; what people cannot be asked was in no pool."""
    reference: tuple[Rollout, ...] = ()
    """Responses of ρ to compare the draft with, for validation."""


class QuerySelector(Protocol):
    """Chooses queries from a pool of drafts."""

    name: str
    pool_factor: int
    """Drafts that the selector wants for each query."""
    num_responses: int
    """Responses of the current policy that it wants in each draft."""
    needs_scores: bool
    """Whether it chooses by what the reward says."""

    def select(
        self, drafts: Sequence[QueryDraft], count: int, rng: random.Random
    ) -> list[Selection]:
        """Return at most `count` of the drafts, each of K responses, and how likely that was."""
        ...


class Uniform:
    """Every draft alike: the required baseline (Ziegler et al. 2019)."""

    name = "uniform"
    pool_factor = 1
    needs_scores = False

    def __init__(self, num_candidates: int) -> None:
        self.num_responses = num_candidates

    def select(
        self, drafts: Sequence[QueryDraft], count: int, rng: random.Random
    ) -> list[Selection]:
        """Return a uniform sample without replacement."""
        count = min(count, len(drafts))
        return [
            Selection(draft=draft, probability=count / len(drafts))
            for draft in rng.sample(list(drafts), count)
        ]


class Disagreement:
    """The drafts on which the reward's heads disagree most (Christiano et al. 2017, §2.2.4)."""

    name = "disagreement"
    needs_scores = True

    def __init__(self, pool_factor: int, num_candidates: int) -> None:
        self.pool_factor = pool_factor
        self.num_responses = num_candidates

    def select(
        self, drafts: Sequence[QueryDraft], count: int, rng: random.Random
    ) -> list[Selection]:
        """Return the highest; ties, as before the first fit, are broken at random.

        Given its pool the choice is certain, so the probability is 1, except among drafts that
        have no heads at all, which are drawn uniformly.
        """
        shuffled = rng.sample(list(drafts), len(drafts))
        if not any(draft.heads for draft in shuffled):
            return Uniform(self.num_responses).select(shuffled, count, rng)
        ranked = sorted(shuffled, key=_variance, reverse=True)
        return [Selection(draft=draft, probability=1.0) for draft in ranked[:count]]


class WithinPrompt:
    """K of the R responses to each prompt, by a rule of `response_choice`; prompts as they come."""

    pool_factor = 1
    needs_scores = True

    def __init__(self, name: str, rule: Rule, num_responses: int, num_candidates: int) -> None:
        self.name = name
        self.num_responses = num_responses
        self._rule = rule
        self._num_candidates = num_candidates

    def select(
        self, drafts: Sequence[QueryDraft], count: int, rng: random.Random
    ) -> list[Selection]:
        """Return drafts of K responses; before the first fit, which gives no heads, of any K."""
        chosen = Uniform(self._num_candidates).select(drafts, count, rng)
        return [self._narrowed(each, rng) for each in chosen]

    def _narrowed(self, selection: Selection, rng: random.Random) -> Selection:
        draft = selection.draft
        if draft.heads:
            places, probability = self._rule(np.array(draft.heads), self._num_candidates, rng)
        else:
            places, probability = uniform(len(draft.rollouts), self._num_candidates, rng)
        return Selection(draft=draft.only(places), probability=selection.probability * probability)


def _variance(draft: QueryDraft) -> float:
    """Return how far heads disagree on a draft. Raises InputError where it carries no [K][M]."""
    if len(draft.heads) != len(draft.rollouts):
        raise InputError(
            "selector 'disagreement' needs the head scores of every candidate: "
            "score the drafts, or use selector = 'uniform'"
        )
    return preference_variance(np.array(draft.heads))


def make_selector(config: LabelsConfig) -> QuerySelector:
    """Return the selector that the config names."""
    count = config.num_candidates
    if config.selector == "uniform":
        return Uniform(count)
    if config.selector == "disagreement":
        return Disagreement(config.selector_pool, count)
    rule = RULES[config.selector]
    return WithinPrompt(config.selector, rule, config.selector_responses, count)
