"""What lies on the disk of a run's folder when it is fullest."""

from __future__ import annotations

from cluster.config import RunConfig
from cluster.planning.models import MetaModels
from cluster.planning.needs import OnDisk
from cluster.planning.trained import learner_share_bytes, share_bytes
from cluster.planning.transport import policy_kind, whole_version_bytes

TRAINER_STATES = 4
"""States of the reward trainer: an update of a refit, that refit, the one before; one written."""


def on_disk(run: RunConfig, models: MetaModels) -> tuple[OnDisk, ...]:
    """Return what is kept, the largest as their bounds in the config allow."""
    kept = run.learner.checkpoint.keep + 1
    policy, reward = models.policy(policy_kind(run)), models.reward(run.reward_model)
    learner = run.learner.num_ranks * learner_share_bytes(run, policy)
    trainer = run.reward_trainer.num_ranks * share_bytes(reward, run.reward_trainer)
    versions = _reward_versions(run)
    num_saved = 1 if run.learner.ema is None else 2
    return (
        OnDisk(
            name=f"{kept} policy checkpoints",
            num_bytes=kept * learner,
            field="learner.checkpoint.keep",
        ),
        OnDisk(
            name="the last policy" if num_saved == 1 else "the last policy and its average",
            num_bytes=num_saved * whole_version_bytes(run, models),
            field="",
        ),
        OnDisk(
            name=f"{versions} reward versions",
            num_bytes=versions * 4 * reward.trained,
            field="reward_service.keep_versions",
        ),
        OnDisk(
            name="states of the reward trainer",
            num_bytes=0 if run.run.reward is not None else TRAINER_STATES * trainer,
            field="",
        ),
        OnDisk(
            name="recordings",
            num_bytes=run.recording.max_bytes if run.recording.record else 0,
            field="recording.max_gib",
        ),
    )


def _reward_versions(run: RunConfig) -> int:
    """Return how many bundles lie there at most: all, or as many as are kept and a new one.

    A refit counts twice, for it may be caught up with before it is served. An update comes every
    `warm.every_labels` at the fastest; where labels come one by one, `warm.every_s` apart, each of
    those after the first N₀ makes one.
    """
    if run.run.reward is not None:
        return 1
    refits = 2 * run.labels.refits + 1
    updates = run.labels.total - run.labels.initial if run.labels.warm.every_labels else 0
    if run.run.mode == "offline":
        refits, updates = 1, 0
    elif run.run.mode == "batched":
        refits, updates = run.labels.rounds, 0
    kept = run.reward_service.keep_versions
    return refits + updates if kept is None else min(kept + 1, refits + updates)
