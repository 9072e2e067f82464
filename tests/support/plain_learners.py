"""The three learners again in plain PyTorch, one row and one token at a time: an oracle.

Written from the formulas, slow and obvious. Nothing of `learners` is used but its configs.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModel, AutoModelForCausalLM

from learners.config import DeepSpeedConfig, PPOConfig, RewardFitConfig
from learners.text_config import SupervisedConfig
from protocol.fits import Comparison, FitRequest
from protocol.messages import ExperienceBatch, Rollout
from protocol.seeds import derived_seed
from reward_service.config import RewardModelConfig

ENGINE = DeepSpeedConfig()


def adam(parameters: list[Tensor]) -> torch.optim.AdamW:
    return torch.optim.AdamW(
        parameters, lr=0.0, betas=ENGINE.adam_betas, eps=ENGINE.adam_eps, weight_decay=0.0
    )


def sampled(rollout: Rollout) -> Tensor:
    return torch.tensor(rollout.behavior_logprobs)


def clip_and_step(optimizer: torch.optim.AdamW, lr: float) -> float:
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    norm = float(torch.nn.utils.clip_grad_norm_(parameters, ENGINE.max_grad_norm))
    for group in optimizer.param_groups:
        group["lr"] = lr
    optimizer.step()
    optimizer.zero_grad()
    return norm


class PlainPPO:
    """PPO with a critic that shares the policy's trunk, and blocks of text beside it."""

    def __init__(
        self,
        model: Path,
        ppo: PPOConfig,
        total_episodes: int,
        seed: int,
        train: Tensor | None = None,
        held_out: Tensor | None = None,
    ) -> None:
        self.ppo, self.total_episodes, self.seed = ppo, total_episodes, seed
        self.train, self.held_out = train, held_out
        self.policy: Any = AutoModelForCausalLM.from_pretrained(model).eval()
        self.reference: Any = AutoModelForCausalLM.from_pretrained(model).eval()
        self.head = torch.nn.Linear(self.policy.config.hidden_size, 1)
        torch.nn.init.zeros_(self.head.weight)
        torch.nn.init.zeros_(self.head.bias)
        self.optimizer = adam([*self.policy.parameters(), *self.head.parameters()])
        self.average = {name: x.clone() for name, x in self.policy.state_dict().items()}

    def take_in(self, decay: float) -> None:
        """Move the average of the versions on by this one."""
        for name, x in self.policy.state_dict().items():
            self.average[name] = decay * self.average[name] + (1 - decay) * x

    def step(self, batch: ExperienceBatch, beta: float) -> dict[str, float]:
        rollouts = [each.rollout for each in batch.rollouts]
        with torch.no_grad():
            before = [self.evaluate(self.policy, rollout) for rollout in rollouts]
            reference = [self.evaluate(self.reference, rollout)[0] for rollout in rollouts]
        targets = self.targets(batch, before, reference, beta)
        lr = self.ppo.lr * (1 - batch.episodes_before / self.total_episodes)
        order = torch.Generator().manual_seed(derived_seed(self.seed, "minibatches", batch.step))
        names = (
            "loss",
            "value_loss",
            "grad_norm",
            *(("ptx_loss",) if self.ppo.ptx.coefficient else ()),
        )
        totals = {f"policy/{name}": 0.0 for name in names}
        steps = self.ppo.epochs * self.ppo.minibatches
        taken = batch.step * steps
        for _ in range(self.ppo.epochs):
            rows = torch.randperm(len(rollouts), generator=order)
            for minibatch in rows.chunk(self.ppo.minibatches):
                chosen = minibatch.tolist()
                losses = [self.losses(rollouts[i], before[i], targets[i]) for i in chosen]
                loss = torch.cat([each[0] for each in losses]).mean()
                value = torch.cat([each[1] for each in losses]).mean()
                (loss + self.ppo.value_coefficient * value).backward()
                if self.ppo.ptx.coefficient:
                    texts = self.texts(taken, len(chosen))
                    text_loss = torch.stack([self.text_loss(self.policy, x) for x in texts]).mean()
                    (self.ppo.ptx.coefficient * text_loss).backward()
                    totals["policy/ptx_loss"] += text_loss.item()
                taken += 1
                totals["policy/loss"] += loss.item()
                totals["policy/value_loss"] += value.item()
                totals["policy/grad_norm"] += clip_and_step(self.optimizer, lr)
        kl = [
            float((self.weight(rollout, own) * (own - rho)).sum())
            if rollout.oldest_version == batch.step
            else float((sampled(rollout) - rho).sum())
            for rollout, (own, _), rho in zip(rollouts, before, reference, strict=True)
        ]
        return {name: total / steps for name, total in totals.items()} | {
            "kl/reference_mean": sum(kl) / len(kl),
            **self.lost(),
        }

    def paid(self, batch: ExperienceBatch, rollout: Rollout, own: Tensor) -> Tensor:
        """Log-probabilities whose distance from the reference a response pays, [T]."""
        return own if rollout.oldest_version == batch.step else sampled(rollout)

    def weight(self, rollout: Rollout, own: Tensor) -> Tensor:
        """Ratios to the sampler's, [T]."""
        return (own.exp() / sampled(rollout).exp()).clamp(max=self.ppo.importance_weight_cap)

    def texts(self, taken: int, num_episodes: int) -> list[Tensor]:
        """The blocks of one optimizer step, of those that all before it have gone through."""
        assert self.train is not None
        count, num_blocks = self.ppo.ptx.examples_per_episode * num_episodes, len(self.train)
        found = []
        for position in range(taken * count, (taken + 1) * count):
            seed = derived_seed(self.seed, "pretraining blocks", position // num_blocks)
            order = torch.randperm(num_blocks, generator=torch.Generator().manual_seed(seed))
            found.append(self.train[order[position % num_blocks]])
        return found

    def text_loss(self, model: Any, block: Tensor) -> Tensor:
        loss: Tensor = model(input_ids=block[None].long(), labels=block[None].long()).loss
        return loss

    def lost(self) -> dict[str, float]:
        """The loss on held-out text, and how far it is above the reference's."""
        if self.held_out is None:
            return {}
        with torch.no_grad():
            now, before = (
                sum(self.text_loss(model, block).item() for block in self.held_out)
                / len(self.held_out)
                for model in (self.policy, self.reference)
            )
        return {"policy/pretraining_loss": now, "policy/alignment_tax": now - before}

    def evaluate(self, model: Any, rollout: Rollout) -> tuple[Tensor, Tensor]:
        """Log-probabilities and values of a response, [T] each."""
        prompt, response = rollout.prompt.token_ids, rollout.token_ids
        output = model(input_ids=torch.tensor([prompt + response]), output_hidden_states=True)
        logits = output.logits[0, len(prompt) - 1 : -1] / rollout.sampling.temperature
        chosen = logits.log_softmax(dim=-1)[torch.arange(len(response)), torch.tensor(response)]
        hidden = output.hidden_states[-1][0, len(prompt) - 1 : -1]
        return chosen, self.head(hidden)[:, 0]

    def targets(
        self,
        batch: ExperienceBatch,
        before: list[tuple[Tensor, Tensor]],
        reference: list[Tensor],
        beta: float,
    ) -> list[tuple[Tensor, Tensor]]:
        """Advantages and returns of each response."""
        rewards = []
        for scored, (own, _), rho in zip(batch.rollouts, before, reference, strict=True):
            reward = -beta * (self.paid(batch, scored.rollout, own) - rho)
            reward[-1] += scored.score.value
            rewards.append(reward)
        flat = torch.cat(rewards)
        scale = 1 / math.sqrt(float(flat.var(correction=0)) + 1e-8)
        rewards = [(r - flat.mean()) * scale + flat.mean() for r in rewards]
        pairs = []
        for reward, (_, values) in zip(rewards, before, strict=True):
            advantages = torch.zeros_like(reward)
            for t in range(len(reward)):
                for later in range(t, len(reward)):
                    following = values[later + 1] if later + 1 < len(reward) else 0.0
                    delta = reward[later] + self.ppo.gamma * following - values[later]
                    advantages[t] += (self.ppo.gamma * self.ppo.gae_lambda) ** (later - t) * delta
            pairs.append((advantages, advantages + values))
        flat = torch.cat([advantages for advantages, _ in pairs])
        scale = 1 / math.sqrt(float(flat.var(correction=0)) + 1e-8)
        return [((a - flat.mean()) * scale, returns) for a, returns in pairs]

    def losses(
        self, rollout: Rollout, before: tuple[Tensor, Tensor], target: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Policy and value loss of each token, [T]."""
        ppo = self.ppo
        logprobs, values = self.evaluate(self.policy, rollout)
        proximal, old_values = before
        advantages, returns = target
        weight = self.weight(rollout, proximal)
        ratio = logprobs.exp() / proximal.exp()
        clipped = ratio.clamp(1 - ppo.clip_range, 1 + ppo.clip_range)
        policy = weight * torch.max(-advantages * ratio, -advantages * clipped)
        near = old_values + (values - old_values).clamp(-ppo.value_clip_range, ppo.value_clip_range)
        return policy, 0.5 * torch.max((values - returns) ** 2, (near - returns) ** 2)


class PlainReward:
    """Best of K, ties and rankings with noise, several heads."""

    def __init__(
        self,
        policy: Path,
        model: RewardModelConfig,
        fit: RewardFitConfig,
        reference: list[tuple[int, ...]],
    ) -> None:
        self.fit, self.reference = fit, reference
        self.trunk: Any = AutoModel.from_pretrained(policy).eval()
        self.sees_embeddings = model.embeddings
        width = self.trunk.config.hidden_size * (2 if model.embeddings else 1)
        self.heads = torch.nn.Linear(width, model.num_heads)
        generator = torch.Generator().manual_seed(fit.seed)
        with torch.no_grad():
            self.heads.weight.normal_(0.0, (width + 1) ** -0.5, generator=generator)
            self.heads.bias.zero_()
        self.optimizer = adam([*self.trunk.parameters(), *self.heads.parameters()])
        self.training_gain, _ = self.gain_and_bias()

    def gain_and_bias(self) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            raw = torch.stack([self.raw(sequence) for sequence in self.reference])
        gain = 1 / raw.std(dim=0, correction=0)
        return gain, -raw.mean(dim=0) * gain

    def raw(self, sequence: tuple[int, ...]) -> Tensor:
        """Scores of one sequence, [M]."""
        ids = torch.tensor([sequence])
        seen = self.trunk(input_ids=ids).last_hidden_state[0, -1]
        if self.sees_embeddings:
            embedded = self.trunk.get_input_embeddings().weight[ids[0]]
            spread = embedded.var(dim=1, correction=0, keepdim=True)
            centred = embedded - embedded.mean(dim=1, keepdim=True)
            seen = torch.cat([seen, (centred / (spread + 1e-5).sqrt()).mean(dim=0)])
        scores: Tensor = self.heads(seen)
        return scores

    def learn(self, request: FitRequest, counts: Tensor) -> float:
        """Run one fit's steps and return the mean loss."""
        warm = request.kind == "warm"
        size = self.fit.warm_batch_size if warm else self.fit.batch_size
        reliability = dict(request.labeler_weights)
        order = torch.Generator().manual_seed(self.fit.seed)
        rows = torch.randperm(len(request.comparisons), generator=order).split(size)
        total = 0.0
        for taken, batch in enumerate(rows):
            loss = torch.tensor(0.0)
            for row in batch.tolist():
                each = request.comparisons[row]
                losses = self.loss(each, reliability.get(each.labeler_id, 1.0))
                loss = loss + (losses * counts[row]).mean() / len(batch)
                total += losses.mean().item()
            loss.backward()
            lr = self.fit.warm_lr if warm else self.fit.lr * (1 - taken / len(rows))
            clip_and_step(self.optimizer, lr)
        return total / len(request.comparisons)

    def loss(self, each: Comparison, reliability: float) -> Tensor:
        """Loss of one comparison by head, [M]."""
        raw = torch.stack([self.raw(each.prompt_token_ids + y) for y in each.candidate_token_ids])
        scores = raw * self.training_gain
        num_candidates = len(scores)
        if each.outcome == "choice":
            p = scores.softmax(dim=0)[each.choice]
            return -torch.log(reliability * p + (1 - reliability) / num_candidates)
        if each.outcome == "tie":
            return -scores.log_softmax(dim=0).mean(dim=0)
        assert each.ranking is not None
        pairs = [
            torch.log(
                reliability * torch.sigmoid(scores[winner] - scores[loser]) + (1 - reliability) / 2
            )
            for place, winner in enumerate(each.ranking)
            for loser in each.ranking[place + 1 :]
        ]
        return -torch.stack(pairs).mean(dim=0)


def plain_supervised(
    model: Path, config: SupervisedConfig, blocks: Tensor
) -> tuple[Any, list[float]]:
    """Train on blocks; return the model and the loss of each step."""
    trained: Any = AutoModelForCausalLM.from_pretrained(model).eval()
    optimizer = adam(list(trained.parameters()))
    order = torch.Generator().manual_seed(config.seed)
    rows = torch.randperm(len(blocks), generator=order)
    num_steps = len(blocks) // config.batch_size
    warmup = round(config.warmup_fraction * num_steps)
    losses = []
    for step in range(num_steps):
        batch = blocks[rows[step * config.batch_size : (step + 1) * config.batch_size]]
        loss = trained(input_ids=batch, labels=batch).loss
        loss.backward()
        rising = (step + 1) / warmup if step < warmup else 1.0
        falling = 1.0 if step < warmup else (num_steps - step) / (num_steps - warmup)
        clip_and_step(optimizer, config.lr * rising * falling)
        losses.append(loss.item())
    return trained, losses
