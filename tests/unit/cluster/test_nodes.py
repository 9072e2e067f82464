"""What is said of a run that waits for nodes, and for how long it waits."""

from __future__ import annotations

from typing import Any

import pytest

from cluster.starting import nodes as module
from cluster.starting.nodes import NodeWait
from tests.support.labels import ManualClock

RANK = {"CPU": 1.0, "GPU": 1.0}
ACTOR = {"CPU": 1.0}


class Desk:
    """A wait of a minute, and what people were shown of it."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.wait = NodeWait(60.0, self.clock)
        self.shown: list[str] = []
        self.wait.show_by(self.shown.append)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_start_that_finds_its_places_shows_nothing(desk: Desk) -> None:
    asked = desk.wait.ask("2 learner ranks", [RANK, RANK])
    desk.wait.placed(asked, 0)
    desk.clock.now += module.SHOWN_AFTER_S - 1
    desk.wait.placed(asked, 2)
    assert desk.shown == []


def test_what_waits_is_shown_with_how_much_is_placed_until_it_has_its_place(desk: Desk) -> None:
    ranks = desk.wait.ask("2 learner ranks", [RANK, RANK])
    actors = desk.wait.ask("3 rollout actors", [ACTOR] * 3)
    desk.wait.placed(actors, 3)
    desk.clock.now += module.SHOWN_AFTER_S
    desk.wait.placed(ranks, 0)
    waits = "bundles placed, asked for 2 learner ranks (1 CPU, 1 GPU each)"
    assert desk.shown == [f"waiting for nodes: 3 of 5 {waits}"]
    desk.wait.placed(ranks, 0)
    assert len(desk.shown) == 1, "shown about once a second"
    desk.clock.now += module.SHOWN_EVERY_S
    desk.wait.placed(ranks, 0)
    desk.wait.placed(ranks, 1)
    desk.wait.placed(ranks, 2)
    assert desk.shown[2:] == [f"waiting for nodes: 4 of 5 {waits}", ""]


def test_all_that_wait_are_named_and_what_was_given_back_counts_no_more(desk: Desk) -> None:
    maker = desk.wait.ask("the base model's learner", [ACTOR])
    desk.wait.placed(maker, 1)
    desk.wait.ask("1 learner ranks", [RANK])
    desk.wait.ask("1 rollout actors", [ACTOR])
    desk.clock.now += module.SHOWN_AFTER_S
    desk.wait.forget("the base model's learner")
    assert desk.shown == [
        "waiting for nodes: 0 of 2 bundles placed, asked for 1 learner ranks (1 CPU, 1 GPU each), "
        "1 rollout actors (1 CPU each)"
    ]
    desk.wait.forget("1 learner ranks")
    desk.wait.forget("1 rollout actors")
    assert desk.shown[-1] == ""


def test_each_waits_for_its_own_minute(desk: Desk) -> None:
    first = desk.wait.ask("1 learner ranks", [RANK])
    desk.clock.now += 30
    second = desk.wait.ask("1 reward replicas", [{}], waited_s=10.0)
    desk.clock.now += 30
    assert (desk.wait.is_over(first), desk.wait.is_over(second)) == (True, False)
    assert not desk.wait.is_over(first, at_least_s=61.0)
    desk.clock.now += 20
    assert desk.wait.is_over(second)
    assert desk.wait.in_words.endswith("(1 CPU, 1 GPU each), 1 reward replicas")


def test_the_end_names_what_was_asked_what_there_is_and_the_key(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    there: dict[str, Any] = {
        "nodes": [{"Alive": True}, {"Alive": True}, {"Alive": False}],
        "cluster_resources": {"CPU": 8.0, "memory": 1e9, "node:10.0.0.1": 1.0},
        "available_resources": {"CPU": 3.0},
    }
    for name, said in there.items():
        monkeypatch.setattr(f"ray.{name}", lambda said=said: said)
    asked = desk.wait.ask("2 learner ranks", [RANK, RANK])
    assert desk.wait.lack(asked) == (
        "waited 60 s for nodes with room for 2 learner ranks (1 CPU, 1 GPU each): 0 of 2 bundles "
        "of the run are placed, and the cluster has 2 nodes with 8 CPU, 0 GPU, of which 3 CPU, 0 "
        "GPU are free; add nodes, lower the number of processes, or raise cluster.wait_for_nodes_s"
    )
