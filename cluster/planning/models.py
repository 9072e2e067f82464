"""The run's models on the meta device: what they count, and what their passes hold.

Letters: B sequences, L tokens of prompt and response, T response tokens, P weights, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM

from cluster.planning.live_bytes import LiveBytes, fast_attention, grouped_products
from learners.activations import keep_no_activations
from learners.parting import layers_of
from learners.policy_model import PolicyModel
from protocol.context_length import context_of
from reward_service.adapters import add_adapters, base_parameters, sharing
from reward_service.config import LoRAConfig, RewardModelConfig
from reward_service.forward import hidden_states
from reward_service.fused import with_fused_activations
from reward_service.pretrained import quiet_library, without_dropout
from reward_service.reward_model import RewardModel

Critic = Literal["shared", "separate"]

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
"""Bytes of a number, by the names that configs have for types."""

_KV_HEADS = ("num_key_value_heads", "num_kv_heads", "n_head_kv", "multi_query_group_num")
"""How configs call the heads of keys and values, where these are fewer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """What a module's parameters count; tied ones, and those that two parts share, count once."""

    total: int
    """P."""
    largest: int
    """Weights of the largest parameter."""
    base: int = 0
    """Weights that stay as they are, beside adapters or under heads alone."""
    largest_trained: int | None = None
    """Weights of the largest parameter that is trained; None: `largest`."""
    layer: int = 0
    """Weights of the largest layer, of those that run one after the other."""

    @property
    def trained(self) -> int:
        """Weights that gradients, moments, checkpoints and reward versions are of."""
        return self.total - self.base

    @property
    def largest_of_trained(self) -> int:
        """Weights of the largest parameter that is trained."""
        return self.largest if self.largest_trained is None else self.largest_trained


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyKind:
    """What a run trains by PPO."""

    critic: Critic = "shared"
    lora: LoRAConfig | None = None
    """Adapters; None: all weights are trained."""
    has_own_critic: bool = False
    """Whether a separate critic starts from a reward, and shares no weight with ρ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapters:
    """What the adapters of one model count."""

    total: int
    """Weights of all of them."""
    largest_adapted: int
    """Weights of the largest layer that has one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PassShape:
    """One forward pass on one rank."""

    rows: int
    """B."""
    prompt_tokens: int
    response_tokens: int
    """T, of the longest response; padding counts."""


