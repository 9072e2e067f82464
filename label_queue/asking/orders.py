"""What to ask the policy loop for, and how its drafts become queries."""

from __future__ import annotations

import hashlib
import math
import random
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import NamedTuple

from label_queue.asking.reference_pool import ReferencePool
from label_queue.asking.selection import QuerySelector, Selection, Uniform
from label_queue.config import LabelsConfig
from label_queue.quality.preference import TRAINING
from protocol.distinct import distinct_places, is_comparison
from protocol.errors import NotFinite, NothingToAsk
from protocol.labels import Candidate, ComparisonQuery, QueryDraft, QueryOrder, QueryPurpose
from protocol.messages import Prompt, Rollout

MAX_BARREN_ORDERS = 10
"""Orders in a row that may bring no query."""
RECENT = 20
"""Orders whose duration is remembered."""


class WhyNone(NamedTuple):
    """Why an order brought no query."""

    found: str
    mend: str


NEVER_ENDS = WhyNone(
    "the policy's responses never end with the cut or end token",
    "raise response.max_tokens, or change response.cut_token or response.end_tokens",
)
ALL_ALIKE = WhyNone(
    "the policy's responses to one prompt are all alike",
    "raise response.temperature, or restore an earlier policy version",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Placed:
    order: QueryOrder
    num_slots: int
    """Answers that the order's queries will want."""
    placed_at: float


class OrderBook:
    """Orders placed and not yet answered, and the mix of purposes over the run."""

    def __init__(
        self,
        config: LabelsConfig,
        *,
        selector: QuerySelector,
        pool: ReferencePool,
        new_id: Callable[[], str],
    ) -> None:
        """Ask for what `selector` chooses from; take validation prompts from `pool`."""
        self._config = config
        self._selector = selector
        self._pool = pool
        self._new_id = new_id
        self._placed: dict[str, _Placed] = {}
        self._made: Counter[QueryPurpose] = Counter()
        self._answered_at = -math.inf
        self._took: deque[float] = deque(maxlen=RECENT)
        self._barren: list[WhyNone] = []
        """Why each of the last orders brought no query."""

    def made(self, purpose: QueryPurpose, count: int = 1) -> None:
        """Count queries that were made; gold and repeats come on top of the mix."""
        if purpose in TRAINING:
            self._made[purpose] += count

    def outstanding_slots(self, now: float) -> int:
        """Return the answers wanted by orders not yet answered, forgetting those timed out.

        Orders are filled one after another, so each answer restarts the time of those that wait.
        """
        limit = now - self._config.order_timeout_s
        if self._answered_at <= limit:
            self._placed = {name: p for name, p in self._placed.items() if p.placed_at > limit}
        return sum(placed.num_slots for placed in self._placed.values())

    @property
    def typical_s(self) -> float:
        """Seconds from an order to its queries, the median of the last few; 0 before the first."""
        return median(self._took) if self._took else 0.0

    def find(self, order_id: str) -> QueryOrder | None:
        """Return an order that waits for its answer."""
        placed = self._placed.get(order_id)
        return placed.order if placed else None

    def answered(
        self, order_id: str, num_queries: int, *, now: float, cause: WhyNone | None = None
    ) -> None:
        """Forget an order that was answered, by how many queries, and why by none.

        One that brought none has had its turn in the mix all the same: a purpose that brings
        nothing must not keep the others waiting.
        """
        placed = self._placed.pop(order_id, None)
        if placed is not None and not num_queries:
            self._made[placed.order.purpose] += placed.order.num_queries
        if placed is not None:
            self._took.append(now - placed.placed_at)
        self._answered_at = now
        self._barren = [] if cause is None else [*self._barren, cause]

    @property
    def are_barren(self) -> bool:
        """Whether so many orders in a row have brought no query that more make no sense."""
        return len(self._barren) >= MAX_BARREN_ORDERS

    def forgive(self) -> None:
        """Count anew how many bring no query."""
        self._barren = []

    def refuse_if_barren(self) -> None:
        """Raise NothingToAsk when too many orders in a row have brought no query."""
        if self.are_barren:
            [(cause, _)] = Counter(self._barren).most_common(1)
            raise NothingToAsk(
                f"{len(self._barren)} orders in a row brought no query: {cause.found}", cause.mend
            )

    def labelers_wanted(self, purpose: QueryPurpose, num_labelers: int) -> int:
        """Return how many people a query is given to; never more than there are."""
        if purpose != "overlap":
            return 1
        return max(1, min(self._config.overlap_labelers, num_labelers))

    def place(
        self,
        num_slots: int,
        *,
        now: float,
        num_labelers: int,
        with_validation: bool,
        least_version: int = 0,
    ) -> list[QueryOrder]:
        """Place orders whose queries want about `num_slots` answers, one order a purpose.

        Purposes follow their shares as closely as whole queries allow: the one furthest behind
        its share comes next. There is no validation without reference responses.
        """
        counts: Counter[QueryPurpose] = Counter()
        so_far = Counter(self._made)
        for placed in self._placed.values():
            so_far[placed.order.purpose] += placed.order.num_queries
        shares = self._shares(with_validation and len(self._pool) > 0)
        while num_slots > 0 and counts.total() < self._config.max_order:
            purpose = _furthest_behind(shares, so_far + counts)
            counts[purpose] += 1
            num_slots -= self.labelers_wanted(purpose, num_labelers)
        orders = [
            replace(self._order(purpose, count), least_version=least_version)
            for purpose, count in sorted(counts.items())
        ]
        for order in orders:
            slots = order.num_queries * self.labelers_wanted(order.purpose, num_labelers)
            self._placed[order.order_id] = _Placed(order=order, num_slots=slots, placed_at=now)
        return orders

    def _shares(self, with_validation: bool) -> dict[QueryPurpose, float]:
        shares: dict[QueryPurpose, float] = {"overlap": self._config.overlap_share}
        if with_validation:
            shares["validation"] = self._config.validation_share
        shares["train"] = 1.0 - sum(shares.values())
        return shares

    def _order(self, purpose: QueryPurpose, num_queries: int) -> QueryOrder:
        num_drafts = num_queries * self._selector.pool_factor
        num_candidates = self._selector.num_responses
        prompts: tuple[Prompt, ...] = ()
        if purpose == "validation":
            prompts = self._pool.next_prompts(num_queries)
            num_queries = num_drafts = len(prompts)
            num_candidates = self._config.num_candidates // 2
        return QueryOrder(
            order_id=self._new_id(),
            purpose=purpose,
            num_drafts=num_drafts,
            num_queries=num_queries,
            num_candidates=num_candidates,
            prompts=prompts,
            needs_scores=self._selector.needs_scores and purpose != "validation",
        )


def _furthest_behind(
    shares: dict[QueryPurpose, float], counts: Counter[QueryPurpose]
) -> QueryPurpose:
    total = counts.total() + 1
    return max(shares, key=lambda purpose: shares[purpose] * total - counts[purpose])


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryMoment:
    """What a query records of the moment it was made."""

    now: float
    labels: int
    """Labels received so far."""
    ledger_seq: int
    """Sequence number of the newest label event."""
    num_wanted: int


class QueryMaker:
    """Turns drafts into queries."""

    def __init__(
        self,
        config: LabelsConfig,
        *,
        run_id: str,
        selector: QuerySelector,
        pool: ReferencePool,
        new_id: Callable[[], str],
        rng: random.Random,
    ) -> None:
        self._config = config
        self._run_id = run_id
        self._selector = selector
        self._pool = pool
        self._new_id = new_id
        self._rng = rng

    def choose(self, order: QueryOrder, drafts: Sequence[QueryDraft]) -> list[Selection]:
        """Return the drafts that become queries.

        A draft with an unfinished response (no cut token) is left out, as it is never shown to
        people, and so is one that is no comparison. Validation asks about its own prompts, so
        nothing is selected there; it gets as many responses of ρ as it has of π, alike to none.
        """
        whole = [draft for draft in drafts if _is_whole(draft)]
        if order.purpose == "validation":
            asked = Uniform(order.num_candidates).select(whole, order.num_queries, self._rng)
            return self._with_reference(asked)
        distinct = [draft.only(distinct_places(draft.rollouts)) for draft in whole]
        fit = [each for each in distinct if len(each.rollouts) >= self._config.num_candidates]
        return self._selector.select(fit, order.num_queries, self._rng) if fit else []

    def _with_reference(self, selections: Sequence[Selection]) -> list[Selection]:
        found = []
        for each in selections:
            rollouts = each.draft.rollouts
            reference = self._pool.draw(each.draft.prompt.prompt_id, unlike=rollouts)
            if reference and is_comparison((*rollouts, *reference)):
                found.append(replace(each, reference=reference))
        return found

    def make(self, order: QueryOrder, selection: Selection, moment: QueryMoment) -> ComparisonQuery:
        """Return the query, its candidates in random order."""
        draft = selection.draft
        rollouts = [*draft.rollouts, *selection.reference]
        scores = draft.scores if order.purpose != "validation" else ()
        order_drawn = self._rng.sample(range(len(rollouts)), len(rollouts))
        query_id = self._new_id()
        return ComparisonQuery(
            query_id=query_id,
            run_id=self._run_id,
            kind=self._config.kind,
            purpose=order.purpose,
            prompt_text=draft.prompt.text,
            prompt_messages=draft.prompt.messages,
            prompt_language=draft.prompt.language,
            prompt_node=draft.prompt.node,
            prompt_token_ids=draft.prompt.token_ids,
            candidates=tuple(_candidate(query_id, rollouts[i]) for i in order_drawn),
            reward_version=draft.reward_version,
            reward_scores=tuple(scores[i] for i in order_drawn) if scores else (),
            selector=self._selector.name if order.purpose != "validation" else "uniform",
            selection_probability=selection.probability,
            labels_before=moment.labels,
            created_at=moment.now,
            expires_at=moment.now + self._config.query_expiry_s,
            num_wanted=moment.num_wanted,
            ledger_seq=moment.ledger_seq,
        )


def why_none(drafts: Sequence[QueryDraft]) -> WhyNone:
    """Return why drafts that brought no query did not: responses that do not end, or are alike."""
    return ALL_ALIKE if any(_is_whole(draft) for draft in drafts) else NEVER_ENDS


def _is_whole(draft: QueryDraft) -> bool:
    return all(rollout.is_complete for rollout in draft.rollouts)


def _candidate(query_id: str, rollout: Rollout) -> Candidate:
    """Return a rollout as a candidate. Raises NotFinite for a NaN or infinity.

    The id is a digest, as rollout ids tell ρ from π; whoever has the rollouts can recompute it.
    """
    logprob_sum = math.fsum(rollout.behavior_logprobs[: rollout.num_kept])
    if not math.isfinite(logprob_sum):
        raise NotFinite(f"rollout {rollout.rollout_id}: its log-probabilities sum to {logprob_sum}")
    digest = hashlib.sha256(f"{query_id}/{rollout.rollout_id}".encode()).hexdigest()
    return Candidate(
        candidate_id=f"c-{digest[:16]}",
        text=rollout.text,
        token_ids=rollout.kept_token_ids,
        policy_version=rollout.oldest_version,
        temperature=rollout.sampling.temperature,
        max_tokens=rollout.sampling.max_tokens,
        seed=rollout.sampling.seed,
        engine=rollout.actor_id,
        logprob_sum=logprob_sum,
        finish_reason=rollout.finish_reason,
    )
