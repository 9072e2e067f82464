"""From a label's marks in the ledger to what the policy is paid: every stage the real one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cluster.loops.scoring import ResponseScorer
from cluster.recordings.crossings import FIT, SCORE, STEP
from label_queue.fitting.from_ledger import read_fit
from label_queue.folds.view import LedgerView
from label_queue.ledger.records import Record
from label_queue.quality_config import DEFAULT_QUALITY
from learners.config import PolicyConfig, PPOConfig
from learners.ppo import PPOLearner
from learners.reward_fit import RewardTrainer
from learners.weights import ObjectStorePublisher
from protocol.fits import FitRequest
from protocol.messages import ExperienceBatch, Score
from protocol.tokenizing import PolicyTokenizer
from reward_service.buckets import BatchLimits
from reward_service.config import MarksConfig, RewardModelConfig
from reward_service.hot_swap import LiveModel
from reward_service.pretrained import load_tokenizer
from tests.support import learner_inputs as inputs
from tests.support.labels import make_assignment, make_event, make_query
from tests.support.memory_ledger import MemoryLedger
from tests.support.plain_engine import PlainEngine
from tests.support.present import present
from tests.support.tiny_model import save_tiny_model

TEXTS = ("was lovely .", "was rude .", "felt rude and cold .", "felt so lovely .")
GOOD, BAD = "lovely", "rude"


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("policy"))


@pytest.fixture(scope="module")
def tokenizer(policy: Path) -> PolicyTokenizer:
    return PolicyTokenizer(load_tokenizer(policy))


def fit_of_marks(tokenizer: PolicyTokenizer, num_labels: int = 48) -> FitRequest:
    """Return the refit of a ledger whose labels all mark each "lovely" good and "rude" bad."""
    records: list[Record] = []
    for number in range(num_labels):
        query = make_query(number)
        candidates = tuple(
            replace(candidate, text=text, token_ids=tokenizer.response_ids(text, where="the test"))
            for candidate, text in zip(query.candidates, TEXTS, strict=True)
        )
        query = replace(query, candidates=candidates)
        spans = tuple(
            (candidate.candidate_id, start, start + len(word), mark)
            for candidate in candidates
            for word, mark in ((GOOD, "good"), (BAD, "bad"))
            if (start := candidate.text.find(word)) >= 0
        )
        records += [query, make_assignment(query), make_event(query, spans=spans)]
    ledger = MemoryLedger()
    ledger.write(records)
    fit = read_fit(
        LedgerView.of(ledger),
        DEFAULT_QUALITY,
        until_seq=None,
        validation_share=0.0,
        num_reference=4,
        seed=1,
    )
    return fit.request


class Served:
    """A scorer around the live model of a replica."""

    def __init__(self, live: LiveModel) -> None:
        self.live = live

    async def score(self, sequences: Sequence[Sequence[int]]) -> list[Score]:
        (answer,) = self.live.score([sequences])
        assert isinstance(answer, list)
        return answer


async def test_marks_of_the_ledger_are_paid_where_the_policy_writes_such_words(
    policy: Path, tokenizer: PolicyTokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("reward_fit", "ppo"):
        monkeypatch.setattr(f"learners.{name}.Engine", PlainEngine)
    request = fit_of_marks(tokenizer)
    assert all(each.marks for each in request.comparisons)
    trainer = RewardTrainer(
        policy_path=policy,
        model=RewardModelConfig(marks=MarksConfig()),
        fit=inputs.REWARD_FIT.model_copy(update={"lr": 3e-3}),
        deepspeed=inputs.engine_config(1, 0),
        root=tmp_path / "reward",
        reference_sequences=inputs.reference_sequences(),
        clock=lambda: 0.0,
    )
    version = present(trainer.fit(request))
    live = LiveModel([], BatchLimits(max_tokens=512, max_sequences=64))
    live.swap(version)

    rollouts = []
    for number, each in enumerate(inputs.experience_batch(0).rollouts):
        token_ids = tokenizer.response_ids(TEXTS[number % 2], where="the test")
        rollouts.append(
            replace(
                each.rollout,
                prompt=replace(each.rollout.prompt, token_ids=make_query().prompt_token_ids),
                token_ids=token_ids,
                behavior_logprobs=(-3.0,) * len(token_ids),
                policy_versions=(0,) * len(token_ids),
                num_kept=len(token_ids),
                is_complete=number != 0,
            )
        )
    scored = await ResponseScorer(Served(live), missing_cut_score=-1.0).score(rollouts)
    assert scored[0].mark_values == (), "the fixed score comes of no model"
    assert {each.score.reward_version for each in scored} == {version.version}
    values = [each.mark_values[1] for each in scored[1:]]
    assert min(values[1::2]) > 0.3, "lovely"
    assert max(values[0::2]) < -0.3, "rude"

    learner = PPOLearner(
        policy=PolicyConfig(path=str(policy)),
        ppo=PPOConfig(**{**inputs.PPO.model_dump(), "mark_coefficient": 0.5}),
        kl=inputs.KL,
        learner=inputs.engine_config(1, 0),
        checkpoint_root=tmp_path / "policy",
        total_episodes=inputs.TOTAL_EPISODES,
        probe_token_ids=inputs.PROBE,
        publisher=ObjectStorePublisher(lambda content: None),
        seed=inputs.SEED,
    )
    batch = ExperienceBatch(
        step=0,
        rollouts=tuple(scored),
        episodes_before=0,
        reward_version=version.version,
        learned_through=version.ledger_seq,
    )
    report = present(learner.step(batch))
    paid = 0.5 * sum(sum(each.mark_values) for each in scored) / len(scored)
    assert report.metrics["reward/mark_pay"] == pytest.approx(paid)


def test_what_crosses_a_process_keeps_its_marks_on_record_and_is_read_without_them(
    tokenizer: PolicyTokenizer,
) -> None:
    score = Score(value=0.5, heads=(0.5,), reward_version=3, mark_values=(0.25, -0.5))
    assert SCORE.answers.validate_json(SCORE.answers.dump_json((score,))) == (score,)
    old = b'[{"value":0.5,"heads":[0.5],"reward_version":3}]'
    assert SCORE.answers.validate_json(old) == (replace(score, mark_values=()),)
    request = fit_of_marks(tokenizer, 2)
    assert FIT.asks.validate_json(FIT.asks.dump_json(request)) == request
    batch = inputs.experience_batch(0)
    marked = replace(
        batch,
        rollouts=tuple(
            replace(each, score=replace(each.score, mark_values=(0.5, 1e-7)))
            for each in batch.rollouts
        ),
    )
    assert STEP.asks.validate_json(STEP.asks.dump_json(marked)) == marked


def test_the_values_are_of_the_response_s_tokens_alone() -> None:
    (each, *_) = inputs.experience_batch(0).rollouts
    num_prompt = len(each.rollout.prompt.token_ids)
    values = tuple(torch.linspace(-1, 1, num_prompt + each.rollout.num_kept).tolist())
    marked = replace(each, score=replace(each.score, mark_values=values))
    assert marked.mark_values == values[num_prompt:]
    assert each.mark_values == ()
