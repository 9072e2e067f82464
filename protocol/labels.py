"""The label loop's messages: ComparisonQuery → Assignment → LabelEvent.

Three append-only streams (queries, assignments, label events); the present is a fold over them.
Times are Unix seconds on the label queue's clock; clients' clocks are stored and never used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from protocol.messages import ChatMessage, FinishReason, Prompt, Rollout
from protocol.text_tree import TextNode

QueryKind = Literal["pair", "best_of_k", "ranking"]
QueryPurpose = Literal["train", "validation", "overlap", "gold", "repeat"]
Outcome = Literal["choice", "ranking", "tie", "both_bad", "skip", "flag"]
Mark = Literal["good", "bad"]
"""What a labeler says of some words of a response."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One response of a query, with what made it."""

    candidate_id: str
    """Unique in the run, e.g. the rollout id "q-000031-2"."""
    text: str
    token_ids: tuple[int, ...]
    """[T], the kept tokens: what the reward model reads after the prompt."""
    policy_version: int
    """Policy version of the oldest token; 0 is ρ."""
    temperature: float
    max_tokens: int
    seed: int | None
    engine: str
    """Which actor drew it, e.g. "rollout-1"."""
    logprob_sum: float
    """Σ behaviour log-probabilities of the kept tokens, nats."""
    finish_reason: FinishReason

    @property
    def kept_token_ids(self) -> tuple[int, ...]:
        """[T]; the name that a `Rollout` has for what people compare."""
        return self.token_ids


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonQuery:
    """A question to people: which of these is best?"""

    query_id: str
    """A uuid7."""
    run_id: str
    kind: QueryKind
    purpose: QueryPurpose
    prompt_text: str
    """A plain prompt as it was given; empty for a chat."""
    prompt_token_ids: tuple[int, ...]
    """[P], the prompt's tokens."""
    candidates: tuple[Candidate, ...]
    """[K], in an order of no meaning; the order shown belongs to the assignment."""
    reward_version: int
    """Reward version that ranked or selected the query; 0 before the first fit."""
    reward_scores: tuple[float, ...]
    """[K], scores under `reward_version`; empty before the first fit."""
    selector: str
    """Name of the selector, e.g. "uniform"; "gold" of a gold file's, "owner" of an owner's gold."""
    selection_probability: float
    """Probability with which the selector chose this query from its pool, in (0, 1]."""
    labels_before: int
    """Labels received before this query was made, whatever they say and whoever gave them; those of
    judges count for gold and repeats alone."""
    created_at: float
    expires_at: float
    """When it may no longer be claimed; a label given before or after is kept all the same."""
    num_wanted: int = 1
    """Labelers asked, e.g. 5 for overlap."""
    gold_answer: str | None = None
    """The right candidate_id, for gold."""
    repeat_of: str | None = None
    """The query_id repeated, for repeats."""
    prompt_messages: tuple[ChatMessage, ...] = ()
    """The chat so far, oldest turn first; empty for a plain prompt."""
    ledger_seq: int | None = None
    """The newest label event's sequence number when this query was made, 0 before the first; None
    for gold and repeats, and in ledgers that do not say."""
    prompt_language: str = ""
    """Language of prompt and responses where the prompt says it (BCP 47); "": the run's own."""
    prompt_node: TextNode | None = None
    """Where in a long text's tree the prompt stands; None: it is of no such text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryOrder:
    """What the label queue asks the policy loop for: candidates to make queries of."""

    order_id: str
    """A uuid7; the idempotency key of the answer."""
    purpose: QueryPurpose
    num_drafts: int
    """Drafts wanted; more than num_queries where the selector chooses among them."""
    num_queries: int
    """Queries that will be made of the drafts."""
    num_candidates: int
    """Responses of the current policy a draft, e.g. 4, or 16 where the selector chooses among them;
    2 for validation."""
    prompts: tuple[Prompt, ...]
    """[num_drafts] where the prompts are given (validation: those of the reference samples);
    empty where the prompt source chooses."""
    least_version: int = 0
    """The policy version that responses come from, or a newer one; 0: whatever the actors hold."""
    needs_scores: bool = False
    """Whether drafts are to bring the reward's scores, once there is a reward."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryDraft:
    """One prompt and fresh responses to it: a query before it is chosen."""

    prompt: Prompt
    rollouts: tuple[Rollout, ...]
    """[num_candidates], the responses."""
    scores: tuple[float, ...] = ()
    """[num_candidates], scores under `reward_version`, where the selector needs them."""
    heads: tuple[tuple[float, ...], ...] = ()
    """[num_candidates][M], scores of each head, where the selector needs them."""
    reward_version: int = 0

    def at_scales(self, scales: Sequence[float]) -> QueryDraft:
        """Return the draft with each head's scores times its scale, [M]; none: as they are."""
        if not scales:
            return self
        heads = tuple(
            tuple(score * scale for score, scale in zip(row, scales, strict=True))
            for row in self.heads
        )
        return replace(self, heads=heads)

    def only(self, places: Sequence[int]) -> QueryDraft:
        """Return the draft with some of its responses alone, in the order of `places`."""
        return replace(
            self,
            rollouts=tuple(self.rollouts[place] for place in places),
            scores=tuple(self.scores[place] for place in places) if self.scores else (),
            heads=tuple(self.heads[place] for place in places) if self.heads else (),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """A lease of one query to one labeler."""

    assignment_id: str
    """A uuid7."""
    query_id: str
    labeler_id: str
    shown_order: tuple[str, ...]
    """[K] candidate ids in the order drawn by the server for this assignment."""
    order_seed: int
    created_at: float
    lease_until: float
    page_version: str
    guideline_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where an event came from."""

    system: str
    """"api", "page", "owner", "import", or the name of a connector, e.g. "label_studio"."""
    external_id: str = ""
    updated_at: str = ""
    payload_sha256: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Event:
    """One line of the ledger. `seq` is given by the ledger and only ever rises."""

    seq: int
    event_id: str
    """Idempotency key; for labels "assignment_id:revision"."""
    received_at: float
    """When the event was received, Unix seconds on the server's clock."""
    source: Source
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _OfLabeler(_Event):
    """What has to do with one labeler."""

    labeler_id: str
    """The labeler whose label it is, or whom the owner decided about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _OfLabel(_OfLabeler):
    """What happened to one label."""

    label_id: str
    """The assignment_id of the label."""
    revision: int
    """Number of the revision of its label, from 0."""
    assignment_id: str
    query_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer(_OfLabel):
    """What a labeler says of a query."""

    outcome: Outcome
    choice: str | None
    """The candidate_id chosen, for a choice."""
    ranking: tuple[str, ...] | None
    """Candidate ids, best first, for a ranking."""
    strength: int | None
    """How much better the best is: 1 slightly … 4 far."""
    spans: tuple[tuple[str, int, int, str], ...] | None
    """(candidate_id, start, end, "good" | "bad") in characters."""
    comment: str | None
    shown_at: float | None
    """When the task was shown, Unix seconds on the client's clock."""
    first_action_at: float | None
    """When the labeler first did something, Unix seconds on the client's clock."""
    submitted_at: float | None
    """When the answer was sent, Unix seconds on the client's clock."""
    active_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted(_Answer):
    """The first answer to an assignment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Revised(_Answer):
    """A later answer to it, which takes the place of those before; also after a retraction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retracted(_OfLabel):
    """A label taken back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Excluded(_OfLabeler):
    """The owner leaves a labeler's labels out."""

    from_seq: int | None = None
    """Sequence number from which on the labeler's labels are left out; None: all are."""
    actor: str | None = None
    """Which owner decided it; None in ledgers that do not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reinstated(_OfLabeler):
    """The owner undoes a labeler's exclusion or suspension."""

    actor: str | None = None
    """Which owner decided it; None in ledgers that do not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActUndone(_OfLabeler):
    """The owner takes back the newest exclusion or reinstatement of a labeler, as if it were not.

    What a reinstatement lifted holds again. Nothing happens where another act came after it.
    """

    undoes: str
    """The event id of what is taken back."""
    actor: str | None = None
    """Which owner decided it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Appointed(_OfLabeler):
    """The owner makes somebody a judge: what they label from here on judges, and never trains.

    It takes effect on somebody of whom the ledger holds no label before it, and nothing undoes it.
    """

    actor: str | None = None
    """Which owner decided it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldMade(_Event):
    """From here on a gold query is asked, and its answers judge: made, or brought back."""

    query_id: str
    """The gold template."""
    replaces: str | None = None
    """The template whose place it takes, which is retired in the same transaction."""
    actor: str | None = None
    """Which owner decided it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldRetired(_Event):
    """From here on a gold query is asked of nobody, and no answer to it judges anyone.

    What was answered before counts as it stood then.
    """

    query_id: str
    """The gold template."""
    actor: str | None = None
    """Which owner decided it."""


AnswerEvent = Submitted | Revised
"""What states an answer."""
LabelChange = AnswerEvent | Retracted
"""What happens to a label: the newest tells how the label stands."""
OwnerEvent = Excluded | Reinstated | ActUndone
"""What the owner decides about the labels that somebody gave."""
GoldEvent = GoldMade | GoldRetired
"""What the owner decides about a gold query."""
LabelerEvent = LabelChange | OwnerEvent | Appointed
"""What has to do with one labeler."""
LabelEvent = LabelerEvent | GoldEvent
"""One line of the ledger; its written form is in `label_queue.ledger.event_lines`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyProvenance:
    """What a policy version was made from: one line a version, in the ledger."""

    version: int
    episodes: int
    reward_version: int
    """Reward version that its last step trained on; 0 for ρ."""
    learned_through: int
    """Sequence number that the training set of `reward_version` was taken at; 0 for ρ."""
    restored_from: int | None
    """The version a rollback restored to make this one; None: its parent is `version - 1`."""
    created_at: float
    moved_kl: float | None = None
    """How far the policy came since ρ, nats a response; see `PolicyVersion`. None in ledgers that
    do not say."""
