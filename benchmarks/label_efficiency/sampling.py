"""Responses of a small model, drawn in this process: the learner's publisher and its only actor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from benchmarks.label_efficiency.arms import Drawn
from benchmarks.label_efficiency.world import RESPONSE_TOKENS
from protocol.ending import EndRule
from protocol.messages import Prompt, Rollout, Sampling, WeightsFile, WeightsRef
from reward_service.pretrained import load_causal_model

EVERY_TOKEN = EndRule(mode="fixed", marker_ids=frozenset())
"""Responses are whole and complete."""


class Sampler:
    """Takes the learner's weights as they are published, and draws with them.

    Args:
        policy: The folder of ρ, which it holds first.
        tokenizer: Reads what was drawn.
        seed: Of all draws.
        drawn: With which version, and by what logits.
        num_tokens: Of a response.
        end: What of it is kept.
    """

    def __init__(
        self,
        policy: Path,
        tokenizer: PreTrainedTokenizerBase,
        seed: int,
        drawn: Drawn = Drawn(),  # noqa: B008 - it is frozen
        *,
        num_tokens: int = RESPONSE_TOKENS,
        end: EndRule = EVERY_TOKEN,
    ) -> None:
        self._model = load_causal_model(policy).eval()
        self._policy = policy
        self._tokenizer = tokenizer
        self._generator = torch.Generator().manual_seed(seed)
        self._how = drawn
        self._num_tokens = num_tokens
        self._end = end
        self._published: dict[int, dict[str, Any]] = {
            0: {name: tensor.clone() for name, tensor in self._model.state_dict().items()}
        }
        """Weights by version, from the one that draws on."""
        self._version = 0
        self._drawn = 0

    def publish(self, version: int, tensors: Mapping[str, object]) -> WeightsRef:
        """Take these weights, and draw with those that it is time for."""
        self._published[version] = dict(tensors)
        self._draw_with(self._how.version(version))
        return WeightsFile(path="", sha256="", num_bytes=0)

    def catch_up(self) -> None:
        """Draw with the newest weights from now on, exactly."""
        self._how = Drawn()
        self._draw_with(max(self._published))

    def _draw_with(self, version: int) -> None:
        self._model.load_state_dict(self._published[version], strict=False)
        self._model.tie_weights()
        self._version = version
        for older in [each for each in self._published if each < version]:
            del self._published[older]

    def close(self) -> None:
        """Nothing is published that outlives this process."""

    @torch.no_grad()
    def draw(self, prompts: Sequence[Prompt]) -> list[Rollout]:
        """Return one response to each prompt; all prompts have as many tokens."""
        ids = torch.tensor([prompt.token_ids for prompt in prompts])
        tokens, logprobs, past = [], [], None
        for _ in range(self._num_tokens):
            out = self._model(input_ids=ids, past_key_values=past, use_cache=True)
            past = out.past_key_values
            exact = out.logits[:, -1].float()
            drawn_by = exact
            if self._how.noise:
                noise = torch.randn(exact.shape, generator=self._generator)
                drawn_by = exact + self._how.noise * noise
            ids = torch.multinomial(drawn_by.softmax(dim=-1), 1, generator=self._generator)
            tokens.append(ids)
            told = drawn_by if self._how.tells_noise else exact
            logprobs.append(told.log_softmax(dim=-1).gather(1, ids))
        drawn = zip(
            prompts, torch.cat(tokens, 1).tolist(), torch.cat(logprobs, 1).tolist(), strict=True
        )
        return [self._rollout(*each) for each in drawn]

    @torch.no_grad()
    def kl(self, rollouts: Sequence[Rollout]) -> float:
        """Return KL(π‖ρ) of a whole response, nats, where the π that draws now drew these.

        Each token's is summed over all tokens that could have been drawn, instead of being read off
        the one that was: less noise, the same mean.

        Args:
            rollouts: Of prompts that have as many tokens each.
        """
        ids = torch.tensor([each.prompt.token_ids + each.token_ids for each in rollouts])
        first = len(rollouts[0].prompt.token_ids) - 1
        ours, rho = (
            model(input_ids=ids).logits[:, first:-1].float().log_softmax(dim=-1)
            for model in (self._model, load_causal_model(self._policy).eval())
        )
        return float((ours.exp() * (ours - rho)).sum(dim=(1, 2)).mean())

    def _rollout(
        self, prompt: Prompt, token_ids: Sequence[int], logprobs: Sequence[float]
    ) -> Rollout:
        self._drawn += 1
        ending = self._end.find(token_ids)
        return Rollout(
            rollout_id=f"r{self._drawn}",
            prompt=prompt,
            purpose="train",
            sampling=Sampling(temperature=1.0, max_tokens=self._num_tokens),
            token_ids=tuple(token_ids),
            behavior_logprobs=tuple(logprobs),
            policy_versions=(self._version,) * self._num_tokens,
            num_kept=ending.num_kept,
            is_complete=ending.is_complete,
            finish_reason=ending.finish_reason,
            text=self._tokenizer.decode(token_ids, skip_special_tokens=False),
            actor_id="here",
            started_at=0.0,
            finished_at=0.0,
        )
