"""The processes that train: ranks of the learner and of the reward trainer.

Letters: P weights, W ranks, B sequences of a pass.
"""

from __future__ import annotations

from collections.abc import Callable

from cluster.config import RunConfig
from cluster.planning.model_states import AVERAGE, MOMENTS, ModelStates, model_states
from cluster.planning.models import BYTES, MetaModels, PassShape, Weights
from cluster.planning.needs import MIB, Kind, Process, more
from cluster.planning.transport import (
    device_copies,
    host_copies,
    joining_bytes,
    policy_kind,
    shared_copies,
)
from learners.config import DeepSpeedConfig
from learners.passes import pass_limits
from learners.reward_reading import LIMITS, MOST_BYTES, is_known
from reward_service.buckets import BatchLimits
from reward_service.tensor_files import PIECE

PROCESS = 350 * MIB
"""Memory of a process that has imported torch, transformers and DeepSpeed: 300 MiB are its own
(`psutil`, unique set size), and Ray takes 40."""
CONTEXT = 600 * MIB
"""What CUDA and its libraries take of a device for a process, before the first tensor. [own]"""
WORKSPACES = 64 * MIB
"""cuBLAS's, by PyTorch 32 MiB a handle on Hopper: one for the forward and one for the backward
thread."""
NCCL = 300 * MIB
"""Buffers of a group of several ranks. [own]"""


