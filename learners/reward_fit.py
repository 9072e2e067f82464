"""The reward trainer: one rank of it, plain Python. The single writer of reward versions.

A refit starts from ρ with fresh heads and is the truth; a warm update goes on from the live model.
A refit can be worked off step by step, and the live model updated between its steps.
Shapes: B comparisons, K candidates, M heads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from learners.agreed_versions import AgreedVersions, Learned
from learners.config import DeepSpeedConfig, RewardFitConfig
from learners.engine import Engine
from learners.fit_steps import FitSteps
from learners.fresh_models import FreshModels
from learners.judging import Judgement, foretold, judge
from learners.mark_losses import MarkedTokens
from learners.passes import pass_limits
from learners.reward_reading import RewardReading
from learners.reward_state import digest_of
from protocol.errors import InputError, NotFinite, ResourceError, VersionError
from protocol.fault_points import reach
from protocol.fits import Comparison, FitKind, FitRequest, RewardVersion
from protocol.folders import FoldersHere
from protocol.ports import FolderStore
from reward_service.config import RewardModelConfig
from reward_service.reward_model import RewardModel


@dataclass(slots=True, kw_only=True)
class _Refit:
    """A refit under way, beside the live model."""

    digest: str
    """SHA-256 of its request, in hex."""
    engine: Engine
    gain: Tensor
    """[M], the scale at which it learns."""
    steps: FitSteps
    seconds: float = 0.0
    """Time spent on its steps so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """What a fit may spoil, as it was before."""

    engine: Engine | None
    """Holds the live model; None before the first refit."""
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
        store: How this process reaches all these folders; by default it is on the run's own node.

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
        store: FolderStore | None = None,
    ) -> None:
        store = FoldersHere() if store is None else store
        self._config = fit
        self._deepspeed = deepspeed
        self._clock = clock
        self._engine: Engine | None = None
        self._refit: _Refit | None = None
        own_path = store.fetch(policy_path)
        self._marked = None if model.marks is None else MarkedTokens(own_path, model.marks)
        self._reading = RewardReading(
            model, reference_sequences, is_parted=deepspeed.zero_stage == 3
        )
        self._models = FreshModels(own_path, model, fit.seed, deepspeed, policy_path)
        self._versions = AgreedVersions(
            root, deepspeed, self._models, store, keeps_state=keeps_state
        )
        self._newest = self._versions.newest()
        """The last number that was given to a version; no other gets it."""
        self._training_gain = torch.ones(model.num_heads)
        self._reference_scores: Tensor | None = None
        self._learned: set[str] = set()
        self._version = 0
        """The live model's number; 0: there is none."""
        self._is_refit = False
        """Whether the live model was fitted from ρ and not updated since."""
        self._last: tuple[str, RewardVersion | None] | None = None
        """The digest of the last request that was fitted, and the answer."""
        if resume_from is not None:
            self._go_on_from(self._engine_of(self._models.draw()), resume_from)

    def advance(self, num_steps: int, request: FitRequest | None = None) -> bool:
        """Work on a refit beside the live model, which stays as it is and may be updated meanwhile.

        Args:
            num_steps: Optimizer steps that the refit is to have taken at return.
            request: To begin with it, where another or none is under way; None: goes on with the
                one that is.

        Returns:
            Whether it has no step left, so that `fit` is next.

        Errors are those of `fit`; after any of them no refit is under way.
        """
        if request is not None:
            digest = _checked(request)
            self._leave_withdrawn()
            if self._last is not None and digest == self._last[0]:
                return True
            self._begin(request, digest)
        assert self._refit is not None, "no refit is under way"
        try:
            self._work(self._refit, num_steps)
        except NotFinite:
            self._drop_refit()
            raise
        return self._refit.steps.are_done

    def fit(self, request: FitRequest) -> RewardVersion | None:
        """Fit or update, normalise, write a bundle; return its announcement on rank 0, else None.

        A refit is a pure function of the request and the configs, bit for bit on one rank, however
        much of it `advance` did and whatever was updated meanwhile; so is a warm update of these
        and the model it goes on from. The same request again returns the first answer; but where
        replicas would not take that version, it is withdrawn: the live model is then the one
        before, and the version that is fitted gets a number that none had.

        Raises:
            InputError: No comparisons, a sequence the model cannot take, a mark outside its
                response, or an architecture whose scores cannot be computed.
            VersionError: A warm update before any refit, or of a version that is not the newest.
            NotFinite: NaN or infinity in a loss, gradient or score. Nothing is published, and
                warm updates go on from the version before.
            DiskFull: There is no room for what it writes, on whichever rank. As above; it may be
                asked again.
        """
        digest = _checked(request)
        self._leave_withdrawn()
        if self._last is not None and digest == self._last[0]:
            return self._last[1]
        if request.goes_on_from not in (None, self._version):
            raise VersionError(
                f"an update of reward version {request.goes_on_from} came, and {self._version} is "
                "the newest"
            )
        kept = self._keep(request.kind)
        try:
            version = self._fit(request, digest)
        except (NotFinite, ResourceError):
            self._go_back(kept)
            raise
        if kept.engine is not None and kept.engine is not self._engine:
            kept.engine.close()
        return version

    def judge(self, comparisons: Sequence[Comparison]) -> Judgement:
        """Judge the live model by comparisons, at the scale at which it learns; changes nothing.

        Raises:
            InputError: A sequence the model cannot take.
            VersionError: There is no live model: fit first.
        """
        raw = self._reading.raw(self._live().module, comparisons)
        return judge(raw * self._training_gain.cpu(), comparisons)

    def number_from(self, version: int) -> None:
        """Give the next version no lower number: a replay has those of its run, which left some."""
        self._newest = max(self._newest, version - 1)

    def close(self) -> None:
        """Free the engines. May be called twice."""
        self._drop_refit()
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    def _fit(self, request: FitRequest, digest: str) -> RewardVersion | None:
        started, before_s = self._clock(), 0.0
        metrics = self._judge_unlearned(request.comparisons)
        if request.kind == "refit":
            refit = self._begin(request, digest)
            before_s, steps = refit.seconds, refit.steps
            self._engine, self._training_gain, self._refit = refit.engine, refit.gain, None
        else:
            steps = self._steps(self._live(), self._training_gain, request)
        steps.take()
        metrics |= steps.metrics()
        reach("reward_fit.learned")
        metrics |= self._normalise()
        number = self._newest + 1
        seconds = before_s + self._clock() - started
        metrics |= {
            "reward_model/version": number,
            "reward_model/labels_used": request.labels_used,
            "reward_model/ledger_seq": request.ledger_seq,
            "reward_model/fit_seconds": seconds,
        }
        learned = self._learned | {each.query_id for each in request.comparisons}
        version = self._versions.write(
            self._live(),
            RewardVersion.answering(
                request,
                version=number,
                fit_seconds=seconds,
                learned_scales=(self._training_gain / self._live().module.gain).tolist(),
                metrics=metrics,
            ),
            Learned(
                request=request,
                query_ids=learned,
                gain=self._training_gain,
                reference_scores=self._reference_scores,
                after=self._version,
                is_first_of_refit=request.kind == "warm" and self._is_refit,
            ),
        )
        reach("reward_fit.published")
        self._version = self._newest = number
        self._is_refit = request.kind == "refit"
        self._learned = learned
        self._last = (digest, version)
        return version

    def _begin(self, request: FitRequest, digest: str) -> _Refit:
        """Return the refit that is under way for a request; of another, begin it.

        It takes ρ and fresh heads, normalised: scores of variance 1 are the scale fits start at.
        """
        if self._refit is not None and self._refit.digest == digest:
            return self._refit
        self._drop_refit()
        engine = self._engine_of(self._models.draw(is_checked=self._version == 0))
        self._reading.normalise(engine.module)
        # The likelihood of the labels is learned at this scale; normalising afterwards rescales
        # what is served, but a warm update must go on where the likelihood was.
        gain = engine.module.gain.clone()
        steps = self._steps(engine, gain, request)
        self._refit = _Refit(digest=digest, engine=engine, gain=gain, steps=steps)
        return self._refit

    def _work(self, refit: _Refit, num_steps: int) -> None:
        started = self._clock()
        refit.steps.take(num_steps)
        refit.seconds += self._clock() - started

    def _drop_refit(self) -> None:
        if self._refit is not None:
            self._refit.engine.close()
            self._refit = None

    def _steps(self, engine: Engine, gain: Tensor, request: FitRequest) -> FitSteps:
        limits = pass_limits(self._deepspeed)
        return FitSteps(engine, gain, request, self._config, limits, self._reading, self._marked)

    def _keep(self, kind: FitKind) -> _Kept:
        """Keep what a fit may spoil. A warm update moves the live model; a refit makes another."""
        engine = self._engine
        return _Kept(
            engine=engine,
            state=engine.snapshot() if kind == "warm" and engine is not None else None,
            gain=self._training_gain,
            scores=self._reference_scores,
        )

    def _go_back(self, kept: _Kept) -> None:
        """Take back what a fit that was broken off has done: the live model is what it was."""
        if self._engine is not None and self._engine is not kept.engine:
            self._engine.close()
        self._engine = kept.engine
        self._training_gain, self._reference_scores = kept.gain, kept.scores
        if kept.engine is not None and kept.state is not None:
            kept.engine.discard_gradients()
            kept.engine.restore(kept.state)
            self._reading.normalise(kept.engine.module)

    def _leave_withdrawn(self) -> None:
        """Go back to the version before, where replicas would not take the one that is live.

        A refit that is under way beside it stays: it never went on from that.
        """
        if self._engine is None or not self._versions.is_withdrawn(self._engine, self._version):
            return
        before = self._versions.standing(self._engine)
        if before is not None:
            self._go_on_from(self._engine, before)
            return
        self._engine.close()
        self._engine, self._version, self._last = None, 0, None
        self._reference_scores, self._learned = None, set()

    def _go_on_from(self, engine: Engine, bundle: Path) -> None:
        """Stand, with an engine, where the trainer stood that published a bundle."""
        manifest, share, announcement = self._versions.read(engine, bundle)
        self._engine = engine
        engine.restore(share.engine)
        self._reading.normalise(engine.module)
        self._training_gain = share.gain.to(engine.module.gain)
        self._reference_scores = share.reference_scores
        self._learned = set(manifest.learned)
        self._version = announcement.version
        self._is_refit = announcement.kind == "refit"
        self._last = (manifest.request_sha256, announcement if engine.rank == 0 else None)

    def _engine_of(self, model: RewardModel) -> Engine:
        return Engine(model, self._deepspeed, model.base_parameters())

    def _live(self) -> Engine:
        if self._engine is None:
            raise VersionError("there is no live version to go on from: refit first")
        return self._engine

    def _judge_unlearned(self, comparisons: Sequence[Comparison]) -> dict[str, float]:
        """Ask the live model about queries it has learned nothing of, before it does.

        Absent where there is no live model or no such query.
        """
        unlearned = [each for each in comparisons if each.query_id not in self._learned]
        if self._engine is None or not unlearned:
            return {}
        raw = self._reading.raw(self._engine.module, unlearned)
        return foretold(raw * self._training_gain.cpu(), unlearned)

    def _normalise(self) -> dict[str, float]:
        """Set gain and bias anew; return how the scores of ρ's samples go with the last version."""
        model = self._live().module
        raw = self._reading.normalise(model)
        scores = model.combined(model.normalised(raw)).detach().float().cpu()
        previous, self._reference_scores = self._reference_scores, scores
        if previous is None or not bool(torch.stack([previous, scores]).std(dim=1).all()):
            return {}  # of scores that are all alike a correlation is not defined
        correlation = torch.corrcoef(torch.stack([previous, scores]))[0, 1]
        return {"reward_model/correlation_with_previous": float(correlation)}


def _checked(request: FitRequest) -> str:
    """Return a request's digest; raises InputError where there is nothing to learn."""
    if not request.comparisons:
        raise InputError("a reward fit got no comparisons: wait for labels")
    return digest_of(request)
