"""Taking back, on a whole run: a pulled cord, an exclusion, a rollback, and going on.

Two labelers speak HTTP from outside: "me", whom the config names, and "bob", whom the owner lets
in. Everything the owner does is a command of `andon`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cluster.cli import main
from cluster.report.records import read_run
from label_queue.ledger.sql import SqlLedger
from protocol.cord import Pulled, ReasonReleased, RollbackOrdered, RolledBack
from tests.support.outside_labeler import OutsideLabeler, open_client
from tests.support.run_process import RunProcess, save_inputs

pytestmark = pytest.mark.timeout(1800)

SETTINGS = (
    "run.episodes=128",
    "labels.total=64",
    "labels.initial=12",
    "labels.ahead=4",
    "labels.intake.requests_per_s=1000",
    "labels.intake.request_burst=1000",
    "learner.checkpoint.every_steps=2",
)
"""Eight steps, and labels enough to be wanted all through them."""


@dataclass(frozen=True)
class Seen:
    """How the run looked while the cord was pulled, and what is left of it."""

    run: RunProcess
    code: int
    versions_at_pull: list[int]
    versions_before_resume: list[int]
    labels_while_pulled: int
    status: str
    answers: dict[str, str]
    """What each command of the owner said."""

    def recorded(self, stream: str) -> list[dict[str, Any]]:
        return recorded(self.run, stream)


def recorded(run: RunProcess, stream: str) -> list[dict[str, Any]]:
    path = run.folder.recordings / f"{stream}.jsonl"
    if not path.exists():
        return []
    lines = path.read_text().splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


def versions(run: RunProcess) -> list[int]:
    return [policy["version"] for policy in recorded(run, "policies")]


def stopped_s(run: RunProcess) -> float:
    """How long the learner has stood at the cord."""
    rows = [json.loads(line) for line in run.folder.metrics.read_text().splitlines()[-200:-1]]
    return max((row["cord/stopped_s"] for row in rows if "cord/stopped_s" in row), default=0.0)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    inputs = save_inputs(tmp_path_factory.mktemp("inputs"))
    run = RunProcess(inputs, tmp_path_factory.mktemp("runs") / "reviews-1", SETTINGS)
    try:
        yield take_back(run)
    finally:
        run.kill()


def take_back(run: RunProcess) -> Seen:
    run.wait_for_state("running")
    answers = {"add": owner("labelers", "add", "bob", "--run", run)}
    token = answers["add"].splitlines()[1].split()[1]
    run.folder.write_token("bob", token)
    me, bob = (OutsideLabeler(run.folder.path, name) for name in ("me", "bob"))
    me.start()
    bob.start()
    run.wait_for(lambda: len(versions(run)) >= 2, "the second version")
    with open_client(run.folder.path, "bob") as client:
        pulled = client.post("/api/v1/cord", json={"reason": "it says one word only"})
        assert pulled.status_code == 200, pulled.text
    bob.stop()
    run.wait_for(lambda: stopped_s(run) > 0.2, "the learner at the cord")
    at_pull, labels_before = versions(run), len(me.acknowledged)
    status = owner("status", run)

    answers["exclude"] = owner(
        "labelers", "exclude", "bob", "--reason", "clicks", "--yes", "--run", run
    )
    run.wait_for(lambda: bool(recorded(run, "comparisons")), "the reward without bob")
    answers["rollback"] = owner("rollback", run, "--to", "0", "--reason", "bob taught it")
    run.wait_for(was_rolled_back(run), "the rollback")
    stood = stopped_s(run)
    run.wait_for(lambda: stopped_s(run) > stood + 1, "a second more at the cord")
    before_resume, labels_after = versions(run), len(me.acknowledged)
    answers["resume"] = owner("cord", "release", run)
    while "still stands" in answers["resume"]:  # the guard over the refit may have pulled, too
        answers["resume"] = owner("cord", "release", run)
    code = run.wait()
    me.stop()
    assert me.refusals == bob.refusals == []
    labels = labels_after - labels_before
    return Seen(run, code, at_pull, before_resume, labels, status, answers)


def was_rolled_back(run: RunProcess) -> Callable[[], bool]:
    return lambda: recorded(run, "policies")[-1]["restored_from"] is not None


def owner(*arguments: str | RunProcess) -> str:
    words = [str(a.folder.path) if isinstance(a, RunProcess) else a for a in arguments]
    result = CliRunner().invoke(main, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_the_run_ends_well_with_every_episode(seen: Seen) -> None:
    assert seen.code == 0, seen.run.output
    last = seen.recorded("policies")[-1]
    assert last["episodes"] == 128
    # One version a step, and one that was restored.
    assert versions(seen.run) == list(range(1, 8 + 1 + 1))


def test_no_step_was_taken_while_the_cord_was_pulled(seen: Seen) -> None:
    # The one more is the version that the rollback made.
    assert len(seen.versions_before_resume) == len(seen.versions_at_pull) + 1
    pull, release = read_run(seen.run.folder.path).cord
    assert (pull.action, pull.actor, pull.reason) == ("pull", "bob", "it says one word only")
    stepped = [p for p in seen.recorded("policies") if p["restored_from"] is None]
    # A step under way when the cord is pulled is finished; the release is noticed a second late.
    between = [p for p in stepped if pull.at < p["created_at"] < release.at - 1.5]
    assert len(between) <= 1


def test_people_go_on_labelling_meanwhile(seen: Seen) -> None:
    # Those of bob no longer count, so that others are asked for more.
    assert seen.labels_while_pulled > 0
    assert "cord              pulled by bob: it says one word only" in seen.status


def test_the_rollback_made_a_new_version_of_the_reference(seen: Seen) -> None:
    (restored,) = [p for p in seen.recorded("policies") if p["restored_from"] is not None]
    assert restored["restored_from"] == 0
    assert (restored["reward_version"], restored["learned_through"]) == (0, 0)
    left_behind = set(range(1, restored["version"]))
    trained_after = [r for r in seen.recorded("rollouts") if r["step"] > restored["version"]]
    assert trained_after
    for rollout in trained_after:
        assert left_behind.isdisjoint({rollout["oldest_version"], rollout["newest_version"]})


def test_the_reward_was_refitted_without_bob_at_once(seen: Seen) -> None:
    assert "the reward is refitted at once" in seen.answers["exclude"]
    (compared,) = seen.recorded("comparisons")
    reward = next(r for r in seen.recorded("rewards") if r["version"] == compared["version"])
    assert reward["kind"] == "refit"
    assert "bob" not in dict(reward["labeler_weights"])
    later = [r for r in seen.recorded("rewards") if r["version"] > compared["version"]]
    assert all("bob" not in dict(r["labeler_weights"]) for r in later)


def test_the_ledger_tells_who_did_what(seen: Seen) -> None:
    ledger = SqlLedger.open_to_read(seen.run.folder.ledger)
    cord = [(type(event), event.actor) for event in ledger.cord_events()]
    ledger.close()
    assert cord[0] == (Pulled, "bob")
    of_people = [step for step in cord if step[1] != "guard"][1:]
    num_pulls = sum(kind is Pulled for kind, _ in cord)
    assert of_people == [
        (RollbackOrdered, "owner"),
        (RolledBack, "learner"),
        *[(ReasonReleased, "owner")] * num_pulls,
    ]


def test_the_last_policy_is_clean_of_bob_and_the_one_before_the_rollback_was_not(
    seen: Seen,
) -> None:
    run = str(seen.run.folder.path)
    at_pull = seen.versions_at_pull[-1]
    touched = json.loads(owner("trace", run, "--policy", str(at_pull), "--json"))
    assert "bob" in {part["labeler_id"] for part in touched["labelers"]}
    last = json.loads(owner("trace", run, "--policy", "9", "--json"))
    assert {part["labeler_id"] for part in last["labelers"]} == {"me"}


def test_no_link_or_token_is_in_the_logs(seen: Seen) -> None:
    secrets = [file.read_text().strip() for file in seen.run.folder.tokens.iterdir()]
    assert len(secrets) == 3
    texts = [seen.run.error_output, *(p.read_text() for p in Path(seen.run.folder.logs).iterdir())]
    assert not [secret for secret in secrets if any(secret in text for text in texts)]