class MetaModels:
    """The models that are made of one Hugging Face config. What was counted once is kept.

    Args:
        shape: The config of ρ, a causal language model.
        follows_passes: Whether passes are run to see what they hold; else they count for nothing,
            and weights alone are counted.
    """

    def __init__(self, shape: Any, *, follows_passes: bool = True) -> None:
        self._shape = without_dropout(shape)
        self._follows_passes = follows_passes

    @cached_property
    def language_model(self) -> Weights:
        """ρ alone, as it samples and as it is compared with."""
        return _count(self._language_model())

    @lru_cache  # noqa: B019 -- lives as long as the plan
    def policy(self, kind: PolicyKind) -> Weights:
        """Return what π counts with its critic, as it is trained.

        Raises ConfigError where adapters do not fit it.
        """
        return _count(self._policy(kind))

    @lru_cache  # noqa: B019
    def adapters(self, config: LoRAConfig) -> Adapters:
        """Return what adapters of ρ alone count."""
        model = self._policy(PolicyKind(lora=config)).language_model
        own = [x.numel() for x in model.parameters() if x.requires_grad]
        layers = [x for x in model.modules() if hasattr(x, "lora_A")]
        largest = max(each.get_base_layer().weight.numel() for each in layers)
        return Adapters(total=sum(own), largest_adapted=largest)

    @lru_cache  # noqa: B019
    def reward(self, config: RewardModelConfig) -> Weights:
        """Return what a reward model counts, with its heads.

        Raises ConfigError where adapters do not fit it.
        """
        return _count(self._reward_model(config))

    @cached_property
    def published(self) -> int:
        """Weights of a published version: tied ones are sent under each of their names."""
        named = self._language_model().named_parameters(remove_duplicate=False)
        return sum(parameter.numel() for _, parameter in named)

    @cached_property
    def context_tokens(self) -> int | None:
        """The most tokens a sequence may have; None: the config names no bound."""
        return context_of(self._shape.to_dict())

    @cached_property
    def vocabulary(self) -> int:
        """V."""
        return int(self._shape.vocab_size)

    def kv_bytes_per_token(self, dtype: str) -> int:
        """Return the bytes of keys and values of one token in all layers.

        Of an architecture that keeps less, by a window or by compressing, it is too much; of one
        without attention, which keeps none by token, 0.
        """
        config = self._shape.get_text_config()
        heads = getattr(config, "num_attention_heads", None)
        if not heads:
            return 0
        width = getattr(config, "head_dim", None) or config.hidden_size // heads
        own = next(filter(None, (getattr(config, name, None) for name in _KV_HEADS)), heads)
        return int(2 * config.num_hidden_layers * own * width * BYTES[dtype])

    @lru_cache  # noqa: B019
    def policy_step(
        self,
        kind: PolicyKind,
        shape: PassShape,
        dtype: str,
        *,
        checkpointing: bool,
        gradients_are_new: bool,
    ) -> int:
        """Return the most bytes that one pass of a PPO step holds, beyond weights and gradients.

        Args:
            kind: What is trained.
            shape: Of the pass.
            dtype: Of the weights.
            checkpointing: Whether layers are computed again.
            gradients_are_new: Whether the pass makes the gradients, which count then, or adds to
                gradients that are there.
        """
        if not self._follows_passes:
            return 0
        model = self._policy(kind).to(getattr(torch, dtype))
        if checkpointing:
            keep_no_activations(model)
        inputs = _responses(shape)
        graded = _peak(model, lambda: _summed(model(*inputs)), gradients_are_new=gradients_are_new)
        with torch.no_grad():
            looked_at = _peak(model, lambda: model(*inputs, with_entropy=True))
        return max(graded, looked_at)

    @lru_cache  # noqa: B019
    def text_pass(
        self,
        kind: PolicyKind,
        rows: int,
        tokens: int,
        dtype: str,
        *,
        checkpointing: bool,
        gradients_are_new: bool | None,
    ) -> int:
        """Return the most bytes that a pass over pretraining text holds, beyond the same.

        Args:
            kind: What is trained.
            rows: Blocks of the pass.
            tokens: Of a block.
            dtype: Of the weights.
            checkpointing: Whether layers are computed again.
            gradients_are_new: As in `policy_step`; None: the pass only looks.
        """
        if not self._follows_passes:
            return 0
        model = self._policy(kind).to(getattr(torch, dtype))
        if checkpointing:
            keep_no_activations(model)
        inputs = _responses(PassShape(rows=rows, prompt_tokens=1, response_tokens=tokens - 1))
        run = partial(_text_losses, model, inputs)
        with torch.set_grad_enabled(gradients_are_new is not None):
            return _peak(model, run, gradients_are_new=gradients_are_new)

    @lru_cache  # noqa: B019
    def reward_features(self, config: RewardModelConfig) -> int:
        """Return F, the features that a reward model's heads see of a text."""
        return self._reward_model(config).num_features

    @lru_cache  # noqa: B019
    def reward_step(
        self,
        config: RewardModelConfig,
        shape: PassShape,
        dtype: str,
        *,
        checkpointing: bool,
        gradients_are_new: bool,
    ) -> int:
        """Return the most bytes that one pass of a reward fit holds; see `policy_step`."""
        if not self._follows_passes:
            return 0
        model = self._reward_model(config).to(getattr(torch, dtype))
        if checkpointing:
            keep_no_activations(model)
        ids = _ids(shape)
        return _peak(
            model, lambda: _raw_scores(model, ids).sum(), gradients_are_new=gradients_are_new
        )

    @lru_cache  # noqa: B019
    def scoring(self, config: RewardModelConfig, rows: int, tokens: int, dtype: str) -> int:
        """Return the most bytes that scoring holds beyond the weights; each of `rows` so long."""
        if not self._follows_passes:
            return 0
        model = self._reward_model(config).to(getattr(torch, dtype))
        ids = torch.empty(rows, tokens, dtype=torch.int64, device="meta")
        with torch.no_grad():
            return _peak(model, lambda: _raw_scores(model, ids))

    @lru_cache  # noqa: B019
    def reading(self, rows: int, tokens: int, dtype: str) -> int:
        """Return the most bytes that reading holds beyond ρ's weights; each of `rows` so long."""
        if not self._follows_passes:
            return 0
        model = self._language_model().to(getattr(torch, dtype))
        ids = torch.empty(rows, tokens, dtype=torch.int64, device="meta")
        with torch.no_grad():
            return _peak(model, lambda: hidden_states(model.base_model, ids))

    def _language_model(self) -> Any:
        with quiet_library(), torch.device("meta"):
            model = AutoModelForCausalLM.from_config(self._shape, dtype=torch.float32)
        return with_fused_activations(model)

    def _policy(self, kind: PolicyKind) -> PolicyModel:
        model, own = self._language_model(), None
        if kind.critic == "separate":
            base = model.base_model
            shares = kind.lora is not None and not kind.has_own_critic
            own = sharing(base, base.parameters()) if shares else self._language_model().base_model
        with torch.device("meta"):
            for part in (model, own):
                if kind.lora is not None and part is not None:
                    add_adapters(part, kind.lora, 0, "policy.lora")
            return PolicyModel(model, critic=own)

    def _reward_model(self, config: RewardModelConfig) -> RewardModel:
        with quiet_library(), torch.device("meta"):
            return RewardModel.from_config(self._shape, config)


