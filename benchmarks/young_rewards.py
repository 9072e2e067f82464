"""PPO alone against the rewards that a run began with: how far they take the policy from ρ.

    python -m benchmarks.young_rewards runs/demo-1 --seeds 1 2 \
        --set ppo.whiten_rewards=true --set ppo.whiten_rewards=false

A reward of a hundred labels knows little, and a policy that goes far for it falls into texts that ρ
never writes: it repeats a word. Each `--set` is a variant. Every step is scored by the version that
the run's own step was trained on; responses are one version old. No people, no engine, no Ray: one
process of one thread, about 90 s a variant and seed at the demo's size. The run must have kept its
reward bundles, as the demo does.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import fmean

from benchmarks.label_efficiency.arms import Drawn
from benchmarks.label_efficiency.sampling import Sampler
from benchmarks.reward_order import HOST, overrides_of, say, variants_parser
from cluster.config import RunConfig
from cluster.config_file import load_config
from cluster.loops.drafting import draw_prompts
from cluster.loops.scoring import scored_sequence
from cluster.report.records import RunRecords, read_run
from cluster.starting.policy_reading import PolicyReading
from cluster.starting.prompts import prompt_sources
from label_queue.simulated.gold.registry import gold_of
from learners.config import PolicyConfig
from learners.engine import free_port, join_ranks, leave_ranks
from learners.ppo import PPOLearner
from learners.reward_reading import LIMITS
from protocol.messages import ExperienceBatch, Rollout, Score, ScoredRollout
from reward_service.batching import score_sequences
from reward_service.bundle import load_bundle
from reward_service.reward_model import RewardModel

REPEATS = 3
"""Times that a word follows itself in a response that repeats one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One PPO step."""

    kl: float
    """Nats a response, from ρ."""
    num_repeating: int
    """Responses that repeat a word."""
    gold: float


def repeats_a_word(text: str) -> bool:
    """Return whether a word of a response follows itself three times or more."""
    words = text.split()
    again = [word for word, following in pairwise(words) if word == following]
    return any(again.count(word) >= REPEATS for word in set(again))


class Alone:
    """PPO against the rewards of a run.

    Args:
        run: Whose rewards.
        config: The variant.
        seed: Of all that is drawn.

    `engine.join_ranks` comes first.
    """

    def __init__(self, run: RunRecords, config: RunConfig, seed: int) -> None:
        policy = Path(run.state["policy_path"])
        reading = PolicyReading.of_folder(policy)
        self._config = config
        self._versions = [each.reward_version for each in run.policies if each.version > 0]
        self._bundles = {each.version: Path(each.path) for each in run.rewards}
        self._prompts, _ = prompt_sources(config, reading)
        self._sampler = Sampler(
            policy,
            reading.library,
            seed,
            Drawn(lag=1),
            num_tokens=config.response.max_tokens,
            end=reading.ends(config.response),
        )
        self._folder = tempfile.TemporaryDirectory()
        self._learner = PPOLearner(
            policy=PolicyConfig(path=str(policy)),
            ppo=config.ppo,
            kl=config.kl,
            learner=config.learner,
            checkpoint_root=Path(self._folder.name),
            total_episodes=config.run.episodes,
            probe_token_ids=draw_prompts(self._prompts, 1)[0].token_ids,
            publisher=self._sampler,
            seed=seed,
        )

    def steps(self, number: int) -> list[Step]:
        """Take steps, and say what each was of; then free everything."""
        self._learner.announce()
        steps = [self._step(index) for index in range(number)]
        self._learner.close()
        self._folder.cleanup()
        return steps

    def _step(self, index: int) -> Step:
        size = self._config.ppo.batch_size
        version = self._versions[index]
        rollouts = self._sampler.draw(draw_prompts(self._prompts, size))
        batch = ExperienceBatch(
            step=index,
            rollouts=tuple(self._scored(rollouts, load_bundle(self._bundles[version]).model)),
            episodes_before=index * size,
            reward_version=version,
            learned_through=0,
        )
        report = self._learner.step(batch)
        assert report is not None, "this rank is the first"
        gold = gold_of(self._config.gold)
        return Step(
            kl=report.metrics["kl/reference_mean"],
            num_repeating=sum(repeats_a_word(each.text) for each in rollouts),
            gold=fmean(gold.score(each.prompt.text, each.text) for each in rollouts),
        )

    def _scored(self, rollouts: Sequence[Rollout], model: RewardModel) -> list[ScoredRollout]:
        missing = self._config.response.missing_cut_score
        fixed = Score(value=missing, heads=(missing,), reward_version=0)
        scores = score_sequences(model, [scored_sequence(each) for each in rollouts], 0, LIMITS)
        return [
            ScoredRollout(rollout=rollout, score=score if rollout.is_complete else fixed)
            for rollout, score in zip(rollouts, scores, strict=True)
        ]


def main() -> None:
    """Run from the command line; see the module."""
    parser = variants_parser(__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--steps", type=int, default=24)
    chosen = parser.parse_args()
    run = read_run(chosen.run)
    join_ranks(0, 1, HOST, free_port(HOST))
    say("| variant | seed | largest KL, nats | most that repeat a word | gold, last four steps |")
    say("| --- | ---: | ---: | ---: | ---: |")
    for variant in chosen.set or [""]:
        config = load_config(chosen.run / "config.toml", overrides_of(variant))
        for seed in chosen.seeds:
            steps = Alone(run, config, seed).steps(chosen.steps)
            say(
                f"| {variant or 'as it was'} | {seed} | {max(each.kl for each in steps):.1f} | "
                f"{max(each.num_repeating for each in steps)} of {config.ppo.batch_size} | "
                f"{fmean(each.gold for each in steps[-4:]):+.2f} |"
            )
    leave_ranks()


if __name__ == "__main__":
    main()
