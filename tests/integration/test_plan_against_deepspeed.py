"""What the plan says of DeepSpeed's stages, against its real engines and its own estimators."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from deepspeed.runtime.zero.stage3 import estimate_zero3_model_states_mem_needs
from deepspeed.runtime.zero.stage_1_and_2 import estimate_zero2_model_states_mem_needs

from cluster.planning.model_states import model_states
from cluster.planning.models import Weights
from learners.config import DeepSpeedConfig
from tests.support import learner_inputs as inputs
from tests.support.counting_ranks import FROZEN, LARGEST, NUM_WEIGHTS
from tests.support.rank_fixtures import ran_by_ranks

WHOLE = ("0", "1", "2", "3", "1-bfloat16", "2-bfloat16", "3-bfloat16")
ENGINES = (*WHOLE, *(f"{FROZEN}{name}" for name in WHOLE))
HELD_BOUND = 0.02
"""Largest error of what is held between steps, as a share of it."""
PEAK_BOUND = 0.2
"""Largest error of the peak beside the buckets, as a share of it; never below what it is."""
FROZEN_PEAK_BOUND = 0.25
"""The same where some weights are not trained: ZeRO-3 lets those go sooner than is planned."""
ROUNDING = 2**16
"""Bytes of scalars, and of padding to equal shares."""

counted = ran_by_ranks(ENGINES, "tests.support.counting_ranks", alone=[pytest.mark.long])


@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_holds_what_is_planned(
    counted: Path, engine: str, request: pytest.FixtureRequest
) -> None:
    world_size = 2 if "two-ranks" in request.node.name else 1
    config = inputs.named_engine(world_size, engine.removeprefix(FROZEN))
    base = LARGEST if engine.startswith(FROZEN) else 0
    weights = Weights(total=NUM_WEIGHTS, largest=LARGEST, base=base)
    states = model_states(weights, config, has_many_passes=True)
    told = json.loads((counted / f"{engine}.json").read_text())

    held = states.weights + states.optimizer
    held += states.gradients if states.gradients_are_kept else 0
    buckets_held = states.buckets if config.zero_stage == 3 else 0
    # ZeRO-3 may have kept a parameter whole.
    whole = states.gathered * LARGEST // NUM_WEIGHTS
    really = told["held"] - buckets_held
    assert really == pytest.approx(held + whole / 2, rel=HELD_BOUND, abs=ROUNDING + whole / 2)

    peak = states.weights + states.optimizer + states.gradients + states.gathered + states.stepping
    really = told["peak"] - states.buckets
    assert really <= peak + ROUNDING
    bound = PEAK_BOUND if base == 0 else FROZEN_PEAK_BOUND
    assert peak <= (1 + bound) * really + ROUNDING


@pytest.mark.parametrize("ranks", [1, 4, 8])
def test_deepspeeds_own_estimators_say_the_same_but_for_passing_gradients(ranks: int) -> None:
    total, largest = 7_000_000_000, 500_000_000
    weights = Weights(total=total, largest=largest)

    def planned(stage: int) -> int:
        config = DeepSpeedConfig.model_validate(
            {"num_ranks": ranks, "zero_stage": stage, "dtype": "bfloat16"}
        )
        states = model_states(weights, config, has_many_passes=True)
        return states.weights + states.optimizer + states.gradients

    # Of stage 2 they count gradients in half precision too: 2 bytes a weight, spread like the rest.
    _, second = estimate_zero2_model_states_mem_needs(total, ranks, 1, cpu_offload=False)
    assert planned(2) + 2 * total / ranks == pytest.approx(second, rel=1e-6)
    _, third, of_a_layer = estimate_zero3_model_states_mem_needs(
        total, largest, ranks, 1, cpu_offload=False, cpu_offload_params=False
    )
    assert planned(3) + of_a_layer == pytest.approx(third, rel=1e-6)


def test_an_offloaded_optimizer_leaves_the_weights_alone_on_the_device() -> None:
    total = 7_000_000_000
    weights = Weights(total=total, largest=500_000_000)
    config = DeepSpeedConfig(
        num_ranks=4,
        zero_stage=2,
        dtype="bfloat16",
        optimizer="cpu_adam",
        offload_optimizer=True,
    )
    states = model_states(weights, config, has_many_passes=True)
    host, device = estimate_zero2_model_states_mem_needs(
        total, 4, 1, cpu_offload=True, additional_buffer_factor=1.0
    )
    assert states.weights + states.optimizer + states.gradients == device
    # Theirs is of the whole node, with 16 bytes a weight. Here are one more copy of gradients, a
    # pinned one of the weights, and on each rank a buffer for the largest parameter.
    more = 6 * total + 4 * 2 * weights.largest
    assert 4 * states.offloaded == pytest.approx(host + more, rel=1e-6)
