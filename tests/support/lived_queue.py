"""A label queue that all sides use at once, and that is started again at times."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

from label_queue.config import LabelsConfig
from label_queue.connector_config import JsonlConfig
from label_queue.connectors.ingest import OutsideLabels
from label_queue.connectors.port import Annotation, Answer, Sweep
from label_queue.labeling.submissions import LabelSubmission
from label_queue.ledger.lookup import Lookup
from label_queue.ledger.records import Ledger
from label_queue.oversight.gold import GoldEdit
from label_queue.quality.gold_tasks import GoldTask
from label_queue.queue import LabelQueue
from label_queue.schedule import LabelSchedule
from label_queue.snapshot.folding import load, take
from label_queue.state import LabelState
from protocol.errors import AndonError
from protocol.labels import Assignment, Outcome
from tests.support.held_folds import lasting
from tests.support.labels import ManualClock, make_drafts, make_reward
from tests.support.messages import make_policy, make_prompt, make_request, make_rollout

T = TypeVar("T")

PEOPLE = ("ann", "bob", "cid", "jud")
"""The last of them judges."""
OUTCOMES: tuple[Outcome, ...] = (*("choice",) * 6, "tie", "skip", "both_bad")
REFERENCE = tuple(
    make_rollout(
        replace(make_request(10 * prompt + number, "reference"), prompt=make_prompt(prompt))
    )
    for prompt in range(4)
    for number in range(4)
)


class LivedQueue:
    """What is done is drawn from `seed`; whoever is refused goes on with something else."""

    def __init__(
        self, open_ledger: Callable[[], Ledger], config: LabelsConfig, folder: Path, seed: int
    ) -> None:
        self._open_ledger = open_ledger
        self._config = config
        self._snapshot = folder / "ledger.folds"
        self._draw = random.Random(seed)
        self._ids = count()
        self._sampled: dict[int, float] = {}
        self._tool: dict[str, Annotation] = {}
        self.clock = ManualClock()
        self._open(None)

    async def begin(self) -> None:
        for name in PEOPLE:
            await self.queue.owner.add_labeler(name, judges=name == PEOPLE[-1])
        await self.queue.policy_loop.set_progress(0, make_policy(0))

    async def do(self, act: str) -> None:
        """Do something of a name; see the methods."""
        self.clock.now += 1.0
        try:
            await getattr(self, act)()
        except AndonError as error:
            self.refused = error

    # --- lives -------------------------------------------------------------------------------

    @property
    def state(self) -> LabelState:
        return self.queue.state

    def held_by_a_start(self, *, snapshot: bool) -> dict[str, Any]:
        """What the folds of a start hold now, with the snapshot or without."""
        with self._new_state() as state:
            load(state, self.ledger, self._snapshot if snapshot else None, self._config.quality)
            state.go_live()
            for version, at in self._sampled.items():
                state.figures.first_sampled(version, at)
            return lasting(state)

    async def restart(self) -> None:
        await self.queue.close()
        self._open(self._draw.choice([None, self._snapshot]))

    async def keep(self) -> None:
        """Write a snapshot, which goes on from the one before."""
        with self._new_state() as state:
            load(state, self.ledger, self._snapshot, self._config.quality)
            take(state, self.ledger, self._snapshot, self._config.quality)

    def _open(self, snapshot: Path | None) -> None:
        self.ledger = self._open_ledger()
        self.queue = LabelQueue(
            self.ledger,
            self._config,
            self._schedule,
            run_id="run-1",
            seed=self._draw.getrandbits(20),
            clock=self.clock,
            new_id=self._new_id,
            snapshot=snapshot,
        )
        self.queue.take_in(REFERENCE, self._sampled.items())
        tool = JsonlConfig(kind="jsonl", name="tool", path=Path("none"), labelers={"1": "ann"})
        self._outside = OutsideLabels(
            self.state,
            self.queue.commits,
            [tool],
            limits=self._config.intake,
            guideline_version="1",
            clock=self.clock,
            new_id=self._new_id,
        )

    @contextmanager
    def _new_state(self) -> Iterator[LabelState]:
        with closing(Lookup(self.ledger)) as lookup:
            yield LabelState(self._config, self._schedule, self.clock, lookup=lookup)

    def _new_id(self) -> str:
        return f"id-{next(self._ids):06d}"

    @property
    def _schedule(self) -> LabelSchedule:
        return LabelSchedule.of(self._config, num_episodes=100, mode="online")

    # --- the policy loop ---------------------------------------------------------------------

    async def ask(self) -> None:
        for order in await self.queue.policy_loop.next_orders(0.0):
            drafts = make_drafts(order, version=self.state.policy_version)
            await self.queue.policy_loop.offer(order.order_id, drafts)

    async def fit(self) -> None:
        """Learn some of the training set: the rest is left out by the cap."""
        seq, version = self.state.history.last_seq, self.state.reward_version + 1
        dataset = self.state.view().dataset(seq, self._config.quality)
        learned = [each.seq for each in dataset if self._draw.random() < 0.8]
        kind = "refit" if version == 1 else self._draw.choice(["refit", "warm"])
        if learned:
            reward = make_reward(version, ledger_seq=seq, kind=kind, learned=sorted(learned))
            await self.queue.policy_loop.reward_served(reward)

    async def step(self) -> None:
        version = self.state.policy_version + 1
        policy = replace(make_policy(version, 5 * version), moved_kl=0.4 * version)
        policy = replace(policy, reward_version=self.state.reward_version)
        await self.queue.policy_loop.set_progress(5 * version, policy)
        self._sampled[version] = self.clock()
        self.state.figures.first_sampled(version, self.clock())

    async def roll_back(self) -> None:
        policies = self.state.policies
        back_to = policies[self._draw.choice(list(policies))]
        await self.queue.owner.order_rollback(back_to.version, "worse")
        made = replace(
            make_policy(self.state.policy_version + 1, self.state.episodes),
            reward_version=back_to.reward_version,
            restored_from=back_to.version,
        )
        await self.queue.policy_loop.rolled_back(made)

    async def cord(self) -> None:
        for each in (await self.queue.people.pull_cord("ann", "odd")).reasons:
            await self.queue.owner.release_cord("looked at", each.pull_id)

    # --- people ------------------------------------------------------------------------------

    async def work(self) -> None:
        """Answer a few tasks."""
        for _ in range(self._draw.randint(1, 8)):
            name = self._draw.choice(PEOPLE)
            task = await self.queue.people.next_task(name, 0.0)
            if task is not None:
                assignment = self.state.board.assignments[task.assignment_id]
                await self.queue.people.submit(name, [self._said(assignment)])

    async def hold(self) -> None:
        await self.queue.people.next_task(self._draw.choice(PEOPLE), 0.0)

    async def let_go(self) -> None:
        """Give something back, or lose all to a decision that is undone, and ask for the next."""
        held = self.state.board.held(self.clock())
        if (name := self._one(list(held))) is None:
            return
        if self._draw.random() < 0.5:
            done = await self.queue.owner.exclude(name, 0, "odd")
            await self.queue.owner.undo(name, done.undoable or "", "by mistake")
        else:
            [(assignment, _), *_] = self.state.board.leased_by(name, self.clock())
            await self.queue.people.give_back(name, assignment.assignment_id)
        await self.queue.people.next_task(name, 0.0)

    async def beat(self) -> None:
        if given := self._one(self.ledger.assignments()):
            await self.queue.people.heartbeat(given.labeler_id, given.assignment_id)

    async def answer_late(self) -> None:
        """Answer or change whatever somebody ever had, many at once, some of it bad."""
        name = self._draw.choice(PEOPLE)
        own = [each for each in self.ledger.assignments() if each.labeler_id == name]
        some = self._draw.sample(own, min(len(own), 4))
        said = [self._said(each, self._draw.choice([0, 0, 1, 2])) for each in some]
        said.append(LabelSubmission(assignment_id="none", outcome="tie"))
        await self.queue.people.submit(name, [*said, *said[:1]])

    def _said(self, assignment: Assignment, ahead: int | None = None) -> LabelSubmission:
        query = self.state.board.queries[assignment.query_id]
        latest = self.state.history.latest(assignment.assignment_id)
        right = query.gold_answer if self._draw.random() < 0.7 else None
        choice = right or self._draw.choice(query.candidates).candidate_id
        outcome = self._draw.choice(OUTCOMES)
        return LabelSubmission(
            assignment_id=assignment.assignment_id,
            revision=0 if latest is None else latest.revision + (1 if ahead is None else ahead),
            outcome=outcome,
            choice=choice if outcome == "choice" else None,
            active_ms=self._draw.choice([None, 5_000]),
        )

    async def sweep(self) -> None:
        """Read a tool in which answers came, changed or went."""
        for _ in range(self._draw.randint(0, 3)):
            name = self._one([*self._tool, *(f"e{number}" for number in range(8))])
            query = self._one(self.ledger.queries()[-8:])
            if name in self._tool and self._draw.random() < 0.4:
                del self._tool[name]
            elif name is not None and query is not None:
                self._tool[name] = Annotation(
                    external_id=name,
                    updated_at=f"2026-01-01T00:00:{self._draw.randrange(60):02d}Z",
                    payload_sha256=f"{self._draw.getrandbits(256):064x}",
                    user=self._draw.choice("178"),
                    query_id=query.query_id,
                    answer=Answer(outcome="choice", choice=self._draw.choice("abcdz")),
                )
        answers = tuple(self._tool.values())
        offset = str(self._draw.randrange(9))
        await self._outside.ingest("tool", Sweep(answers=answers, is_complete=True, offset=offset))

    # --- the owner ---------------------------------------------------------------------------

    async def exclude(self) -> None:
        last = self.state.history.last_seq
        since = self._draw.choice([0, last // 2, last + 5])
        await self.queue.owner.exclude(self._draw.choice(PEOPLE), since, "odd")

    async def reinstate(self) -> None:
        await self.queue.owner.reinstate(self._draw.choice(PEOPLE), "looked at")

    async def undo(self) -> None:
        name = self._draw.choice(PEOPLE)
        if act := self.state.history.standings[name].undoable:
            await self.queue.owner.undo(name, act, "by mistake")

    async def make_gold(self) -> None:
        if query := self._one(self.ledger.queries()):
            choice = self._draw.choice(query.candidates).candidate_id
            await self.queue.owner.make_gold(query.query_id, choice)

    async def write_gold(self) -> None:
        task = GoldTask(prompt="w", candidates=("a", "b", "c", "d"), answer=self._draw.randrange(4))
        await self.queue.owner.write_gold(task)

    async def edit_gold(self) -> None:
        if gold := self._one(self.state.gold.newest_first()):
            edit = GoldEdit(
                answer=self._draw.randrange(4), prompt=self._draw.choice([None, "other"])
            )
            await self.queue.owner.edit_gold(gold.template.query_id, edit, "wrong")

    async def decide_gold(self) -> None:
        if gold := self._one(self.state.gold.newest_first()):
            name, owner = gold.template.query_id, self.queue.owner
            await (owner.retire_gold if gold.is_asked else owner.bring_back_gold)(name, "odd")

    # --- the world ---------------------------------------------------------------------------

    async def wait(self) -> None:
        """Let leases and queries run out, or the clock be set back."""
        self.clock.now += self._draw.choice([10.0, 1_000.0, 5_000.0, -50.0, -2_000.0])

    async def look(self) -> None:
        self.state.figures.online_stats()
        self.state.figures.online()
        await self.queue.owner.overview()

    def _one(self, of: list[T]) -> T | None:
        return self._draw.choice(of) if of else None

    def given(self) -> list[tuple[str, str]]:
        """Who was given which query, by assignment."""
        return [(each.labeler_id, each.query_id) for each in self.ledger.assignments()]
