"""The real engine: one vLLM for all tests of the module, its weights changed again and again."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import itertools
import time
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from actors.config import ResponseConfig, RolloutConfig
from actors.memory import GIB
from actors.response import end_rule
from actors.weights import Pieces, Weights
from actors.worker import RolloutWorker
from protocol.errors import ConfigError, InputError, MissingError, ProbeMismatch, ResourceError
from protocol.messages import (
    PolicyVersion,
    Probe,
    Prompt,
    Rollout,
    RolloutRequest,
    Sampling,
    WeightsFile,
    WeightsRef,
)
from tests.support.engine_contract import EngineContract
from tests.support.engine_environment import engine_environment
from tests.support.stored import stored_weights

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from actors.vllm_engine import VllmEngine

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    # vLLM's own imports and PyTorch's warn of their own futures.
    pytest.mark.filterwarnings("default"),
]

CONFIG = RolloutConfig(kv_cache_gib=0.0625)
RESPONSE = ResponseConfig(max_tokens=24)
PROBE_TOKENS = tuple(range(4, 36))
LOADS_TRIED = 20


@pytest.fixture(scope="module")
def environment() -> Iterator[None]:
    with engine_environment(CONFIG):
        yield


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(environment: None, tiny_model: Path) -> AsyncIterator[VllmEngine]:
    from actors.vllm_engine import VllmEngine

    engine = VllmEngine(tiny_model, CONFIG, seed=1)
    await engine.start()
    yield engine
    await engine.stop()
    # vLLM leaves its ZeroMQ context to the garbage collector, which says so.
    with warnings.catch_warnings(action="ignore"):
        await asyncio.sleep(0)
        gc.collect()


@dataclass(frozen=True)
class LearnerSide:
    """Makes policies as a learner does: weights, files, and its own view of the probe."""

    base: Path
    folder: Path
    counter: Iterator[int]

    def model(self, number: int) -> PreTrainedModel:
        """Return the base model (0), or one with every parameter shaken."""
        import torch
        from transformers import AutoModelForCausalLM

        model = AutoModelForCausalLM.from_pretrained(self.base).eval()
        generator = torch.Generator().manual_seed(number)
        with torch.no_grad():
            for parameter in model.parameters() if number else ():
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
        return model

    def weights(self, number: int, *, lm_head: bool = True) -> bytes:
        from safetensors.torch import save

        tensors = {
            name: tensor.clone()
            for name, tensor in self.model(number).state_dict().items()
            if lm_head or name != "lm_head.weight"
        }
        content: bytes = save(tensors)
        return content

    def publish(
        self, number: int, *, lm_head: bool = True, transport: str = "shared_memory"
    ) -> PolicyVersion:
        version = next(self.counter)
        content = self.weights(number, lm_head=lm_head)
        path = self.folder / f"v{version}.safetensors"
        path.write_bytes(content)
        digest, size = hashlib.sha256(content).hexdigest(), len(content)
        weights: WeightsRef = WeightsFile(path=str(path), sha256=digest, num_bytes=size)
        if transport == "object_store":
            weights = stored_weights(content)
            assert len(weights.stored) > 20, "many pieces"
        return PolicyVersion(
            version=version,
            episodes=0,
            weights=weights,
            probe=Probe(
                token_ids=PROBE_TOKENS,
                logprobs=tuple(self.logprobs(number, PROBE_TOKENS)),
            ),
            reward_version=0,
            learned_through=0,
        )

    def logprobs(
        self, number: int, token_ids: tuple[int, ...], temperature: float = 1.0
    ) -> list[float]:
        """Return log-probabilities [P − 1] by transformers: the independent reference."""
        import torch

        sequence = torch.tensor(token_ids)
        with torch.no_grad():
            logits = self.model(number)(sequence[None]).logits[0, :-1] / temperature
        chosen = logits.log_softmax(-1).gather(1, sequence[1:, None])[:, 0]
        return [float(value) for value in chosen]


@pytest.fixture(scope="module")
def counter() -> Iterator[int]:
    return itertools.count(1)


@pytest.fixture
def learner(tiny_model: Path, tmp_path: Path, counter: Iterator[int]) -> LearnerSide:
    return LearnerSide(base=tiny_model, folder=tmp_path, counter=counter)


@pytest.fixture
def make_worker(running: VllmEngine) -> Callable[[], RolloutWorker]:
    """Workers over the one engine, which is started already."""

    def make() -> RolloutWorker:
        worker = RolloutWorker("rollout-0", running, RESPONSE, CONFIG, clock=time.time)
        worker._end_rule = end_rule(
            RESPONSE, model_end_ids=running.end_token_ids, ids_reading=running.ids_reading
        )
        return worker

    return make


class TestVllmEngine(EngineContract, of="VllmEngine"):
    @pytest.fixture
    def engine(self, running: VllmEngine) -> VllmEngine:
        return running

    @pytest.fixture
    def versions(self, counter: Iterator[int], learner: LearnerSide) -> list[int]:
        self.learner = learner
        return [next(counter), next(counter)]

    def make_weights(self, number: int) -> Weights:
        return Pieces(number, stored_weights(self.learner.weights(number)).stored)


def request(number: int, *, max_tokens: int = 24, temperature: float = 0.7) -> RolloutRequest:
    prompt = Prompt(prompt_id=f"p-{number}", text="", token_ids=(5, 6, 7, 8 + number % 9))
    sampling = Sampling(temperature=temperature, max_tokens=max_tokens)
    return RolloutRequest(
        rollout_id=f"t-{number}", prompt=prompt, purpose="train", sampling=sampling
    )


def reference(learner: LearnerSide, number: int, rollout: Rollout) -> list[float]:
    sequence = rollout.prompt.token_ids + rollout.token_ids
    logprobs = learner.logprobs(number, sequence, rollout.sampling.temperature)
    return logprobs[len(rollout.prompt.token_ids) - 1 :]


@pytest.mark.parametrize("transport", ["shared_memory", "object_store"])
async def test_behaviour_logprobs_are_the_learners_own(
    make_worker: Callable[[], RolloutWorker], learner: LearnerSide, transport: str
) -> None:
    worker = make_worker()
    policy = learner.publish(7, transport=transport)
    assert await worker.load_policy(policy) < 1e-4
    for rollout in await worker.generate([request(number) for number in range(8)]):
        assert rollout.policy_versions == (policy.version,) * 24
        assert rollout.behavior_logprobs == pytest.approx(reference(learner, 7, rollout), abs=1e-4)


async def test_tokens_drawn_before_a_load_in_flight_belong_to_the_old_weights(
    make_worker: Callable[[], RolloutWorker], learner: LearnerSide
) -> None:
    worker = make_worker()
    mixed = list[Rollout]()
    # On a busy machine a load may come after the last token of all: then it tells nothing.
    for _ in range(LOADS_TRIED):
        old, new = learner.publish(1), learner.publish(2)
        await worker.load_policy(old)
        # More than the engine draws at once: the load meets drawn, half-drawn and waiting.
        requests = [request(number, max_tokens=60) for number in range(200)]
        draw = asyncio.create_task(worker.generate(requests))
        await worker.generate([request(1000, max_tokens=1)])
        await worker.load_policy(new)
        rollouts = await draw
        for rollout in rollouts:
            assert list(rollout.policy_versions) == sorted(rollout.policy_versions)
            assert set(rollout.policy_versions) <= {old.version, new.version}
        mixed = [rollout for rollout in rollouts if len(set(rollout.policy_versions)) == 2]
        if mixed:
            break
    assert mixed, f"none of {LOADS_TRIED} loads met a response half drawn"
    for rollout in mixed[:4]:
        num_old = rollout.policy_versions.count(old.version)
        expected = reference(learner, 1, rollout)[:num_old]
        assert rollout.behavior_logprobs[:num_old] == pytest.approx(expected, abs=1e-4)


async def test_a_load_waits_for_the_engine_and_sleeps_for_nobody(
    running: VllmEngine, learner: LearnerSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    sleep = asyncio.sleep

    async def noted(delay: float, result: object = None) -> object:
        slept.append(delay)
        return await sleep(delay, result)

    policy = learner.publish(4)
    assert isinstance(policy.weights, WeightsFile)
    with monkeypatch.context() as patch:
        patch.setattr(asyncio, "sleep", noted)
        await running.load(policy.version, Path(policy.weights.path))
    assert not any(slept)


async def test_a_tied_head_left_out_is_caught_by_the_probe(
    make_worker: Callable[[], RolloutWorker], learner: LearnerSide
) -> None:
    """The CPU build of vLLM keeps a packed copy of the head: the load succeeds, and is wrong."""
    with pytest.raises(ProbeMismatch, match=r"no lm_head\.weight"):
        await make_worker().load_policy(learner.publish(3, lm_head=False))
    assert await make_worker().load_policy(learner.publish(3)) < 1e-4


@pytest.mark.parametrize(
    ("changes", "error", "complaint"),
    [
        ({"max_model_len": 100}, InputError, "max_model_len"),
        ({"kv_cache_gib": 1e-4}, ResourceError, "holds no sequence of 64 tokens"),
        ({"kv_cache_gib": 1e6}, ResourceError, "memory are free"),
        ({"weight_transport": "nccl"}, ConfigError, "needs a CUDA device"),
    ],
)
async def test_what_cannot_start_is_said_in_one_line(
    environment: None,
    tiny_model: Path,
    changes: dict[str, object],
    error: type[Exception],
    complaint: str,
) -> None:
    import torch

    from actors.vllm_engine import VllmEngine

    if "weight_transport" in changes and torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    engine = VllmEngine(tiny_model, RolloutConfig.model_validate(changes), seed=0)
    with pytest.raises(error, match=complaint) as caught:
        await engine.start()
    assert "\n" not in str(caught.value)


async def test_an_engine_that_is_to_rest_needs_a_gpu(environment: None, tiny_model: Path) -> None:
    import torch

    from actors.vllm_engine import VllmEngine

    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    engine = VllmEngine(tiny_model, CONFIG, seed=0, rests=True)
    with pytest.raises(ConfigError, match="needs a CUDA device, whose memory"):
        await engine.start()
    with pytest.raises(ValueError, match="Sleep mode is not supported on current platform"):
        engine._engine_args().create_engine_config()  # vLLM was told, and says why


@pytest.mark.parametrize("rests", [True, False])
async def test_an_engine_that_is_to_rest_is_built_so(
    environment: None, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, rests: bool
) -> None:
    """By vLLM's own arguments and config, on a platform that says it can."""
    from vllm.platforms import current_platform

    from actors.vllm_engine import VllmEngine

    monkeypatch.setattr(type(current_platform), "is_sleep_mode_available", lambda _: True)
    engine = VllmEngine(tiny_model, CONFIG, seed=0, rests=rests)
    built = engine._engine_args().create_engine_config()
    assert built.model_config.enable_sleep_mode is rests
    assert built.model_config.sleep_mode_backend == "cumem"


