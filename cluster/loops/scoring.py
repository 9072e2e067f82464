"""From rollouts to scored rollouts: the reward service's answer, or the fixed score for no cut.

Rewards of different versions never meet in one normalisation group: what was scored by an older
reward than the rest of its batch is scored again.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from protocol.labels import QueryDraft
from protocol.messages import Rollout, Score, ScoredRollout
from protocol.ports import Scorer


def scored_sequence(rollout: Rollout) -> tuple[int, ...]:
    """Return what the reward model reads: prompt and kept response tokens, [P + num_kept]."""
    return rollout.prompt.token_ids + rollout.token_ids[: rollout.num_kept]


class ResponseScorer:
    """Scores whole rollouts.

    Args:
        scorer: The reward service.
        missing_cut_score: The score of a response without its cut (or end) token [Z].
    """

    def __init__(self, scorer: Scorer, missing_cut_score: float) -> None:
        self._scorer = scorer
        self._missing_cut_score = missing_cut_score

    async def score(self, rollouts: Sequence[Rollout]) -> list[ScoredRollout]:
        """Score rollouts, in order.

        Incomplete ones are sent along with the others, so that each answer names a reward version
        and the version an incomplete one is grouped under is the one really live.

        Raises:
            ScoringFailed: No score came, after the client's own retries.
        """
        scores = await self._scorer.score([scored_sequence(rollout) for rollout in rollouts])
        return [
            ScoredRollout(rollout=rollout, score=self._settle(rollout, score))
            for rollout, score in zip(rollouts, scores, strict=True)
        ]

    async def score_drafts(self, drafts: Sequence[QueryDraft]) -> list[QueryDraft]:
        """Add scores to drafts, for selectors that choose by them.

        Raises:
            ScoringFailed: No score came.
        """
        scored = await self.score([rollout for draft in drafts for rollout in draft.rollouts])
        rest = iter(scored)
        result = []
        for draft in drafts:
            scores = [item.score for item in itertools.islice(rest, len(draft.rollouts))]
            result.append(
                replace(
                    draft,
                    scores=tuple(score.value for score in scores),
                    heads=tuple(score.heads for score in scores),
                    reward_version=scores[0].reward_version,
                )
            )
        return result

    def _settle(self, rollout: Rollout, score: Score) -> Score:
        if rollout.is_complete:
            return score
        value = self._missing_cut_score
        return Score(
            value=value,
            heads=(value,) * len(score.heads),
            reward_version=score.reward_version,
        )


async def with_one_reward_version(
    scored: Sequence[ScoredRollout],
    score: Callable[[Sequence[Rollout]], Awaitable[list[ScoredRollout]]],
    is_served: Callable[[int], Awaitable[bool]],
) -> list[ScoredRollout]:
    """Score again whatever is older than the newest reward version present, or of one refused.

    The service may swap once more meanwhile; then the rest is scored again too, until all agree.

    Args:
        scored: [B], of any reward versions.
        score: Scores rollouts with the live reward.
        is_served: Whether all replicas serve a version; waits while it is not known.

    Returns:
        [B] in the same order, all of one reward version.
    """
    result = list(scored)
    while True:
        versions = [item.score.reward_version for item in result]
        served = [each for each in set(versions) if await is_served(each)]
        newest = max(served, default=None)
        older = [i for i, version in enumerate(versions) if version != newest]
        if not older:
            return result
        for i, item in zip(older, await score([result[i].rollout for i in older]), strict=True):
            result[i] = item
