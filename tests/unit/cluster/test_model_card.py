"""The card beside a saved policy: counts that are right, no names, and what the hub reads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard
from huggingface_hub.repocard import metadata_load

from cluster.report.model_card import labels_behind, model_card, write_model_cards
from cluster.report.records import RunRecords, read_run
from protocol.labels import Submitted
from protocol.seq_ranges import as_ranges
from tests.support.synthetic_run import LABELERS, NUM_STEPS, SyntheticRun, synthetic_config

COMMIT = "a" * 40


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunRecords:
    """A finished run from a model of the hub, which saved its policy."""
    made = SyntheticRun(tmp_path_factory.mktemp("runs") / "synthetic")
    made.config = synthetic_config({"policy": {"path": "some/model"}})
    made.write()
    made.folder.update_state(final_policy_version=NUM_STEPS, revisions={"policy": COMMIT})
    return read_run(made.folder.path)


def rows_of(card: str) -> dict[str, str]:
    lines = [line.strip("|").split("|") for line in card.splitlines() if line.startswith("| ")]
    return {row[0].strip(): row[1].strip() for row in lines if len(row) == 2}


def changed(run: RunRecords, **state: object) -> RunRecords:
    return replace(run, state={**run.state, **state})


def test_the_hub_reads_where_it_comes_from(run: RunRecords, tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text(model_card(run, NUM_STEPS))
    card = ModelCard.load(path)
    assert card.data.base_model == "some/model"
    assert card.data.license is None
    assert metadata_load(path) == {
        "base_model": "some/model",
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["rlhf", "ppo", "andon"],
    }
    assert "Add `license:` above" in card.text


def test_it_says_the_numbers_of_the_run(run: RunRecords) -> None:
    rows = rows_of(model_card(run, NUM_STEPS))
    last = max(run.policies, key=lambda policy: policy.version)
    assert rows["base model"] == "some/model"
    assert rows["base model's revision"] == COMMIT
    assert rows["policy version"] == str(NUM_STEPS)
    assert rows["reward version"] == str(last.reward_version)
    assert rows["trained on, responses"] == str(last.episodes)
    assert float(rows["KL from the base model, nats a response"]) == pytest.approx(8.0, abs=0.4)
    assert rows["labelers"] == str(len(LABELERS))
    assert 0 < int(rows["labels"]) <= len(run.labels)


def test_labels_are_those_that_its_rewards_learned_each_counted_once(run: RunRecords) -> None:
    """By the fits' own lists, and of no reward that it was not trained on."""
    first, second = (label.seq for label in run.labels[:2])
    of_ada = [e.seq for e in run.labels if e.labeler_id == run.labels[0].labeler_id]
    lists = {1: as_ranges(of_ada[:3]), 2: as_ranges([*of_ada[:2], first])}
    view = run.label_side.view()
    told = replace(
        view,
        rewards=tuple(
            replace(each, kind="refit", learned=lists.get(each.version, as_ranges([second])))
            for each in view.rewards
        ),
    )
    side: Any = type("Side", (), {"view": staticmethod(lambda: told)})
    version = max(policy.version for policy in run.policies if policy.reward_version in (1, 2))
    behind = labels_behind(replace(run, label_side=side), version)
    assert behind.num_labels == len({*of_ada[:3], first})
    assert behind.num_labelers == 1


def test_nobody_is_named_and_no_place_on_this_machine(run: RunRecords, tmp_path: Path) -> None:
    given = {e.labeler_id for e in run.label_side.history.events if isinstance(e, Submitted)}
    config = synthetic_config({"policy": {"path": str(tmp_path / "base")}})
    card = model_card(changed(replace(run, config=config), revisions={}), NUM_STEPS)
    for word in (*given, *LABELERS, str(tmp_path)):
        assert word not in card
    assert rows_of(card)["base model"] == "`base`, a folder"
    assert "base_model" not in card.partition("\n---\n")[0]


def test_a_given_reward_has_its_labels_elsewhere(run: RunRecords) -> None:
    section = run.config.run.model_copy(update={"mode": "fixed", "reward": "given"})
    fixed = replace(run, config=run.config.model_copy(update={"run": section}))
    rows = rows_of(model_card(fixed, NUM_STEPS))
    assert rows["labels"] == "those of the reward, which was given"
    assert "labelers" not in rows


def test_a_policy_that_no_step_made_has_no_labels_behind_it(run: RunRecords) -> None:
    begun = replace(run, policies=(), rows=())
    rows = rows_of(model_card(begun, 0))
    assert rows["policy version"] == "0"
    assert not {"labels", "reward version", "KL from the base model, nats a response"} & {*rows}


def test_cards_lie_beside_what_was_saved(tmp_path: Path) -> None:
    made = SyntheticRun(tmp_path / "one")
    made.config = synthetic_config({"learner": {"ema": {"decay": 0.9}}})
    made.write()
    assert write_model_cards(read_run(made.folder.path), made.folder) == ()
    made.folder.update_state(final_policy_version=NUM_STEPS)
    for name in ("final", "final_ema"):
        (made.folder.policies / name).mkdir(parents=True)
    for _ in range(2):
        written = write_model_cards(read_run(made.folder.path), made.folder)
        assert [path.parent.name for path in written] == ["final", "final_ema"]
    plain, average = (path.read_text() for path in written)
    assert "average of the policy's versions" not in plain
    assert "average of the policy's versions up to this one, by `learner.ema.decay` 0.9" in average
    assert [path.name for path in written[0].parent.iterdir()] == ["README.md"]
