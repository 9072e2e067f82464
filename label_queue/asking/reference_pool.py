"""Responses of the reference policy ρ, by prompt: the other half of every validation query."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable, Sequence

from protocol.distinct import is_like_any
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
            if rollout.rollout_id in responses:
                continue
            was_ready = self._draw(responses.values()) != ()
            responses[rollout.rollout_id] = rollout
            if not was_ready and self._draw(responses.values()):
                self._turn.append(prompt_id)

    def __len__(self) -> int:
        """Return how many prompts have enough different responses."""
        return len(self._turn)

    def next_prompts(self, count: int) -> tuple[Prompt, ...]:
        """Return at most `count` prompts that have enough responses, those least used first."""
        prompts = []
        for _ in range(min(count, len(self._turn))):
            prompt_id = self._turn[0]
            self._turn.rotate(-1)
            prompts.append(next(iter(self._by_prompt[prompt_id].values())).prompt)
        return tuple(prompts)

    def draw(self, prompt_id: str, unlike: Sequence[Rollout] = ()) -> tuple[Rollout, ...]:
        """Return `per_query` responses to a prompt, or none if there are too few.

        No two are alike, nor is one alike any of `unlike`, the responses they are compared with.
        What ρ wrote often is drawn as much more often.
        """
        responses = list(self._by_prompt.get(prompt_id, {}).values())
        return self._draw(self._rng.sample(responses, len(responses)), unlike)

    def _draw(
        self, responses: Iterable[Rollout], unlike: Sequence[Rollout] = ()
    ) -> tuple[Rollout, ...]:
        """Return the first `per_query` responses that are not alike; none if there are too few."""
        drawn: list[Rollout] = []
        for rollout in responses:
            if len(drawn) < self._per_query and not is_like_any(rollout, (*unlike, *drawn)):
                drawn.append(rollout)
        return tuple(drawn) if len(drawn) == self._per_query else ()
