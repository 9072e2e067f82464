"""The report says what the live figures said at the end of the run."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

import pytest

from cluster.config import RunConfig
from cluster.config_file import save_config
from cluster.report.records import CordRecord, read_run
from cluster.report.summary import Summary, summarize
from cluster.report.write import write_report
from cluster.run_folder import RunFolder
from label_queue.labeling.submissions import LabelSubmission
from label_queue.ledger.sql import SqlLedger
from label_queue.queue import LabelQueue
from label_queue.schedule import LabelSchedule
from protocol.cord import Pulled, Released, RollbackOrdered, RolledBack
from protocol.fits import FitRequest, RewardVersion
from tests.support.hand_made_run import COVERAGE, FIRST_SAMPLES, fill
from tests.support.labels import ManualClock, make_cord_event, make_drafts
from tests.support.messages import make_policy
from tests.support.synthetic_run import synthetic_config

LIVE_NAMES = {
    "coverage_median": "online/coverage",
    "label_to_policy_latency_p50_s": "online/label_to_policy_latency_p50",
    "label_to_policy_latency_p95_s": "online/label_to_policy_latency_p95",
    "validation_winrate": "policy/winrate_vs_reference",
    "validation_winrate_recent": "policy/winrate_recent",
}


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """Of a run that has left nothing in it but its config yet."""
    made = RunFolder.create(tmp_path / "run")
    made.update_state(run_id="run-1", state="running")
    return made


def record_samples(folder: RunFolder, samples: dict[int, float]) -> None:
    lines = (json.dumps({"version": v, "sampled_at": at}) for v, at in samples.items())
    (folder.recordings / "first_samples.jsonl").write_text("".join(f"{line}\n" for line in lines))


def fill_by_hand(folder: RunFolder) -> None:
    save_config(synthetic_config(), folder.config)
    ledger = SqlLedger.open(folder.ledger, "run-1")
    fill(ledger)
    ledger.close()
    record_samples(folder, FIRST_SAMPLES)


def test_a_report_of_a_run_worked_out_by_hand(folder: RunFolder) -> None:
    fill_by_hand(folder)
    run = read_run(folder.path)
    summary = summarize(run)
    expected: Summary = {
        "coverage_median": 2 / 3,
        "label_to_policy_latency_p50_s": 120.0,
        "label_to_policy_latency_p95_s": 172.5,
        "labels_not_learned": 1,
        "validation_labels": 1,
        "validation_winrate": 1.0,
        "validation_winrate_recent": 1.0,
        "labelled_by": "people",
        "labels_in_ledger": 19,
        "labelers_excluded": 1,
    }
    assert {name: summary[name] for name in expected} == pytest.approx(expected)
    shares = {each.query_id: each.share for each in run.label_side.figures.online().coverage}
    assert shares == pytest.approx(COVERAGE)
    # What counts toward l(n): neither gold nor repeats, skips, and labels held or excluded.
    assert [each.seq for each in run.training] == [1, 3, 5, 9, 19]
    assert write_report(folder.path).exists()


def test_pulls_of_the_cord_are_those_of_the_ledger(folder: RunFolder) -> None:
    fill_by_hand(folder)
    ledger = SqlLedger.open(folder.ledger, "run-1")
    ledger.write(
        [
            make_cord_event(Pulled, 0),
            make_cord_event(
                Pulled, 1, actor="guard", offered_rollback=2
            ),  # an offer, no second pull
            make_cord_event(Released, 2, actor="owner"),
            make_cord_event(RollbackOrdered, 3, actor="owner", to_version=1),
            make_cord_event(RolledBack, 4, actor="learner", restored_version=1),
        ]
    )
    ledger.close()
    run = read_run(folder.path)
    assert summarize(run)["cord_pulls"] == 2
    assert [(each.action, each.actor, each.at) for each in run.cord] == [
        ("pull", "ann", 1_000.0),
        ("release", "owner", 1_002.0),
        ("pull", "owner", 1_003.0),
    ]
    assert isinstance(run.cord[0], CordRecord)


# --- a whole run over the real queue -------------------------------------------------------------


@dataclass
class Life:
    """A run over the real queue: people, a trainer, a learner and actors, all at a manual clock."""

    queue: LabelQueue
    clock: ManualClock
    random: Random
    rewards: list[RewardVersion] = field(default_factory=list)
    samples: dict[int, float] = field(default_factory=dict)
    version: int = 0

    async def ask(self) -> None:
        while orders := await self.queue.policy_loop.next_orders(0.0):
            for order in orders:
                self.clock.now += 1.0
                drafts = make_drafts(order, version=max(0, self.version - self.random.randrange(2)))
                await self.queue.policy_loop.offer(order.order_id, drafts)

    async def label(self, name: str) -> bool:
        """Answer one task; now and then with a skip. False where there was none."""
        task = await self.queue.people.next_task(name, 0.0)
        if task is None:
            return False
        self.clock.now += 2.0
        is_skip = self.random.random() < 0.1
        choice = None if is_skip else self.random.choice(task.candidates).candidate_id
        await self.queue.people.submit(
            name,
            [
                LabelSubmission(
                    assignment_id=task.assignment_id,
                    outcome="skip" if is_skip else "choice",
                    choice=choice,
                )
            ],
        )
        return True

    async def fit(self) -> FitRequest:
        loop = self.queue.policy_loop
        asked = [asyncio.ensure_future(each) for each in (loop.next_refit(), loop.next_update())]
        due, others = await asyncio.wait(asked, timeout=10.0, return_when=asyncio.FIRST_COMPLETED)
        for each in others:
            each.cancel()
        request = due.pop().result()
        self.clock.now += 5.0
        self.rewards.append(
            RewardVersion.answering(request, version=len(self.rewards) + 1, fit_seconds=5.0)
        )
        await self.queue.policy_loop.reward_served(self.rewards[-1])
        return request

    async def step(self) -> None:
        self.clock.now += 3.0
        self.version += 1
        policy = make_policy(self.version, episodes=12 * self.version)
        policy = replace(policy, reward_version=len(self.rewards))
        await self.queue.policy_loop.set_progress(policy.episodes, policy)
        self.samples[self.version] = self.clock.now + 1.0
        await self.queue.policy_loop.first_sampled(self.version, self.samples[self.version])
        await self.queue.policy_loop.online_stats()


def small_config() -> RunConfig:
    labels = {
        "total": 120,
        "initial": 12,
        "refits": 4,
        "ahead": 8,
        "overlap_share": 0.2,
        "overlap_labelers": 2,
        "validation_share": 0.0,
        "warm": {"every_labels": 4, "every_s": 1e6},
        "quality": {"repeat_share": 0.2, "repeat_after": 2},
        "intake": {"requests_per_s": 1e6, "request_burst": 1_000_000},
    }
    return synthetic_config(
        {"run": {"name": "small", "seed": 3, "episodes": 128}, "labels": labels}
    )


@asynccontextmanager
async def living(folder: RunFolder) -> AsyncIterator[Life]:
    config = small_config()
    save_config(config, folder.config)
    schedule = LabelSchedule.of(config.labels, num_episodes=128, mode="online")
    clock = ManualClock()
    ledger = SqlLedger.open(folder.ledger, "run-1")
    queue = LabelQueue(ledger, config.labels, schedule, run_id="run-1", seed=2, clock=clock)
    try:
        yield Life(queue=queue, clock=clock, random=Random(1))
    finally:
        await queue.close()


async def test_the_report_of_a_whole_run_says_what_the_live_figures_said(
    folder: RunFolder,
) -> None:
    async with living(folder) as life:
        for name in ("ann", "bob", "cid"):
            await life.queue.owner.add_labeler(name)
        kinds = set()
        for turn in range(6):
            await life.ask()
            while any([await life.label(name) for name in ("ann", "bob", "cid")]):
                pass
            if turn == 3:
                await life.queue.owner.exclude("cid", 0, "at random")
            kinds.add((await life.fit()).kind)
            await life.step()
        assert kinds == {"refit", "warm"}
        record_samples(folder, life.samples)
        live = await life.queue.policy_loop.online_stats()
        stats = await life.queue.policy_loop.stats()
        last = life.rewards[-1]
    summary = summarize(read_run(folder.path))
    assert {name: summary[name] for name in LIVE_NAMES if LIVE_NAMES[name] in live} == {
        name: live[live_name] for name, live_name in LIVE_NAMES.items() if live_name in live
    }
    assert 0.0 < live["online/coverage"] < 1.0
    assert summary["labels_in_ledger"] == stats["labels/accepted"]
    assert isinstance(summary["labels_not_learned"], int)
    assert last.labels_used > 0
