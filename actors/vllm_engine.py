"""The vLLM engine: the module that speaks to vLLM.

A `VllmEngine` wraps one `AsyncLLM`, whose engine core runs in a process of its own and takes
weights by `actors.vllm_plugin`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from actors.config import RolloutConfig
from actors.device import check_device
from actors.end_tokens import model_end_ids
from actors.engine import Sample
from actors.liveness import while_alive
from actors.memory import GIB, cache_beside_others, check_kv_cache
from actors.served_folder import served_folder
from actors.tokenizer import load_tokenizer
from actors.vllm_plugin import SAFETENSORS_BACKEND
from actors.weights import Weights, updates
from protocol.errors import EngineDied, InputError, ResourceError
from protocol.folders import FoldersHere
from protocol.logs import logger_of
from protocol.messages import DeviceTransfer, Sampling
from protocol.model_errors import as_model_error
from protocol.model_folder import inspect_model
from protocol.ports import OpenStore
from protocol.tokenizing import PolicyTokenizer

if TYPE_CHECKING:
    from vllm.config import VllmConfig
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.outputs import RequestOutput
    from vllm.sampling_params import SamplingParams
    from vllm.v1.engine.async_llm import AsyncLLM

_log = logger_of("engine")

SHUTDOWN_TIMEOUT_S = 10.0


class VllmEngine:
    """The engine port (see `actors.engine.Engine`) on vLLM's `AsyncLLM`."""

    def __init__(
        self,
        model: Path,
        config: RolloutConfig,
        *,
        seed: int,
        open_store: OpenStore = FoldersHere,
        rests: bool = False,
        beside_cache: int | None = None,
    ) -> None:
        """Take the settings; `start` does the work.

        Args:
            model: A Hugging Face folder.
            config: Of the rollout actors.
            seed: Of the draws without one of their own; no two actors may share it.
            open_store: How this process reaches the folder.
            rests: Whether its memory is allocated so that `rest` frees it, which takes CUDA.
            beside_cache: Bytes that it takes of a shared device beside its KV cache, see
                `cache_beside_others`; None: the device is its own, or there is none.
        """
        self._fetch = lambda: open_store().fetch(model)
        self._model = model
        self._config = config
        self._seed = seed
        self._rests = rests
        self._beside_cache = beside_cache
        self._is_resting = False
        self._llm: AsyncLLM | None = None
        self._tokenizer: PolicyTokenizer | None = None
        self._end_token_ids: frozenset[int] = frozenset()
        self._context_length = 0
        self._vocab_size = 0
        self._num_scores = 0
        self._met_trainer = False

    @property
    def context_length(self) -> int:
        """Longest prompt + response, tokens."""
        return self._context_length

    @property
    def end_token_ids(self) -> frozenset[int]:
        """All end tokens that the model's files name."""
        return self._end_token_ids

    async def start(self) -> None:
        """Load the model and start the engine core; blocks the event loop meanwhile.

        AsyncLLM ties itself to the running event loop, so it cannot start in a thread.

        Raises:
            UserError: The model, the config or the machine's memory does not allow it.
        """
        self._model = await asyncio.to_thread(self._fetch)
        model = inspect_model(self._model)
        check_device(self._config, rests=self._rests)
        from vllm.v1.engine.async_llm import AsyncLLM

        began = time.monotonic()
        with as_model_error(self._model, "vLLM cannot serve it"):
            _import_class(model.architecture)
            vllm_config = self._engine_args().create_engine_config()
        self._context_length = vllm_config.model_config.max_model_len
        self._vocab_size = vllm_config.model_config.get_vocab_size()
        self._check_memory(vllm_config)
        tokenizer = load_tokenizer(self._model)
        self._tokenizer = PolicyTokenizer(tokenizer)
        self._end_token_ids = model_end_ids(self._model, tokenizer.eos_token_id, self._vocab_size)
        try:
            self._llm = AsyncLLM.from_vllm_config(vllm_config, disable_log_stats=True)
        except RuntimeError as error:
            raise ResourceError(
                f"vLLM did not start on {self._model}: the log of its engine core names the cause"
            ) from error
        await self._llm.update_weight_version("0")
        _log.info("engine started", model=str(self._model), seconds=time.monotonic() - began)

    async def sample(
        self,
        request_id: str,
        prompt_token_ids: Sequence[int],
        sampling: Sampling,
        *,
        stop_token_ids: frozenset[int],
    ) -> Sample:
        """Draw a response; see the port."""
        params = sampling_params(sampling, stop_token_ids)
        output = await self._run(request_id, prompt_token_ids, params)
        completion = output.outputs[0]
        versions: list[int] = []
        for span in completion.weight_versions:
            versions += [int(span.version)] * (span.end - span.start)
        return Sample(
            token_ids=tuple(completion.token_ids),
            logprobs=tuple(completion.logprobs.logprobs),
            policy_versions=tuple(versions),
        )

    async def score(self, token_ids: Sequence[int]) -> tuple[float, ...]:
        """Return log-probabilities [P − 1] at temperature 1; see the port."""
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        # vLLM scores prompts without the sampling temperature, and must draw one token more.
        params = SamplingParams(
            max_tokens=1,
            prompt_logprobs=0,
            flat_logprobs=True,
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )
        self._num_scores += 1
        output = await self._run(f"score-{self._num_scores}", token_ids, params)
        return tuple(output.prompt_logprobs.logprobs)

    async def load(self, version: int, weights: Weights) -> None:
        """Change weights in flight; see the port.

        vLLM marks each token with the version in force, and changes the mark while paused, so
        no token carries another version than the one it was drawn under.
        """
        await self._while_alive(self._load(self._running, version, weights))

    async def _load(self, llm: AsyncLLM, version: int, weights: Weights) -> None:
        from vllm.distributed.weight_transfer import base

        if isinstance(weights, DeviceTransfer) and not self._met_trainer:
            init = base.WeightTransferInitRequest(dict(weights.init_info))
            await llm.init_weight_transfer_engine(init)
            self._met_trainer = True
        if self._is_resting:  # vLLM's scheduler stands still, and resumed now it has no cache
            await _update(llm, version, weights)
            return
        # Not by AsyncLLM's own method, which sleeps 20 ms more, for callers who count tokens by the
        # order in which they come; each of ours says under which version it was drawn.
        await llm.engine_core.pause_scheduler_async(mode="keep", clear_cache=False)
        try:
            await _update(llm, version, weights)
        finally:
            await llm.resume_generation()

    async def rest(self) -> None:
        """Finish, and free weights and cache; see the port.

        At vLLM's level 1, which keeps the weights on the host: what it made of them at its start,
        and no version brings anew, is exact when it wakes, and so is a version that is no longer
        published.
        """
        await self._while_alive(self._running.sleep(level=1, mode="wait"))
        self._is_resting = True

    async def wake_weights(self) -> None:
        """Take memory for the weights; see the port."""
        await self._while_alive(self._running.wake_up(tags=["weights"]))

    async def wake(self) -> None:
        """Take memory for the cache, and go on; see the port."""
        await self._while_alive(self._running.wake_up(tags=["kv_cache"]))
        self._is_resting = False

    def decode(self, token_ids: Sequence[int]) -> str:
        """Return what people are shown of tokens; see the port."""
        return self._running_tokenizer.shown_text(token_ids)

    def ids_reading(self, text: str) -> frozenset[int]:
        """Return all tokens that read `text` and that the model can sample."""
        found = self._running_tokenizer.ids_reading(text)
        return frozenset(token_id for token_id in found if token_id < self._vocab_size)

    async def stop(self) -> None:
        """End the engine core and wait for it to go. May be called twice."""
        if self._llm is None:
            return
        llm, self._llm = self._llm, None
        # In a thread it would race with vLLM's output loop, which takes the end for a crash.
        llm.shutdown(SHUTDOWN_TIMEOUT_S)

    @property
    def _running(self) -> AsyncLLM:
        assert self._llm is not None, "start() first"
        return self._llm

    @property
    def _running_tokenizer(self) -> PolicyTokenizer:
        assert self._tokenizer is not None, "start() first"
        return self._tokenizer

    async def _while_alive(self, answer: Coroutine[Any, Any, None]) -> None:
        """Wait for the engine core; raise EngineDied once it is gone."""
        llm = self._running
        with _death_is_named():
            await while_alive(answer, lambda: bool(llm.errored))

    async def _run(
        self, request_id: str, token_ids: Sequence[int], params: SamplingParams
    ) -> RequestOutput:
        from vllm.exceptions import VLLMValidationError
        from vllm.inputs import tokens_input

        if max(token_ids) >= self._vocab_size:  # vLLM would let it through, and its core would die
            raise InputError(
                f"request {request_id} holds token {max(token_ids)}, the model knows "
                f"{self._vocab_size}: tokenize prompts with the tokenizer in {self._model}"
            )
        stream = self._running.generate(tokens_input(list(token_ids)), params, request_id)
        try:
            with _death_is_named():
                # FINAL_ONLY: the stream holds one output, the finished one.
                outputs = [output async for output in stream]
        except VLLMValidationError as error:
            words = " ".join(str(error).split())[:300]
            raise InputError(f"vLLM refuses request {request_id}: {words}") from None
        return outputs[-1]

    def _engine_args(self) -> AsyncEngineArgs:
        from vllm.config import WeightTransferConfig
        from vllm.engine.arg_utils import AsyncEngineArgs

        config = self._config
        return AsyncEngineArgs(
            model=str(served_folder(self._model)),
            # Else it takes a model's other form, params.json and consolidated.safetensors, if any.
            config_format="hf",
            load_format="safetensors",
            dtype=config.dtype,
            seed=self._seed,
            enable_sleep_mode=self._rests,
            max_model_len=config.max_model_len,
            max_num_seqs=config.max_num_seqs,
            kv_cache_memory_bytes=self._cache_bytes(),
            gpu_memory_utilization=config.gpu_memory_utilization,
            enforce_eager=config.enforce_eager,
            tensor_parallel_size=config.tensor_parallel_size,
            distributed_executor_backend=_executor(config.tensor_parallel_size),
            weight_transfer_config=WeightTransferConfig(
                backend=config.weight_transport if config.goes_by_device else SAFETENSORS_BACKEND
            ),
            # Log-probabilities of the distribution that is sampled: after the temperature.
            logprobs_mode="processed_logprobs",
            # A cached prefix would outlive the weights it was computed under.
            enable_prefix_caching=False,
            # Else the model's own defaults (top-k, penalties) could creep in.
            generation_config="vllm",
            skip_tokenizer_init=True,
            use_tqdm_on_load=False,
        )

    def _cache_bytes(self) -> int | None:
        """Return the size of the KV cache; None leaves it to vLLM, which measures it."""
        from vllm.platforms import current_platform

        config = self._config
        if config.kv_cache_gib or self._beside_cache is None:
            return int(config.kv_cache_gib * GIB) or None
        device_bytes = current_platform.get_device_total_memory()
        return cache_beside_others(device_bytes, config.gpu_memory_utilization, self._beside_cache)

    def _check_memory(self, vllm_config: VllmConfig) -> None:
        """Say before the start what vLLM would say in the log of another process."""
        import torch

        model, parallel = vllm_config.model_config, vllm_config.parallel_config
        cache = vllm_config.cache_config
        numbers_per_token = (
            2  # key and value
            * model.get_num_layers(parallel)
            * model.get_num_kv_heads(parallel)
            * model.get_head_size()
        )
        check_kv_cache(
            self._config.kv_cache_gib or (cache.kv_cache_memory_bytes or 0) / GIB,
            context_length=self._context_length,
            block_size=cache.block_size,
            bytes_per_token=numbers_per_token * model.dtype.itemsize,
            free_bytes=None if torch.cuda.is_available() else psutil.virtual_memory().available,
        )


