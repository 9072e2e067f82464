"""The reward trainer: one rank of it, plain Python. The single writer of reward versions.

A refit starts from ρ with fresh heads and is the truth; a warm update goes on from the live model.
Shapes: B comparisons, K candidates, M heads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from learners.checkpoint import Layout
from learners.comparisons import (
    bootstrap_counts,
    calibration_error,
    candidate_sequences,
    collate_comparisons,
    comparison_losses,
    hits,
)
from learners.config import DeepSpeedConfig, RewardFitConfig
from learners.engine import Engine
from learners.judging import Judgement, confidence, judge
from learners.reward_state import RewardStates, Share, digest_of
from protocol.errors import InputError, NotFinite, ResourceError, VersionError
from protocol.fault_points import reach
from protocol.labels import Comparison, FitKind, FitRequest, RewardVersion
from reward_service.batching import check_sequences, raw_scores
from reward_service.buckets import BatchLimits
from reward_service.bundle import read_manifest, write_bundle
from reward_service.config import RewardModelConfig
from reward_service.forward import check_forward
from reward_service.normalisation import normalise
from reward_service.reward_model import RewardModel

_LIMITS = BatchLimits(max_tokens=16_384, max_sequences=256)
"""Limits of a forward pass without gradients."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """What a fit may spoil, as it was before."""

    state: dict[str, Tensor] | None
    """This rank's share of the live model, of a warm update."""
    gain: Tensor
    scores: Tensor | None


