"""The policy loop's messages: Prompt → Rollout → ScoredRollout → ExperienceBatch → PolicyVersion.

Each is frozen; a stage wraps what it got and never edits it. Shapes: P prompt tokens, T response
tokens, M reward heads. Log-probabilities are natural, under the sampling temperature.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from protocol.text_tree import TextNode

Purpose = Literal["train", "query", "reference"]
"""What a rollout was asked for: an episode of PPO, a candidate to label, a sample of ρ."""
FinishReason = Literal["cut", "end", "length"]
"""Why a response ends: its cut token came, its end token came, or neither did or was asked for."""


Role = Literal["system", "user", "assistant", "tool"]
"""Who speaks in a chat."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatMessage:
    """One turn of a chat, as it was given."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """What a response is asked for: a text, or the chat so far."""

    prompt_id: str
    """Unique in its source, e.g. "reviews-000017"."""
    text: str
    """A plain prompt as it was given, e.g. "the soup here was"; empty for a chat."""
    messages: tuple[ChatMessage, ...] = ()
    """The chat so far, oldest turn first; empty for a plain prompt."""
    token_ids: tuple[int, ...]
    """[P], chat template and special tokens applied, e.g. (5, 81, 14, 9)."""
    language: str = ""
    """Its language where its source says it, e.g. "pt-BR" (BCP 47); "": the run's own."""
    node: TextNode | None = None
    """Where in a long text's tree it stands; None: it is of no such text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How tokens were drawn. The same temperature divides the logits everywhere else."""

    temperature: float
    """What the logits are divided by, e.g. 0.7; 1.0 leaves them alone."""
    max_tokens: int
    """T, tokens drawn at most, e.g. 24."""
    seed: int | None = None
    """Seed of the request's draws, e.g. 1234; None lets the engine choose."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutRequest:
    """One response to draw. An actor may be sent the same request twice; the id tells."""

    rollout_id: str
    """Unique in the run, e.g. "t-000412"; the idempotency key of the request."""
    prompt: Prompt
    purpose: Purpose
    sampling: Sampling


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """A response, with everything needed to train on it and to know where it came from."""

    rollout_id: str
    prompt: Prompt
    purpose: Purpose
    sampling: Sampling
    token_ids: tuple[int, ...]
    """[T], as sampled, the tokens after the cut included (PPO trains on all of them)."""
    behavior_logprobs: tuple[float, ...]
    """[T], nats, recorded by the engine while sampling, never recomputed."""
    policy_versions: tuple[int, ...]
    """[T], the policy version each token was sampled under; they never fall along a response."""
    num_kept: int
    """Tokens up to and with the cut (or end) token: what is scored and shown, e.g. 19."""
    is_complete: bool
    """Whether the cut (or end) token came; if not, the response gets the fixed score."""
    finish_reason: FinishReason
    """Why the kept tokens end where they do: at the cut token, the end token, or the length."""
    text: str
    """The kept tokens, decoded."""
    actor_id: str
    """Actor that drew the response, e.g. "rollout-0"."""
    started_at: float
    """When the draw began, Unix seconds on the actor's clock."""
    finished_at: float
    """When the draw ended, Unix seconds on the actor's clock."""

    @property
    def kept_token_ids(self) -> tuple[int, ...]:
        """[T] up to and with the cut (or end) token."""
        return self.token_ids[: self.num_kept]

    @property
    def oldest_version(self) -> int:
        """The policy version of the oldest token: what staleness is measured from."""
        return min(self.policy_versions)

    @property
    def newest_version(self) -> int:
        """The policy version of the newest token."""
        return max(self.policy_versions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What the reward service says of one response."""

    value: float
    """Normalised score: about mean 0 and variance 1 on responses of ρ."""
    heads: tuple[float, ...]
    """[M], each head normalised alone; one entry when there is no ensemble."""
    reward_version: int
    """Version of the reward, e.g. 7. Values of different versions are not comparable."""
    mark_values: tuple[float, ...] = ()
    """[L] in (−1, 1), of each token of the scored sequence: how far a labeler would mark it good
    (positive) or bad; empty where the reward has no mark head. They are no part of `value`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredRollout:
    """A rollout and its score."""

    rollout: Rollout
    score: Score

    @property
    def mark_values(self) -> tuple[float, ...]:
        """[num_kept] of the response's kept tokens, by the reward version of the score; or ()."""
        return self.score.mark_values[len(self.rollout.prompt.token_ids) :]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperienceBatch:
    """What one PPO step trains on. One reward version only: a batch is one normalisation group."""

    step: int
    """The policy step this batch is for, counted from 0; the step's idempotency key."""
    rollouts: tuple[ScoredRollout, ...]
    """[B], the responses with their scores."""
    episodes_before: int
    """Episodes trained before this batch: the run's clock."""
    reward_version: int
    """Reward version of every score in the batch."""
    learned_through: int
    """Ledger sequence number that the training set of `reward_version` was taken at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsFile:
    """Weights in a safetensors file that every actor can read, e.g. in shared memory."""

    path: str
    """Absolute path of the file."""
    sha256: str
    """Digest of the file's bytes."""
    num_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredWeights:
    """Weights in an object store, as a safetensors file cut into pieces."""

    stored: tuple[object, ...]
    """References that the store gave out, each to be awaited: to the file's header alone, then to
    the bytes of its tensors in turn, cut wherever a piece is full."""
    sha256: str
    """Digest of all their bytes, one piece after the other."""
    num_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceTransfer:
    """What one actor's engine is told of weights that come from device to device, in vLLM's words.

    Such weights have no digest: the probe after the load is what proves them.
    """

    init_info: Mapping[str, object]
    """How to join, needed once, e.g. {"rank_offset": 1, …}."""
    update_info: Mapping[str, object]
    """Names, types and shapes of the tensors, e.g. {"names": ["lm_head.weight"], …}."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedWeights:
    """Weights in memory of the GPU that learner and actors share, opened to each actor."""

    transfers: Mapping[str, DeviceTransfer]
    """What each actor's engine is told, by actor id, e.g. "rollout-0"."""
    num_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BroadcastWeights:
    """Weights that the learner sends while all actors receive; nobody can pull them alone."""

    transfers: Mapping[str, DeviceTransfer]
    """What each actor's engine is told, by actor id, e.g. "rollout-0"."""
    num_bytes: int


WeightsRef = WeightsFile | StoredWeights | OpenedWeights | BroadcastWeights
"""How a version's weights come to the actors: one type a transport."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A fixed sequence and what the learner's own weights say of it: proof of a load."""

    token_ids: tuple[int, ...]
    """[P], e.g. some prompts of the run, one after the other."""
    logprobs: tuple[float, ...]
    """[P − 1], of tokens 1 … P−1 given those before, temperature 1, nats."""
    rounded: tuple[float, ...] = ()
    """[P − 1], the same by a pass that is rounded to the actors' type, or the learner's own if that
    has fewer digits, as far as a learner can by itself; empty where both are float32."""
    arrives_whole: bool = True
    """Whether the weights reach an engine as they are, but for its type. Adapters do not: much of
    what they add is lost where the sum with what they are added to is rounded."""

    @property
    def rounding(self) -> tuple[float, ...]:
        """[P − 1], by how much rounding moves each log-probability, nats; or empty."""
        if not self.rounded:
            return ()
        return tuple(abs(a - b) for a, b in zip(self.rounded, self.logprobs, strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyVersion:
    """An announcement: these weights exist. Written by the learner alone."""

    version: int
    """Number of the version: 0 is ρ itself, then one more with each step."""
    episodes: int
    """Episodes trained to reach it."""
    weights: WeightsRef
    probe: Probe
    reward_version: int
    """Reward version that its last step trained on; 0 for ρ."""
    learned_through: int
    """Ledger sequence number that the training set of `reward_version` was taken at; 0 for ρ."""
    restored_from: int | None = None
    """The version a rollback restored to make this one; None: it came from `version - 1`."""
    moved_kl: float = 0.0
    """How far the policy came since ρ, nats a response, e.g. 3.2: `policy/step_kl` of all steps
    added up, and a rollback's way back with them, so that it never falls along a line of versions
    and the difference of two estimates the KL between them. KL does not add up: it goes by the
    square of the distance, so that the sum is right of steps of which none goes the way of another,
    too little of those that go one way, and too much of those that undo each other. 0 in recordings
    that do not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """What a PPO step did."""

    policy: PolicyVersion
    metrics: dict[str, float]
    """Metrics by their names in docs/METRICS.md, e.g. {"policy/loss": 0.41, "kl/reference_mean":
    6.2}."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActorStats:
    """What a rollout actor did since it started: sums, so that differences give rates."""

    actor_id: str
    policy_version: int
    """Newest policy version that was loaded and proved."""
    num_rollouts: int
    num_tokens: int
    """Response tokens of all finished rollouts."""
    num_in_flight: int
    """Requests being drawn now."""
    uptime_s: float
    busy_s: float
    """Seconds with at least one request in flight; the rest of `uptime_s` is idle."""
    num_loads: int
    """Number of weight loads."""
    load_s: float
    """Seconds spent in weight loads and their probes; generation goes on for most of it."""
