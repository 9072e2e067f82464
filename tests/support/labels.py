"""Queries, assignments, events and drafts with sensible fields."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import reduce
from typing import Any, TypeVar

from label_queue.config import IntakeConfig, LabelsConfig, WarmConfig
from label_queue.folds.cord import RELEASED, after
from label_queue.ledger.records import Role, RoleChange
from label_queue.quality_config import QualityConfig
from protocol.cord import CordEvent, CordState, Pulled
from protocol.fits import Comparison, FitKind, FitRequest, RewardVersion
from protocol.labels import (
    ActUndone,
    AnswerEvent,
    Appointed,
    Assignment,
    Candidate,
    ComparisonQuery,
    Excluded,
    GoldMade,
    GoldRetired,
    LabelChange,
    LabelEvent,
    Outcome,
    PolicyProvenance,
    QueryDraft,
    QueryOrder,
    QueryPurpose,
    Reinstated,
    Retracted,
    Revised,
    Source,
    Submitted,
)
from protocol.messages import Prompt
from protocol.seq_ranges import as_ranges
from protocol.text_tree import TextNode
from tests.support.messages import make_prompt, make_request, make_rollout

CordT = TypeVar("CordT", bound=CordEvent)
NODE = TextNode(document_id="books-000017", path=(2, 1), siblings=(2, 3), height=0, num_children=0)
"""The first leaf below the second of two parts."""


class ManualClock:
    """Time that moves when told to."""

    def __init__(self, now: float = 1_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def make_config(**changes: object) -> LabelsConfig:
    """A small run: 40 labels, 10 before RL, nothing but train queries unless asked for."""
    values: dict[str, object] = {
        "total": 40,
        "initial": 10,
        "ahead": 4,
        "refits": 4,
        "validation_share": 0.0,
        "overlap_share": 0.0,
        "warm": WarmConfig(every_labels=3, every_s=1e9),
        "quality": QualityConfig(repeat_share=0.0),
        "intake": IntakeConfig(requests_per_s=1e6, request_burst=1_000_000),
    }
    return LabelsConfig.model_validate({**values, **changes})


def make_candidate(name: str, version: int = 1) -> Candidate:
    return Candidate(
        candidate_id=name,
        text=f"text of {name}",
        token_ids=(4, 5, 6 + ord(name[-1]) - ord("a")),
        policy_version=version,
        temperature=1.0,
        max_tokens=4,
        seed=None,
        engine="rollout-0",
        logprob_sum=-3.0,
        finish_reason="cut",
    )


def make_query(
    number: int = 0, *, versions: Sequence[int] = (1, 1, 1, 1), **changes: object
) -> ComparisonQuery:
    """Query "q0" with candidates "q0-a", "q0-b" and so on."""
    query = ComparisonQuery(
        query_id=f"q{number}",
        run_id="run-1",
        kind="best_of_k",
        purpose="train",
        prompt_text="the soup was",
        prompt_token_ids=(1, 2, 3),
        candidates=tuple(
            make_candidate(f"q{number}-{letter}", version)
            for letter, version in zip("abcdefgh", versions, strict=False)
        ),
        reward_version=0,
        reward_scores=(),
        selector="uniform",
        selection_probability=1.0,
        labels_before=0,
        created_at=1_000.0,
        expires_at=4_600.0,
    )
    return replace(query, **changes)  # type: ignore[arg-type]


def make_assignment(
    query: ComparisonQuery, labeler_id: str = "ann", *, lease_until: float = 1_600.0
) -> Assignment:
    """Assignment "q0/ann" of query "q0" to "ann"."""
    return Assignment(
        assignment_id=f"{query.query_id}/{labeler_id}",
        query_id=query.query_id,
        labeler_id=labeler_id,
        shown_order=tuple(candidate.candidate_id for candidate in query.candidates),
        order_seed=1,
        created_at=query.created_at,
        lease_until=lease_until,
        page_version="api-1",
        guideline_version="1",
    )


def make_event(
    query: ComparisonQuery,
    labeler_id: str = "ann",
    *,
    seq: int = 0,
    revision: int = 0,
    outcome: Outcome = "choice",
    choice: int | None = 0,
    received_at: float = 1_010.0,
    **changes: object,
) -> AnswerEvent:
    """The choice of a query's candidate by index; `choice` is ignored by other outcomes.

    Submitted as revision 0, and revised by all others.
    """
    assignment_id = f"{query.query_id}/{labeler_id}"
    chosen = query.candidates[choice].candidate_id if choice is not None else None
    kind = Submitted if revision == 0 else Revised
    event = kind(
        seq=seq,
        event_id=f"{assignment_id}:{revision}",
        label_id=assignment_id,
        revision=revision,
        assignment_id=assignment_id,
        query_id=query.query_id,
        labeler_id=labeler_id,
        outcome=outcome,
        choice=chosen if outcome == "choice" else None,
        ranking=None,
        strength=None,
        spans=None,
        comment=None,
        shown_at=None,
        first_action_at=None,
        submitted_at=None,
        received_at=received_at,
        active_ms=None,
        source=Source(system="api"),
    )
    return replace(event, **changes)  # type: ignore[arg-type]


def make_retraction(
    query: ComparisonQuery,
    labeler_id: str = "ann",
    *,
    seq: int = 0,
    revision: int = 1,
    received_at: float = 1_010.0,
) -> Retracted:
    """The end of a label that `make_event` made."""
    assignment_id = f"{query.query_id}/{labeler_id}"
    return Retracted(
        seq=seq,
        event_id=f"{assignment_id}:{revision}",
        label_id=assignment_id,
        revision=revision,
        assignment_id=assignment_id,
        query_id=query.query_id,
        labeler_id=labeler_id,
        received_at=received_at,
        source=Source(system="api"),
    )


def _by_owner(number: int) -> dict[str, Any]:
    """The fields of an owner's event "owner:0" which owe nothing to what it is."""
    source = Source(system="owner")
    return {"seq": 0, "event_id": f"owner:{number}", "received_at": 1_010.0, "source": source}


