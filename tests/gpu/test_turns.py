"""Learner and engines on one GPU in turns: what rests leaves it, and comes back as it was.

A whole run of both is in `test_runs.py`.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
import torch

from actors.config import RolloutConfig
from actors.weights import Pieces, Weights
from tests.integration.test_learners_resting import ENGINES
from tests.support.engine_contract import PROMPT, EngineContract
from tests.support.engine_environment import engine_environment
from tests.support.learner_ranks import run_ranks
from tests.support.stored import stored_weights
from tests.support.tiny_model import save_tiny_model

if TYPE_CHECKING:
    from actors.vllm_engine import VllmEngine

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU; there is none"),
    pytest.mark.filterwarnings("default"),
]

GIB = 2**30
CACHE_GIB = 4.0
CONFIG = RolloutConfig(kv_cache_gib=CACHE_GIB)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("policy"))


# ── the learner ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ENGINES)
def test_a_learner_that_rests_leaves_the_gpu_and_goes_on_bit_for_bit(
    model: Path, tmp_path: Path, kind: str
) -> None:
    run_ranks(1, model, tmp_path, (kind,), module="tests.support.resting_ranks", accelerator="cuda")
    told: dict[str, Any] = json.loads((tmp_path / f"{kind}.json").read_text())
    rested, awake = told["rested"], told["awake"]
    assert rested["before"] == rested["after"] == awake["before"]
    assert rested["end"] == awake["end"] != rested["after"]
    # Its weights alone are more; what is left are a few numbers that DeepSpeed keeps.
    assert rested["at_rest"] < rested["at_work"] / 4


# ── the engine ───────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def environment() -> Iterator[None]:
    with engine_environment(CONFIG):
        yield


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(environment: None, model: Path) -> AsyncIterator[VllmEngine]:
    from actors.vllm_engine import VllmEngine

    started = VllmEngine(model, CONFIG, seed=1, rests=True)
    await started.start()
    yield started
    await started.stop()


@pytest.mark.asyncio(loop_scope="module")
async def test_an_engine_that_rests_gives_its_cache_back(engine: VllmEngine) -> None:
    awake, _ = torch.cuda.mem_get_info()
    before = await engine.score(PROMPT)
    await engine.rest()
    resting, _ = torch.cuda.mem_get_info()
    assert resting - awake >= CACHE_GIB * GIB
    await engine.wake_weights()
    with_weights, _ = torch.cuda.mem_get_info()
    assert with_weights - awake >= CACHE_GIB * GIB  # the cache comes after them
    await engine.wake()
    assert await engine.score(PROMPT) == pytest.approx(before, abs=1e-6)


@pytest.mark.asyncio(loop_scope="module")
class TestRestingEngine(EngineContract, of="VllmEngine"):
    @pytest.fixture(scope="class")
    def numbers(self) -> Iterator[int]:
        return iter(range(1, 1_000_000))

    @pytest.fixture
    def versions(self, numbers: Iterator[int]) -> list[int]:
        return [next(numbers) for _ in range(4)]

    @pytest.fixture(autouse=True)
    def _model(self, model: Path) -> None:
        self.model = model

    def make_weights(self, number: int) -> Weights:
        from safetensors.torch import save
        from transformers import AutoModelForCausalLM

        shaken = AutoModelForCausalLM.from_pretrained(self.model)
        generator = torch.Generator().manual_seed(number)
        with torch.no_grad():
            for parameter in shaken.parameters():
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
        content = save({name: x.clone() for name, x in shaken.state_dict().items()})
        return Pieces(number, stored_weights(content).stored)
