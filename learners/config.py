"""What can be set about the learners: engine, PPO, KL control, reward fitting.

Sources in brackets: [Z] Ziegler et al. 2019 and its released code, [S] Stiennon et al. 2020,
[I] Ouyang et al. 2022, [C] Christiano et al. 2017, [A] AReaL 2025, [own] our own choice.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from protocol.niceness import LEARNING
from protocol.settings import (
    Count,
    Fraction,
    LearningRate,
    Processes,
    Seed,
    Settings,
    Share,
    Tokens,
)
from reward_service.config import LoRAConfig

Revision = Annotated[str, Field(min_length=1)]
AdamBeta = Share
"""How much of a moment of Adam stays after a step."""


class PolicyConfig(Settings):
    """The policy to start from, which is also the reference policy ρ."""

    path: str = Field(min_length=1)
    """A Hugging Face folder, or a hub id such as "Qwen/Qwen2.5-0.5B-Instruct"."""
    revision: Revision | None = None
    """A branch, tag or commit of the hub id; None: its main branch, as it is when a run begins. A
    resumed run takes the commit that it began with."""
    lora: LoRAConfig | None = None
    """Adapters that are trained on ρ in the place of all its weights, of a separate critic too;
    None: all weights are trained."""


class DeepSpeedConfig(Settings):
    """How one learner is spread over ranks, and its optimizer."""

    num_ranks: Processes = 1
    """W, processes that each train on a share of every batch."""
    zero_stage: Literal[0, 1, 2, 3] = 0
    """What ZeRO spreads over ranks: 0 nothing, 1 optimizer, 2 also gradients, 3 also weights. In
    bfloat16, 0 is taken for 1."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Type of weights in the forward pass; log-probabilities, sums of gradients and what the
    optimizer moves are always in float32. [own]"""
    matmul_dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Type of the factors in a trunk's products, in passes that are differentiated, with weights in
    float32; all else stays in float32. "auto": bfloat16 on a CPU with instructions for it (AVX-512
    BF16, AMX), else float32; see `reward_service/arithmetic.py`. [own]"""
    torch_threads: Processes = 1
    """Threads of one rank on CPU. Each runs a forward and backward pass of its own, where the model
    is small, draws nothing and lies whole on its rank; else they share each operation. [own]"""
    micro_batch_size: Count = 64
    """Sequences of one forward pass on one rank; gradients accumulate over passes. [own]"""
    micro_batch_tokens: Tokens | None = None
    """Tokens of such a pass, padding included, at least those of the longest sequence: a few long
    ones then set no memory for all the others. None: as many as its sequences have. [own]"""
    gradient_checkpointing: bool = False
    """Keep what enters a layer and not what is computed in it, which the backward pass computes
    again: the memory of one layer for that of all, for a third more work. [own]"""
    optimizer: Literal["torch_adam", "cpu_adam"] = "torch_adam"
    """PyTorch's AdamW, or DeepSpeed's CPUAdam, compiled at its first use. [own]"""
    offload_optimizer: bool = False
    """Keep optimizer states in host memory (ZeRO 1 and up, on a GPU; with cpu_adam). [own]"""
    adam_betas: tuple[AdamBeta, AdamBeta] = (0.9, 0.999)
    """β₁ and β₂ of Adam. [Z]"""
    adam_eps: float = Field(default=1e-5, gt=0, le=1)
    """ε of Adam. [Z: 1e-5, though inside another bias correction than PyTorch's]"""
    weight_decay: float = Field(default=0.0, ge=0, le=1_000)
    """Strength of the weight decay. [Z: none]"""
    max_grad_norm: float = Field(default=1.0, gt=0, le=1e9)
    """Gradients are scaled down to this global norm. [own; Z has no clipping]"""

    @model_validator(mode="after")
    def _offload_has_its_optimizer(self) -> DeepSpeedConfig:
        if self.offload_optimizer and (self.zero_stage == 0 or self.optimizer != "cpu_adam"):
            raise ValueError(
                "offload_optimizer needs zero_stage 1, 2 or 3 and optimizer = 'cpu_adam'"
            )
        return self


class CheckpointConfig(Settings):
    """Policy versions kept to go on from.

    One takes 12 bytes a weight that is trained, and 16 with `learner.ema`.
    """

    every_steps: Count = 10
    """PPO steps between two checkpoints; besides, one comes before the first step on each reward
    version. [own]"""
    keep: int = Field(default=8, ge=2, le=1_000_000_000)
    """How many checkpoints stay on disk: version 0, the newest, and the rest spread over the run,
    those before a new reward version first. [own]"""


