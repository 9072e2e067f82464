"""Two ranks of the reward trainer, of which one alone finds no room: none goes on without it."""

from __future__ import annotations

import errno
import threading
from pathlib import Path

import pytest
import torch

from learners.fresh_models import FreshModels
from learners.reward_fit import RewardTrainer
from protocol.fits import FitRequest, RewardVersion
from protocol.folders import FoldersHere
from reward_service.reward_model import RewardModel
from tests.support import learner_inputs as inputs
from tests.support.threaded_ranks import WORLD_SIZE, ThreadedEngine, ThreadedRanks, told

pytestmark = pytest.mark.timeout(180)

REFIT = inputs.fit_request(count=8)
WARM = inputs.fit_request("warm", count=5, first=8)


class Disk(FoldersHere):
    """Has no room for files of one name."""

    full_for = ""

    def put(self, folder: Path, file: str) -> None:
        if file == self.full_for:
            raise OSError(errno.ENOSPC, "No space left on device", str(folder / file))
        super().put(folder, file)


class Trainers:
    """Both ranks."""

    def __init__(self, model: Path, root: Path, disk: Disk) -> None:
        self.root = root
        self._ranks = ThreadedRanks()
        self._trainers: dict[int, RewardTrainer] = {}

        def start(rank: int) -> None:
            self._trainers[rank] = RewardTrainer(
                policy_path=model,
                model=inputs.REWARD_MODEL,
                fit=inputs.REWARD_FIT,
                deepspeed=inputs.engine_config(WORLD_SIZE, 0),
                root=root,
                reference_sequences=inputs.reference_sequences(),
                clock=lambda: 0.0,
                keeps_state=True,
                store=disk,
            )

        assert told(self._ranks.each(start)) == ["", ""]

    def fit(self, request: FitRequest) -> list[RewardVersion | Exception | None]:
        return self._ranks.each(lambda rank: self._trainers[rank].fit(request))

    def weights(self) -> list[dict[str, torch.Tensor]]:
        """Return what each rank's live model holds now."""
        found = []
        for rank in range(WORLD_SIZE):
            engine = self._trainers[rank]._engine
            assert engine is not None
            state = engine.module.state_dict()
            found.append({name: x.detach().clone() for name, x in state.items()})
        return found


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
def trainers(
    model_folder: Path, tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> Trainers:
    draw, one_at_a_time = FreshModels.draw, threading.Lock()

    def drawn(self: FreshModels, *, is_checked: bool = False) -> RewardModel:
        with one_at_a_time:  # transformers loads one model of a process after the other
            return draw(self, is_checked=is_checked)

    monkeypatch.setattr(FreshModels, "draw", drawn)
    monkeypatch.setattr("learners.reward_fit.Engine", ThreadedEngine)
    return Trainers(model_folder, tmp_path / "reward", disk)


@pytest.mark.parametrize(
    ("file", "rank"),
    [("model.safetensors", 0), ("trainer.json", 0), ("rank-0001.safetensors", 1)],
)
def test_where_one_rank_finds_no_room_all_go_back_and_the_fit_is_done_later(
    trainers: Trainers, disk: Disk, file: str, rank: int
) -> None:
    assert told(trainers.fit(REFIT)) == ["", ""]
    before = trainers.weights()

    disk.full_for = file
    words = told(trainers.fit(WARM))
    assert all(each.startswith("DiskFull: ") and file in each for each in words)
    assert [f"rank {rank} of 2: " in each for each in words] == [rank != 0, rank != 1]
    for now, then in zip(trainers.weights(), before, strict=True):
        assert all(torch.equal(now[name], then[name]) for name in then)
    assert [path.name for path in trainers.root.rglob(".draft-*")] == []

    disk.full_for = ""
    first, second = trainers.fit(WARM)
    assert isinstance(first, RewardVersion)
    assert (first.version, second) == (2, None)
    one, other = trainers.weights()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert any(not torch.equal(one[name], before[0][name]) for name in one)
