"""What a run's config says of responses and rollout actors.

Z is Ziegler et al. 2019, the source of the response settings.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from protocol.ending import ResponseMode
from protocol.settings import Count, Processes, Seconds, Settings, Tokens

WeightTransportName = Literal["auto", "shared_memory", "object_store", "nccl", "ipc"]


class ResponseConfig(Settings):
    """How long a response is, where it ends, and what one that never ends is worth."""

    mode: ResponseMode = "fixed"
    """"fixed" samples `max_tokens` whatever comes (Z §2.1); "end_token" stops at the end token."""
    max_tokens: Tokens = 24
    """T, tokens of a response: in mode "fixed" exactly so many, else at most. Z's style tasks: 24;
    its summaries: 75."""
    temperature: float = Field(default=1.0, ge=0.01, le=100)
    """What logits are divided by, in sampling, ratios and KL alike. Z's style tasks: 0.7. Anything
    below 0.01 would be raised to it by vLLM, silently."""
    cut_token: str = "."
    """Text of the token that ends a fixed response (Z: "." or a newline); every token with this
    text does. "": none does, and every response is kept whole and complete."""
    cut_after: int = Field(default=16, ge=0, le=100_000_000)
    """Index from which `cut_token` ends the response. Z's style tasks: 16; its summaries: 55."""
    end_tokens: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Texts of the tokens that end a response in mode "end_token", one token each, e.g.
    ["<end_of_turn>"]; empty: all that the model's tokenizer, config and generation config name."""
    missing_cut_score: float = Field(default=-1.0, ge=-1_000, le=1_000)
    """The fixed score, in RL, of a response in which no cut or end token came (Z)."""

    @model_validator(mode="after")
    def _cut_can_come(self) -> Self:
        if self.mode == "fixed" and self.cut_token and self.cut_after >= self.max_tokens:
            raise ValueError(
                f"cut_after ({self.cut_after}) must be below max_tokens ({self.max_tokens}), "
                'else no response is ever complete; with cut_token = "" all are, uncut'
            )
        return self


class RolloutConfig(Settings):
    """The rollout actors and the vLLM engine in each."""

    num_actors: Processes = 2
    """Rollout actors, one engine each."""
    requests_per_call: Count = 16
    """Rollout requests the controller hands an actor at once."""
    seed_requests: bool = False
    """Give each request a seed of its own, made of `run.seed` and its id: then its response can be
    drawn again, whichever actor draws it. Always so where `recording.record` names "rollouts"."""
    torch_threads: Processes = 1
    """Threads of an engine on CPU. One: a busy neighbour halves a two-thread process."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Type of the engine's weights. float32 agrees with the learner to about 1e-6 nats."""
    kv_cache_gib: float = Field(default=0.25, ge=0, le=1_000_000)
    """KV cache an engine takes, GiB; 0: what `gpu_memory_utilization` leaves, as vLLM measures it
    on a GPU of the engine's own, and as `andon plan` counts it on one that it shares."""
    max_model_len: int | None = Field(default=None, ge=2, le=100_000_000)
    """Longest prompt + response, tokens; None takes the model's own context: times the factor where
    positions are scaled linearly, and the shorter one of two."""
    max_num_seqs: int = Field(default=128, ge=1, le=1_000_000)
    """Sequences an engine decodes at once; more wait inside it."""
    enforce_eager: bool = True
    """Skip compilation: start-up is what counts for small models. Set false on a GPU."""
    gpu_memory_utilization: float = Field(default=0.9, gt=0, le=1)
    """Share of the device's memory for weights and KV cache; read when `kv_cache_gib` is 0."""
    tensor_parallel_size: Processes = 1
    """Devices an engine is split over."""
    weight_transport: WeightTransportName = "auto"
    """How weights travel: "shared_memory" on one node and "object_store" across nodes, both on any
    device, of which "auto" takes the first where learner and actors are on one node; or vLLM's own
    ways, "nccl" from GPU to GPU and "ipc" where learner and actors share one GPU, in whose memory
    `run.max_policy_lag` + 2 copies of the weights are then kept."""
    push_timeout_s: Seconds = 60.0
    """How long the learner waits for the actors to take a version; for "nccl" alone."""
    probe_tolerance: float = Field(default=1e-3, gt=0, le=100)
    """Largest difference between engine and learner on a token of the probe that is accepted
    whatever the type, nats. A lost output head is off by 1; float32 by 1e-6."""
    probe_factor: float = Field(default=3.0, ge=1, le=1_000)
    """Where engine or learner is in a type of fewer digits than float32: how many times as far as
    rounding moves the learner's own log-probabilities the engine's may be from them, on average and
    at nine tokens in ten of the probe. Two sound ones in bfloat16 were 0.6 to 0.9 times as far
    apart."""

    @property
    def goes_by_device(self) -> bool:
        """Whether weights go from GPU to GPU, by vLLM's own ways."""
        return self.weight_transport in ("nccl", "ipc")

    @property
    def adapters_travel(self) -> bool:
        """Whether engines add adapters to ρ themselves; vLLM's own transports take whole weights.

        Only of use where `policy.lora` is set.
        """
        return not self.goes_by_device
