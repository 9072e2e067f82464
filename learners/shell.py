"""The learners as Ray actors, one a rank. All Ray of this package is here; the work is not.

Every rank gets every call, with the whole message, and takes its share: collectives meet only if
all come. Rank 0 answers for all. Every method blocks until its work is done.

Torch and what needs it are imported in the ranks' own processes: who starts them does without.
"""

from __future__ import annotations

import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import ray

from learners.config import (
    DeepSpeedConfig,
    KLConfig,
    LearnerConfig,
    PolicyConfig,
    PPOConfig,
    RewardFitConfig,
)
from learners.text_config import BaseModelConfig
from protocol.fits import FitRequest, RewardVersion
from protocol.folders import FoldersHere
from protocol.messages import ExperienceBatch, PolicyVersion, StepReport
from protocol.niceness import stand_back
from protocol.ports import FolderStore, OpenStore, PushingPublisher, WeightPublisher
from protocol.remote import check_gpus_are_seen, own_gpus
from reward_service.config import RewardModelConfig

if TYPE_CHECKING:
    from learners.ppo import PPOLearner
    from learners.reward_fit import RewardTrainer


class Rank(ABC):
    """One process of W: where rank 0 can be met, and leaving.

    Args:
        rank: From 0.
        deepspeed: Of the learner; W is its `num_ranks`.
    """

    def __init__(self, rank: int, deepspeed: DeepSpeedConfig) -> None:
        self._rank = rank
        self._world_size = deepspeed.num_ranks

    @abstractmethod
    def come_up(self) -> None:
        """Import what `start` needs, which takes seconds; nothing has to be there for it yet.

        May be called twice.
        """

    def address(self) -> tuple[str, int]:
        """Return this node's address and a free port, for all ranks to meet at. Asked of rank 0."""
        from learners.engine import free_port

        host = ray.util.get_node_ip_address()
        return host, free_port(host)

    def pid(self) -> int:
        """Return the process id, for the memory figures."""
        return os.getpid()

    def gpus(self) -> list[str]:
        """Return the GPUs that Ray has given this rank. May be called twice."""
        return own_gpus()

    def _join(self, host: str, port: int) -> None:
        import torch

        from learners.engine import join_ranks

        check_gpus_are_seen(
            f"rank {self._rank} of a learner",
            "cluster.gpus_per_learner_rank",
            is_seen=torch.cuda.is_available(),
        )
        join_ranks(self._rank, self._world_size, host, port)

    def _leave(self) -> None:
        from learners.engine import leave_ranks

        leave_ranks()