def learner_ranks(run: RunConfig, models: MetaModels, prompt_tokens: int) -> list[Process]:
    """Return the ranks that train the policy.

    Args:
        run: The config.
        models: Its models.
        prompt_tokens: Of the longest prompt.
    """
    config, kind = run.learner, policy_kind(run)
    policy = models.policy(kind)
    rows = run.ppo.batch_size // run.ppo.minibatches // config.num_ranks
    limits, response = pass_limits(config), run.response.max_tokens
    shapes = _shapes(min(rows, limits.max_sequences), limits, prompt_tokens, response)
    is_many = rows > shapes[0].rows or run.ppo.ptx.coefficient > 0
    has_average = config.ema is not None
    states = model_states(policy, config, has_many_passes=is_many, has_average=has_average)

    def peak() -> int:
        of_responses = [
            models.policy_step(
                kind,
                shape,
                config.dtype,
                checkpointing=config.gradient_checkpointing,
                gradients_are_new=states.gradients_are_new,
            )
            for shape in shapes
        ]
        return max(*of_responses, _text_pass(run, models, rows, states.gradients_are_new))

    gpus = run.cluster.gpus_per_learner_rank
    # Beside adapters ρ is the weights that they leave as they are.
    reference = models.language_model.total if kind.lora is None else 0
    spread = -(-reference // config.num_ranks) if config.zero_stage == 3 else reference
    model = more(_held(states, peak, config, gpus), weights=BYTES[config.dtype] * spread)
    own = PROCESS + states.offloaded
    # Of a checkpoint, pieces of tensors; of the last policy, one weight.
    written = max(PIECE, joining_bytes(run, models))
    host = own + max(loading_bytes(policy, config, beside=reference), written)
    in_turns = run.cluster.colocation == "turns"
    if in_turns:
        # While it rests, beside what it holds anyway; of sums of gradients there are none then.
        host += model["weights"] + model["optimizer"]
    return [
        Process(
            name=f"learner rank {rank}",
            part="learner",
            gpus=gpus,
            model=model if rank else more(model, copies=device_copies(run, models)),
            host=host if rank else max(host, own + host_copies(run, models)),
            offloaded=states.offloaded,
            shared=0 if rank else shared_copies(run, models),
            side="learner" if in_turns else None,
        )
        for rank in range(config.num_ranks)
    ]


def _shapes(
    rows: int, limits: BatchLimits, prompt_tokens: int, response_tokens: int
) -> list[PassShape]:
    """Return the passes of which one is the largest: of the longest prompts, and of most rows.

    Where tokens bound a pass more rows go through one whose prompts are short.

    Args:
        rows: Sequences of one pass at most.
        limits: What else bounds it.
        prompt_tokens: Of the longest prompt.
        response_tokens: Of the longest response.
    """
    found = []
    for tokens in (prompt_tokens, 1):
        most = min(rows, limits.rows_of(tokens + response_tokens))
        found.append(PassShape(rows=most, prompt_tokens=tokens, response_tokens=response_tokens))
    longest, shortest = found
    return found if shortest.rows > longest.rows else [longest]


def _text_pass(run: RunConfig, models: MetaModels, rows: int, gradients_are_new: bool) -> int:
    """Return what the largest pass over pretraining text holds; 0 where there is none.

    Args:
        run: The config.
        models: Its models.
        rows: Episodes of a minibatch on one rank.
        gradients_are_new: Whether a pass makes gradients of its own.
    """
    config, ptx = run.learner, run.ppo.ptx
    if run.pretraining is None:
        return 0
    is_trained_on = ptx.coefficient > 0
    of_one_pass = pass_limits(config).rows_of(run.pretraining.block_tokens)
    most = ptx.examples_per_episode * rows if is_trained_on else of_one_pass
    return models.text_pass(
        policy_kind(run),
        min(most, of_one_pass),
        run.pretraining.block_tokens,
        config.dtype,
        checkpointing=config.gradient_checkpointing,
        gradients_are_new=gradients_are_new if is_trained_on else None,
    )


def reward_trainer_ranks(run: RunConfig, models: MetaModels, prompt_tokens: int) -> list[Process]:
    """Return the ranks that fit the reward model; none where it is given.

    While a refit is worked off there are two models in training, of which one is at work.
    """
    if run.run.reward is not None:
        return []
    config, candidates = run.reward_trainer, run.labels.num_candidates
    reward = models.reward(run.reward_model)
    tokens, limits = prompt_tokens + run.response.max_tokens, pass_limits(config)
    per_pass = max(1, limits.rows_of(tokens) // candidates)
    largest = max(run.reward_fit.batch_size, run.reward_fit.warm_batch_size)
    per_step = -(-largest // config.num_ranks)
    shape = PassShape(
        rows=candidates * min(per_pass, per_step),
        prompt_tokens=prompt_tokens,
        response_tokens=run.response.max_tokens,
    )
    states = model_states(reward, config, has_many_passes=per_step > per_pass)

    def peak() -> int:
        rows = max(1, min(LIMITS.max_sequences, LIMITS.max_tokens // tokens))
        graded = models.reward_step(
            run.reward_model,
            shape,
            config.dtype,
            checkpointing=config.gradient_checkpointing,
            gradients_are_new=states.gradients_are_new,
        )
        return max(graded, models.scoring(run.reward_model, rows, tokens, config.dtype))

    gpus, kept = run.cluster.gpus_per_learner_rank, _kept_between_steps(states, config)
    if config.zero_stage < 3:  # weights that stay as they are both models have in common
        kept -= BYTES[config.dtype] * reward.base
    # What a warm update could spoil; beside it one weight of a bundle, or a piece of what is kept.
    kept_aside = share_bytes(reward, config) + max(
        PIECE, (4 + BYTES[config.dtype]) * reward.largest
    )
    host = PROCESS + 2 * states.offloaded + max(loading_bytes(reward, config), kept_aside)
    host += _features_bytes(run, models)
    return [
        Process(
            name=f"reward trainer rank {rank}",
            part="reward trainer",
            gpus=gpus,
            model=more(_held(states, peak, config, gpus), copies=kept),
            host=host,
            offloaded=2 * states.offloaded,
        )
        for rank in range(config.num_ranks)
    ]


def _features_bytes(run: RunConfig, models: MetaModels) -> int:
    """Return what a rank of the reward trainer keeps of what a trunk that stays says of texts."""
    config = run.reward_model
    if not is_known(config, is_parted=run.reward_trainer.zero_stage == 3):
        return 0
    a_text = models.reward_features(config) * BYTES[run.reward_trainer.dtype]
    of_labels = run.labels.total * run.labels.num_candidates * a_text
    return min(MOST_BYTES, of_labels) + config.num_normalisation_samples * a_text


def loading_bytes(weights: Weights, config: DeepSpeedConfig, *, beside: int = 0) -> int:
    """Return what a rank takes of the host as it loads what an engine trains.

    Below stage 3 it has all of it in float32. At stage 3 it has one weight at a time, in float32
    and in the engine's type, and then one layer in float32, on which the architecture is tried.

    Args:
        weights: Of the engine's module.
        config: Of the engine.
        beside: Weights of what is loaded beside it.
    """
    if config.zero_stage < 3:
        return 4 * (weights.total + beside)
    return max((4 + BYTES[config.dtype]) * weights.largest, 4 * weights.layer)


def learner_share_bytes(run: RunConfig, policy: Weights) -> int:
    """Return what one rank of the learner writes of a version.

    On one rank in float32 that is 12 bytes a weight that is trained, and 16 with an average.
    """
    return share_bytes(policy, run.learner, has_average=run.learner.ema is not None)


def share_bytes(weights: Weights, config: DeepSpeedConfig, *, has_average: bool = False) -> int:
    """Return what one rank writes of an engine's state: weights, float32 copy, moments, average.

    Below stage 3 each rank writes all weights that are trained.
    """
    is_plain = config.dtype == "float32" and config.zero_stage == 0
    own = -(-weights.trained // config.num_ranks)
    used = own if config.zero_stage == 3 else weights.trained
    averaged = AVERAGE * (weights.trained if is_plain else own) if has_average else 0
    moved = MOMENTS * weights.trained if is_plain else (4 + MOMENTS) * own
    return BYTES[config.dtype] * used + moved + averaged


def _held(
    states: ModelStates, peak: Callable[[], int], config: DeepSpeedConfig, gpus: float
) -> dict[Kind, int]:
    """Return what an engine holds at its fullest: in a pass, or at the end of the last and after.

    A pass that makes gradients of its own has them among what it holds.
    """
    pass_bytes = peak()
    if states.gradients_are_new and not states.gradients_are_kept:
        pass_bytes = max(0, pass_bytes - states.gradients)
    library = (CONTEXT + WORKSPACES + (NCCL if config.num_ranks > 1 else 0)) if gpus else 0
    return {
        "weights": states.weights,
        "optimizer": states.optimizer,
        "gradients": states.gradients,
        "activations": max(pass_bytes, states.stepping) + states.gathered,
        "copies": states.buckets,
        "library": library,
    }


def _kept_between_steps(states: ModelStates, config: DeepSpeedConfig) -> int:
    """Return what an engine holds that is not at work."""
    kept = states.weights + states.optimizer
    kept += states.gradients if states.gradients_are_kept else 0
    return kept + (states.buckets if config.zero_stage == 3 else 0)
