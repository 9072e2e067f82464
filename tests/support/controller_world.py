"""A controller among fakes, before the real label queue, at which somebody labels all the time."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cluster.config import RunConfig
from cluster.config_file import parse_config
from cluster.controller import Controller
from cluster.guards.evidence import Evidence
from cluster.guards.guards import Guards
from cluster.loops.checkpoints import RunCheckpoint, RunCheckpoints
from cluster.loops.fleet import RolloutFleet
from cluster.loops.journal import Journal
from cluster.loops.parts import Parts
from cluster.loops.recorded import recorded
from cluster.loops.turns import LearnerInTurns, Turns
from cluster.recordings.recorder import Recorder
from cluster.recordings.streams import Recordings
from cluster.run_folder import RunFolder
from label_queue.figures.known_order import KnownPair
from protocol.ports import PromptSource
from tests.support.memory_ledger import MemoryLedger
from tests.support.memory_sink import MemorySink
from tests.support.messages import make_policy
from tests.support.parts import (
    FakeActor,
    FakeLearner,
    FakePrompts,
    FakeRewardService,
    FakeRewardTrainer,
)
from tests.support.real_queue import LabelSide

BATCH = 8
ONE_REFIT = {"refits": 1}
"""All but the fit before RL is then by somebody's decision."""


def small_config(labels: Mapping[str, object] | None = None, **run: object) -> RunConfig:
    """Five steps and 40 labels, 10 of them before RL; refits at 10, 20 and 30, no warm updates."""
    return parse_config(
        {
            "people": [] if run.get("mode") == "fixed" else ["ann"],
            "run": {"episodes": 5 * BATCH, "max_policy_lag": 1, **run},
            "prompts": {"source": "reviews"},
            "policy": {"path": "model"},
            "ppo": {"batch_size": BATCH},
            "rollouts": {"requests_per_call": 4},
            "reward_model": {"num_normalisation_samples": 6, "num_heads": 2},
            "labels": {
                "total": 40,
                "initial": 10,
                "ahead": 4,
                "refits": 3,
                "warm": {"every_labels": 0},
                "quality": {"weigh_reliability": False, "repeat_share": 0.0},
                "intake": {"requests_per_s": 1e6, "request_burst": 1_000_000},
                **(labels or {}),
            },
        },
        "test",
    )


class World:
    """The parts of one controller; whoever replaces one does it before `controller`."""

    def __init__(
        self,
        folder: Path,
        *,
        actors: Sequence[FakeActor] = (),
        config: RunConfig | None = None,
        labelers: Sequence[str] = ("ann",),
        recorder: Recorder | None = None,
    ) -> None:
        self.config = config or small_config()
        self.actors = list(actors) or [FakeActor(), FakeActor()]
        self.learner = FakeLearner(folder / "policy")
        self.service = FakeRewardService()
        self.trainer = FakeRewardTrainer()
        self._labelers = labelers
        self.start_label_side()
        self.sink = MemorySink()
        self._recorder = recorder
        self.folder = RunFolder(folder)
        self.anchors: tuple[KnownPair, ...] = ()
        self.checkpoints = RunCheckpoints(folder / "checkpoints", folder / "policy", every_steps=2)
        self.policy = make_policy()
        self.new_prompts: Callable[[], PromptSource] = FakePrompts
        self.resumed: RunCheckpoint | None = None
        self._recordings = Recordings(folder)
        self._journal = Journal(self._recordings, self.sink, now=lambda: 100.0)

    def start_label_side(self, ledger: MemoryLedger | None = None) -> None:
        """Start the label queue, on a ledger that may hold something, and who labels."""
        self.people = LabelSide(
            self.config.labels,
            num_episodes=self.config.run.episodes,
            mode=self.config.run.mode,
            ledger=ledger,
        )
        self.labels = self.people.loop
        for name in self._labelers:
            self.people.keep_labeling(name)

    def controller(self) -> Controller:
        turns = Turns() if self.config.cluster.colocation == "turns" else None
        fleet = RolloutFleet(self.actors, requests_per_call=4, turns=turns)
        parts = Parts(
            prompts=self.new_prompts(),
            query_prompts=self.new_prompts(),
            fleet=fleet,
            learner=self.learner if turns is None else LearnerInTurns(self.learner, turns),
            reward_trainer=self.trainer,
            reward_service=self.service,
            labels=self.labels,
        )
        parts = recorded(parts, self._recorder)
        return Controller(
            self.config,
            parts,
            self._journal,
            self.policy,
            self._guards(),
            self.checkpoints,
            self.resumed,
        )

    def _guards(self) -> Guards:
        return Guards(
            self.config.guards,
            self.config.kl,
            labels=self.labels,
            scorer=self.service,
            evidence=Evidence(self.folder),
            tell=self._journal.guards_measured,
            anchors=self.anchors,
            now=lambda: 100.0,
            state=None if self.resumed is None else self.resumed.guards,
        )

    def evidence(self) -> list[dict[str, Any]]:
        """What guards kept, in order."""
        return [json.loads(path.read_text()) for path in sorted(self.folder.guards.glob("*"))]

    @property
    def progress(self) -> list[int]:
        """The episodes of each version that the queue was told of, ρ left out."""
        return [policy.episodes for policy in self.people.policies if policy.version > 0]

    @property
    def num_dropped(self) -> float:
        """Rollouts dropped, as the last row says that does."""
        return float(self.last("staleness/dropped"))

    def last(self, name: str) -> float | int | str:
        """The last value of a metric."""
        return [row[name] for row in self.sink.rows if name in row][-1]

    async def close(self) -> None:
        await self.people.close()
        self._recordings.close()