class LearnerRank(Rank):
    """One rank of the PPO learner.

    Args:
        rank: From 0.
        policy: ρ.
        ppo: The algorithm.
        kl: The penalty.
        learner: The engine, and which versions are kept.
        checkpoint_root: The run's `policy` folder.
        total_episodes: N_π.
        seed: Of the run.
        make_publisher: Makes rank 0's end of the weight path, in its own process.
        adapters_travel: Whether it takes what adapters add to ρ, alone.
        actors_dtype: Type of the actors' weights.
        pretraining: File of the blocks of pretraining text, there once it is started; None: none.
        open_store: How this rank reaches all these folders.
    """

    def __init__(
        self,
        *,
        rank: int,
        policy: PolicyConfig,
        ppo: PPOConfig,
        kl: KLConfig,
        learner: LearnerConfig,
        checkpoint_root: Path,
        total_episodes: int,
        seed: int,
        make_publisher: Callable[[], WeightPublisher],
        adapters_travel: bool = True,
        actors_dtype: str = "float32",
        pretraining: Path | None = None,
        open_store: OpenStore = FoldersHere,
    ) -> None:
        super().__init__(rank, learner)
        self._open_store = open_store
        self._policy = policy
        self._ppo = ppo
        self._kl = kl
        self._config = learner
        self._checkpoint_root = checkpoint_root
        self._total_episodes = total_episodes
        self._seed = seed
        self._make_publisher = make_publisher
        self._adapters_travel = adapters_travel
        self._actors_dtype = actors_dtype
        self._pretraining = pretraining
        self._publisher: WeightPublisher | None = None
        self._learner: PPOLearner | None = None
        self._first: PolicyVersion | None = None
        self._resumed: tuple[tuple[int, int], PolicyVersion | None] | None = None
        self._sent: int | None = None

    def come_up(self) -> None:
        """See `Rank`."""
        import learners.ppo  # noqa: F401

    def start(self, host: str, port: int, probe_token_ids: Sequence[int]) -> PolicyVersion | None:
        """Meet the other ranks, load π = ρ and publish version 0; again: the first answer.

        Args:
            host: Rank 0's address.
            port: Rank 0's port.
            probe_token_ids: A text of the run, which proves every load.

        Raises:
            MissingError: There is no such model.
            InputError: It cannot be trained here.
            BundleCorrupt: The file of pretraining text is not what was written.
        """
        import torch

        from learners.ppo import PPOLearner
        from learners.pretraining import PretrainingBlocks

        if self._learner is not None:
            return self._first
        store = self._open_store()
        blocks = None
        if (file := self._pretraining) is not None:
            blocks = PretrainingBlocks.read(store.fetch(file.parent, [file.name]) / file.name)
        self._join(host, port)
        if self._rank == 0:
            self._publisher = self._make_publisher()
        self._learner = PPOLearner(
            policy=self._policy.model_copy(update={"path": _fetched(store, self._policy.path)}),
            ppo=self._ppo.model_copy(
                update={"critic_path": _fetched(store, self._ppo.critic_path)}
            ),
            kl=self._kl,
            learner=self._config,
            checkpoint_root=self._checkpoint_root,
            total_episodes=self._total_episodes,
            probe_token_ids=probe_token_ids,
            publisher=self._publisher,
            seed=self._seed,
            adapters_travel=self._adapters_travel,
            actors_dtype=self._actors_dtype,
            pretraining=blocks,
            store=store,
        )
        self._first = self._learner.announce()
        if not torch.cuda.is_available():
            stand_back(self._config.niceness)
        return self._first

    def step(self, batch: ExperienceBatch) -> StepReport | None:
        """Run one PPO step; idempotent by `batch.step`. Errors as `PPOLearner.step`."""
        return self._started.step(batch)

    def checkpoints(self) -> tuple[int, ...] | None:
        """Return the policy versions that can be restored, oldest first, on rank 0."""
        return self._started.checkpoints() if self._rank == 0 else None

    def restore(self, version: int, step: int | None = None) -> PolicyVersion | None:
        """Go back to how a version was and publish it as the next; see `PPOLearner.restore`."""
        return self._started.restore(version, step)

    def keep(self) -> int | None:
        """Write a checkpoint of the present version and return it, on rank 0. May come twice."""
        version = self._started.keep()
        return version if self._rank == 0 else None

    def resume(self, version: int, publish_as: int) -> PolicyVersion | None:
        """Go on where another learner kept a version; see `PPOLearner.resume`.

        The same again: the first answer.
        """
        if self._resumed is None or self._resumed[0] != (version, publish_as):
            answer = self._started.resume(version, publish_as)
            self._resumed = ((version, publish_as), answer)
        return self._resumed[1]

    def send(self, version: int) -> None:
        """Send a published version to all actors, where weights are pushed; rank 0 has it to do.

        The version sent last is not sent again: the actors have it, and would not come. Errors as
        `protocol.ports.PushingPublisher.send`.
        """
        if self._publisher is not None and version != self._sent:
            assert isinstance(self._publisher, PushingPublisher), "these actors pull"
            self._publisher.send(version)
            self._sent = version

    def rest(self) -> None:
        """Put all that is on the device on the host, until `wake`. May be called twice."""
        self._started.rest()

    def wake(self) -> None:
        """Put it back. May be called twice."""
        self._started.wake()

    def save(self, folder: str) -> None:
        """Write the present policy as a Hugging Face folder. May be called again."""
        self._started.save(Path(folder))

    def stop(self) -> None:
        """Free memory, what is published, and the process group. Also after a failed `start`.

        May be called twice.
        """
        if self._learner is not None:
            self._learner.close()
        self._leave()

    @property
    def _started(self) -> PPOLearner:
        assert self._learner is not None, "start() first"
        return self._learner


