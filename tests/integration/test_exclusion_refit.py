"""After an exclusion the refit is, bit for bit, that of a ledger without the labels."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import ray

from cluster.starting.remote import said
from label_queue.ledger.records import Record
from label_queue.ledger.sql import SqlLedger
from label_queue.queue import LabelQueue
from label_queue.schedule import LabelSchedule
from learners.shell import RewardTrainerRank
from protocol.fits import FitRequest, RewardVersion
from protocol.labels import ComparisonQuery
from protocol.remote import Remote, spawn
from tests.support import learner_inputs as inputs
from tests.support.labels import (
    make_assignment,
    make_config,
    make_event,
    make_exclusion,
    make_provenance,
    make_query,
    make_reward,
)

RUN = "run-1"
LABELERS = ("ann", "bob", "cat", "ann", "bob", "cat", "ann")
NUM_LABELS = 28


def query_of(number: int) -> ComparisonQuery:
    """A query of four candidates, each of other tokens."""
    rng = random.Random(number)
    query = make_query(number)
    candidates = tuple(
        replace(each, token_ids=tuple(rng.randrange(3, inputs.VOCABULARY) for _ in range(4)))
        for each in query.candidates
    )
    return replace(query, candidates=candidates)


def labels_of(names: Sequence[str]) -> list[Record]:
    """The labels of some labelers among all that were given, in their order."""
    records: list[Record] = []
    for number in range(NUM_LABELS):
        labeler = LABELERS[number % len(LABELERS)]
        if labeler in names:
            query = query_of(number)
            event = make_event(query, labeler, choice=number % 4)
            records += [query, make_assignment(query, labeler), event]
    return records


async def next_fit(path: Path, records: Sequence[Record]) -> FitRequest:
    """What the label queue orders on a ledger that holds these records."""
    ledger = SqlLedger.open(path, RUN)
    ledger.write(list(records))
    config = make_config(initial=10)
    schedule = LabelSchedule.of(config, num_episodes=1_000, mode="online")
    queue = LabelQueue(ledger, config, schedule, run_id=RUN, seed=1)
    try:
        return await asyncio.wait_for(queue.policy_loop.next_refit(), 30)
    finally:
        await queue.close()


def test_a_refit_after_an_exclusion_is_that_of_a_ledger_without_the_labeler(
    ray_session: None, tiny_model: Path, tmp_path: Path
) -> None:
    learned = replace(make_reward(1, ledger_seq=NUM_LABELS), labels_used=NUM_LABELS)
    steps = [make_provenance(0), make_provenance(1, 1)]
    with_bob = [*labels_of(LABELERS), learned, *steps, make_exclusion("bob")]
    forced = asyncio.run(next_fit(tmp_path / "with.sqlite", with_bob))
    clean = asyncio.run(next_fit(tmp_path / "without.sqlite", labels_of(["ann", "cat"])))

    assert (forced.kind, clean.kind) == ("refit", "refit")
    assert (forced.is_forced, forced.contaminated_from) == (True, 1)
    assert forced.ledger_seq > clean.ledger_seq
    assert forced.labeler_weights == clean.labeler_weights
    assert [replace(each, seq=0) for each in forced.comparisons] == [
        replace(each, seq=0) for each in clean.comparisons
    ]

    trainer = spawn(RewardTrainerRank, "the reward trainer", {})(
        rank=0,
        policy_path=tiny_model,
        model=inputs.REWARD_MODEL,
        fit=inputs.REWARD_FIT,
        deepspeed=inputs.engine_config(1, 0),
        root=tmp_path / "reward",
    )
    versions = asyncio.run(fitted(trainer, (forced, clean)))
    ray.kill(trainer.handle)
    first, second = (Path(v.path, "model.safetensors").read_bytes() for v in versions)
    assert first == second
    assert versions[0].sha256 == versions[1].sha256


async def fitted(
    trainer: Remote[RewardTrainerRank], requests: Sequence[FitRequest]
) -> list[RewardVersion]:
    """Start a trainer, have it fit one request after the other, and stop it."""
    host, port = await trainer.ask(RewardTrainerRank.address)
    await trainer.ask(RewardTrainerRank.start, host, port, inputs.reference_sequences())
    versions = [said(await trainer.ask(RewardTrainerRank.fit, each)) for each in requests]
    await trainer.ask(RewardTrainerRank.stop)
    return versions
