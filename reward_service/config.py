"""What can be set about the reward model and the service that scores with it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from protocol.settings import Processes, Seconds, Settings, Share, Tokens

CombineRule = Literal["mean", "min", "mean_minus_variance"]
"""How M normalised heads become one score."""

NormalisationRule = Literal["reference", "zero_at_reference", "zero_at_demonstrations"]
"""What gain and bias are set from."""


ALL_LINEAR = "all-linear"
"""In the place of names: every linear layer but the output head."""


class LoRAConfig(Settings):
    """Low-rank adapters on a model whose own weights stay as they are (LoRA, Hu et al. 2021).

    A linear layer x ↦ W·x becomes x ↦ W·x + (α/r)·B·A·x. A [r, D_in] is drawn, B [D_out, r] begins
    at 0, and these alone are trained. They take rates some ten times as high as all weights do
    (Schulman et al. 2025, "LoRA Without Regret"): `ppo.lr`, `reward_fit.lr`, `reward_fit.warm_lr`
    are yours to set. There is no dropout: PPO's ratios compare two passes of the same weights.
    """

    rank: int = Field(default=16, ge=1, le=65_536)
    """r. [own]"""
    alpha: float = Field(default=32.0, gt=0, le=1e6)
    """α: what the adapters add is scaled by α/r. [Schulman et al. 2025: 32]"""
    target_modules: tuple[Annotated[str, Field(min_length=1)], ...] = (ALL_LINEAR,)
    """Names of the linear layers that get adapters, e.g. ["q_proj", "v_proj"]; ["all-linear"]: all
    but the output head. [Schulman et al. 2025: all; attention alone does worse]"""

    @field_validator("target_modules", mode="before")
    @classmethod
    def _are_a_list(cls, given: object) -> object:
        if isinstance(given, str):
            raise ValueError(f'want a list of names, e.g. ["{given}"]')
        return given

    @model_validator(mode="after")
    def _names_some(self) -> LoRAConfig:
        names = self.target_modules
        if not names or (ALL_LINEAR in names and len(names) > 1):
            raise ValueError(
                'target_modules names layers, e.g. ["q_proj", "v_proj"], or is ["all-linear"] alone'
            )
        if len(set(names)) < len(names):
            raise ValueError("target_modules names a layer twice")
        return self


class MarksConfig(Settings):
    """A second head, on every token, that learns the good and bad marks of labels.

    Its value of a token is tanh of a linear layer of the trunk's hidden state there: it lies in
    (−1, 1) whatever a policy finds, and sees the token and what came before. It is fitted by
    weighted squares to 1 where a labeler marked good and to −1 where bad, and moves the trunk too.

    What is not marked in a response that has marks is a weak 0. Wu et al. (2023), whose labelers
    were to mark every error, take what they left for sound; here people mark what they like to, so
    that it says little. Left out altogether the head would never be asked for 0, and the policy is
    paid at every token. Responses without a mark are left out.
    """

    weight: float = Field(default=1.0, gt=0, le=1e3)
    """What the loss of a comparison's marks is multiplied by, beside its preference's. [own]"""
    unmarked_weight: Share = 0.1
    """Weight of a token that is not marked beside one that is, in a response with marks. [own]"""


class RewardModelConfig(Settings):
    """The reward model: a copy of the reference policy ρ with scalar heads."""

    num_heads: int = Field(default=1, ge=1, le=1_000)
    """M, the ensemble's members; 1 is Ziegler et al. (2019), more is Christiano et al. (2017)."""
    heads: Literal["linear", "epistemic"] = "linear"
    """"linear": M last layers; "epistemic": one, and M frozen random priors with a trained
    difference to each, whose spread says what the labels have not (Osband et al. 2018)."""
    prior_width: int = Field(default=64, ge=1, le=65_536)
    """Units of each of a prior's two hidden layers. [Asghari et al. 2026: 256]"""
    difference_width: int = Field(default=128, ge=1, le=65_536)
    """Units of each of a difference's. [Asghari et al. 2026: 1024]"""
    prior_scale: float = Field(default=1.0, gt=0, le=1e3)
    """Standard deviation of a prior's output over the draw of priors. [own]"""
    pooling: Literal["last", "mean"] = "last"
    """What the heads see of a text: the trunk's hidden state on its last token (Ziegler et al.
    2019), or the mean over all its tokens, from which a small trunk learns with fewer labels. [own,
    measured in docs/results/demo.md]"""
    embeddings: bool = False
    """Whether the heads see the mean of the tokens' embeddings as well. A small trunk that was made
    to foretell the next token holds little of which ones it saw, and learns that from labels first;
    large ones have not been tried. ("Wide and deep": Cheng et al. 2016) [own, measured in
    docs/results/demo.md]"""
    combine: CombineRule = "mean"
    """"mean" (Christiano et al. 2017), or the conservative "min" and "mean_minus_variance"
    (Coste et al. 2023)."""
    variance_coefficient: float = Field(default=0.0, ge=0, le=1e6)
    """λ of mean − λ·variance over heads (Coste et al. 2023); for `mean_minus_variance` alone."""
    normalisation: NormalisationRule = "reference"
    """"reference": mean 0 and variance 1 on samples of ρ (Ziegler et al. 2019);
    "zero_at_reference": the data set's reference responses score 0 on average (Stiennon et al.
    2020); "zero_at_demonstrations": demonstrations do (Ouyang et al. 2022)."""
    normalisation_path: str = ""
    """JSONL of {"prompt", "response"}: the reference responses or demonstrations, for the two
    "zero_at" rules alone."""
    num_normalisation_samples: int = Field(default=256, ge=2, le=1_000_000)
    """Responses gain and bias are set from; 256 in the code of Ziegler et al. (2019)."""
    lora: LoRAConfig | None = None
    """Adapters that are trained on ρ, beside the heads, in the place of all its weights; None: all
    weights are trained."""
    marks: MarksConfig | None = None
    """A head that learns marks, which `ppo.mark_coefficient` pays; None: none does."""
    layers: int | None = Field(default=None, ge=1, le=10_000)
    """How many of ρ's layers it has, from the first on, without the norm after them; None: all, and
    that norm. What a text is about is often plainest half-way up, and half the layers cost half the
    time. [own, measured in docs/real_text.md]"""
    frozen_trunk: bool = False
    """Whether ρ's own weights stay as they are and the heads alone are fitted, at rates a hundred
    times as high. What the trunk says of a compared text is then computed once, and a version holds
    the heads alone. Worth it where ρ is large and labels are few. [own, measured in
    docs/real_text.md]"""

    @model_validator(mode="after")
    def _rule_has_its_texts(self) -> RewardModelConfig:
        if (self.normalisation == "reference") != (self.normalisation_path == ""):
            raise ValueError(
                "normalisation_path, a JSONL of {prompt, response}, goes with normalisation = "
                "'zero_at_reference' or 'zero_at_demonstrations', and with these alone"
            )
        return self

    @model_validator(mode="after")
    def _adapters_are_trained(self) -> RewardModelConfig:
        if self.frozen_trunk and self.lora is not None:
            raise ValueError(
                "frozen_trunk = true leaves nothing for [reward_model.lora] to train: "
                "leave one of the two out"
            )
        return self

    @property
    def has_base(self) -> bool:
        """Whether ρ's own weights stay as they are, beside adapters or under heads alone."""
        return self.lora is not None or self.frozen_trunk

    @model_validator(mode="after")
    def _doubts_are_several(self) -> RewardModelConfig:
        if self.heads == "epistemic" and self.num_heads < 2:
            raise ValueError("heads = 'epistemic' needs num_heads of at least 2, e.g. 20")
        return self

    @property
    def is_linear_in_last_state(self) -> bool:
        """Whether a text's score is linear in ρ's state on its last token, as a value is."""
        is_last_state = self.pooling == "last" and not self.embeddings and self.layers is None
        return self.heads == "linear" and is_last_state

    @model_validator(mode="after")
    def _variance_needs_heads(self) -> RewardModelConfig:
        penalised = self.combine == "mean_minus_variance"
        if penalised and self.num_heads < 2:
            raise ValueError("combine = 'mean_minus_variance' needs num_heads of at least 2")
        if penalised != (self.variance_coefficient > 0):
            raise ValueError(
                "variance_coefficient must be above 0 with combine = 'mean_minus_variance' "
                "and left out otherwise"
            )
        return self


