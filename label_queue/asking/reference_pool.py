"""Responses of the reference policy ρ, by prompt: the other half of every validation query."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable

from protocol.messages import Prompt, Rollout


class ReferencePool:
    """Complete responses of ρ. Prompts are handed out in turn, so all are used alike."""

    def __init__(self, *, per_query: int, rng: random.Random) -> None:
        """Hand out `per_query` responses of one prompt at a time."""
        self._per_query = per_query
        self._rng = rng
        self._by_prompt: dict[str, dict[str, Rollout]] = {}
        self._turn: deque[str] = deque()

    def add(self, rollouts: Iterable[Rollout]) -> None:
        """Take responses of ρ; a rollout id seen before changes nothing.

        Responses without the cut token are left out: they are never shown to people.
        """
        for rollout in rollouts:
            if not rollout.is_complete:
                continue
            prompt_id = rollout.prompt.prompt_id
            responses = self._by_prompt.setdefault(prompt_id, {})
            known = rollout.rollout_id in responses
            responses[rollout.rollout_id] = rollout
            if not known and len(responses) == self._per_query:
                self._turn.append(prompt_id)

    def __len__(self) -> int:
        """Return how many prompts have enough responses."""
        return len(self._turn)

    def next_prompts(self, count: int) -> tuple[Prompt, ...]:
        """Return at most `count` prompts that have enough responses, those least used first."""
        prompts = []
        for _ in range(min(count, len(self._turn))):
            prompt_id = self._turn[0]
            self._turn.rotate(-1)
            prompts.append(next(iter(self._by_prompt[prompt_id].values())).prompt)
        return tuple(prompts)

    def draw(self, prompt_id: str) -> tuple[Rollout, ...]:
        """Return `per_query` different responses to a prompt, or none if there are too few."""
        responses = list(self._by_prompt.get(prompt_id, {}).values())
        if len(responses) < self._per_query:
            return ()
        return tuple(self._rng.sample(responses, self._per_query))
