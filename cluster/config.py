"""The whole config of a run: each package owns its part, this module composes them.

Validators reject and never rewrite, so the file, which `config_file.py` reads, says what ran.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from actors.config import ResponseConfig, RolloutConfig
from actors.prompts.config import PromptsConfig
from cluster.cluster_config import ClusterConfig
from cluster.colocation import check_turns
from cluster.guards.config import GuardsConfig
from cluster.longest import check_pass_tokens, longest_sequence
from cluster.metrics.config import MetricsConfig
from cluster.recordings.config import RecordingConfig
from label_queue.config import LabelsConfig, Mode
from label_queue.ids import LabelerId
from label_queue.schedule import LabelSchedule
from label_queue.simulated.config import GoldName, LabelerProfile
from learners.config import (
    DeepSpeedConfig,
    KLConfig,
    LearnerConfig,
    PolicyConfig,
    PPOConfig,
    RewardFitConfig,
)
from learners.text_config import BaseModelConfig, PretrainingConfig
from protocol.errors import ConfigError
from protocol.names import check_run_name
from protocol.settings import Count, Seed, Settings
from reward_service.config import LoRAConfig, RewardModelConfig, RewardServiceConfig


class RunSection(Settings):
    """What kind of run this is."""

    name: Annotated[str, AfterValidator(check_run_name)] = "run"
    """Names the run's folder and its page in wandb."""
    seed: Seed = 1
    """Seed of sampling, minibatches and asking. Prompts, reward fits and simulated labelers have
    seeds of their own."""
    mode: Mode = "online"
    """online: labels all through training. batched: `labels.rounds` times a batch of labels of the
    policy of the moment, one fit, and training with the reward frozen. offline: all labels first,
    collected from ρ. fixed: none; the reward is `run.reward`."""
    reward: str | None = None
    """Folder of the reward version that mode "fixed" trains against, e.g. one of `andon fit-reward`
    or runs/demo-1/reward/v000009. `andon train` sets both."""
    episodes: Count = 2_048_000
    """N_π, responses trained on in all. [Z: 2 M for style tasks; here a multiple of the batch]"""
    max_policy_lag: int = Field(default=2, ge=0, le=10_000)
    """η: no response older than so many versions is trained on. [A holds to 8]"""


class SimulatedLabeler(LabelerProfile):
    """One simulated labeler of the run."""

    name: LabelerId
    """Who they are in the ledger, as a person's name."""


