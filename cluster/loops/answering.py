"""From an order of the label queue to its answer: drafts of the current policy, scored if asked."""

from __future__ import annotations

from collections.abc import Callable

from cluster.guards.guards import Guards
from cluster.loops.drafting import Drafter
from cluster.loops.journal import Journal
from cluster.loops.scoring import ResponseScorer
from label_queue.sides.policy_loop import PolicyLoopSide
from protocol.errors import NotFinite, NothingToAsk, ScoringFailed
from protocol.labels import QueryOrder


class OrderAnswers:
    """Answers orders; one left unanswered, for want of a score, is placed again.

    Args:
        drafter: Draws the responses.
        scorer: Scores drafts, where the order says that it is chosen by scores.
        has_reward: Whether there is a reward yet.
        labels: Who gave the order.
        journal: Takes note.
        guards: Stop the line for a score that is no number, or a policy that gives nothing to ask.
        policy_version: Returns the newest.
    """

    def __init__(
        self,
        drafter: Drafter,
        scorer: ResponseScorer,
        has_reward: Callable[[], bool],
        labels: PolicyLoopSide,
        journal: Journal,
        guards: Guards,
        policy_version: Callable[[], int],
    ) -> None:
        self._drafter = drafter
        self._scorer = scorer
        self._has_reward = has_reward
        self._labels = labels
        self._journal = journal
        self._guards = guards
        self._policy_version = policy_version

    async def answer(self, order: QueryOrder) -> None:
        """Draw what was ordered and hand it in."""
        drafts = await self._drafter.fill(order)
        rollouts = [rollout for draft in drafts for rollout in draft.rollouts]
        self._journal.drafted(rollouts, self._drafter.num_alike)
        try:
            if order.needs_scores and self._has_reward():
                drafts = await self._scorer.score_drafts(drafts)
            await self._labels.offer(order.order_id, drafts)
        except ScoringFailed as error:
            self._journal.scoring_failed(len(rollouts), error)
        except NotFinite as error:
            await self._guards.unscored(error, rollouts)
        except NothingToAsk as error:
            await self._guards.nothing_to_ask(error, self._policy_version())