class RewardTrainerRank(Rank):
    """One rank of the reward trainer.

    Args:
        rank: From 0.
        policy_path: ρ, a Hugging Face folder.
        model: Heads and normalisation.
        fit: Rates, batches, seed.
        deepspeed: The engine.
        root: The run's `reward` folder.
        open_store: How this rank reaches these folders.
    """

    def __init__(
        self,
        *,
        rank: int,
        policy_path: Path,
        model: RewardModelConfig,
        fit: RewardFitConfig,
        deepspeed: DeepSpeedConfig,
        root: Path,
        open_store: OpenStore = FoldersHere,
    ) -> None:
        super().__init__(rank, deepspeed)
        self._open_store = open_store
        self._policy_path = policy_path
        self._model = model
        self._fit = fit
        self._deepspeed = deepspeed
        self._root = root
        self._trainer: RewardTrainer | None = None

    def come_up(self) -> None:
        """See `Rank`."""
        import learners.reward_fit  # noqa: F401

    def start(
        self,
        host: str,
        port: int,
        reference_sequences: Sequence[Sequence[int]],
        resume_from: Path | None = None,
    ) -> None:
        """Meet the other ranks and take the samples of ρ that normalise; again: nothing more.

        Args:
            host: Rank 0's address.
            port: Rank 0's port.
            reference_sequences: [N][T_n] prompt + kept response, N 256 by default.
            resume_from: The newest bundle, of ranks that are no more; see `RewardTrainer`.

        Raises:
            MissingError: There is no such bundle, or no state of a trainer beside it.
            BundleCorrupt: They are not what was written, or of a trainer spread otherwise.
        """
        from learners.reward_fit import RewardTrainer

        if self._trainer is not None:
            return
        self._join(host, port)
        self._trainer = RewardTrainer(
            policy_path=self._policy_path,
            model=self._model,
            fit=self._fit,
            deepspeed=self._deepspeed,
            root=self._root,
            reference_sequences=reference_sequences,
            clock=time.monotonic,
            keeps_state=True,
            resume_from=resume_from,
            store=self._open_store(),
        )

    def advance(self, num_steps: int, request: FitRequest | None = None) -> bool:
        """Work on a refit; see `RewardTrainer.advance`. The same again takes no step."""
        assert self._trainer is not None, "start() first"
        return self._trainer.advance(num_steps, request)

    def fit(self, request: FitRequest) -> RewardVersion | None:
        """Fit and write a bundle; the same request again: the first answer."""
        assert self._trainer is not None, "start() first"
        return self._trainer.fit(request)

    def stop(self) -> None:
        """Free memory and the process group. May be called twice, and after a failed `start`."""
        if self._trainer is not None:
            self._trainer.close()
        self._leave()


class SupervisedRank(Rank):
    """One rank of the supervised learner, making a base model.

    Args:
        rank: From 0.
        config: The recipe.
        open_store: How this rank reaches the folder that is written.
    """

    def __init__(
        self, *, rank: int, config: BaseModelConfig, open_store: OpenStore = FoldersHere
    ) -> None:
        super().__init__(rank, config.engine)
        self._open_store = open_store
        self._config = config
        self._loss: float | None = None

    def come_up(self) -> None:
        """See `Rank`."""
        import learners.base_model  # noqa: F401

    def start(self, host: str, port: int, texts: Sequence[str], folder: Path) -> float:
        """Meet the other ranks, train on texts, write a Hugging Face folder; return the loss.

        Called again it trains nothing more, and returns the same.
        """
        from learners.base_model import train_base_model

        if self._loss is None:
            self._join(host, port)
            self._loss = train_base_model(texts, self._config, folder, self._open_store())
        return self._loss

    def stop(self) -> None:
        """Leave the process group. May be called twice."""
        self._leave()


def _fetched(store: FolderStore, folder: str | None) -> str | None:
    """Return where this node has a folder that a config names, if it names one."""
    return None if folder is None else str(store.fetch(Path(folder)))
