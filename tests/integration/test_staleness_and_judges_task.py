"""`examples/tasks/staleness` and `judges`, made small: each as a whole run of a few steps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cluster.config_file import load_config
from cluster.report.records import read_run
from examples.tasks.judges.__main__ import correlation_table, table
from tests.support.small_task import run_small

pytestmark = [pytest.mark.timeout(1800), pytest.mark.long]

FEW = ("labels.total=40", "labels.initial=16", "kl.horizon_episodes=320")
ROBOTS = ", ".join(
    f'{{name = "{name}", beta = 1e6, seconds_per_label = 0.05}}'
    for name in ("robot", "first-judge", "second-judge")
)
JUDGED = (*FEW, "labels.validation_share=0.4", f"labelers=[{ROBOTS}]")


@pytest.fixture(scope="module")
def stale(tasks: Path) -> Path:
    return run_small("staleness", tasks, FEW)


@pytest.fixture(scope="module")
def judged(tasks: Path) -> Path:
    return run_small("judges", tasks, JUDGED)


def summary_of(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "report" / "summary.json").read_text()))


@pytest.mark.parametrize("task", ["stale", "judged"])
def test_it_ends_with_every_label_and_a_report(task: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(task)
    summary = summary_of(folder)
    assert summary["episodes"] == 128
    assert summary["labels_acknowledged"] == summary["labels_in_ledger"] >= 36
    assert (folder / "report" / "index.html").exists()


def test_no_response_is_older_than_the_task_allows(stale: Path) -> None:
    config, run = load_config(stale / "config.toml"), read_run(stale)
    lags = run.series("staleness/policy_lag_max")
    assert config.run.max_policy_lag == 4
    assert len(lags) == 4
    assert max(lags) <= 4


def test_judges_are_asked_and_nothing_that_they_said_was_learned(judged: Path) -> None:
    run = read_run(judged)
    queries = run.label_side.board.queries
    by_judges = [each for each in run.labels if each.labeler_id.endswith("-judge")]
    assert by_judges
    assert {queries[each.query_id].purpose for each in by_judges} == {"validation"}
    for version in run.rewards:
        assert [name for name, _ in version.labeler_weights] == ["robot"]


def test_the_task_s_tables_are_of_such_a_run(judged: Path) -> None:
    summary = summary_of(judged)
    *_, row = table({"alike": [summary]}).splitlines()
    assert row.startswith(f"| alike | {summary['judged_winrate_training']:.0%} |")
    _, _, *rows = correlation_table({"alike": [summary]}).splitlines()
    assert len(rows) == 4
    assert rows[1].endswith(f" {summary['score_items_judges']:.0f} |")
