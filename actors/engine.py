"""The port a rollout worker draws responses through, whatever engine stands behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from actors.weights import Weights
from protocol.messages import Sampling


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What an engine drew for one prompt."""

    token_ids: tuple[int, ...]
    """[T], the tokens drawn."""
    logprobs: tuple[float, ...]
    """[T], nats, under the sampling temperature, of the distribution each token was drawn from."""
    policy_versions: tuple[int, ...]
    """[T], the policy version whose weights each token was drawn under."""


class Engine(Protocol):
    """A language model that samples, scores, and changes its weights while it samples."""

    @property
    def context_length(self) -> int:
        """Longest prompt + response, tokens. Known once started."""
        ...

    @property
    def end_token_ids(self) -> frozenset[int]:
        """All end tokens that the model's files name; may be none. Known once started."""
        ...

    async def start(self) -> None:
        """Load the model; its weights are policy version 0. Called once; may take half a minute.

        Raises:
            UserError: The model, the config or the machine's memory does not allow it.
        """
        ...

    async def sample(
        self,
        request_id: str,
        prompt_token_ids: Sequence[int],
        sampling: Sampling,
        *,
        stop_token_ids: frozenset[int],
    ) -> Sample:
        """Draw a response, from the whole distribution: top-p 1, top-k off.

        Args:
            request_id: Names the request in the engine's logs.
            prompt_token_ids: [P].
            sampling: Temperature, T and seed.
            stop_token_ids: The tokens after which sampling stops, themselves included; with none
                exactly T tokens are sampled.

        Raises:
            InputError: The prompt holds a token the model does not know.
            EngineDied: The engine died.
        """
        ...

    async def score(self, token_ids: Sequence[int]) -> tuple[float, ...]:
        """Return the log-probabilities [P − 1] of tokens 1 … P−1 at temperature 1, nats.

        P must be below `context_length`: an engine may have to draw one token to score.
        """
        ...

    async def load(self, version: int, weights: Weights) -> None:
        """Change weights in flight: tokens drawn from here on belong to `version`.

        Requests under way are kept, and go on under the new weights on their old KV cache.
        """
        ...

    async def rest(self) -> None:
        """Finish what is being drawn, then give the device's memory back, weights to the host.

        What it is asked for meanwhile waits until it is awake.
        """
        ...

    async def wake_weights(self) -> None:
        """Take memory for the weights, those of before; `load` may come then, and `wake` must."""
        ...

    async def wake(self) -> None:
        """Take the rest of the memory, and go on. Comes after `wake_weights`."""
        ...

    def decode(self, token_ids: Sequence[int]) -> str:
        """Return what people are shown of tokens: all of them, see `protocol.shown_text`."""
        ...

    def ids_reading(self, text: str) -> frozenset[int]:
        """Return all tokens that read `text`; none may do."""
        ...

    async def stop(self) -> None:
        """End the engine and its processes. May be called twice."""
        ...
