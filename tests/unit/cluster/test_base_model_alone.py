"""A base model made without a run: once, and where runs look for it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from actors.prompts.corpora import corpus
from cluster.alone.base_model import base_model
from cluster.starting.base_model import (
    base_model_folder,
    made_base_model,
    made_starting_policy,
)
from cluster.starting.makers_lock import POLL_S, only_maker
from cluster.starting.nodes import NodeWait
from learners.text_config import BaseModelConfig
from protocol.errors import InputError
from protocol.folders import FoldersHere
from tests.support.controller_world import small_config

RECIPE = BaseModelConfig(texts="articles", num_texts=3, seed=7)


@pytest.fixture
def ranks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was joined and left."""
    done: list[str] = []
    monkeypatch.setattr("learners.engine.join_ranks", lambda *_: done.append("joined"))
    monkeypatch.setattr("learners.engine.leave_ranks", lambda: done.append("left"))
    return done


def test_it_is_made_of_its_texts_once_and_found_by_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ranks: list[str]
) -> None:
    taught: list[list[str]] = []

    def train(texts: list[str], recipe: BaseModelConfig, folder: Path) -> float:
        taught.append(texts)
        folder.mkdir()
        return 2.5

    monkeypatch.setattr("learners.base_model.train_base_model", train)
    folder = base_model(RECIPE, tmp_path)
    assert taught == [corpus("articles", 3, 7)]
    assert ranks == ["joined", "left"]
    assert json.loads((folder / "made.json").read_text())["loss"] == 2.5
    assert base_model(RECIPE, tmp_path) == folder == made_base_model(RECIPE, tmp_path)
    other = RECIPE.model_copy(update={"texts": "summaries"})
    assert base_model(other, tmp_path) != folder
    assert len(taught) == 2


@pytest.mark.usefixtures("ranks")
def test_of_two_that_want_it_at_once_one_makes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, may_end = Event(), Event()

    def train(_texts: list[str], _recipe: BaseModelConfig, folder: Path) -> float:
        begun.set()
        assert may_end.wait(30)
        folder.mkdir()  # fails where somebody else has made it meanwhile
        return 2.5

    monkeypatch.setattr("learners.base_model.train_base_model", train)
    with ThreadPoolExecutor(2) as both:
        first = both.submit(base_model, RECIPE, tmp_path)
        assert begun.wait(30)
        second = both.submit(base_model, RECIPE, tmp_path)
        with pytest.raises(TimeoutError):
            second.result(2 * POLL_S)
        may_end.set()
        assert first.result(30) == second.result(30) == made_base_model(RECIPE, tmp_path)


async def test_a_run_waits_for_the_base_model_that_another_makes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small_config().model_copy(update={"policy": None, "base_model": RECIPE})
    folder = base_model_folder(RECIPE, tmp_path)
    made = 0

    async def train(*_: Any) -> float:
        nonlocal made
        made += 1
        folder.mkdir()
        await asyncio.sleep(2 * POLL_S)
        return 2.5

    monkeypatch.setattr("cluster.starting.base_model._train", train)
    runs = [made_starting_policy(config, folder, FoldersHere, NodeWait(60.0)) for _ in range(3)]
    took = await asyncio.gather(*runs)
    assert made == 1
    assert len(set(took)) == 1


def test_who_dies_making_it_keeps_nobody_waiting(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    holds = (
        "import sys, time\nfrom pathlib import Path\n"
        "from cluster.starting.makers_lock import only_maker\n"
        "with only_maker(Path(sys.argv[1])):\n    print(flush=True)\n    time.sleep(600)\n"
    )
    command = [sys.executable, "-c", holds, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.kill()
    with only_maker(folder):
        pass


def test_one_that_could_not_be_made_is_not_found_and_the_ranks_are_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ranks: list[str]
) -> None:
    def train(*_: Any) -> float:
        raise InputError("too few texts")

    monkeypatch.setattr("learners.base_model.train_base_model", train)
    with pytest.raises(InputError, match="too few"):
        base_model(RECIPE, tmp_path)
    assert ranks == ["joined", "left"]
    assert made_base_model(RECIPE, tmp_path) is None
