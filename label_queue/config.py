"""How labels are asked for, leased, taken in and learned from. Imports nothing but pydantic."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from protocol.labels import QueryKind

Mode = Literal["online", "offline"]
"""Labels all through training, or all of them before it; only the schedule differs."""

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, lt=1)]
Seconds = Annotated[float, Field(gt=0)]


class Section(BaseModel):
    """What all sections share: frozen, and no unknown key."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class LeaseConfig(Section):
    """How long a labeler holds a task: clamp(3 × p95 of active time, min_s, max_s)."""

    min_s: Seconds = 120.0
    max_s: Seconds = 1800.0
    first_s: Seconds = 600.0
    """Until enough active times were seen."""
    max_open: Count = 32
    """Tasks one labeler may hold at once."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.min_s <= self.first_s <= self.max_s:
            raise ValueError("lease: want min_s <= first_s <= max_s")
        return self


class IntakeConfig(Section):
    """What the HTTP face lets through."""

    requests_per_s: Annotated[float, Field(gt=0)] = 50.0
    """Sustained, per labeler; a token bucket."""
    request_burst: Count = 200
    max_body_bytes: Count = 64 * 1024
    """Of one label; also of one line of a batch."""
    max_batch_bytes: Count = 4 * 1024 * 1024
    max_batch_labels: Count = 500
    max_dead_letters: Annotated[int, Field(ge=0)] = 1_000
    """Refused bodies kept in the ledger, for mending the client that sent them."""
    dead_letter_chars: Count = 4_096
    """Of each of them."""
    max_wait_s: Seconds = 30.0
    """Longest long poll."""
    token_ttl_s: Seconds | None = None
    """Life of a labeler's token; None: as long as the ledger."""


class WarmConfig(Section):
    """Updates of the live reward model between refits from scratch."""

    every_labels: Annotated[int, Field(ge=0)] = 16
    """New labels that make one due; 0: no warm updates."""
    every_s: Seconds = 30.0
    """Or so long since the last fit, if there is any new label."""
    replay: Annotated[float, Field(ge=0)] = 1.0
    """Old labels learned again for each new one."""


class LabelsConfig(Section):
    """The label side of a run."""

    total: Count = 1024
    """N, labels wanted over the run (Ziegler et al. §2.3)."""
    initial: Count = 256
    """N₀, of those before RL."""
    ahead: Count = 32
    """Labels asked for beyond l(n); 1000 in Ziegler et al., scaled with N."""
    shape: Literal["quadratic", "hyperbolic"] = "quadratic"
    """Of l(n): Ziegler et al.'s, or Christiano et al.'s rate ∝ c/(n + c)."""
    hyperbolic_episodes: Count = 2_000
    """c of the hyperbolic shape."""
    refits: Count = 20
    """Fits from scratch: one before RL, the others evenly spaced in labels."""
    warm: WarmConfig = WarmConfig()

    kind: QueryKind = "best_of_k"
    num_candidates: Annotated[int, Field(ge=2, le=26)] = 4
    """K."""
    selector: Literal["uniform", "disagreement"] = "uniform"
    selector_pool: Annotated[int, Field(ge=1)] = 10
    """Drafts drawn for each query by selectors that choose; Christiano et al.'s 10."""
    validation_share: Share = 0.10
    """Of queries; half of the candidates from ρ, half from π."""
    overlap_share: Share = 0.05
    """Of queries, given to several labelers."""
    overlap_labelers: Annotated[int, Field(ge=2)] = 5
    """How many; never more than there are."""
    max_order: Count = 32
    """Queries in one order to the policy loop."""
    order_timeout_s: Seconds = 120.0
    """An order is placed anew when it, and any other, has gone unanswered for so long."""
    query_expiry_s: Seconds = 3600.0
    """An unclaimed query's life; it also ends after one refit interval of newer labels."""
    when_starved: Literal["wait", "continue"] = "wait"
    """When labels fall behind l(n): hold the learner, or train on with what there is."""

    guideline_version: str = "1"
    page_version: str = "api-1"
    lease: LeaseConfig = LeaseConfig()
    intake: IntakeConfig = IntakeConfig()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.initial > self.total:
            raise ValueError(f"initial ({self.initial}) is above total ({self.total})")
        if self.kind == "pair" and self.num_candidates != 2:
            raise ValueError("num_candidates must be 2 for kind = 'pair'")
        if self.validation_share + self.overlap_share >= 1:
            raise ValueError("validation_share + overlap_share must stay below 1")
        interval = (self.total - self.initial) / self.refits
        if 0 < interval < self.ahead:
            raise ValueError(
                f"ahead ({self.ahead}) is above the labels between two refits ({interval:.0f}): "
                "queries would expire unanswered; lower ahead or refits"
            )
        return self
