"""The policy with its critic: what PPO trains.

Letters: B sequences, L tokens of prompt and response, T response tokens, D width, V vocabulary.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from learners.config import PPOConfig
from learners.parting import Parting
from protocol.seeds import derived_seed
from reward_service.adapters import add_adapters, merge_in, sharing
from reward_service.bundle import load_bundle
from reward_service.config import LoRAConfig
from reward_service.forward import check_forward, hidden_states
from reward_service.pretrained import load_causal_model

POLICY_PREFIX = "language_model."
"""Beginning of the names of the policy's own tensors among those of a PolicyModel."""
CHUNK_LOGITS = 2**24
"""Logits that exist at a time, 64 MiB in float32: of 128 tokens with a vocabulary of 128k."""


class PolicyModel(nn.Module):
    """π and V. The critic shares π's trunk, or has one of its own.

    Args:
        language_model: A Hugging Face causal language model.
        critic: The trunk of a separate critic; none: shared.
        value_head: [D] → 1; none: a zero-initialised one (Ziegler et al. 2019).
    """

    def __init__(
        self,
        language_model: Any,
        critic: nn.Module | None = None,
        value_head: nn.Linear | None = None,
    ) -> None:
        super().__init__()
        self.language_model = language_model
        self.critic = critic
        self.value_head = value_head or _zero_head(language_model.config.hidden_size)

    @classmethod
    def from_pretrained(
        cls,
        policy_path: Path,
        config: PPOConfig,
        lora: LoRAConfig | None = None,
        seed: int = 0,
        parting: Parting | None = None,
    ) -> PolicyModel:
        """Return π = ρ with the critic the config asks for, in float32 on CPU, or taken apart.

        A separate critic starts from ρ with a zero head, or from a reward bundle with the mean of
        its normalised heads (Stiennon et al. 2020, Ouyang et al. 2022).

        With `lora` adapters are trained, and ρ's own weights are there once: a separate critic that
        starts from ρ has other adapters on the same.

        Args:
            policy_path: ρ.
            config: Of PPO.
            lora: Adapters; None: all weights are trained.
            seed: Of the adapters' draw.
            parting: Takes weights apart as they are loaded; None: they stay whole.

        Raises:
            MissingError: There is no such model or bundle.
            InputError: It is no whole causal language model, or one that `check_forward` refuses.
            ConfigError: The adapters do not fit the model.
        """
        parting = parting or Parting()
        with parting.loading():
            language_model = load_causal_model(policy_path)
        with parting.running(language_model):
            check_forward(language_model, policy_path)
        is_shared = lora is not None
        critic, head = _critic(language_model, policy_path, config, parting, is_shared=is_shared)
        if lora is not None:
            adapter_seed = derived_seed(seed, "adapters")
            add_adapters(language_model, lora, adapter_seed, "policy.lora")
            if critic is not None:
                add_adapters(critic, lora, derived_seed(seed, "critic's adapters"), "policy.lora")
        return cls(language_model, critic=critic, value_head=head)

    def forward(
        self,
        input_ids: Tensor,
        response_ids: Tensor,
        prompt_lengths: Tensor,
        temperatures: Tensor,
        with_entropy: bool = False,
        with_values: bool = True,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return log π(y_t), V before each token and the entropy, [B, T] each, or zeros.

        The head runs on response positions alone.

        Args:
            input_ids: [B, L], prompt and response, padded on the right.
            response_ids: [B, T], padded on the right.
            prompt_lengths: [B], at least 1.
            temperatures: [B], dividing the logits.
            with_entropy: Whether the entropy is wanted; it needs the whole distribution once more.
            with_values: Whether V is wanted. Else it is 0, and depends on the critic all the same:
                a backward pass gives each parameter its gradient, which ZeRO counts on.
        """
        inputs = input_ids[:, :-1]  # the last token is predicted, and predicts none
        hidden = hidden_states(self.language_model.base_model, inputs)
        hidden = _before_response(hidden, prompt_lengths, response_ids.shape[1])
        logprobs, entropy = self._of_tokens(hidden, response_ids, temperatures, with_entropy)
        if not with_values:
            return logprobs, self._zeros(inputs, hidden).expand_as(logprobs), entropy
        if self.critic is not None:
            hidden = hidden_states(self.critic, inputs)
            hidden = _before_response(hidden, prompt_lengths, response_ids.shape[1])
        values = self.value_head(hidden).squeeze(-1).float()
        return logprobs, values, entropy

    def _zeros(self, inputs: Tensor, hidden: Tensor) -> Tensor:
        """Return 0·V of one token, which a separate critic has to be run over alone."""
        if self.critic is not None:
            hidden = hidden_states(self.critic, inputs[:1, :1])
        value: Tensor = self.value_head(hidden[:1, :1]).squeeze(-1).float()
        return 0.0 * value

    def _of_tokens(
        self, hidden: Tensor, response_ids: Tensor, temperatures: Tensor, with_entropy: bool
    ) -> tuple[Tensor, Tensor]:
        """Return log-probabilities and entropies, [B, T] each of hidden [B, T, D].

        With a large vocabulary the distributions take more memory than all else: they are made for
        some tokens at a time, and made again in the backward pass.
        """
        head = self.language_model.get_output_embeddings()
        tokens = (
            hidden.flatten(0, 1),
            response_ids.flatten(),
            temperatures[:, None].expand_as(response_ids).flatten(),
        )
        size = max(1, CHUNK_LOGITS // int(self.language_model.config.vocab_size))
        if response_ids.numel() <= size:
            parts = [_distribution(head, *tokens, with_entropy)]
        else:
            parts = [
                checkpoint(
                    _distribution,
                    *(head, *chunk, with_entropy),
                    use_reentrant=False,
                    preserve_rng_state=False,
                )
                for chunk in zip(*(each.split(size) for each in tokens), strict=True)
            ]
        logprobs, entropy = (torch.cat(each) for each in zip(*parts, strict=True))
        return logprobs.view_as(response_ids), entropy.view_as(response_ids)


def _critic(
    language_model: Any,
    policy_path: Path,
    config: PPOConfig,
    parting: Parting,
    *,
    is_shared: bool,
) -> tuple[Any | None, nn.Linear | None]:
    """Return the trunk and head of a separate critic; None is the policy's trunk, and a new head.

    Args:
        language_model: ρ.
        policy_path: Where it is.
        config: Of PPO.
        parting: Takes weights apart as they are loaded.
        is_shared: Whether a critic that starts from ρ has the same tensors.
    """
    if config.critic == "shared":
        return None, None
    if config.critic_path is None:
        if is_shared:
            base = language_model.base_model
            return sharing(base, base.parameters()), None
        with parting.loading():
            return load_causal_model(policy_path).base_model, None
    exact = parting.in_float32()
    reward = load_bundle(Path(config.critic_path), giving=exact.loading).model
    head = _zero_head(reward.heads.in_features)
    with torch.no_grad():
        weight, bias = reward.heads.linear(reward.gain, reward.bias)
        head.weight.copy_(weight)
        head.bias.copy_(bias)
    with exact.loading():
        merge_in(reward.backbone, exact.whole)
    return reward.backbone, head


def _distribution(
    head: nn.Module, hidden: Tensor, ids: Tensor, temperatures: Tensor, with_entropy: bool
) -> tuple[Tensor, Tensor]:
    """Return log π of ids [N] and the entropies [N], or zeros, of hidden [N, D]."""
    logits = head(hidden).float() / temperatures[:, None]
    normaliser = logits.logsumexp(dim=-1)
    chosen = logits.gather(-1, ids[:, None]).squeeze(-1)
    entropy = torch.zeros_like(chosen)
    if with_entropy:
        entropy = normaliser - (logits.softmax(dim=-1) * logits).sum(dim=-1)
    return chosen - normaliser, entropy


def _zero_head(width: int) -> nn.Linear:
    head = nn.Linear(width, 1)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    return head


def _before_response(hidden: Tensor, prompt_lengths: Tensor, num_tokens: int) -> Tensor:
    """Return the hidden state each response token is predicted from, [B, T, D] of [B, L, D]."""
    offsets = torch.arange(num_tokens, device=hidden.device)
    positions = (prompt_lengths[:, None] - 1 + offsets).clamp(max=hidden.shape[1] - 1)
    return hidden.gather(1, positions[..., None].expand(-1, -1, hidden.shape[2]))
