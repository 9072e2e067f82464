"""How labels are asked for, leased, taken in and learned from. Imports nothing but pydantic."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from label_queue.connector_config import AnyPath, ConnectorConfig, refuse_same_names
from label_queue.ledger_place import LedgerPlace, LedgerUrl
from label_queue.page_languages import PAGE_LANGUAGES
from label_queue.quality_config import DEFAULT_QUALITY, CountOrZero, QualityConfig
from label_queue.sign_in_config import OidcConfig
from label_queue.simulated.config import SimulatedConfig
from protocol.labels import QueryKind
from protocol.settings import Count, Seconds, Settings, Share

Mode = Literal["online", "batched", "offline", "fixed"]
"""Labels all through training, in rounds between stretches of it, all of them before it, or none at
all, against a reward that is given; only the schedule and what it asks for differ."""

Nats = Annotated[float, Field(gt=0, le=1e9)]


class LeaseConfig(Settings):
    """How long a labeler holds a task: clamp(3 × p95 of active time, min_s, max_s)."""

    min_s: Seconds = 120.0
    """How long a task is held at least, however quick people are."""
    max_s: Seconds = 1800.0
    """How long a task is held until it is renewed, at most."""
    first_s: Seconds = 600.0
    """How long a task is held until enough active times were seen."""
    max_age_s: Seconds = 7200.0
    """How long one labeler may hold a task at most, however often they renew the lease."""
    max_open: Count = 32
    """Tasks one labeler may hold at once. While somebody has none, what others hold beyond one
    goes to them."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.min_s <= self.first_s <= self.max_s:
            raise ValueError("lease: want min_s <= first_s <= max_s")
        if self.max_age_s < self.max_s:
            raise ValueError("lease: want max_s <= max_age_s")
        return self


class IntakeConfig(Settings):
    """What the HTTP face lets through."""

    requests_per_s: Annotated[float, Field(gt=0, le=1e6)] = 50.0
    """Requests a second that a labeler may go on with; a token bucket."""
    request_burst: Count = 200
    """Requests that a labeler who has asked for nothing lately may make at once."""
    max_body_bytes: Count = 64 * 1024
    """Largest body of one label; also the longest line of a batch."""
    max_batch_bytes: Count = 4 * 1024 * 1024
    """Largest body of a batch of labels."""
    max_batch_labels: Count = 500
    """Labels of one batch."""
    max_body_s: Seconds = 20.0
    """Time for a body to come in, from its first byte to its last."""
    max_bodies: Count = 64
    """Bodies of one labeler that may be on their way in at once."""
    max_hook_bodies: Count = 16
    """Bodies of one tool's webhooks that may be: only a whole one proves where it comes from, so
    for one more the oldest is refused."""
    max_head_s: Seconds = 20.0
    """Time for a request's head, from connecting, or from its first byte on a connection that was
    used before."""
    max_unknown_connections: Count = 256
    """Connections of nobody who was identified on which nothing is being asked; for one more the
    oldest is closed, of the address that has most of them."""
    max_dead_letters: CountOrZero = 1_000
    """Refused bodies kept in the ledger, for mending the client that sent them."""
    dead_letter_chars: Count = 4_096
    """Characters kept of each refused body."""
    max_wait_s: Seconds = 30.0
    """Longest long poll."""
    max_streams: Count = 8
    """Pages of one owner or observer that the overview is sent to at once."""
    max_polls: Count = 8
    """Calls for a task that one labeler may have waiting at once."""
    token_ttl_s: Seconds | None = None
    """Life of a labeler's token; None: it never runs out."""
    link_ttl_s: Seconds = 86_400.0
    """Life of a one-time link that nobody opened."""
    session_ttl_s: Seconds = 604_800.0
    """Life of a browser's session since it was last used; an open page uses it."""
    session_max_age_s: Seconds = 2_592_000.0
    """Life of a browser's session from the link or sign-in that opened it, however much it is
    used."""
    oidc: OidcConfig | None = None
    """Signing in by an outside identity, beside the links; None: by links alone. It needs
    `cluster.public_url`."""
    language: str = "en"
    """Language of the labelers' pages for those whose browser asks for none that there is, and who
    chose none; docs/languages.md says how to add one."""

    marks: bool = True
    """Whether the labelling page offers to mark words of a response as good or bad, which nobody
    must: `[reward_model.marks]` learns from it. The API takes marks in any case."""

    @field_validator("language")
    @classmethod
    def _has_words(cls, language: str) -> str:
        if language not in PAGE_LANGUAGES:
            raise ValueError(
                f"the labelers' pages are not in {language!r}: choose one of "
                f"{', '.join(PAGE_LANGUAGES)}, or add a file of words (docs/languages.md)"
            )
        return language

    @model_validator(mode="after")
    def _sessions_end(self) -> Self:
        if self.session_max_age_s < self.session_ttl_s:
            raise ValueError(
                f"session_ttl_s ({self.session_ttl_s:g}) is above session_max_age_s "
                f"({self.session_max_age_s:g}), which ends a session first: lower it"
            )
        return self