async def test_an_engine_that_shares_its_gpu_is_told_its_cache(
    environment: None, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By vLLM's own config, so that it measures nothing where others load meanwhile."""
    from vllm.platforms import current_platform

    from actors.vllm_engine import VllmEngine

    monkeypatch.setattr(type(current_platform), "get_device_total_memory", lambda _: 20 * GIB)
    config = RolloutConfig(kv_cache_gib=0, gpu_memory_utilization=0.25)

    def told(beside_cache: int | None, **changes: object) -> int | None:
        changed = config.model_copy(update=changes)
        engine = VllmEngine(tiny_model, changed, seed=0, beside_cache=beside_cache)
        built = engine._engine_args().create_engine_config()
        given: int | None = built.cache_config.kv_cache_memory_bytes
        return given

    assert told(2 * GIB) == 3 * GIB
    assert told(2 * GIB, kv_cache_gib=0.5) == GIB // 2
    assert told(None) is None
    crowded = VllmEngine(tiny_model, config, seed=0, beside_cache=6 * GIB)
    with pytest.raises(ResourceError, match=r"of a GPU of 20\.0 GiB is 5\.0, .* 6\.0 beside"):
        await crowded.start()
    scarce = VllmEngine(tiny_model, config, seed=0, beside_cache=5 * GIB - 2**10)
    with pytest.raises(ResourceError, match="holds no sequence of 64 tokens"):
        await scarce.start()


async def test_a_missing_model_is_named(environment: None, tmp_path: Path) -> None:
    from actors.vllm_engine import VllmEngine

    with pytest.raises(MissingError, match="nowhere"):
        await VllmEngine(tmp_path / "nowhere", CONFIG, seed=0).start()


async def test_a_sequence_longer_than_the_context_is_refused(running: VllmEngine) -> None:
    with pytest.raises(InputError, match="vLLM refuses"):
        await running.score((5,) * (running.context_length + 1))
