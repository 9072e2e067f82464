"""Whole runs on GPUs, as `tests/gpu` starts them and as a machine without one looks at them.

Their model, prompts and reward are made by the tests.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cluster.config import RunConfig
from cluster.config_file import load_config
from tests.support.reward import write_reward_versions
from tests.support.run_process import REPOSITORY, REVIEWS, run_arguments, save_inputs, set_options

LABELER = 'labelers=[{name = "robot", seconds_per_label = 0.05}]'
NOBODY = ("people=[]", "run.mode=fixed", "run.reward={inputs}/reward/v000001")
QUARTERS = (
    "cluster.gpus_per_actor=0.25",
    "cluster.gpus_per_learner_rank=0.25",
    "cluster.gpus_per_reward_replica=0.25",
)
"""One GPU for an actor, the ranks of learner and reward trainer, and a reward replica."""
EXAMPLE = REPOSITORY / "examples" / "hub-0.5b-one-gpu.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuRun:
    """One run, and what of it is to be seen."""

    name: str
    needs: int
    """GPUs."""
    shares: str
    """What they are for, in the words of a skipped test."""
    settings: tuple[str, ...]
    """`--set` overrides; "{inputs}" in them is the folder of what a run is brought."""
    config: Path = REVIEWS
    episodes: int = 64
    largest_mismatch: float = 1e-3
    """Of what an engine and the learner say of a token, nats. The weights made by the tests are ten
    times as large as a model's, and so is what bfloat16 rounds off."""

    def arguments(self, inputs: Path, folder: Path) -> list[str]:
        """Return those of `andon` that start it."""
        if self.config == REVIEWS:
            return run_arguments(inputs, folder, self._chosen(inputs))
        options = set_options(self._chosen(inputs))
        return ["run", str(self.config), "--folder", str(folder), *options]

    def load(self, inputs: Path) -> RunConfig:
        """Return its config, as `andon run` would read it."""
        _, config, _, _, *options = self.arguments(inputs, inputs / "run-1")
        return load_config(Path(config), tuple(options[1::2]))

    def _chosen(self, inputs: Path) -> list[str]:
        return [setting.replace("{inputs}", str(inputs)) for setting in self.settings]


def save_gpu_inputs(folder: Path) -> Path:
    """Write what the runs are brought: `policy/`, `prompts.jsonl` and `reward/`."""
    save_inputs(folder)
    write_reward_versions(folder / "reward", folder / "policy", 1)
    return folder


def _in_bfloat16(section: str) -> str:
    return f"{section}.dtype=bfloat16"