class WarmConfig(Settings):
    """Updates of the live reward model between refits from scratch."""

    every_labels: CountOrZero = 16
    """New labels that make a warm update due; 0: there are no warm updates."""
    every_s: Seconds = 30.0
    """Time since the last fit after which a warm update is due with fewer labels, if any is new."""
    replay: Annotated[float, Field(ge=0, le=1_000)] = 1.0
    """Old labels learned again for each new one."""


class LabelsConfig(Settings):
    """The label side of a run."""

    total: Count = 1024
    """N, labels wanted over the run (Ziegler et al. §2.3)."""
    initial: Count = 256
    """N₀, labels wanted before RL."""
    ahead: Count = 32
    """Labels asked for beyond l(n); 1000 in Ziegler et al., scaled with N."""
    shape: Literal["quadratic", "hyperbolic"] = "quadratic"
    """Form of l(n): Ziegler et al.'s, or that of Christiano et al.'s rate ∝ c/(n + c)."""
    hyperbolic_episodes: Count = 2_000
    """c of the hyperbolic form of l(n)."""
    refits: Annotated[int, Field(ge=1, le=1_000_000)] = 20
    """Fits from scratch: one before RL, the others evenly spaced in labels. Online only."""
    rounds: Annotated[int, Field(ge=2, le=1_000_000)] = 5
    """R of mode "batched": how often labels are collected, the reward is fitted once and then held
    for N_π/R episodes. The first round collects N₀ labels, each other (N − N₀)/(R − 1); `shape`,
    `refits`, `ahead` and `warm` have no say there."""
    warm: WarmConfig = WarmConfig()

    kind: QueryKind = "best_of_k"
    """What people are asked: "best_of_k", which of K responses is best; "pair", which of two;
    "ranking", the order of all K."""
    num_candidates: Annotated[int, Field(ge=2, le=26)] = 4
    """K, the responses that a query compares."""
    selector: Literal[
        "uniform", "disagreement", "double_thompson", "thompson_variance", "information_directed"
    ] = "uniform"
    """"disagreement" chooses prompts (Christiano et al. 2017), and the three after it K of many
    responses to each prompt; see `label_queue/asking/response_choice.py`."""
    selector_pool: Annotated[int, Field(ge=1, le=100_000)] = 10
    """Drafts drawn for each query by "disagreement"; Christiano et al.'s 10."""
    selector_responses: Annotated[int, Field(ge=2, le=1_000)] = 16
    """R, responses drawn to each prompt by those that choose among them; Asghari et al.'s 16."""
    validation_share: Share = 0.10
    """Share of queries for validation; half of their candidates from ρ, half from π."""
    overlap_share: Share = 0.05
    """Share of queries that are given to several labelers."""
    overlap_labelers: Annotated[int, Field(ge=2, le=1_000_000)] = 5
    """Labelers whom an overlap query is given to; never more than there are."""
    max_order: Count = 32
    """Queries in one order to the policy loop."""
    disk_reserve_bytes: CountOrZero = 64 * 1024 * 1024
    """Free on the ledger's disk, below which no step is taken: what is left is for labels. A server
    tells only that its disk is full."""
    order_timeout_s: Seconds = 120.0
    """An order is placed anew when neither it nor any other has been answered for so long."""
    query_expiry_s: Seconds = 3600.0
    """An unclaimed query's life; it also ends after one refit interval of newer labels."""
    query_expiry_nats: Nats = 1.0
    """How far the policy may move on, in nats a response, until an unclaimed query of an older
    version ends; 1e9 is never."""
    when_starved: Literal["wait", "slow", "continue"] = "wait"
    """What the learner does when labels fall behind l(n): wait; wait for half of those after the
    first N₀ alone, so that it trains on at twice the pace that labels allow; or train on with what
    there is."""

    ledger_url: LedgerUrl = ""
    """Where the ledger lies: postgresql://USER@HOST:PORT/DATABASE, a database of its own, or a
    schema with ?options=-csearch_path%3DNAME; "": ledger.sqlite in the run's folder. It holds no
    password, which PostgreSQL's library reads from PGPASSWORD or ~/.pgpass."""
    guidelines: AnyPath | None = None
    """A Markdown file that labelers are shown; read once, at the start."""
    guideline_version: str = "1"
    """Kept with each task, so that labels given by other guidelines can be told apart."""
    page_version: str = "api-1"
    """Kept with each task likewise: what it was shown by."""
    quality: QualityConfig = DEFAULT_QUALITY
    lease: LeaseConfig = LeaseConfig()
    intake: IntakeConfig = IntakeConfig()
    connectors: tuple[ConnectorConfig, ...] = ()
    """Outside labelling tools; see docs/connectors.md."""
    simulated: SimulatedConfig = SimulatedConfig()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        refuse_same_names(self.connectors)
        if self.initial > self.total:
            raise ValueError(f"initial ({self.initial}) is above total ({self.total})")
        if self.kind == "pair" and self.num_candidates != 2:
            raise ValueError("num_candidates must be 2 for kind = 'pair'")
        if self.selector_responses < self.num_candidates:
            raise ValueError(
                f"selector_responses ({self.selector_responses}) is below num_candidates "
                f"({self.num_candidates}), which are chosen from them"
            )
        if self.validation_share + self.overlap_share >= 1:
            raise ValueError("validation_share + overlap_share must stay below 1")
        return self

    def ledger_place(self, file: Path) -> LedgerPlace:
        """Return where the ledger of a run lies: at `ledger_url`, else in its folder's `file`."""
        return self.ledger_url or file

    def check_pace(self, mode: Mode, *, num_steps: int) -> None:
        """Raise ValueError where the numbers do not go with how a mode asks for labels.

        Args:
            mode: Of the run.
            num_steps: PPO steps of the run.
        """
        if mode == "online":
            self._check_stream()
        elif mode == "batched":
            self._check_rounds(num_steps)

    def _check_stream(self) -> None:
        interval = (self.total - self.initial) / self.refits
        if 0 < interval < self.ahead:
            raise ValueError(
                f"labels: ahead ({self.ahead}) is above the labels between two refits "
                f"({interval:.0f}): queries would expire unanswered; lower ahead or refits"
            )

    def _check_rounds(self, num_steps: int) -> None:
        if self.rounds > num_steps:
            raise ValueError(
                f"labels.rounds {self.rounds} is above the {num_steps} steps of the run "
                "(run.episodes / ppo.batch_size), and each round is followed by one at least: "
                "lower it"
            )
        if self.total - self.initial < self.rounds - 1:
            raise ValueError(
                f"labels.total {self.total} leaves no label for each of {self.rounds} rounds: the "
                f"first takes labels.initial {self.initial}; raise it, or lower one of these"
            )
        if self.when_starved != "wait":
            raise ValueError(
                f"labels.when_starved {self.when_starved!r} is for mode 'online': in rounds "
                "training waits for the labels of its round; set it to 'wait'"
            )