class EMAConfig(Settings):
    """An exponential moving average of the policy's weights over its versions."""

    decay: Share = 0.992
    """How much of the average stays after a PPO step. [I: 0.992; of what it is a step, a batch or
    a minibatch, is not said there, and here it is a batch]"""


class LearnerConfig(DeepSpeedConfig):
    """The policy's learner: an engine that keeps checkpoints."""

    checkpoint: CheckpointConfig = CheckpointConfig()
    niceness: int = Field(default=LEARNING, ge=0, le=19)
    """How far its ranks stand back on the cores of a CPU, where they train on one: they take all
    that is left there, and whatever else wants some wants little, and is waited for. Of no
    consequence with a GPU. [own]"""
    ema: EMAConfig | None = None
    """The average that is kept beside the weights, 4 bytes more a weight that is trained, and saved
    with the last policy; None: none is."""


class KLConfig(Settings):
    """The coefficient β of the KL penalty."""

    kind: Literal["adaptive", "fixed"] = "adaptive"
    """"adaptive": each step's KL moves β towards what `target` needs; "fixed": β stays."""
    coefficient: float = Field(default=0.15, ge=0, le=1_000)
    """β, or where the adaptive β starts. [Z: 0.15 in the released style configs, remembered]"""
    target: float = Field(default=6.0, gt=0, le=1e6)
    """KL that the adaptive β aims at, nats a response. [Z: 6–10 on style tasks]"""
    horizon_episodes: Count = 10_000
    """Episodes in which β moves by a factor of about e at a steady relative error of 1. [Z]"""
    max_error: float = Field(default=0.2, gt=0, le=1_000)
    """Bound of the KL's relative error, which moves β. [Z]"""
    proportional: float = Field(default=0.0, ge=0, lt=1)
    """How strongly a batch's own relative error, bound to ±1, scales the adaptive β for that batch,
    beside what the errors of all batches before moved it: what only adds up lags, and in short runs
    the KL swings around its target. [Z: 0, own; the term is Stooke et al.'s (2020)]"""

    @model_validator(mode="after")
    def _can_move(self) -> KLConfig:
        if self.kind == "adaptive" and self.coefficient == 0:
            raise ValueError("coefficient 0 stays 0, however it is adapted: set kind = 'fixed'")
        return self

    def check_batch(self, batch_size: int) -> None:
        """Raise ValueError if one step of so many episodes could take β to 0 or below.

        A step moves β by the factor 1 ± max_error·batch_size/horizon_episodes.
        """
        largest_fall = self.max_error * batch_size / self.horizon_episodes
        if self.kind == "adaptive" and largest_fall >= 1:
            raise ValueError(
                f"kl.horizon_episodes {self.horizon_episodes} is too short for ppo.batch_size "
                f"{batch_size}: one step could make the KL coefficient 0 or negative; "
                f"make it more than {self.max_error * batch_size:g}"
            )


class PtxConfig(Settings):
    """PPO-ptx: the loss on pretraining text that is added to PPO's [I]."""

    coefficient: float = Field(default=0.0, ge=0, le=1e6)
    """γ_ptx, by which the mean next-token loss of a minibatch's blocks is multiplied. [I: 27.8]
    0: PPO alone."""
    examples_per_episode: int = Field(default=8, ge=1, le=10_000)
    """Blocks that each episode of a minibatch brings, others each time. [I: 8, in one pass over a
    batch]"""