def sampling_params(sampling: Sampling, stop_token_ids: Collection[int]) -> SamplingParams:
    """Return how a response is drawn, in vLLM's words."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    return SamplingParams(
        temperature=sampling.temperature,
        max_tokens=sampling.max_tokens,
        seed=sampling.seed,
        top_p=1.0,
        top_k=0,
        ignore_eos=True,  # whether the end token ends a response is ours to say
        stop_token_ids=sorted(stop_token_ids),
        logprobs=0,  # of the token drawn, and of no other
        flat_logprobs=True,
        detokenize=False,
        output_kind=RequestOutputKind.FINAL_ONLY,
    )


def _executor(num_devices: int) -> str | None:
    """Return the name of what runs an engine's workers; None leaves it to vLLM.

    On CPU vLLM would give even a single worker a process of its own, for thread binding that we do
    not want: 0.4 GB and ten seconds of start-up more. Of several it would find the placement group
    that the actor is in, take Ray for their processes, and refuse its one bundle; but all devices
    are this actor's own.
    """
    import torch

    if num_devices > 1:
        return "mp"
    if torch.cuda.is_available():
        return None
    return "vllm.v1.executor.uniproc_executor.UniProcExecutor"


async def _update(llm: AsyncLLM, version: int, weights: Weights) -> None:
    from vllm.distributed.weight_transfer.base import WeightTransferUpdateRequest

    await llm.start_weight_update()
    async for update in updates(weights):
        await llm.update_weights(WeightTransferUpdateRequest(update))
    await llm.finish_weight_update(weight_version=str(version))


@contextmanager
def _death_is_named() -> Iterator[None]:
    from vllm.v1.engine.exceptions import EngineDeadError

    try:
        yield
    except EngineDeadError:
        raise EngineDied("the vLLM engine core died: its log names the cause") from None


def _import_class(architecture: str) -> None:
    """Import a model's class here: vLLM would import all of itself elsewhere to look at it."""
    from vllm.model_executor.models.registry import ModelRegistry

    if (known := ModelRegistry.models.get(architecture)) is not None:
        ModelRegistry.register_model(architecture, known.load_model_cls())
