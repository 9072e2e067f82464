"""What the report says of judges, and that it says nothing where there are none."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cluster.config_file import load_config, save_config
from cluster.report.candidate_scores import score_candidates
from cluster.report.pictures_judges import draw_judges
from cluster.report.records import read_run
from cluster.report.summary import summarize
from cluster.report.write import write_report
from cluster.run_folder import RunFolder
from cluster.watching.closing_words import closing_words
from label_queue.ledger.records import Record
from label_queue.ledger.sql import SqlLedger
from protocol.errors import ScoringFailed
from tests.support.labels import make_appointment, make_provenance
from tests.support.parts import FakeRewardService
from tests.support.synthetic_run import (
    make_assignment,
    make_label,
    make_query,
    make_reward,
    synthetic_config,
)

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


def by_length(version: int, sequence: Sequence[int]) -> float:
    """A reward that likes the last token to be large, and what a version adds."""
    return 10.0 * version + sequence[-1]


def scorer(version: int, failures: int = 0) -> FakeRewardService:
    service = FakeRewardService(failures)
    service.version, service.value = version, by_length
    return service


async def test_what_was_judged_is_scored_by_one_version_and_the_last_counts(
    tmp_path: Path,
) -> None:
    folder = folder_of(tmp_path / "run", [*JUDGED, make_reward(1, 3, 3.0, is_refit=True)])
    config = load_config(folder.config)
    assert read_run(folder.path).candidate_scores == {}
    assert await score_candidates(folder, config, scorer(1)) == 5 * 4
    run = read_run(folder.path)
    # Candidate i is made of the prompt and tokens 4 and 5 + i.
    assert [run.candidate_scores[f"q1-{i}"] for i in range(4)] == [15.0, 16.0, 17.0, 18.0]
    assert await score_candidates(folder, config, scorer(2)) == 5 * 4
    assert read_run(folder.path).candidate_scores["q4-3"] == 28.0
    with pytest.raises(ScoringFailed):
        await score_candidates(folder, config, scorer(3, failures=1))
    assert read_run(folder.path).candidate_scores["q4-3"] == 28.0


async def test_nothing_is_scored_without_judges_or_without_a_reward(tmp_path: Path) -> None:
    unjudged = [*JUDGED[1:], make_reward(1, 3, 3.0, is_refit=True)]
    for name, records in (("unjudged", unjudged), ("unfitted", JUDGED)):
        folder = folder_of(tmp_path / name, records)
        assert await score_candidates(folder, load_config(folder.config), scorer(1)) == 0
        assert not (folder.recordings / "candidate_scores.jsonl").exists()


async def test_correlations_by_response_and_by_version_worked_out_by_hand(tmp_path: Path) -> None:
    records: list[Record] = [make_appointment("dot"), make_reward(1, 3, 3.0, is_refit=True)]
    # Of versions 1 to 3 judges prefer 2, 6 and 10 of ten, and those who train all, or none.
    for version, wins in ((1, 2), (2, 6), (3, 10)):
        for number in range(10):
            dot, ada = (0 if number < wins else 2), (0 if version == 3 else 2)
            records += votes(f"q{version}-{number}", version, ada=ada, dot=dot)
    folder = folder_of(tmp_path / "run", [*records, *map(make_provenance, (1, 2, 3))])
    # ρ's two responses score 0; those of version v score v and 0.
    run = read_run(folder.path)
    versions = {
        each.candidate_id: each.policy_version
        for query in run.label_side.board.queries.values()
        for each in query.candidates
    }
    learned = {
        name: float(version if name.endswith("-0") else 0) for name, version in versions.items()
    }
    run = replace(run, candidate_scores=learned)
    summary = summarize(run)
    assert summary["score_systems_judges"] == summary["score_systems_training"] == 4
    # ρ at (0, ½), then (½, 0.2), (1, 0.6) and (1½, 1): of six pairs one is the other way round.
    assert summary["score_system_kendall_judges"] == pytest.approx((5 - 1) / 6)
    assert summary["score_system_spearman_judges"] == pytest.approx(1 - 6 * 2 / (4 * 15))
    x, y = (0, 0.5, 1, 1.5), (0.5, 0.2, 0.6, 1.0)
    assert summary["score_system_pearson_judges"] == pytest.approx(np.corrcoef(x, y)[0, 1])
    x, y = (0, 0.5, 1, 1.5), (0.5, 0.0, 0.0, 1.0)
    assert summary["score_system_pearson_training"] == pytest.approx(np.corrcoef(x, y)[0, 1])
    assert summary["score_items_judges"] == summary["score_items_training"] == 30 * 4
    judged = [(v, 0 if n < wins else 2) for v, wins in ((1, 2), (2, 6), (3, 10)) for n in range(10)]
    items = [
        ((v if i == 0 else 0) - v / 4, float(i == chosen)) for v, chosen in judged for i in range(4)
    ]
    assert summary["score_item_pearson_judges"] == pytest.approx(
        np.corrcoef(np.array(items).T)[0, 1]
    )
    draw_judges(run, tmp_path / "judges.png")
    assert (tmp_path / "judges.png").stat().st_size > 10_000


def test_what_is_too_little_for_a_correlation_is_said(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "run", JUDGED)
    summary = summarize(read_run(folder.path))
    assert summary["score_items_judges"] == summary["score_systems_judges"] == 0
    assert summary["score_item_pearson_judges"] is None
    unknown = summary["unknown"]
    assert isinstance(unknown, dict)
    assert unknown["score_system_kendall_judges"] == "fewer than 4 systems were judged and scored"
    assert unknown["score_item_pearson_judges"] == "fewer than 10 items were judged and scored"


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
    assert not [name for name in summary if name.startswith(("judged", "score"))]
    assert not (folder.report / "judges.png").exists()
    assert "  judges" not in closing_words(folder, page)