RUNS = (
    GpuRun(
        name="ipc",
        needs=1,
        shares="learner and actors share",
        settings=(
            *(LABELER, "rollouts.weight_transport=ipc", "rollouts.num_actors=2"),
            *("rollouts.kv_cache_gib=0.25", "cluster.gpus_per_actor=0.25"),
            "cluster.gpus_per_learner_rank=0.25",
        ),
    ),
    GpuRun(
        name="a cache by its share",
        needs=1,
        shares="learner, reward trainer, replica and an engine start on at once",
        settings=(
            *(LABELER, *QUARTERS, "rollouts.num_actors=1"),
            *("rollouts.kv_cache_gib=0", "rollouts.gpu_memory_utilization=0.2"),
        ),
    ),
    GpuRun(
        name="turns",
        needs=1,
        shares="learner and engine have in turns",
        settings=(
            *(LABELER, "cluster.colocation=turns", "run.max_policy_lag=0"),
            *("cluster.gpus_per_actor=0.25", "cluster.gpus_per_learner_rank=0.25"),
            *("learner.zero_stage=2", "rollouts.num_actors=1", "rollouts.kv_cache_gib=0.25"),
        ),
    ),
    GpuRun(
        name="bfloat16",
        needs=1,
        shares="learner and engine share, both in bfloat16",
        largest_mismatch=0.2,
        settings=(
            *(LABELER, *QUARTERS, "rollouts.num_actors=1", "rollouts.kv_cache_gib=0.25"),
            *map(_in_bfloat16, ("rollouts", "learner", "reward_trainer", "reward_service")),
            "rollouts.probe_tolerance=0.2",
        ),
    ),
    GpuRun(
        name="adapters",
        needs=1,
        shares="learner and engine share, which adds adapters itself",
        settings=(
            *(LABELER, *QUARTERS, "rollouts.num_actors=1", "rollouts.kv_cache_gib=0.25"),
            *("policy.lora.rank=4", "reward_model.lora.rank=4", "ppo.lr=1e-3"),
        ),
    ),
    GpuRun(
        name="optimizer on the host",
        needs=1,
        shares="learner and reward trainer use, with their optimizers on the host",
        settings=(
            *(LABELER, *QUARTERS, "rollouts.num_actors=1", "rollouts.kv_cache_gib=0.25"),
            *("learner.zero_stage=2", "reward_trainer.zero_stage=2"),
            *("learner.optimizer=cpu_adam", "reward_trainer.optimizer=cpu_adam"),
            *("learner.offload_optimizer=true", "reward_trainer.offload_optimizer=true"),
        ),
    ),
    GpuRun(
        name="an example",
        needs=1,
        shares=f"all parts of {EXAMPLE.name} share",
        config=EXAMPLE,
        episodes=128,
        largest_mismatch=0.2,
        settings=(
            *(LABELER, "people=[]", "policy.path={inputs}/policy", "run.episodes=128"),
            *("prompts.source=jsonl", "prompts.path={inputs}/prompts.jsonl", "prompts.dataset="),
            *("response.max_tokens=24", "prompts.max_tokens=16", "rollouts.max_model_len=64"),
            *("response.mode=fixed", "response.cut_after=2", "ppo.batch_size=32"),
            *("rollouts.requests_per_call=8", "reward_model.num_normalisation_samples=16"),
            *("labels.total=16", "labels.initial=6", "labels.ahead=2", "labels.refits=2"),
            *("labels.num_candidates=2", "cluster.http_port=0", "cluster.object_store_gib=0.1"),
            "rollouts.probe_tolerance=0.2",
        ),
    ),
    GpuRun(
        name="nccl",
        needs=2,
        shares="an actor and the learner have one each",
        settings=(
            *(*NOBODY, "rollouts.weight_transport=nccl", "rollouts.num_actors=1"),
            *("rollouts.kv_cache_gib=0.25", "cluster.gpus_per_actor=1"),
            "cluster.gpus_per_learner_rank=1",
        ),
    ),
    GpuRun(
        name="tensor parallel",
        needs=2,
        shares="an engine is split over",
        settings=(
            *(LABELER, "rollouts.tensor_parallel_size=2", "cluster.gpus_per_actor=2"),
            *("rollouts.num_actors=1", "rollouts.kv_cache_gib=0.25"),
        ),
    ),
    GpuRun(
        name="ranks under ZeRO-3",
        needs=2,
        shares="the learner's ranks have one each",
        settings=(
            *(*NOBODY, "learner.num_ranks=2", "learner.zero_stage=3"),
            *("cluster.gpus_per_learner_rank=1", "rollouts.num_actors=1"),
        ),
    ),
    GpuRun(
        name="nccl beside a reward trainer",
        needs=3,
        shares="an actor, the learner and the reward trainer have one each",
        settings=(
            *(LABELER, "rollouts.weight_transport=nccl", "rollouts.num_actors=1"),
            *("rollouts.kv_cache_gib=0.25", "cluster.gpus_per_actor=1"),
            "cluster.gpus_per_learner_rank=1",
        ),
    ),
)


def planned_engine(policy: Path, kv_cache_gib: float) -> RunConfig:
    """Return a run of which one engine shares a GPU, a fifth of it or with a cache that is given.

    Args:
        policy: The model's folder.
        kv_cache_gib: As in `[rollouts]`.
    """
    return RunConfig.model_validate(
        {
            "people": ["ann"],
            "policy": {"path": str(policy)},
            "prompts": {"source": "reviews"},
            "rollouts": {
                "num_actors": 1,
                "kv_cache_gib": kv_cache_gib,
                "gpu_memory_utilization": 0.2,
            },
            "cluster": {"gpus_per_actor": 0.25, "gpus_per_learner_rank": 0.25},
        }
    )
