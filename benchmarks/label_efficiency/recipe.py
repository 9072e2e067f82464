"""What a run follows from but its task, its arm and its seed; and the name of all of it."""

from __future__ import annotations

import math
from dataclasses import asdict

from benchmarks.label_efficiency.arms import INITIAL_SHARE, PARTICLES, REFITS, Arm
from benchmarks.label_efficiency.world import kl_target, world_settings
from label_queue.config import LabelsConfig, WarmConfig
from label_queue.quality_config import QualityConfig
from label_queue.simulated.config import LabelerProfile
from learners.config import KLConfig, LearnerConfig, PPOConfig, RewardFitConfig
from protocol.json_digest import json_digest, leave_out_as_before
from reward_service.config import MarksConfig, RewardModelConfig

RECIPE = 2
"""Raised by whoever changes what a run does and none of the settings here."""
ADDED_TO_ARM = {"refits": REFITS, "initial_share": INITIAL_SHARE}
"""What an arm lacked when the first results were kept, and what was so before."""
ADDED_TO_PPO = {"warmup_episodes": 0}
"""The same of PPO's settings."""
ADDED_TO_REWARD = {"layers": None, "frozen_trunk": False}
"""The same of a reward model's settings."""
EPISODES = 8_192
BATCH = 128
NUM_LAST = 512
"""Responses whose gold is that of the policy at the end."""
NUM_NORMALISATION = 256
"""Responses of ρ over which a reward has mean 0 and variance 1."""
PROMPTS_A_TURN = 32
"""Asked about with one policy and one reward, before either is looked at again."""
FREE_KL = KLConfig(kind="fixed", coefficient=0.005)
LABELER = LabelerProfile(beta=1.0, eps_mistake=0.05)
ENGINE = LearnerConfig.model_validate(
    {
        "micro_batch_size": 128,
        "matmul_dtype": "float32",  # a series goes on elsewhere
        "checkpoint": {"every_steps": 1_000_000},
    }
)
QUALITY = QualityConfig(weigh_reliability=False)


def recipe_of(task: str, arm: Arm, budget: int) -> str:
    """Name all that a run follows from but its seed: another recipe, another name."""
    ppo = ppo_config(arm).model_dump(mode="json")
    leave_out_as_before(ppo, ADDED_TO_PPO)
    asked = asdict(arm)
    leave_out_as_before(asked, ADDED_TO_ARM)
    settings = {
        "recipe": RECIPE,
        "arm": asked,
        "world": world_settings(task),
        "numbers": [EPISODES, BATCH, NUM_LAST, NUM_NORMALISATION],
        "ppo": ppo,
        "kl": kl_config(task, arm).model_dump(mode="json"),
        "engine": ENGINE.model_dump(mode="json"),
    }
    if not arm.is_direct:
        reward_model = reward_model_config(arm).model_dump(mode="json")
        leave_out_as_before(reward_model, ADDED_TO_REWARD)
        settings |= {
            "asking": [budget, PROMPTS_A_TURN],
            "labels": labels_config(arm, budget).model_dump(mode="json"),
            "labeler": LABELER.model_dump(mode="json"),
            "quality": QUALITY.model_dump(mode="json"),
            "reward_model": reward_model,
            "reward_fit": fit_config(seed=0).model_dump(mode="json"),
        }
    return json_digest(settings)[:8]


def labels_config(arm: Arm, budget: int) -> LabelsConfig:
    """Return what an arm asks for with N = `budget` labels."""
    return LabelsConfig(
        total=budget,
        initial=max(16, int(budget * arm.initial_share)),
        rounds=4,
        refits=arm.refits,
        selector=arm.selector,
        num_candidates=arm.num_candidates,
        warm=WarmConfig(every_labels=16),
    )


def ppo_config(arm: Arm) -> PPOConfig:
    """Return the algorithm."""
    return PPOConfig(
        batch_size=BATCH,
        lr=1e-3,
        lr_schedule="constant",
        whiten_rewards=False,  # scaled, a trunk as small as this one is wrecked by its critic
        affirmative_nudge=arm.nudge,
        mark_coefficient=arm.mark_coefficient,
        objective=arm.objective,
    )


def kl_config(task: str, arm: Arm) -> KLConfig:
    """Return β: held where the KL is at its target, as in the demo, or low and fixed."""
    if arm.is_free:
        return FREE_KL
    target = target_of(task, arm)
    return KLConfig(
        coefficient=first_beta(target), target=target, horizon_episodes=1280, proportional=0.5
    )


def target_of(task: str, arm: Arm) -> float:
    """Return where β is to hold the KL of an arm, nats a response."""
    return kl_target(task) if arm.kl_target is None else arm.kl_target


def reward_model_config(arm: Arm) -> RewardModelConfig:
    """Return what learns labels."""
    return RewardModelConfig(
        num_heads=PARTICLES,
        heads="epistemic",
        pooling="mean",  # so small a trunk learns from fewer labels so, as in the demo,
        embeddings=True,  # and from fewer still
        num_normalisation_samples=NUM_NORMALISATION,
        marks=MarksConfig() if arm.mark_share else None,
    )


def fit_config(seed: int) -> RewardFitConfig:
    """Return how it does."""
    return RewardFitConfig(
        lr=2e-3, batch_size=16, epochs=3, warm_lr=1.2e-3, warm_batch_size=16, seed=seed
    )


def first_beta(target: float) -> float:
    """Return β where a normal reward of variance 1 has the KL at a target, nats.

    ρ reweighted by e^{r/β} has KL 1/(2β²) there. In so few episodes the controller moves β by a
    factor of three at most. The same for gold and for learned rewards: on ρ's responses both have
    variance 1.
    """
    return 1 / math.sqrt(2 * target)