class RunConfig(Settings):
    """Everything a run is made of."""

    run: RunSection = RunSection()
    prompts: PromptsConfig
    policy: PolicyConfig | None = None
    """The policy ρ that training starts from; None: one is made as `base_model` says."""
    response: ResponseConfig = ResponseConfig()
    rollouts: RolloutConfig = RolloutConfig()
    ppo: PPOConfig = PPOConfig()
    kl: KLConfig = KLConfig()
    learner: LearnerConfig = LearnerConfig()
    reward_model: RewardModelConfig = RewardModelConfig()
    reward_fit: RewardFitConfig = RewardFitConfig()
    reward_trainer: DeepSpeedConfig = DeepSpeedConfig()
    reward_service: RewardServiceConfig = RewardServiceConfig()
    labels: LabelsConfig = LabelsConfig()
    labelers: tuple[SimulatedLabeler, ...] = ()
    """Simulated labelers, each a process of its own; none when people label."""
    people: tuple[LabelerId, ...] = ()
    """People who label over HTTP; each gets a token in the run's folder."""
    judges: tuple[LabelerId, ...] = ()
    """Names of labelers and people who judge: they are asked validation queries alone, beside who
    labels to train, and none of their labels is ever learned; see docs/judges.md."""
    base_model: BaseModelConfig | None = None
    """How to make a small ρ on generated texts, as the demo does; None: `policy` names one."""
    pretraining: PretrainingConfig | None = None
    """Text to train on beside PPO and to measure on; None: neither is done."""
    cluster: ClusterConfig = ClusterConfig()
    metrics: MetricsConfig = MetricsConfig()
    recording: RecordingConfig = RecordingConfig()
    guards: GuardsConfig = GuardsConfig()
    """What stops the line by itself."""

    def refuse_unread_keys(self) -> None:
        """Raise ConfigError where a key is given that the source of its section does not read.

        Asked as a run begins, and not of each config that is read: see the sections.
        """
        try:
            self.prompts.refuse_unread_keys()
            if self.pretraining is not None:
                self.pretraining.refuse_unread_keys()
        except ValueError as error:
            raise ConfigError(str(error)) from error

    def policy_at(self, folder: Path) -> PolicyConfig:
        """Return the policy's config with the folder in which ρ was found or made."""
        return PolicyConfig(path=str(folder), lora=self.policy_lora)

    @property
    def policy_lora(self) -> LoRAConfig | None:
        """The policy's adapters; None where all its weights are trained."""
        return None if self.policy is None else self.policy.lora

    @property
    def label_schedule(self) -> LabelSchedule:
        """How many labels are wanted by which episode of the whole run."""
        return LabelSchedule.of(self.labels, num_episodes=self.run.episodes, mode=self.run.mode)

    @property
    def gold(self) -> GoldName | None:
        """The hidden score that simulated labelers judge by and reports draw; None: none."""
        if self.labels.simulated.gold is not None:
            return self.labels.simulated.gold
        if self.prompts.source == "articles":
            return "summaries"
        if self.prompts.source == "dialogues":
            return "dialogues"
        if self.prompts.source == "books" and self.prompts.is_generated:
            return "books"
        return "reviews" if self.prompts.is_generated or self.labelers else None

    @property
    def compares_scores(self) -> bool:
        """Whether all reward versions mean the same by a score, and it is all that PPO is paid."""
        model = self.reward_model
        is_alike = (model.normalisation, model.combine) == ("reference", "mean")
        return self.ppo.mark_coefficient == 0 and (is_alike or self.run.mode == "fixed")

    @property
    def seeds_requests(self) -> bool:
        """Whether each rollout request brings a seed, so that its response can be drawn again."""
        return self.rollouts.seed_requests or "rollouts" in self.recording.record

    @model_validator(mode="after")
    def _starts_from_one_policy(self) -> Self:
        if (self.policy is None) == (self.base_model is None):
            raise ValueError(
                "set one of policy.path (train yours) and base_model (make a small one)"
            )
        return self

    @model_validator(mode="after")
    def _base_model_can_be_made_and_used(self) -> Self:
        """Refuse a base model that is of no use, before minutes are spent on making it."""
        recipe = self.base_model
        if recipe is None:
            return self
        ranks, batch = recipe.engine.num_ranks, recipe.training.batch_size
        if batch % ranks:
            raise ValueError(
                f"base_model.training.batch_size {batch} is not a multiple of "
                f"base_model.engine.num_ranks {ranks}"
            )
        context = self.rollouts.max_model_len or recipe.context_tokens
        if context > recipe.context_tokens or self.response.max_tokens >= context:
            raise ValueError(
                f"base_model.context_tokens {recipe.context_tokens} must hold a prompt and "
                f"response.max_tokens {self.response.max_tokens}, and be no less than "
                f"rollouts.max_model_len"
            )
        return self

    @model_validator(mode="after")
    def _kl_coefficient_stays_positive(self) -> Self:
        self.kl.check_batch(self.ppo.batch_size)
        return self

    @model_validator(mode="after")
    def _batches_divide(self) -> Self:
        if self.run.episodes % self.ppo.batch_size:
            raise ValueError(
                f"run.episodes {self.run.episodes} is not a multiple of ppo.batch_size "
                f"{self.ppo.batch_size}"
            )
        if self.rollouts.requests_per_call > self.ppo.batch_size:
            raise ValueError("rollouts.requests_per_call is larger than ppo.batch_size")
        unit = self.ppo.minibatches * self.learner.num_ranks
        if self.ppo.batch_size % unit:
            raise ValueError(
                f"ppo.batch_size {self.ppo.batch_size} is not a multiple of {unit}, which is "
                "ppo.minibatches × learner.num_ranks"
            )
        return self

    @model_validator(mode="after")
    def _pretraining_has_its_text(self) -> Self:
        if self.pretraining is None:
            if self.ppo.ptx.coefficient > 0:
                raise ValueError(
                    "ppo.ptx.coefficient is above 0 and there is no text to train on: name one in "
                    "[pretraining], or set it to 0"
                )
            return self
        context = None if self.base_model is None else self.base_model.context_tokens
        if context is not None and self.pretraining.block_tokens > context:
            raise ValueError(
                f"pretraining.block_tokens {self.pretraining.block_tokens} is over "
                f"base_model.context_tokens {context}: lower it"
            )
        return self

    @model_validator(mode="after")
    def _passes_hold_the_longest(self) -> Self:
        recipe, text = self.base_model, self.pretraining
        longest = longest_sequence(self.prompts, self.response, self.rollouts, recipe)
        if longest is not None:
            count, what = self.labels.num_candidates, "the longest prompt and response"
            check_pass_tokens("learner", self.learner, longest, what)
            what = f"{count} candidates with the longest prompt and response"
            check_pass_tokens("reward_trainer", self.reward_trainer, count * longest, what)
        if text is not None:
            check_pass_tokens("learner", self.learner, text.block_tokens, "a [pretraining] block")
        return self

    @model_validator(mode="after")
    def _labels_keep_pace(self) -> Self:
        num_steps = self.run.episodes // self.ppo.batch_size
        self.labels.check_pace(self.run.mode, num_steps=num_steps)
        return self

    @model_validator(mode="after")
    def _reward_is_given_where_nobody_labels(self) -> Self:
        is_fixed = self.run.mode == "fixed"
        if is_fixed != (self.run.reward is not None):
            raise ValueError(
                "run.reward names the reward of mode 'fixed': set both, or neither; "
                "`andon train CONFIG.toml --reward BUNDLE` does"
            )
        labeling = {
            "people": self.people,
            "labelers": self.labelers,
            "labels.connectors": self.labels.connectors,
        }
        for name, those in labeling.items():
            if is_fixed and those:
                raise ValueError(f"mode 'fixed' has no use for {name}: nobody labels; remove them")
        return self

    @model_validator(mode="after")
    def _somebody_labels(self) -> Self:
        names = [*(labeler.name for labeler in self.labelers), *self.people]
        if not names and self.run.mode != "fixed":
            raise ValueError(
                'nobody labels: name people, e.g. people = ["ann"], or add simulated [[labelers]]'
            )
        if len(set(names)) != len(names):
            raise ValueError("two of labelers and people have the same name")
        self._check_judges(names)
        return self

    def _check_judges(self, names: Sequence[str]) -> None:
        unknown = sorted({*self.judges} - {*names})
        if unknown:
            raise ValueError(
                f"judges: {unknown[0]!r} is among neither labelers nor people: add them there, or "
                "leave them out"
            )
        if names and {*names} <= {*self.judges}:
            raise ValueError(
                "judges: all labelers and people judge, so that nobody labels to train: leave one "
                "out, or add another"
            )
        if self.judges and self.run.mode == "offline":
            raise ValueError(
                "judges: mode 'offline' asks all before the policy is trained, and so nothing of "
                "judges: leave them out"
            )
        if self.judges and not self.labels.validation_share:
            raise ValueError(
                "labels.validation_share is 0, so that judges are asked nothing: raise it, or "
                "leave out judges"
            )

    @model_validator(mode="after")
    def _sign_in_has_an_address(self) -> Self:
        if self.labels.intake.oidc is not None and self.cluster.public_url is None:
            raise ValueError(
                "labels.intake.oidc needs an address to which the provider sends people back: set "
                'cluster.public_url, e.g. "https://label.example.org" (docs/sign_in.md)'
            )
        return self

    @model_validator(mode="after")
    def _choices_have_their_means(self) -> Self:
        selector = self.labels.selector
        if selector != "uniform" and self.reward_model.num_heads < 2:
            raise ValueError(f"labels.selector {selector!r} needs reward_model.num_heads above 1")
        return self

    @model_validator(mode="after")
    def _marks_are_learned_that_are_paid(self) -> Self:
        is_given = self.run.mode == "fixed"  # then the bundle says what was learned
        if self.ppo.mark_coefficient > 0 and self.reward_model.marks is None and not is_given:
            raise ValueError(
                "ppo.mark_coefficient is above 0 and no reward learns marks: add "
                "[reward_model.marks], or set it to 0"
            )
        return self

    @model_validator(mode="after")
    def _engines_have_their_devices(self) -> Self:
        split, gpus = self.rollouts.tensor_parallel_size, self.cluster.gpus_per_actor
        if gpus and split > max(1.0, gpus):
            raise ValueError(
                f"rollouts.tensor_parallel_size {split} splits an engine over as many GPUs, and "
                f"cluster.gpus_per_actor is {gpus:g}: give each actor {split}"
            )
        return self

    @model_validator(mode="after")
    def _turns_can_be_taken(self) -> Self:
        if self.cluster.colocation == "turns":
            check_turns(
                self.rollouts,
                self.learner,
                gpus_per_actor=self.cluster.gpus_per_actor,
                gpus_per_learner_rank=self.cluster.gpus_per_learner_rank,
                max_policy_lag=self.run.max_policy_lag,
            )
        return self

    @model_validator(mode="after")
    def _ranks_have_gpus_of_their_own(self) -> Self:
        """NCCL joins no two ranks of one GPU, and Ray puts shares of one there where they fit."""
        gpus = self.cluster.gpus_per_learner_rank
        of_trainer = self.reward_trainer.num_ranks if self.run.reward is None else 1
        for section, ranks in (("learner", self.learner.num_ranks), ("reward_trainer", of_trainer)):
            if ranks > 1 and 0 < gpus <= 0.5:
                raise ValueError(
                    f"{section}.num_ranks is {ranks} and cluster.gpus_per_learner_rank {gpus:g}: "
                    "two ranks would be on one GPU, which NCCL refuses; give each rank a whole "
                    f"one, or set {section}.num_ranks to 1"
                )
        return self

    @model_validator(mode="after")
    def _transport_has_its_devices(self) -> Self:
        transport = self.rollouts.weight_transport
        if not self.rollouts.goes_by_device:
            return self
        actor, rank = self.cluster.gpus_per_actor, self.cluster.gpus_per_learner_rank
        both = "cluster.gpus_per_actor and cluster.gpus_per_learner_rank"
        if not actor or not rank:
            raise ValueError(
                f"rollouts.weight_transport {transport!r} goes from GPU to GPU: set {both}, or "
                "choose 'auto'"
            )
        trainer_ranks = self.reward_trainer.num_ranks if self.run.reward is None else 0
        shared = (
            self.rollouts.num_actors * actor
            + (self.learner.num_ranks + trainer_ranks) * rank
            + self.reward_service.replicas * self.cluster.gpus_per_reward_replica
        )
        if transport == "nccl" and min(actor, rank) < 1:
            raise ValueError(
                "rollouts.weight_transport 'nccl' joins no two processes of one GPU: make "
                f"{both} whole, or choose 'ipc'"
            )
        if transport == "ipc" and shared > 1:
            raise ValueError(
                "rollouts.weight_transport 'ipc' shares the memory of one GPU, and the actors, the "
                f"ranks of learner and reward trainer, and the reward replicas ask for {shared:g}: "
                f"lower {both}, or choose 'nccl'"
            )
        return self