class PPOConfig(Settings):
    """One PPO step on one experience batch."""

    batch_size: Count = 512
    """B, episodes a step. [Z: 1024 in the paper, 512 in the released code, remembered]"""
    epochs: int = Field(default=4, ge=1, le=10_000)
    """Passes over a batch. [Z]"""
    minibatches: Count = 4
    """Optimizer steps for each pass over a batch. [Z: the released code has one; own]"""
    lr: LearningRate = 1.41e-5
    """Learning rate where the run starts. [Z]"""
    lr_schedule: Literal["linear", "constant"] = "linear"
    """How the rate goes on: "linear" to 0 over the run's episodes, or "constant". [Z: linear]"""
    warmup_episodes: int = Field(default=0, ge=0, le=1_000_000_000)
    """Over how many of the run's first episodes the rate rises to what the schedule says, from a
    tenth of it: Adam's first steps move every weight by nearly the whole rate, whatever its
    gradient. 0: it does not rise. [I: the first ten steps; Z: 0]"""
    gamma: float = Field(default=1.0, gt=0, le=1)
    """γ, by which rewards a token later are discounted. [Z]"""
    gae_lambda: Fraction = 0.95
    """λ of generalised advantage estimation. [Z]"""
    clip_range: float = Field(default=0.2, gt=0, lt=1)
    """ε of the ratio. [Z]"""
    value_clip_range: float = Field(default=0.2, gt=0, le=1e6)
    """How far a value may move from that of the step's start before its loss goes flat. [Z]"""
    value_coefficient: float = Field(default=0.1, ge=0, le=1_000)
    """Weight of the value loss beside the policy's. [Z]"""
    critic: Literal["shared", "separate"] = "shared"
    """"shared": a zero-initialised head on the policy's trunk [Z]; "separate": a network of its
    own [S, I]."""
    critic_path: str | None = None
    """Reward bundle that a separate critic starts from [S, I]; None: the reference policy."""
    whiten_rewards: bool = True
    """Scale per-token rewards to variance 1 without shifting their mean. [Z] Returns grow by it,
    fivefold for a score at the end of twenty tokens, and with them the value loss: a small trunk
    that critic and policy share may be wrecked, and repeat one word; false spares it."""
    whiten_advantages: bool = True
    """Shift and scale advantages to mean 0 and variance 1. [Z]"""
    affirmative_nudge: float = Field(default=0.0, ge=0, le=10)
    """ε, added to every advantage after whitening: what was drawn becomes a little likelier, so
    that what the reward knows nothing about is not pushed down (Asghari et al. 2026). 0: none."""
    mark_coefficient: float = Field(default=0.0, ge=0, le=1_000)
    """What each token of a response is paid for its mark value, in (−1, 1), beside the score at the
    end, whose variance is 1 on ρ: needs `[reward_model.marks]`. Where responses end by themselves a
    longer one is paid at more tokens. 0: nothing. [own]"""
    objective: Literal["decoupled", "naive"] = "decoupled"
    """"decoupled": clip around the policy of the step's start and weight by its ratio to the
    behaviour policy [A]; "naive": clip around the behaviour policy [Z]."""
    importance_weight_cap: float = Field(default=2.0, ge=1, le=1e6)
    """Bound of the importance weight, π_prox over the behaviour policy, which also corrects the
    sampler's own arithmetic. [own]"""
    ptx: PtxConfig = PtxConfig()
    """Loss on the texts of `[pretraining]`, beside PPO's own."""

    def lr_after(self, episodes: int, of_episodes: int) -> float:
        """Return the learning rate once so many of a run's episodes are trained on."""
        is_constant = self.lr_schedule == "constant"
        scheduled = self.lr if is_constant else self.lr * max(0.0, 1.0 - episodes / of_episodes)
        if episodes >= self.warmup_episodes:
            return scheduled
        return scheduled * (0.1 + 0.9 * episodes / self.warmup_episodes)

    @model_validator(mode="after")
    def _critic_path_has_a_use(self) -> PPOConfig:
        if self.batch_size % self.minibatches:
            raise ValueError(
                f"batch_size {self.batch_size} is not a multiple of minibatches {self.minibatches}"
            )
        if self.critic_path is not None and self.critic == "shared":
            raise ValueError("critic_path needs critic = 'separate'")
        return self


class RewardFitConfig(Settings):
    """Fitting the reward model to comparisons."""

    lr: LearningRate = 5e-5
    """Learning rate of a refit, linear to 0. [Z: 5e-5 in the code, 1.77e-5 in the paper]"""
    batch_size: Count = 32
    """Comparisons for each optimizer step of a refit. [Z: 32 in the code, 8 in the paper]"""
    epochs: int = Field(default=1, ge=1, le=10_000)
    """Passes of a refit over the comparisons. [Z]"""
    warm_lr: LearningRate = 1e-5
    """Learning rate of a warm update, constant. [own]"""
    warm_batch_size: Count = 32
    """Comparisons for each optimizer step of a warm update. [own]"""
    noise_aware: bool = True
    """Whether each labeler is trusted by their reliability. [C: one error rate of 10 % for all]"""
    bootstrap: bool = True
    """Whether each head of an ensemble learns its own resampling of the comparisons. [C]"""
    seed: Seed = 1
    """Seed of heads, order and resampling: a fit is a pure function of request and config."""
