"""A real learner on a tiny GPT-2 that writes and is judged by a rule, and the guards beside it.

The whole policy loop without processes: π samples, a rule scores, PPO steps, people vote by the
rule. What a test breaks, it breaks in here or in the learner itself.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from cluster.guards.config import GuardsConfig
from cluster.guards.evidence import Evidence
from cluster.guards.guards import Guards
from cluster.run_folder import RunFolder
from label_queue.figures.validation import ValidationVote
from learners.config import KLConfig, LearnerConfig, PolicyConfig, PPOConfig
from learners.policy_model import PolicyModel
from learners.ppo import PPOLearner
from learners.weights import SharedMemoryPublisher
from protocol.messages import ExperienceBatch, Prompt, Rollout, Sampling, Score, ScoredRollout
from reward_service.pretrained import load_causal_model
from tests.support.memory_sink import MemorySink
from tests.support.parts import FakeRewardService
from tests.support.present import present
from tests.support.real_queue import LabelSide

BATCH = 64
NUM_TOKENS = 8
VOTES_PER_STEP = 8
PROMPTS = ((4, 9), (14, 19, 24), (29,), (7, 8, 10))
LIKED = frozenset(range(20, 36))
"""Token ids that the hidden rule likes; it counts them."""
KL = KLConfig(coefficient=0.5, target=3.0, horizon_episodes=640)
PPO = PPOConfig(batch_size=BATCH, minibatches=2, epochs=2, lr=2e-4, lr_schedule="constant")


def gold(token_ids: Sequence[int]) -> float:
    """The hidden rule: about mean 0 on ρ."""
    return float(sum(token in LIKED for token in token_ids)) - 2.5


class VotingLoop:
    """The label queue's side for the policy loop, with votes that a test brings."""

    def __init__(self, people: LabelSide) -> None:
        self._side = people.loop
        self.votes: list[ValidationVote] = []

    async def validation_votes(self) -> tuple[ValidationVote, ...]:
        return tuple(self.votes)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._side, name)


class Injected:
    """One run by hand; `score` and `ppo` may be broken by whoever makes it.

    Args:
        model: ρ, a folder.
        folder: The run's.
        score: What PPO is told of a response's tokens; the rule, unless broken.
        ppo: Changes of its config.
        loads: Whether the sampler takes the weights it is given.
    """

    def __init__(
        self,
        model: Path,
        folder: Path,
        *,
        score: Callable[[Sequence[int]], float] = gold,
        loads: bool = True,
        **ppo: object,
    ) -> None:
        self.folder = folder
        self._score = score
        self._loads = loads
        self._reference = PolicyModel(load_causal_model(model))
        self.learner = PPOLearner(
            policy=PolicyConfig(path=str(model)),
            ppo=PPOConfig(**{**PPO.model_dump(), **ppo}),
            kl=KL,
            learner=LearnerConfig(micro_batch_size=BATCH),
            checkpoint_root=folder / "policy",
            total_episodes=1_000_000,
            probe_token_ids=(4, 9, 14),
            publisher=SharedMemoryPublisher(folder / "weights"),
            seed=3,
        )
        self.version = 0
        self.golds: list[float] = []
        self.people = LabelSide()
        self.labels = VotingLoop(self.people)
        self.guards = Guards(
            GuardsConfig(),
            KL,
            labels=self.labels,  # type: ignore[arg-type]
            scorer=FakeRewardService(),
            evidence=Evidence(RunFolder(folder)),
            tell=MemorySink().write,
        )
        self._rng = random.Random(5)
        self._draws = torch.Generator().manual_seed(7)

    async def run(self, num_steps: int) -> tuple[int, list[str]]:
        """Take steps until the cord is pulled; return how many, and the guards that pulled."""
        for step in range(num_steps):
            batch = self.batch()
            report = present(self.learner.step(batch))
            self.version = report.policy.version
            self._vote(batch)
            await self.guards.step_done(batch, report)
            cord = await self.people.loop.cord()
            if cord.is_pulled:
                return step + 1, [each.guard for each in cord.reasons]
        return num_steps, []

    def batch(self) -> ExperienceBatch:
        """Sample a batch from the policy as it stands, and score it."""
        engine: Any = self.learner._engine
        model = engine.module if self._loads else self._reference
        rollouts = [
            rollout
            for prompt in PROMPTS
            for rollout in self._sampled(model, prompt, BATCH // len(PROMPTS), self.version)
        ]
        self.golds.append(sum(gold(each.token_ids) for each in rollouts) / BATCH)
        return ExperienceBatch(
            step=self.version,
            rollouts=tuple(self._scored(rollout) for rollout in rollouts),
            episodes_before=self.version * BATCH,
            reward_version=1,
            learned_through=1,
        )

    def _scored(self, rollout: Rollout) -> ScoredRollout:
        value = self._score(rollout.token_ids)
        return ScoredRollout(
            rollout=rollout, score=Score(value=value, heads=(value,), reward_version=1)
        )

    def _vote(self, batch: ExperienceBatch) -> None:
        """Let people compare responses of the batch with ρ's by the rule; ties are nobody's."""
        if self.version == 1:
            return  # the batch is ρ's own
        for number in range(VOTES_PER_STEP):
            ours = self._rng.choice(batch.rollouts).rollout
            [theirs] = self._sampled(self._reference, ours.prompt.token_ids, 1, 0)
            difference = gold(ours.token_ids) - gold(theirs.token_ids)
            if difference:
                moment = self.version + number / VOTES_PER_STEP
                self.labels.votes.append(
                    ValidationVote(
                        received_at=moment,
                        is_win=difference > 0,
                        policy_versions=(self.version,),
                        query_id=f"v{self.version}-{number}",
                        labeler_id="ann",
                    )
                )

    @torch.no_grad()
    def _sampled(
        self, model: Any, prompt: tuple[int, ...], count: int, version: int
    ) -> list[Rollout]:
        ids = torch.tensor([list(prompt)] * count)
        logprobs = torch.zeros(count, 0)
        for _ in range(NUM_TOKENS):
            logits = model.language_model(input_ids=ids).logits[:, -1].float()
            said = torch.log_softmax(logits, dim=1)
            token = torch.multinomial(said.exp(), 1, generator=self._draws)
            ids = torch.cat([ids, token], dim=1)
            logprobs = torch.cat([logprobs, said.gather(1, token)], dim=1)
        return [
            Rollout(
                rollout_id=f"t-{version}-{prompt}-{row}",
                prompt=Prompt(prompt_id="p", text=str(prompt), token_ids=prompt),
                purpose="train",
                sampling=Sampling(temperature=1.0, max_tokens=NUM_TOKENS),
                token_ids=tuple(ids[row, len(prompt) :].tolist()),
                behavior_logprobs=tuple(logprobs[row].tolist()),
                policy_versions=(version,) * NUM_TOKENS,
                num_kept=NUM_TOKENS,
                is_complete=True,
                finish_reason="cut",
                text=str(ids[row, len(prompt) :].tolist()),
                actor_id="rollout-0",
                started_at=0.0,
                finished_at=1.0,
            )
            for row in range(count)
        ]

    async def close(self) -> None:
        self.learner.close()
        await self.people.close()
