"""The PPO learner: one rank of it, plain Python.

A step reads top-down in `PPOLearner.step`: evaluate the batch under the policy as it stands and
under ρ, make advantages, take epochs × minibatches optimizer steps, move β, publish the version.

All ranks get the whole batch, so they need to tell each other only what took forward passes:
W ranks do what one would, within float tolerance. Shapes: B sequences, T response tokens.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from learners.advantages import masked_mean
from learners.agreed_checkpoints import AgreedCheckpoints
from learners.agreement import on_all
from learners.checkpoint import Position
from learners.collate import Responses, collate
from learners.config import KLConfig, LearnerConfig, PolicyConfig, PPOConfig
from learners.engine import Engine
from learners.evaluation import evaluate
from learners.kl_control import KLController
from learners.losses import policy_loss, value_loss
from learners.minibatches import check_size, minibatches
from learners.own_probe import OwnProbe
from learners.parting import Parting
from learners.passes import cut_into_passes, pass_limits
from learners.policy_model import PolicyModel
from learners.policy_weights import PolicyWeights
from learners.ppo_metrics import (
    check_finite,
    kl_metrics,
    measured_kl,
    reward_metrics,
    staleness_metrics,
)
from learners.pretraining import Pass, Pretraining, PretrainingBlocks
from learners.reference import BaseUnderAdapters, FrozenCopy, Reference
from learners.step_sums import StepSums
from learners.targets import Evaluation, Targets, make_targets
from protocol.errors import AndonError, VersionError
from protocol.messages import ExperienceBatch, PolicyVersion, StepReport
from protocol.ports import FolderStore, WeightPublisher
from protocol.seeds import derived_seed
from reward_service.adapters import base_parameters


class PPOLearner:
    """Trains π against ρ by PPO and is the single writer of policy versions.

    Args:
        policy: ρ, and where π starts.
        ppo: The algorithm.
        kl: The penalty's coefficient.
        learner: The engine, and which versions are kept to go on from.
        checkpoint_root: The run's `policy` folder, the same for all ranks.
        total_episodes: N_π of the run, over which the learning rate falls.
        probe_token_ids: A fixed text of the run; every version announces what it says of it.
        publisher: Where weights go; on rank 0 alone.
        seed: Of the minibatches' order, and of the draw of adapters.
        adapters_travel: Whether the actors add what adapters add to ρ by themselves; else they are
            sent merged weights.
        actors_dtype: Type of the actors' weights, by which a version says what rounding costs it.
        pretraining: Text to train on beside PPO, as `ppo.ptx` has it, and to measure on.
        store: How this process reaches the run's folders; by default it is on the run's own node.

    `engine.join_ranks` comes first. Every rank calls every method, in the same order.
    """

    def __init__(
        self,
        *,
        policy: PolicyConfig,
        ppo: PPOConfig,
        kl: KLConfig,
        learner: LearnerConfig,
        checkpoint_root: Path,
        total_episodes: int,
        probe_token_ids: Sequence[int],
        publisher: WeightPublisher | None,
        seed: int,
        adapters_travel: bool = True,
        actors_dtype: str = "float32",
        pretraining: PretrainingBlocks | None = None,
        store: FolderStore | None = None,
    ) -> None:
        kl.check_batch(ppo.batch_size)
        self._ppo = ppo
        self._pass_limits = pass_limits(learner)
        self._total_episodes = total_episodes
        self._publisher = publisher
        self._seed = seed
        self._kl = KLController(kl)
        folder = Path(policy.path)
        model = PolicyModel.from_pretrained(folder, ppo, policy.lora, seed, Parting(learner))
        self._saved_config = copy.deepcopy(model.language_model.config)
        self._engine = Engine(
            model,
            learner,
            base_parameters(model),
            average_decay=None if learner.ema is None else learner.ema.decay,
        )
        # For what draws by itself, e.g. a model's dropout.
        torch.manual_seed(derived_seed(seed, "learner", self._engine.rank))
        self._reference: Reference = (
            BaseUnderAdapters(self._engine)
            if policy.lora is not None
            else FrozenCopy(folder, self._engine, learner)
        )
        self._weights = PolicyWeights(self._engine, folder, adapters_travel=adapters_travel)
        self._pretraining = Pretraining(pretraining, ppo.ptx, self._engine, self._pass_limits, seed)
        self._probe = OwnProbe(
            probe_token_ids, self._engine, dtype=learner.dtype, actors_dtype=actors_dtype
        )
        self._store = store
        self._checkpoints = AgreedCheckpoints(checkpoint_root, learner, self._engine, store)
        self._version = 0
        self._num_steps = 0
        """PPO steps from ρ to these weights; fewer than the version once there was a rollback."""
        self._episodes = 0
        self._moved_kl = 0.0
        """The way from ρ; see `PolicyVersion.moved_kl`."""
        self._reward_version = self._learned_through = 0
        self._restored_from: int | None = None
        self._is_resting = False
        self._last: tuple[int, StepReport | None] | None = None
        self._last_restore: tuple[tuple[int, int], PolicyVersion | None] | None = None
        """The last rollback: the version restored and the one left; the answer to it."""

    def announce(self) -> PolicyVersion | None:
        """Publish the present weights; return their announcement on rank 0, None elsewhere."""
        probe = self._probe.ask(self._version)
        publisher, tensors = self._publisher, self._weights.to_publish()
        publish = None if publisher is None else partial(publisher.publish, self._version)
        weights = on_all(self._engine, lambda: tensors.taken(publish))
        if weights is None:
            return None
        return PolicyVersion(
            version=self._version,
            episodes=self._episodes,
            weights=weights,
            probe=probe,
            reward_version=self._reward_version,
            learned_through=self._learned_through,
            restored_from=self._restored_from,
            moved_kl=self._moved_kl,
        )

    def step(self, batch: ExperienceBatch) -> StepReport | None:
        """Run one PPO step and publish a version; return the report on rank 0, None elsewhere.

        The same `batch.step` again returns the first answer and trains nothing.

        Raises:
            VersionError: The step is older than the last, or skips one.
            ConfigError: The batch cannot be cut evenly into minibatches and ranks.
            NotFinite: NaN or infinity in a score, log-probability, loss, gradient or metric. No
                version is published, and the weights may have moved halfway: `restore` comes next.
            ResourceError: A disk refuses, on whichever rank: before the step, when nothing was
                changed, or the version that it made; see `NotFinite`.
        """
        if self._last is not None and batch.step == self._last[0]:
            return self._last[1]
        if batch.step != self._version:
            raise VersionError(f"policy step {batch.step} came after step {self._version - 1}")
        check_size(len(batch.rollouts), self._ppo, self._engine.world_size)
        self._checkpoints.keep_if_due(self._position(), batch.reward_version)
        pays_marks = self._ppo.mark_coefficient > 0
        responses = collate(batch.rollouts, needs_marks=pays_marks).to(self._engine.device)
        evaluation = evaluate(
            responses, self._engine, self._reference, self._pass_limits, self._version
        )
        kl = measured_kl(responses, evaluation, self._ppo.importance_weight_cap)
        beta = self._kl.for_batch(float(kl.mean()))
        targets = make_targets(responses, evaluation, self._ppo, beta)
        metrics = kl_metrics(kl, beta, self._kl.target)
        metrics |= self._metrics(batch, responses, evaluation)
        metrics |= self._optimize(batch, responses, targets)
        metrics |= self._pretraining.metrics()
        check_finite(metrics)
        self._engine.update_average()
        self._kl.update(metrics["kl/reference_mean"], len(batch.rollouts))
        before = self._moved_kl
        self._version += 1
        self._num_steps += 1
        self._moved_kl += metrics["policy/step_kl"]
        self._restored_from = None
        self._episodes = batch.episodes_before + len(batch.rollouts)
        self._reward_version = batch.reward_version
        self._learned_through = batch.learned_through
        metrics |= {"policy/version": self._version, "policy/episodes": self._episodes}
        try:
            policy = self.announce()
        except (AndonError, OSError):
            self._version, self._moved_kl = self._version - 1, before  # it was never made
            raise
        report = StepReport(policy=policy, metrics=metrics) if policy is not None else None
        self._last = (batch.step, report)
        return report

    def checkpoints(self) -> tuple[int, ...]:
        """Return the policy versions that can be restored, oldest first."""
        return self._checkpoints.versions()

    def keep(self) -> int:
        """Write a checkpoint of the present version, unless there is one; return the version.

        Every rank must come. May be called twice. Raises ResourceError where the disk refuses.
        """
        self._checkpoints.keep(self._position())
        return self._version

    def resume(self, version: int, publish_as: int | None = None) -> PolicyVersion | None:
        """Go on where another learner kept `version`, its clock and all; publish the weights.

        To be called once, before any step. Returns the announcement on rank 0, None elsewhere.

        Args:
            version: The version that was kept.
            publish_as: The number its weights get: `version` unless given; a higher one than any
                that a lost learner used since.

        Raises:
            VersionError: `publish_as` is below `version`; nothing was changed.
            MissingError: There is no checkpoint of this version; nothing was changed.
            BundleCorrupt: It is not what was written; nothing was changed.
        """
        publish_as = version if publish_as is None else publish_as
        if publish_as < version:
            raise VersionError(f"policy version {version} cannot become {publish_as}")
        self._episodes = self._go_back(version, publish_as).episodes
        self._checkpoints.resumed(version)
        return self.announce()

    def restore(self, version: int, step: int | None = None) -> PolicyVersion | None:
        """Go back to how a version was, bit for bit, and publish it as the next version.

        Weights, critic, optimizer, KL coefficient and random states go back, and with them the
        order of minibatches; the version and the episodes, which the learning rate follows, do not.
        Returns the announcement on rank 0, None elsewhere. The same `step` again, the version left
        behind, with the same `version` returns the first answer and restores nothing.

        Raises:
            VersionError: `step` is not the newest version; nothing was changed.
            MissingError: There is no checkpoint of this version; nothing was changed.
            BundleCorrupt: It is not what was written; nothing was changed.
        """
        if step is not None and self._last_restore is not None:
            key, answer = self._last_restore
            if key == (version, step):
                return answer
        if step not in (None, self._version):
            raise VersionError(f"version {step} was to be left, and {self._version} is the newest")
        left, newest = self._moved_kl, self._version
        self._go_back(version, newest + 1)
        self._moved_kl = left + abs(left - self._moved_kl)  # the way back is a way too
        try:
            policy = self.announce()
        except (AndonError, OSError):
            self._version, self._moved_kl = newest, left  # nobody has heard of it: it may be asked
            raise
        self._last_restore = ((version, newest), policy)
        return policy

    def save(self, folder: Path) -> None:
        """Write the policy as a Hugging Face folder, on rank 0. May be called again.

        What adapters add is added to its weights: whoever reads it needs no peft. The average of
        its versions, where one is kept, goes beside it, e.g. "final_ema" beside "final".
        """
        self._weights.save(folder, self._saved_config, self._store)

    def rest(self) -> None:
        """Put all that is on the device on the host, until `wake`. May be called twice."""
        if not self._is_resting:
            self._reference.move_to(torch.device("cpu"))
            self._engine.rest()
            self._is_resting = True

    def wake(self) -> None:
        """Put it back. May be called twice."""
        if self._is_resting:
            self._engine.wake()
            self._reference.move_to(self._engine.device)
            self._is_resting = False

    def close(self) -> None:
        """Free the models and what is published. May be called twice."""
        self._reference.close()
        self._engine.close()
        if self._publisher is not None:
            self._publisher.close()

    def _position(self) -> Position:
        return Position(
            version=self._version,
            num_steps=self._num_steps,
            episodes=self._episodes,
            kl_coefficient=self._kl.coefficient,
            reward_version=self._reward_version,
            learned_through=self._learned_through,
            restored_from=self._restored_from,
            moved_kl=self._moved_kl,
        )

    def _go_back(self, version: int, publish_as: int) -> Position:
        """Take back all that was kept of a version, under a number, but for the run's clock."""
        checkpoint = self._checkpoints.read(version)
        self._engine.discard_gradients()  # of a step that was broken off
        self._engine.restore(checkpoint.state)
        position = checkpoint.position
        self._kl.restore(position.kl_coefficient)
        self._num_steps = position.num_steps
        self._moved_kl = position.moved_kl
        self._reward_version = position.reward_version
        self._learned_through = position.learned_through
        self._version = publish_as
        self._restored_from = position.restored_from if publish_as == version else version
        self._last = None
        return position

    def _optimize(
        self, batch: ExperienceBatch, responses: Responses, targets: Targets
    ) -> dict[str, float]:
        """Take epochs × minibatches optimizer steps; return what they tell."""
        lr = self._ppo.lr_after(batch.episodes_before, self._total_episodes)
        taken = self._num_steps * self._ppo.epochs * self._ppo.minibatches
        sums = StepSums(self._engine, self._ppo, has_text=self._pretraining.is_trained_on)
        for rows in minibatches(len(responses.scores), self._ppo, self._seed, self._num_steps):
            minibatch = rows.to(self._engine.device)
            told = self._accumulate(minibatch, responses, targets, taken)
            mean_length = responses.mask[minibatch].sum() / len(minibatch)
            sums.add(told, self._engine.step(lr), mean_length)
            taken += 1
        return {**sums.metrics(), "policy/lr": lr}

    def _accumulate(
        self, minibatch: Tensor, responses: Responses, targets: Targets, taken: int
    ) -> Tensor:
        """Add up the gradients of this rank's share of a minibatch; return its sums, [NUM_SUMS].

        Args:
            minibatch: Rows of the batch.
            responses: The batch.
            targets: Of the batch.
            taken: Optimizer steps from ρ to this one.
        """
        num_tokens = responses.mask[minibatch].sum()
        lengths = responses.lengths[minibatch]
        _, passes = cut_into_passes(self._engine, lengths, self._pass_limits)

        def loss_of(own: Tensor) -> tuple[Tensor, Tensor]:
            rows = responses.rows(own)
            return self._losses(rows, targets.rows(own, rows.num_tokens), num_tokens)

        every: list[Pass] = [
            *self._pretraining.passes(taken, len(minibatch)),
            *(partial(loss_of, minibatch[own]) for own in passes),
        ]
        return torch.stack(self._engine.accumulate(every)).sum(dim=0)

    def _losses(self, rows: Responses, aims: Targets, num_tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss of one pass, a share of its minibatch's, and its sums, [NUM_SUMS]."""
        ppo = self._ppo
        logprobs, values, _ = self._engine(*rows.model_inputs())
        policy_losses, clipped = policy_loss(
            logprobs, aims.center_logprobs, aims.advantages, aims.weights, ppo.clip_range
        )
        value_losses = value_loss(values, aims.old_values, aims.returns, ppo.value_clip_range)
        losses = (policy_losses + ppo.value_coefficient * value_losses) * rows.mask
        # ½·(Δ log π)² estimates KL(π_prox‖π_θ) [Z], whatever the ratio is clipped around
        kl = 0.5 * (logprobs - aims.proximal_logprobs) ** 2
        none = torch.zeros_like(kl)  # of pretraining text
        parts = torch.stack([policy_losses, value_losses, kl, clipped.float(), none]).detach()
        return losses.sum() / num_tokens, (parts * rows.mask).sum(dim=(1, 2)) / num_tokens

    def _metrics(
        self, batch: ExperienceBatch, responses: Responses, evaluation: Evaluation
    ) -> dict[str, float]:
        """Return what else is known before the weights move."""
        return {
            **reward_metrics(batch, self._ppo.mark_coefficient),
            **staleness_metrics(batch, responses, evaluation, self._ppo.importance_weight_cap),
            **self._probe.rounding_metrics(responses.temperatures, self._version),
            "policy/entropy": float(masked_mean(evaluation.entropy, responses.mask)),
        }