class RewardServiceConfig(Settings):
    """The Ray Serve deployment that scores, and its client. All numbers are our own choice."""

    replicas: Processes = 1
    """Processes, each with a whole reward model."""
    max_batch_tokens: Tokens = 8192
    """Tokens of one forward pass, padding included."""
    max_batch_size: int = Field(default=128, ge=1, le=1_000_000)
    """Sequences of one forward pass."""
    max_ongoing_requests: int = Field(default=256, ge=2, le=10_000_000)
    """Requests a replica holds at once, those being scored included; above it they queue."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Type of the weights that score; while a replica swaps it holds two models. [own]"""
    torch_threads: Processes = 1
    """Threads of one replica's forward pass."""
    timeout_s: Seconds = 30.0
    """Longest time for one attempt at a request."""
    retries: int = Field(default=8, ge=0, le=100)
    """Attempts after the first, each after a longer pause with jitter, before ScoringFailed; the
    default lasts about 8 s on average, which also covers replicas that swap one after another."""
    heartbeat_timeout_s: Seconds = 60.0
    """A replica silent this long is taken for dead; must exceed the time a bundle takes to load."""
    swap_timeout_s: Seconds = 300.0
    """How long every live replica may take, together, to serve a new version."""
    keep_versions: int | None = Field(default=None, ge=2, le=1_000_000_000)
    """Newest bundles kept on disk after a swap, withdrawn ones not counted; None keeps all, which
    rollback may need."""

    @model_validator(mode="after")
    def _batches_can_fill(self) -> RewardServiceConfig:
        if self.max_ongoing_requests < 2 * self.max_batch_size:
            raise ValueError(
                "max_ongoing_requests must be at least twice max_batch_size: one batch is scored "
                "while the next one fills"
            )
        return self
