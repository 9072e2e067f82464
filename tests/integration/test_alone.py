"""The three examples in turn, made small: labels in rounds, a fit of that ledger, PPO on that fit.

The rounds after the first ask about what the reward of the round before is unsure of. And
`andon doctor` whole, on the machine the tests run on.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cluster.run_folder import RunFolder
from cluster.watching.inspected import describe, inspect
from cluster.watching.picture import read_picture
from label_queue.folds.view import LedgerView
from label_queue.ledger.sql import SqlLedger
from reward_service.bundle_manifest import read_manifest
from tests.support.run_process import REPOSITORY, ended_well

pytestmark = pytest.mark.timeout(1800)

EXAMPLES = REPOSITORY / "examples"
BASE = ("base_model.num_texts=1500",)
SMALL = (
    *BASE,
    "ppo.batch_size=32",
    "reward_model.num_normalisation_samples=32",
    "cluster.object_store_gib=0.1",
)
ROUNDS = (
    *("run.episodes=192", "labels.total=32", "labels.initial=14", "labels.rounds=3"),
    "labels.overlap_share=0.2",
    *("reward_model.heads=epistemic", "reward_model.num_heads=4"),
    *("labels.selector=information_directed", "labels.selector_responses=6"),
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("alone")


@pytest.fixture(scope="module")
def batched(place: Path) -> RunFolder:
    config = str(EXAMPLES / "batched.toml")
    folder = place / "batched"
    ended_well(folder, "run", config, "--folder", folder.name, settings=(*SMALL, *ROUNDS))
    return RunFolder(folder)


@pytest.fixture(scope="module")
def fitted(place: Path, batched: RunFolder) -> dict[str, Any]:
    config = str(EXAMPLES / "fit-reward.toml")
    told = ended_well(
        place / "fit",
        *("fit-reward", "batched", "--config", config, "--out", "fit", "--json"),
        settings=BASE,
    )
    figures: dict[str, Any] = json.loads(told)
    assert figures == json.loads((place / "fit" / "fit.json").read_text())
    return figures


@pytest.fixture(scope="module")
def trained(place: Path, fitted: dict[str, Any]) -> RunFolder:
    config = str(EXAMPLES / "fixed-reward.toml")
    folder = place / "trained"
    ended_well(
        folder,
        *("train", config, "--reward", "fit", "--folder", folder.name),
        settings=(*SMALL, "run.episodes=64"),
    )
    return RunFolder(folder)


def view_of(run: RunFolder) -> LedgerView:
    ledger = SqlLedger.open_to_read(run.ledger)
    try:
        return LedgerView.of(ledger)
    finally:
        ledger.close()


def summary_of(run: RunFolder) -> dict[str, Any]:
    return dict(json.loads((run.report / "summary.json").read_text()))


def test_each_round_asks_the_policy_that_begins_it(batched: RunFolder) -> None:
    view = view_of(batched)
    asked = [
        max(candidate.policy_version for candidate in query.candidates)
        for query in view.queries.values()
        if query.purpose != "repeat"  # which asks again what an earlier round asked
    ]
    # Of six steps two follow each round.
    assert asked == sorted(asked)
    assert set(asked) == {0, 2, 4}
    for query in view.queries.values():
        versions = {candidate.policy_version for candidate in query.candidates}
        assert len(versions - {0}) <= 1


def test_what_is_asked_says_how_it_was_chosen_of_the_responses_drawn(batched: RunFolder) -> None:
    asked = view_of(batched).queries.values()
    # A validation query is drawn uniformly, and may be repeated like any other.
    queries = [each for each in asked if each.purpose not in ("validation", "repeat")]
    assert {query.selector for query in queries} == {"information_directed"}
    assert {query.reward_version for query in queries} == {0, 1, 2}
    for query in queries:
        assert len(query.candidates) == 4
        if query.reward_version:
            assert (query.selection_probability, len(query.reward_scores)) == (1.0, 4)
        else:
            # Any four of six distinct responses, or of five where two of the six were alike.
            assert query.selection_probability in (1 / 15, 1 / 5, 1.0)


def test_each_round_ends_with_one_refit_that_its_stretch_is_trained_on(batched: RunFolder) -> None:
    view = view_of(batched)
    assert [reward.kind for reward in view.rewards] == ["refit"] * 3
    assert [policy.reward_version for policy in view.policies] == [0, 1, 1, 2, 2, 3, 3]
    summary = summary_of(batched)
    assert (summary["mode"], summary["reward_refits"], summary["episodes"]) == ("batched", 3, 192)


def test_an_ended_run_is_inspected_as_it_stood(batched: RunFolder) -> None:
    found = inspect(batched.path)
    assert found.is_well
    picture = read_picture(batched.inspection)
    assert picture is not None
    assert picture.has_ended
    assert picture.learner.episodes == 192
    assert {name for name, part in picture.parts.items() if part.heard_at is not None} == {
        *("rollout-0", "reward service", "label queue")
    }
    assert not [part.error for part in picture.parts.values() if part.error]
    assert "v3 announced, served by " in describe(found)


def test_the_ledger_alone_gives_a_reward_and_says_how_good(
    fitted: dict[str, Any], place: Path
) -> None:
    view = view_of(RunFolder(place / "batched"))
    held, kept = fitted["held_out"]["comparisons"], fitted["training"]["comparisons"]
    assert 32 <= held + kept <= len(view.labels())  # a repeated question does not train
    assert fitted["until_seq"] == view.last_seq
    assert 0 <= fitted["held_out"]["accuracy"] <= 1
    assert 0 <= fitted["agreement"] <= 1
    assert read_manifest(Path(fitted["bundle"])).reward_model.num_heads == 4


@pytest.mark.long
def test_the_policy_is_trained_on_that_reward_and_nobody_is_asked(
    trained: RunFolder, fitted: dict[str, Any]
) -> None:
    view = view_of(trained)
    assert (view.queries, view.events) == ({}, ())
    assert [(each.version, each.learned) for each in view.rewards] == [(1, ())]
    assert [policy.reward_version for policy in view.policies] == [0, 1, 1]
    assert read_manifest(trained.rewards / "v000001").announcement.sha256 == fitted["sha256"]
    summary = summary_of(trained)
    assert (summary["mode"], summary["reward_refits"], summary["episodes"]) == ("fixed", 0, 64)
    assert (trained.policies / "final" / "model.safetensors").is_file()
    assert not trained.read_state().get("error")


@pytest.mark.long
def test_the_doctor_finds_this_machine_fit(place: Path) -> None:
    told = ended_well(place / "doctor", "doctor", "--json")
    verdicts = {each["name"]: each["verdict"] for each in json.loads(told)}
    assert (verdicts["ray"], verdicts["log-probs"]) == ("ok", "ok")
    assert "failure" not in verdicts.values()