class RewardTrainer:
    """Fits the reward model to comparisons and publishes bundles.

    Args:
        policy_path: ρ, a Hugging Face folder.
        model: Heads and normalisation.
        fit: Rates, batches, seed.
        deepspeed: The engine.
        root: The run's `reward` folder, where bundles go.
        reference_sequences: [N][T_n] prompt + kept response of samples of ρ, which normalise.
        clock: Seconds, for `fit_seconds`.
        keeps_state: Write beside each version what another trainer can go on from.
        resume_from: The bundle in `root` to go on from, of a trainer that kept its state: the next
            version is the one after, a warm update begins where that trainer stood, bit for bit,
            and the fit that made the bundle is known again.

    Raises:
        MissingError: There is no bundle at `resume_from`, or no state beside it.
        BundleCorrupt: They are not what was written, or of a trainer spread otherwise.

    `engine.join_ranks` comes first. Every rank calls every method, in the same order.
    """

    def __init__(
        self,
        *,
        policy_path: Path,
        model: RewardModelConfig,
        fit: RewardFitConfig,
        deepspeed: DeepSpeedConfig,
        root: Path,
        reference_sequences: Sequence[Sequence[int]],
        clock: Callable[[], float],
        keeps_state: bool = False,
        resume_from: Path | None = None,
    ) -> None:
        self._policy_path = policy_path
        self._model_config = model
        self._config = fit
        self._deepspeed = deepspeed
        self._root = root
        self._reference_sequences = reference_sequences
        self._clock = clock
        self._engine: Engine | None = None
        self._training_gain = torch.ones(model.num_heads)
        self._reference_scores: Tensor | None = None
        self._learned: set[str] = set()
        self._version = 0
        self._last: tuple[str, RewardVersion | None] | None = None
        """The digest of the last request that was fitted, and the answer."""
        self._keeps_state = keeps_state
        if resume_from is not None:
            self._resume(resume_from)

    def fit(self, request: FitRequest) -> RewardVersion | None:
        """Fit or update, normalise, write a bundle; return its announcement on rank 0, else None.

        A refit is a pure function of the request and the configs, bit for bit on one rank; so is a
        warm update of these and the model it goes on from. The same request again returns the
        first answer.

        Raises:
            InputError: No comparisons, a sequence the model cannot take, or an architecture whose
                scores cannot be computed.
            VersionError: A warm update before any refit.
            NotFinite: NaN or infinity in a loss, gradient or score. Nothing is published, and
                warm updates go on from the version before.
            DiskFull: There is no room for what it writes. As above; it may be asked again.
        """
        if self._last is not None and digest_of(request) == self._last[0]:
            return self._last[1]
        if not request.comparisons:
            raise InputError("a reward fit got no comparisons: wait for labels")
        kept = self._keep(request.kind)
        try:
            return self._fit(request)
        except (NotFinite, ResourceError):
            self._go_back(kept)
            raise

    def judge(self, comparisons: Sequence[Comparison]) -> Judgement:
        """Judge the live model by comparisons, at the scale at which it learns; changes nothing.

        Raises:
            InputError: A sequence the model cannot take.
            VersionError: There is no live model: fit first.
        """
        module = self._live().module
        check_sequences(module, candidate_sequences(comparisons))
        raw = raw_scores(module, candidate_sequences(comparisons), _LIMITS).float().cpu()
        return judge(raw * self._training_gain.cpu(), comparisons)

    def close(self) -> None:
        """Free the engine. May be called twice."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    def _fit(self, request: FitRequest) -> RewardVersion | None:
        started = self._clock()
        metrics = self._judge_unlearned(request.comparisons)
        if request.kind == "refit":
            self._start_afresh()
        metrics |= self._learn(request)
        reach("reward_fit.learned")
        metrics |= self._normalise()
        number = self._version + 1
        seconds = self._clock() - started
        metrics |= {
            "reward_model/version": number,
            "reward_model/labels_used": request.labels_used,
            "reward_model/ledger_seq": request.ledger_seq,
            "reward_model/fit_seconds": seconds,
        }
        learned = self._learned | {each.query_id for each in request.comparisons}
        if self._keeps_state:
            self._write_state(number, request, learned)
        version = self._publish(
            RewardVersion.answering(request, version=number, fit_seconds=seconds, metrics=metrics)
        )
        reach("reward_fit.published")
        self._version = number
        self._learned = learned
        self._last = (digest_of(request), version)
        return version

    def _keep(self, kind: FitKind) -> _Kept:
        """Keep what a fit may spoil. A warm update moves the live model; a refit makes another."""
        state = self._engine.snapshot() if kind == "warm" and self._engine is not None else None
        return _Kept(state=state, gain=self._training_gain, scores=self._reference_scores)

    def _go_back(self, kept: _Kept) -> None:
        """Take back what a fit that was broken off has done.

        After a refit there is no model to go on from: it is due until it is done.
        """
        self._training_gain, self._reference_scores = kept.gain, kept.scores
        if kept.state is None:
            self.close()
        elif self._engine is not None:
            self._engine.discard_gradients()
            self._engine.restore(kept.state)
            normalise(self._engine.module, self._reference_sequences, _LIMITS)

    def _write_state(self, version: int, request: FitRequest, learned: set[str]) -> None:
        """Keep what another trainer goes on from; before the bundle, which promises that it can."""
        engine = self._live()
        share = Share(
            engine=engine.snapshot(),
            gain=self._training_gain,
            reference_scores=self._reference_scores,
        )
        states = self._states(engine)
        own = bytes.fromhex(states.write_share(version, share))
        # The folder may appear once every rank has written: this is where they meet.
        rows = engine.gathered(torch.tensor([list(own)], device=engine.device))
        if engine.rank == 0:
            digests = tuple(bytes(row).hex() for row in rows.tolist())
            states.complete(version, request, learned, digests)

    def _resume(self, bundle: Path) -> None:
        """Take the place of the trainer that published a bundle as its last."""
        announcement = replace(read_manifest(bundle).announcement, path=str(bundle))
        generator = torch.Generator().manual_seed(self._config.seed)
        model = RewardModel.from_reference(self._policy_path, self._model_config, generator)
        engine = self._engine = Engine(model, self._deepspeed)
        manifest, share = self._states(engine).read(announcement.version)
        engine.restore(share.engine)
        normalise(engine.module, self._reference_sequences, _LIMITS)
        self._training_gain = share.gain.to(engine.module.gain)
        self._reference_scores = share.reference_scores
        self._learned = set(manifest.learned)
        self._version = announcement.version
        self._last = (manifest.request_sha256, announcement if engine.rank == 0 else None)

    def _states(self, engine: Engine) -> RewardStates:
        config = self._deepspeed
        layout = Layout(
            num_ranks=config.num_ranks, zero_stage=config.zero_stage, dtype=config.dtype
        )
        return RewardStates(self._root, layout, engine.rank)

    def _start_afresh(self) -> None:
        """Take ρ and fresh heads, normalised: scores of variance 1 are the scale fits start at."""
        self.close()
        generator = torch.Generator().manual_seed(self._config.seed)
        model = RewardModel.from_reference(self._policy_path, self._model_config, generator)
        if self._version == 0:  # what an architecture allows does not change from refit to refit
            check_forward(model.backbone, self._policy_path)
        self._engine = Engine(model, self._deepspeed)
        normalise(self._engine.module, self._reference_sequences, _LIMITS)
        # The likelihood of the labels is learned at this scale; normalising afterwards rescales
        # what is served, but a warm update must go on where the likelihood was.
        self._training_gain = self._engine.module.gain.clone()

    def _live(self) -> Engine:
        if self._engine is None:
            raise VersionError("there is no live version to go on from: refit first")
        return self._engine

    def _learn(self, request: FitRequest) -> dict[str, float]:
        """Take the optimizer steps; return the mean loss and accuracy *before* each was learned."""
        engine, config = self._live(), self._config
        is_refit = request.kind == "refit"
        size = config.batch_size if is_refit else config.warm_batch_size
        epochs = config.epochs if is_refit else 1
        check_sequences(engine.module, candidate_sequences(request.comparisons))
        reliability = dict(request.labeler_weights) if config.noise_aware else {}
        counts = self._counts(request.comparisons)
        order = torch.Generator().manual_seed(config.seed)
        num_steps = epochs * -(-len(request.comparisons) // size)
        totals, taken = torch.zeros(3), 0
        for _ in range(epochs):
            permutation = torch.randperm(len(request.comparisons), generator=order)
            for indices in torch.split(permutation, size):
                totals += self._accumulate(request.comparisons, indices, counts, reliability)
                engine.step(config.lr * (1 - taken / num_steps) if is_refit else config.warm_lr)
                taken += 1
        loss, hit, decided = engine.summed(totals.to(engine.device)).tolist()
        metrics = {"reward_model/loss": loss / (epochs * len(request.comparisons))}
        if decided > 0:
            metrics["reward_model/train_accuracy"] = hit / decided
        return metrics

    def _accumulate(
        self,
        comparisons: Sequence[Comparison],
        indices: Tensor,
        counts: Tensor,
        reliability: dict[str, float],
    ) -> Tensor:
        """Add up the gradients of this rank's share of a batch.

        Returns:
            [3] on CPU: this rank's summed losses, hits, and comparisons that could be hit.
        """
        engine = self._live()
        # Ranks must run equally many passes: a batch that cannot be cut evenly is filled up with
        # comparisons of weight 0.
        filling = -len(indices) % engine.world_size
        present = torch.cat([torch.ones(len(indices)), torch.zeros(filling)])
        indices = torch.cat([indices, indices[:1].expand(filling)])
        widest = max(len(each.candidate_token_ids) for each in comparisons)
        per_pass = max(1, self._deepspeed.micro_batch_size // widest)
        totals = torch.zeros(3)
        micros = torch.split(engine.share(torch.arange(len(indices))), per_pass)
        for number, rows in enumerate(micros, start=1):
            chosen = [comparisons[index] for index in indices[rows].tolist()]
            batch = collate_comparisons(chosen, reliability).to(engine.device)
            raw = engine(batch.input_ids, batch.attention_mask)
            scores = batch.spread((raw * self._training_gain.to(raw)).float())
            weights = present[rows].to(scores.device)
            losses = comparison_losses(scores, batch) * weights[:, None]
            learned = (losses * counts[indices[rows]].to(losses)).mean(dim=1).sum()
            engine.backward(learned / present.sum().to(losses), is_last=number == len(micros))
            hit, decided = hits(scores.detach().mean(dim=2), batch)
            totals += torch.stack(
                [
                    losses.detach().mean(dim=1).sum(),
                    (hit * weights).sum(),
                    (decided * weights).sum(),
                ]
            ).cpu()
        return totals

    def _counts(self, comparisons: Sequence[Comparison]) -> Tensor:
        """Return how often each head learns each comparison, [B, M]."""
        num_heads = self._model_config.num_heads
        if num_heads == 1 or not self._config.bootstrap:
            return torch.ones(len(comparisons), num_heads)
        return bootstrap_counts(comparisons, num_heads, self._config.seed)

    def _judge_unlearned(self, comparisons: Sequence[Comparison]) -> dict[str, float]:
        """Ask the live model about queries it has learned nothing of, before it does.

        Absent where there is no live model or no such query. Accuracy over validation queries, over
        those all of whose responses come from π and none from ρ, and the calibration over all.
        """
        unlearned = [each for each in comparisons if each.query_id not in self._learned]
        if self._engine is None or not unlearned:
            return {}
        model = self._engine.module
        batch = collate_comparisons(unlearned, {})
        # All of this is counting, so it is done on the CPU, where the labels are.
        raw = raw_scores(model, candidate_sequences(unlearned), _LIMITS).cpu()
        scores = batch.spread(raw * self._training_gain.cpu())
        hit, decided = hits(scores.mean(dim=2), batch)
        metrics: dict[str, float] = {}
        groups = {
            "validation_accuracy": [each.purpose == "validation" for each in unlearned],
            "validation_accuracy_current_policy": [
                min(each.policy_versions) > 0 for each in unlearned
            ],
        }
        for name, members in groups.items():
            asked = decided & torch.tensor(members)
            if bool(asked.any()):
                metrics[f"reward_model/{name}"] = float(hit[asked].float().mean())
        if bool(decided.any()):
            sure = confidence(scores, batch)
            metrics["reward_model/ece"] = calibration_error(sure[decided], hit[decided])
        return metrics

    def _normalise(self) -> dict[str, float]:
        """Set gain and bias anew; return how the scores of ρ's samples go with the last version."""
        model = self._live().module
        normalise(model, self._reference_sequences, _LIMITS)
        raw = raw_scores(model, self._reference_sequences, _LIMITS)
        scores = model.combined(model.normalised(raw)).detach().float().cpu()
        previous, self._reference_scores = self._reference_scores, scores
        if previous is None or not bool(torch.stack([previous, scores]).std(dim=1).all()):
            return {}  # of scores that are all alike a correlation is not defined
        correlation = torch.corrcoef(torch.stack([previous, scores]))[0, 1]
        return {"reward_model/correlation_with_previous": float(correlation)}

    def _publish(self, announcement: RewardVersion) -> RewardVersion | None:
        """Write the bundle on rank 0."""
        engine = self._live()
        tensors = engine.full_tensors()
        if tensors is None:
            return None
        whole = RewardModel.from_config(engine.module.backbone.config, self._model_config)
        whole.load_state_dict(tensors)
        return write_bundle(self._root, whole, announcement)
