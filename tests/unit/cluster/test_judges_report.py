"""What the report says of judges, and that it says nothing where there are none."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from cluster.config_file import save_config
from cluster.report.records import read_run
from cluster.report.summary import summarize
from cluster.report.write import write_report
from cluster.run_folder import RunFolder
from cluster.watching.closing_words import closing_words
from label_queue.ledger.records import Record
from label_queue.ledger.sql import SqlLedger
from tests.support.labels import make_appointment, make_provenance
from tests.support.synthetic_run import make_assignment, make_label, make_query, synthetic_config

OLD, NEW = 2, 3
"""Policy versions; a rollback left the first behind."""


def votes(query_id: str, version: int, *, ada: int, dot: int | None) -> list[Record]:
    """A validation query and what two people chose: 0 is a response of the policy, 2 one of ρ."""
    query = make_query(query_id, versions=(version, version, 0, 0), purpose="validation")
    records: list[Record] = [query]
    for name, choice in (("ada", ada), ("dot", dot)):
        if choice is not None:
            records += [make_assignment(query, name, 1.0), make_label(query, name, choice, 2.0)]
    return records


JUDGED = [
    make_appointment("dot"),
    *votes("q0", OLD, ada=0, dot=0),
    *votes("q1", NEW, ada=0, dot=2),
    *votes("q2", NEW, ada=0, dot=0),
    *votes("q3", NEW, ada=2, dot=2),
    *votes("q4", NEW, ada=0, dot=None),
    make_provenance(1),
    make_provenance(OLD),
    replace(make_provenance(NEW), restored_from=1),
]


def folder_of(path: Path, records: Sequence[Record]) -> RunFolder:
    """A run whose ledger holds these records, and nothing else."""
    folder = RunFolder.create(path)
    folder.update_state(run_id="synthetic", state="finished")
    people = {"people": ["ada", "dot"], "judges": ["dot"]}
    save_config(synthetic_config(people), folder.config)
    ledger = SqlLedger.open(folder.ledger, "synthetic")
    ledger.write(list(records))
    ledger.close()
    return folder


def test_both_rates_and_their_gap_are_told_worked_out_by_hand(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "run", JUDGED)
    summary = summarize(read_run(folder.path))
    expected = {
        "judged_queries": 4,
        "judged_labels": 4,
        "judged_winrate_training": 3 / 4,
        "judged_winrate_judges": 2 / 4,
        "judged_winrate_gap": 1 / 4,
        # At the end: none on the version that was left behind.
        "judged_queries_recent": 3,
        "judged_labels_recent": 3,
        "judged_winrate_training_recent": 2 / 3,
        "judged_winrate_judges_recent": 1 / 3,
        "judged_winrate_gap_recent": 1 / 3,
        # As without judges: q4 too.
        "validation_labels": 5,
        "validation_winrate": 4 / 5,
    }
    assert {name: summary[name] for name in expected} == pytest.approx(expected)
    for name in ("training", "judges", "gap"):
        for which in ("", "_recent"):
            low, rate, high = (
                summary[f"judged_winrate_{name}{which}{bound}"] for bound in ("_low", "", "_high")
            )
            assert isinstance(low, float)
            assert isinstance(rate, float)
            assert isinstance(high, float)
            assert low < rate < high
    assert [each.labeler_id for each in read_run(folder.path).training] == ["ada"] * 5


def test_the_page_shows_them_and_the_last_lines_too(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "run", JUDGED)
    page = write_report(folder.path)
    assert (folder.report / "judges.png").stat().st_size > 5_000
    text = page.read_text(encoding="utf-8")
    assert "judged_winrate_gap_recent" in text
    assert "<td>judge</td>" in text
    [line] = [line for line in closing_words(folder, page).splitlines() if "judges" in line]
    assert line.startswith("  judges      prefer it in 33% (")
    assert " of 3 comparisons; those who train in +33% (" in line


def test_where_judges_answered_nothing_that_is_said(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "run", [make_appointment("dot")])
    write_report(folder.path)
    summary = json.loads((folder.report / "summary.json").read_text())
    assert summary["judged_queries"] == 0
    assert summary["judged_winrate_gap"] is None
    assert "a judge and one who trains" in summary["unknown"]["judged_winrate_gap"]
    assert (folder.report / "judges.png").exists()


def test_a_run_without_judges_says_nothing_of_them(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "run", votes("q0", NEW, ada=0, dot=2))
    page = write_report(folder.path)
    summary = json.loads((folder.report / "summary.json").read_text())
    assert not [name for name in summary if name.startswith("judged")]
    assert not (folder.report / "judges.png").exists()
    assert "  judges" not in closing_words(folder, page)
