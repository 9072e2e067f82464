"""An engine of a few lines: a bigram model in plain Python, exact in all that the port promises."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import math
import random
from collections.abc import Sequence
from pathlib import Path

from actors.engine import Sample
from actors.weights import Pieces, Weights
from protocol.errors import InputError
from protocol.messages import PolicyVersion, Probe, Sampling, WeightsFile

PROBE_TOKENS = (5, 3, 4, 6, 7, 2)
WORDS = ("<pad>", "<eos>", ".", "good", "bad", "soup", "very", "the")


def fake_weights(number: int, *, lm_head: bool = True) -> bytes:
    """Return safetensors bytes from which a FakeEngine makes its table: one number, one tensor."""
    names = ["table", "lm_head.weight"] if lm_head else ["table"]
    header = {
        name: {"dtype": "U8", "shape": [1], "data_offsets": [place, place + 1]}
        for place, name in enumerate(names)
    }
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes([number] * len(names))


def bigram_logits(number: int) -> list[list[float]]:
    """Return the logits [V, V] that weights `number` stand for."""
    draw = random.Random(number)
    return [[draw.gauss(0, 2) for _ in WORDS] for _ in WORDS]


def log_softmax(logits: Sequence[float], temperature: float = 1.0) -> list[float]:
    scaled = [logit / temperature for logit in logits]
    top = max(scaled)
    norm = top + math.log(sum(math.exp(logit - top) for logit in scaled))
    return [logit - norm for logit in scaled]


def fake_policy(
    version: int, folder: Path, *, lm_head: bool = True, probe_of: int | None = None
) -> PolicyVersion:
    """Publish weights `version`, with the probe of weights `probe_of` (else their own)."""
    content = fake_weights(version, lm_head=lm_head)
    path = folder / f"v{version}"
    path.write_bytes(content)
    table = bigram_logits(version if probe_of is None else probe_of)
    pairs = itertools.pairwise(PROBE_TOKENS)
    return PolicyVersion(
        version=version,
        episodes=0,
        weights=WeightsFile(
            path=str(path),
            sha256=hashlib.sha256(content).hexdigest(),
            num_bytes=len(content),
        ),
        probe=Probe(
            token_ids=PROBE_TOKENS,
            logprobs=tuple(log_softmax(table[before])[token] for before, token in pairs),
        ),
        reward_version=0,
        learned_through=0,
    )


class FakeEngine:
    """See `actors.engine.Engine`. Stops at `pause_at` tokens of every draw until `release`d.

    `moves` are what became of its memory, and the versions loaded, in order.
    """

    def __init__(
        self, *, context_length: int = 32, end_token_ids: frozenset[int] = frozenset({1})
    ) -> None:
        self.context_length = context_length
        self.end_token_ids = end_token_ids
        self.pause_at: int | None = None
        self.paused = asyncio.Event()
        self.release = asyncio.Event()
        self.num_samples = 0
        self.num_loads = 0
        self.num_stops = 0
        self.failure: Exception | None = None
        self.moves: list[str] = []
        self._has_weights = True
        self._num_drawing = 0
        self._is_idle = asyncio.Event()
        self._is_idle.set()
        self._is_awake = asyncio.Event()
        self._is_awake.set()
        self._random = random.Random(0)
        self._table = bigram_logits(0)
        self._version = 0

    async def start(self) -> None:
        self._version = 0

    async def sample(
        self,
        request_id: str,
        prompt_token_ids: Sequence[int],
        sampling: Sampling,
        *,
        stop_token_ids: frozenset[int],
    ) -> Sample:
        self.num_samples += 1
        if self.failure is not None:
            raise self.failure
        if max(prompt_token_ids) >= len(WORDS):
            raise InputError(f"{request_id} holds a token outside the vocabulary")
        await self._is_awake.wait()
        self._num_drawing += 1
        self._is_idle.clear()
        try:
            return await self._draw(prompt_token_ids, sampling, stop_token_ids)
        finally:
            self._num_drawing -= 1
            if not self._num_drawing:
                self._is_idle.set()

    async def _draw(
        self,
        prompt_token_ids: Sequence[int],
        sampling: Sampling,
        stop_token_ids: frozenset[int],
    ) -> Sample:
        last = prompt_token_ids[-1]
        token_ids: list[int] = []
        logprobs: list[float] = []
        versions: list[int] = []
        while len(token_ids) < sampling.max_tokens and (
            not token_ids or last not in stop_token_ids
        ):
            await self._maybe_pause(len(token_ids))
            row = log_softmax(self._table[last], sampling.temperature)
            last = self._random.choices(range(len(WORDS)), [math.exp(x) for x in row])[0]
            token_ids.append(last)
            logprobs.append(row[last])
            versions.append(self._version)
        return Sample(
            token_ids=tuple(token_ids), logprobs=tuple(logprobs), policy_versions=tuple(versions)
        )

    async def score(self, token_ids: Sequence[int]) -> tuple[float, ...]:
        await self._is_awake.wait()
        pairs = itertools.pairwise(token_ids)
        return tuple(log_softmax(self._table[before])[token] for before, token in pairs)

    async def load(self, version: int, weights: Weights) -> None:
        assert self._has_weights, "there is no memory to load into"
        self.num_loads += 1
        self.moves.append(f"loaded {version}")
        await asyncio.sleep(0)
        assert isinstance(weights, Path | Pieces)
        if isinstance(weights, Path):
            content = weights.read_bytes()
        else:
            content = b"".join([piece async for piece in weights])
        self._table = bigram_logits(content[-1])
        self._version = version

    async def rest(self) -> None:
        self._is_awake.clear()
        await self._is_idle.wait()
        self._has_weights = False
        self.moves.append("rests")

    async def wake_weights(self) -> None:
        self._has_weights = True
        self.moves.append("has weights")

    async def wake(self) -> None:
        assert self._has_weights, "weights come first"
        self.moves.append("awake")
        self._is_awake.set()

    def decode(self, token_ids: Sequence[int]) -> str:
        return " ".join(WORDS[i] if i > 1 else f"⟨{WORDS[i]}⟩" for i in token_ids)

    def ids_reading(self, text: str) -> frozenset[int]:
        return frozenset(i for i, word in enumerate(WORDS) if word == text)

    async def stop(self) -> None:
        self.num_stops += 1

    async def _maybe_pause(self, num_tokens: int) -> None:
        await asyncio.sleep(0)
        if num_tokens == self.pause_at:
            self.paused.set()
            await self.release.wait()
