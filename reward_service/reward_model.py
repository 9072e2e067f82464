"""The reward model: a copy of the reference policy ρ with M scalar heads on what it says of a text.

Letters: B sequences, T tokens (prompt and kept response), D hidden width, F features that the heads
see, M heads.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import AutoModel, PretrainedConfig, PreTrainedModel

from protocol.context_length import context_of
from reward_service.adapters import add_adapters, base_parameters
from reward_service.base_weights import BaseWeights, base_weights
from reward_service.config import RewardModelConfig
from reward_service.forward import hidden_states
from reward_service.fused import with_fused_activations
from reward_service.heads import EpistemicHeads, LinearHeads
from reward_service.pretrained import (
    as_the_layers_leave_it,
    first_layers,
    load_backbone,
    without_dropout,
)

LARGEST_DRAW = 2**62
"""Seeds of adapters are drawn below it."""
SECTION = "reward_model.lora"
BACKBONE = "backbone."
"""Beginning of the names of the backbone's tensors."""


class RewardModel(nn.Module):
    """r(x, y): M raw scores a sequence, their normalisation, and the rule that makes one of them.

    Its state dict holds the backbone (`backbone.*`), the heads (`heads.*`: of linear ones
    `heads.weight` [M, F] and `heads.bias` [M]) and the buffers `gain` [M] and `bias` [M] of the
    normalisation. With `config.marks` there are `mark_head.weight` [1, D] and `mark_head.bias` [1],
    which begin at 0: no token is worth anything before a mark was learned. With `config.lora` the
    backbone has adapters, and with `config.frozen_trunk` nobody trains it: its own weights are
    those of `base` then, and `own_state` is the rest of the state dict.
    There is no dropout anywhere, in training mode either (Ziegler et al. 2019, released code).
    """

    gain: Tensor
    bias: Tensor

    def __init__(self, backbone: PreTrainedModel, config: RewardModelConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = backbone
        self.num_features = _num_features(backbone, config)
        """F."""
        self.heads = _heads(self.num_features, config)
        self.mark_head: nn.Linear | None = None
        if config.marks is not None:
            self.mark_head = nn.Linear(backbone.config.hidden_size, 1)
            for parameter in self.mark_head.parameters():
                nn.init.zeros_(parameter)
        self.register_buffer("gain", torch.ones(config.num_heads))
        self.register_buffer("bias", torch.zeros(config.num_heads))
        # Kept: each request is held against them, and a config takes longer to read than a request.
        self.context_length = context_of(backbone.config.to_dict())
        """The most tokens a sequence may have; None: the architecture names no bound."""
        self.vocabulary_size = int(backbone.config.vocab_size)
        """Token ids are below this."""
        self.base: BaseWeights | None = None
        """The model whose own weights it has; None where all weights are its own."""
        if config.frozen_trunk:
            backbone.requires_grad_(False)

    @classmethod
    def from_reference(
        cls,
        policy_path: Path,
        config: RewardModelConfig,
        generator: torch.Generator,
        backbone: PreTrainedModel | None = None,
    ) -> RewardModel:
        """Return a fresh model: the backbone of ρ, new heads, gain 1 and bias 0, float32, on CPU.

        Linear heads are drawn with standard deviation 1/√(D + 1) and biases of 0 (Ziegler et al.
        2019, released code). The same generator state gives the same model, bit for bit.

        Args:
            policy_path: A Hugging Face folder of a causal language model with safetensors weights.
            config: Heads, and how their scores are normalised and combined.
            generator: A CPU generator; it draws the heads, and then the adapters' seed.
            backbone: Of ρ, as many layers as are wanted, without adapters, loaded before, and owned
                by the model from here on: wherever its weights are, whole or taken apart.

        Raises:
            MissingError: The folder is not there.
            InputError: The folder holds no whole model.
            ConfigError: The adapters do not fit the model, or it has fewer layers.
        """
        backbone = backbone or load_backbone(policy_path, config.layers)
        model = cls(backbone, config)
        model.heads.draw(generator)
        if config.lora is not None:
            seed = int(torch.randint(LARGEST_DRAW, (), generator=generator))
            add_adapters(backbone, config.lora, seed, SECTION)
        if config.has_base:
            model.base = base_weights(policy_path)
        return model

    @classmethod
    def from_config(cls, backbone: PretrainedConfig, config: RewardModelConfig) -> RewardModel:
        """Return a model of this architecture whose weights are yet to be loaded.

        Raises ConfigError where its adapters do not fit, or it has fewer layers.
        """
        shape = first_layers(without_dropout(backbone), config.layers)
        model = AutoModel.from_config(shape, dtype=torch.float32)
        as_the_layers_leave_it(model, config.layers)
        if config.lora is not None:
            add_adapters(model, config.lora, 0, SECTION)
        return cls(with_fused_activations(model), config)

    def base_parameters(self) -> dict[str, nn.Parameter]:
        """Return what no fit changes, by every name it has; nothing where all is fitted."""
        if not self.config.frozen_trunk:
            return base_parameters(self)
        return {
            f"{BACKBONE}{name}": parameter
            for name, parameter in self.backbone.named_parameters(remove_duplicate=False)
        }

    def own_state(self) -> dict[str, Tensor]:
        """Return the state dict without the weights of `base`."""
        base = self.base_parameters()
        return {name: x for name, x in self.state_dict().items() if name not in base}

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        *,
        with_marks: bool = False,
        features: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Return raw scores [B, M], before gain and bias.

        Args:
            input_ids: [B, T] int64, padded on the right with any valid id.
            attention_mask: [B, T], 1 on tokens and 0 on padding; every row starts with a 1.
            with_marks: Return beside them the mark values [B, T], float32, in (−1, 1); of a model
                with `config.marks` alone. What stands in the padding means nothing.
            features: [B, F], what `read` returned of these sequences before: the trunk is passed
                over. Not with marks.

        Raises:
            ValueError: The padding is not on the right, or a row is empty.
        """
        if features is not None:
            known: Tensor = self.heads(features)
            return known
        hidden, features = self.read(input_ids, attention_mask)
        raw: Tensor = self.heads(features)
        if not with_marks:
            return raw
        assert self.mark_head is not None, "only a model with a mark head is asked for marks"
        marks: Tensor = self.mark_head(hidden)
        return raw, marks[..., 0].float().tanh()

    def read(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return the trunk's states [B, T, D], and what the heads see of them, [B, F].

        Args and errors are those of `forward`.
        """
        lengths = attention_mask.sum(dim=1)
        positions = torch.arange(attention_mask.shape[1], device=attention_mask.device)
        if not torch.equal(attention_mask.bool(), positions < lengths[:, None]) or bool(
            (lengths == 0).any()
        ):
            raise ValueError("attention_mask must be ones, at least one a row, then zeros")
        hidden = hidden_states(self.backbone, input_ids)
        return hidden, self.features(hidden, input_ids, attention_mask)

    def features(self, hidden: Tensor, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return what the heads see of each sequence: [B, F].

        Args:
            hidden: [B, T, D], the trunk's states.
            input_ids: [B, T], as for `forward`.
            attention_mask: [B, T], as for `forward`.
        """
        pool = _mean if self.config.pooling == "mean" else _last
        pooled = pool(hidden, attention_mask)
        if not self.config.embeddings:
            return pooled
        embedded = self.backbone.get_input_embeddings()(input_ids)
        embedded = nn.functional.layer_norm(embedded, embedded.shape[-1:])
        return torch.cat([pooled, _mean(embedded, attention_mask)], dim=1)

    def normalised(self, raw: Tensor) -> Tensor:
        """Return gain·raw + bias, head by head: [B, M] from [B, M]."""
        return self.gain * raw + self.bias

    def combined(self, normalised: Tensor) -> Tensor:
        """Return one score a sequence: [B] from [B, M], by the rule of the config.

        mean (Christiano et al. 2017); min, and mean − λ·variance with the population variance over
        heads (Coste et al. 2023).
        """
        if self.config.combine == "min":
            return normalised.amin(dim=1)
        mean = normalised.mean(dim=1)
        if self.config.combine == "mean":
            return mean
        return mean - self.config.variance_coefficient * normalised.var(dim=1, correction=0)

    @torch.no_grad()
    def set_normalisation(self, gain: Tensor, bias: Tensor) -> None:
        """Take gain [M] and bias [M], as `normalisation.gain_and_bias` returns them."""
        self.gain.copy_(gain)
        self.bias.copy_(bias)


def _num_features(backbone: PreTrainedModel, config: RewardModelConfig) -> int:
    """Return F: D, and where the heads see embeddings the width of those besides."""
    width = int(backbone.config.hidden_size)
    if not config.embeddings:
        return width
    return width + int(backbone.get_input_embeddings().embedding_dim)


def _mean(states: Tensor, attention_mask: Tensor) -> Tensor:
    """Return the mean over a sequence's own tokens, [B, D] of [B, T, D]."""
    return (states * attention_mask[..., None]).sum(dim=1) / attention_mask.sum(dim=1)[:, None]


def _last(states: Tensor, attention_mask: Tensor) -> Tensor:
    """Return what stands on a sequence's last token, [B, D] of [B, T, D]."""
    rows = torch.arange(len(states), device=states.device)
    return states[rows, attention_mask.sum(dim=1) - 1]


def _heads(width: int, config: RewardModelConfig) -> LinearHeads | EpistemicHeads:
    if config.heads == "linear":
        return LinearHeads(width, config.num_heads)
    return EpistemicHeads(
        width,
        config.num_heads,
        prior_width=config.prior_width,
        difference_width=config.difference_width,
        prior_scale=config.prior_scale,
    )