def make_exclusion(labeler_id: str, *, number: int = 0, from_seq: int | None = None) -> Excluded:
    """An owner's event "owner:0" that leaves a labeler out."""
    return Excluded(**_by_owner(number), labeler_id=labeler_id, from_seq=from_seq)


def make_reinstatement(labeler_id: str, *, number: int = 0) -> Reinstated:
    """An owner's event "owner:0" that takes a labeler in again."""
    return Reinstated(**_by_owner(number), labeler_id=labeler_id)


def make_undoing(labeler_id: str, *, number: int = 0, undoes: str = "owner:0") -> ActUndone:
    """An owner's event "owner:0" that takes another back."""
    return ActUndone(**_by_owner(number), labeler_id=labeler_id, undoes=undoes)


def make_appointment(labeler_id: str, *, number: int = 0) -> Appointed:
    """An owner's event "owner:0" that makes somebody a judge."""
    return Appointed(**_by_owner(number), labeler_id=labeler_id, actor="olga")


def make_gold_event(
    kind: type[GoldMade] | type[GoldRetired], gold_id: str = "q0", *, number: int = 0
) -> GoldMade | GoldRetired:
    """An owner's event "gold:0" about a gold query."""
    return kind(
        seq=0,
        event_id=f"gold:{number}",
        query_id=gold_id,
        received_at=1_020.0,
        source=Source(system="owner"),
        reason="known",
        actor="olga",
    )


def make_role_change(role: Role = "observer", *, number: int = 0) -> RoleChange:
    """Change "role:0" of ann's role by olga."""
    return RoleChange(
        change_id=f"role:{number}",
        labeler_id="ann",
        role=role,
        actor="olga",
        reason="watches",
        at=1_030.0,
    )


def answers(events: Iterable[LabelEvent]) -> list[AnswerEvent]:
    """The events, of which all must be answers."""
    given = list(events)
    found = [event for event in given if isinstance(event, AnswerEvent)]
    assert found == given
    return found


