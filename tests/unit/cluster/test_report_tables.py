"""The report's rows: what they say, and that no text is in them where it is not allowed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cluster.config_file import save_config
from cluster.report.records import RunRecords, read_run
from cluster.report.tables import NUM_RESPONSES, Table, histograms, report_tables
from cluster.run_folder import RunFolder
from tests.support.synthetic_run import (
    LABELERS,
    NUM_STEPS,
    SyntheticRun,
    synthetic_config,
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunRecords:
    return read_run(SyntheticRun(tmp_path_factory.mktemp("runs") / "synthetic").write())


def as_text(tables: dict[str, Table]) -> str:
    return json.dumps({name: table.rows for name, table in tables.items()})


def column(table: Table, name: str) -> list[Any]:
    return [row[table.columns.index(name)] for row in table.rows]


@pytest.mark.parametrize("with_text", [False, True])
def test_rows_are_as_long_as_there_are_columns(run: RunRecords, with_text: bool) -> None:
    for table in report_tables(run, with_text=with_text).values():
        assert {len(row) for row in table.rows} == {len(table.columns)}
        assert len(set(table.columns)) == len(table.columns)


def test_without_leave_there_is_no_text_and_no_name(run: RunRecords) -> None:
    tables = report_tables(run, with_text=False)
    written = as_text(tables)
    texts = {each.text for each in run.rollouts} | {each.prompt for each in run.rollouts}
    texts |= {
        one.text for query in run.label_side.view().queries.values() for one in query.candidates
    }
    assert not [text for text in texts if json.dumps(text)[1:-1] in written]
    assert not [name for name in LABELERS if name in written]
    assert set(column(tables["labelers"], "labeler")) == {
        f"labeler {number}" for number in range(1, len(LABELERS) + 1)
    }


def test_with_leave_texts_and_names_are_there(run: RunRecords) -> None:
    tables = report_tables(run, with_text=True)
    assert set(column(tables["labelers"], "labeler")) == set(LABELERS)
    trained = {(each.prompt, each.text) for each in run.trained}
    responses = tables["responses"]
    assert trained.issuperset(
        zip(column(responses, "prompt"), column(responses, "response"), strict=True)
    )
    both = tables["before_and_after"]
    reference = {each.prompt: each.text for each in run.reference}
    assert [reference[str(prompt)] for prompt in column(both, "prompt")] == column(both, "before")


def test_responses_are_those_trained_on_at_even_distances(run: RunRecords) -> None:
    responses = report_tables(run, with_text=False)["responses"]
    assert NUM_RESPONSES / 2 < len(responses.rows) <= NUM_RESPONSES
    steps = column(responses, "step")
    assert steps == sorted(steps)
    assert (steps[0], set(steps)) == (1, set(range(1, NUM_STEPS + 1)))
    by_step = {each.step: each.reward_version for each in run.trained}
    versions = dict(zip(steps, column(responses, "reward_version"), strict=True))
    assert versions == by_step


def test_votes_name_the_candidates_by_their_place(run: RunRecords) -> None:
    table = report_tables(run, with_text=True)["disagreements"]
    for votes, candidates in zip(column(table, "votes"), column(table, "candidates"), strict=True):
        places = {vote.rpartition(": ")[2] for vote in str(votes).split("; ")}
        assert len(places) > 1  # or it would be no disagreement
        shown = {line.partition(".")[0] for line in str(candidates).split("\n")}
        assert places <= shown | {"tie"}


def test_histograms_are_of_the_last_tenth(run: RunRecords) -> None:
    found = histograms(run)
    last = [each for each in run.trained if each.step > NUM_STEPS - NUM_STEPS // 10]
    assert found["score"] == [each.score for each in last]
    assert found["length"] == [each.num_kept for each in last]
    assert found["policy_lag"] == [each.step - 1 - each.oldest_version for each in last]
    assert len(found["kl"]) == NUM_STEPS


def test_a_run_that_has_only_begun_has_no_tables(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "begun")
    save_config(synthetic_config(), folder.config)
    folder.update_state(run_id="begun", state="running")
    run = read_run(folder.path)
    assert report_tables(run, with_text=True) == {}
    assert histograms(run) == {}