def _count(module: nn.Module) -> Weights:
    of_reward = module.base_parameters() if isinstance(module, RewardModel) else None
    kept = base_parameters(module) if of_reward is None else of_reward
    base = {id(each) for each in kept.values()}
    own = [each.numel() for each in module.parameters() if id(each) not in base]
    constant = [each.numel() for each in module.parameters() if id(each) in base]
    return Weights(
        total=sum(own) + sum(constant),
        largest=max((*own, *constant)),
        base=sum(constant),
        largest_trained=max(own),
        layer=max(sum(x.numel() for x in each.parameters()) for each in layers_of(module)),
    )


def _ids(shape: PassShape) -> Tensor:
    size = (shape.rows, shape.prompt_tokens + shape.response_tokens)
    return torch.empty(size, dtype=torch.int64, device="meta")


def _responses(shape: PassShape) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return what `PolicyModel.forward` takes."""
    with torch.device("meta"):
        return (
            _ids(shape),
            torch.empty(shape.rows, shape.response_tokens, dtype=torch.int64),
            torch.empty(shape.rows, dtype=torch.int64),
            torch.empty(shape.rows),
        )


def _raw_scores(model: RewardModel, ids: Tensor) -> Tensor:
    """Return raw scores [B, M] as `RewardModel.forward`, which looks at the values of a mask."""
    hidden = hidden_states(model.backbone, ids)
    scores: Tensor = model.heads(model.features(hidden, ids, torch.ones_like(ids)))
    return scores


def _text_losses(model: PolicyModel, inputs: tuple[Tensor, ...]) -> Tensor:
    logprobs, zeros, _ = model(*inputs, with_values=False)
    losses: Tensor = (zeros - logprobs).mean(dim=1)
    return losses.sum()


def _summed(outputs: tuple[Tensor, ...]) -> Tensor:
    logprobs, values, _ = outputs
    return logprobs.sum() + values.sum()


def _peak(
    model: nn.Module, run: Callable[[], Any], *, gradients_are_new: bool | None = None
) -> int:
    """Return the most bytes held while `run` goes forward and, with gradients, backward."""
    parameters = list(model.parameters())
    if gradients_are_new is False:
        for each in filter(lambda x: x.requires_grad, parameters):
            each.grad = torch.empty_like(each)
    known = [*parameters, *(each.grad for each in parameters if each.grad is not None)]
    live = LiveBytes("meta", known)
    with live, fast_attention(), grouped_products():
        result = run()
        if gradients_are_new is not None:
            torch.autograd.backward([result])
    for each in parameters:
        each.grad = None
    return live.peak