def changes(events: Iterable[LabelEvent]) -> list[LabelChange]:
    """The events, none of which may be an owner's."""
    given = list(events)
    found = [event for event in given if isinstance(event, LabelChange)]
    assert found == given
    return found


def make_draft(
    number: int = 0,
    *,
    num_candidates: int = 4,
    version: int = 0,
    prompt: Prompt | None = None,
    is_complete: bool = True,
) -> QueryDraft:
    prompt = prompt or make_prompt(number)
    rollouts = []
    for i in range(num_candidates):
        request = replace(make_request(100 * number + i, "query"), prompt=prompt)
        rollouts.append(make_rollout(request, version, is_complete=is_complete))
    return QueryDraft(prompt=prompt, rollouts=tuple(rollouts))


def make_drafts(order: QueryOrder, *, version: int = 0) -> list[QueryDraft]:
    """What the policy loop would answer to an order."""
    return [
        make_draft(
            i,
            num_candidates=order.num_candidates,
            version=version,
            prompt=order.prompts[i] if order.prompts else None,
        )
        for i in range(order.num_drafts)
    ]


def make_comparison(seq: int = 1, labeler_id: str = "ann") -> Comparison:
    """A choice of the first of two responses, by the event `seq`."""
    return Comparison(
        seq=seq,
        query_id=f"q{seq}",
        labeler_id=labeler_id,
        purpose="train",
        prompt_token_ids=(1, 2, 3),
        candidate_token_ids=((4, 5, 6), (4, 7, 6)),
        policy_versions=(1, 1),
        outcome="choice",
        choice=0,
        ranking=None,
    )


def make_fit(
    kind: FitKind = "refit", *, ledger_seq: int = 10, num_comparisons: int = 10
) -> FitRequest:
    """An order to learn the newest labels up to `ledger_seq`, all of them ann's."""
    seqs = range(ledger_seq - num_comparisons + 1, ledger_seq + 1)
    return FitRequest(
        kind=kind,
        ledger_seq=ledger_seq,
        comparisons=tuple(make_comparison(seq) for seq in seqs),
        labeler_weights=(("ann", 1.0),),
        exclusions_sha256="",
        labels_used=ledger_seq,
    )


def make_reward(
    version: int = 1,
    *,
    ledger_seq: int,
    kind: str = "refit",
    learned: Iterable[int] | None = None,
) -> RewardVersion:
    """A version whose fit's own list is `learned`; None: the ledger does not say."""
    return RewardVersion(
        version=version,
        kind="refit" if kind == "refit" else "warm",
        path="",
        sha256="",
        ledger_seq=ledger_seq,
        exclusions_sha256="",
        labeler_weights=(),
        labels_used=0,
        fit_seconds=0.1,
        learned=None if learned is None else as_ranges(learned),
    )


def make_cord_event(
    kind: type[CordT], number: int = 0, *, actor: str = "ann", **own: object
) -> CordT:
    """Event "cord:0", at 1,000 s and its number; `own` are the fields of that kind alone."""
    return kind(
        event_id=f"cord:{number}",
        actor=actor,
        reason=f"{actor} saw something",
        at=1_000.0 + number,
        **own,  # type: ignore[arg-type]
    )


def make_cord(*pulls: Pulled) -> CordState:
    """How the cord hangs after these pulls."""
    return reduce(after, pulls, RELEASED)


def make_provenance(
    version: int,
    reward_version: int = 1,
    *,
    restored_from: int | None = None,
    moved_kl: float | None = None,
) -> PolicyProvenance:
    """A policy version of 10 episodes a step."""
    return PolicyProvenance(
        version=version,
        episodes=10 * version,
        reward_version=reward_version if version else 0,
        learned_through=0,
        restored_from=restored_from,
        created_at=1_000.0 + version,
        moved_kl=moved_kl,
    )


def count_purposes(orders: Sequence[QueryOrder]) -> dict[QueryPurpose, int]:
    return {order.purpose: order.num_queries for order in orders}
