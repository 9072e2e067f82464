"""The reward model: a copy of the reference policy ρ with M scalar heads on the last token.

Letters: B sequences, T tokens (prompt and kept response), D hidden width, M heads.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PretrainedConfig, PreTrainedModel

from protocol.errors import InputError, MissingError
from reward_service.config import RewardModelConfig


class RewardModel(nn.Module):
    """r(x, y): M raw scores a sequence, their normalisation, and the rule that makes one of them.

    Its state dict holds the backbone (`backbone.*`), the heads (`heads.weight` [M, D],
    `heads.bias` [M]) and the buffers `gain` [M] and `bias` [M] of the normalisation.
    There is no dropout anywhere, in training mode either (Ziegler et al. 2019, released code).
    """

    gain: Tensor
    bias: Tensor

    def __init__(self, backbone: PreTrainedModel, config: RewardModelConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = backbone
        self.heads = nn.Linear(backbone.config.hidden_size, config.num_heads)
        self.register_buffer("gain", torch.ones(config.num_heads))
        self.register_buffer("bias", torch.zeros(config.num_heads))

    @classmethod
    def from_reference(
        cls, policy_path: Path, config: RewardModelConfig, generator: torch.Generator
    ) -> RewardModel:
        """Return a fresh model: the backbone of ρ, new heads, gain 1 and bias 0, float32, on CPU.

        Head weights are drawn with standard deviation 1/√(D + 1) and head biases are 0 (Ziegler et
        al. 2019, released code). The same generator state gives the same model, bit for bit.

        Args:
            policy_path: A Hugging Face folder of a causal language model with safetensors weights.
            config: Heads, and how their scores are normalised and combined.
            generator: A CPU generator; it draws the heads alone.

        Raises:
            MissingError: The folder is not there.
            InputError: The folder holds no such model.
        """
        if not policy_path.is_dir():
            raise MissingError(f"no reference policy at {policy_path}: give a Hugging Face folder")
        try:
            backbone, loading = AutoModel.from_pretrained(
                policy_path,
                config=without_dropout(AutoConfig.from_pretrained(policy_path)),
                dtype=torch.float32,
                use_safetensors=True,
                output_loading_info=True,
            )
        except (OSError, ValueError) as error:
            reason = str(error).strip().splitlines()[0]
            raise InputError(
                f"{policy_path} is no causal language model with safetensors weights: {reason}"
            ) from error
        if missing := sorted(loading["missing_keys"]):
            # The library would go on with random weights in their place.
            raise InputError(f"{policy_path} lacks weights its config asks for: {missing[0]}")
        model = cls(backbone, config)
        model.draw_heads(generator)
        return model

    @classmethod
    def from_config(cls, backbone: PretrainedConfig, config: RewardModelConfig) -> RewardModel:
        """Return a model of this architecture whose weights are yet to be loaded."""
        return cls(AutoModel.from_config(without_dropout(backbone), dtype=torch.float32), config)

    @torch.no_grad()
    def draw_heads(self, generator: torch.Generator) -> None:
        """Draw head weights anew, standard deviation 1/√(D + 1), and zero their biases."""
        deviation = (self.heads.in_features + 1) ** -0.5
        self.heads.weight.normal_(0.0, deviation, generator=generator)
        self.heads.bias.zero_()

    @property
    def context_length(self) -> int:
        """The most tokens a sequence may have."""
        return int(self.backbone.config.max_position_embeddings)

    @property
    def vocabulary_size(self) -> int:
        """Token ids are below this."""
        return int(self.backbone.config.vocab_size)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return raw scores [B, M], before gain and bias.

        Args:
            input_ids: [B, T] int64, padded on the right with any valid id.
            attention_mask: [B, T], 1 on tokens and 0 on padding; every row starts with a 1.

        Raises:
            ValueError: The padding is not on the right, or a row is empty.
        """
        lengths = attention_mask.sum(dim=1)
        positions = torch.arange(attention_mask.shape[1], device=attention_mask.device)
        if not torch.equal(attention_mask.bool(), positions < lengths[:, None]) or bool(
            (lengths == 0).any()
        ):
            raise ValueError("attention_mask must be ones, at least one a row, then zeros")
        # A causal backbone cannot see what is to the right of the last token, so nothing needs to
        # be masked: the result is the same, and attention takes its fast path.
        hidden = self.backbone(
            input_ids=input_ids, attention_mask=torch.ones_like(input_ids), use_cache=False
        ).last_hidden_state
        rows = torch.arange(len(hidden), device=hidden.device)
        raw: Tensor = self.heads(hidden[rows, lengths - 1])
        return raw

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


def without_dropout(config: PretrainedConfig) -> PretrainedConfig:
    """Zero every dropout probability of a config, whatever its architecture calls it; return it.

    PPO's ratios compare two forward passes of the same weights, so nothing may be random in them.
    """
    for name, value in config.to_dict().items():
        if "drop" in name and isinstance(value, float):
            setattr(config, name, 0.0)
    return config
