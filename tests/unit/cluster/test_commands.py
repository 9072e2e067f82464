"""The commands about people, the line and labels, as a user types them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cluster.cli import main
from cluster.commands.ended_run import EndedRun
from cluster.commands.exit_codes import EXIT_USER_ERROR
from cluster.run_folder import RunFolder
from label_queue.folds.view import LedgerView
from label_queue.ledger.event_lines import LabelEventLine
from label_queue.ledger.records import LabelerToken
from label_queue.ledger.sql import SqlLedger
from protocol.errors import InputError
from protocol.labels import Excluded, OwnerEvent
from tests.support.hand_made_ledger import fill
from tests.support.labels import NODE, make_assignment, make_event, make_query
from tests.support.overview import make_labeler

EXCLUDE_BOB = ("labelers", "exclude", "bob", "--reason", "clicks")


def andon(*arguments: str, types: str | None = None) -> Result:
    return CliRunner().invoke(main, arguments, input=types)


def refused(result: Result) -> str:
    """The one line of an error that the user can mend."""
    assert result.exit_code == EXIT_USER_ERROR, result.output
    (line,) = result.output.splitlines()
    return line.removeprefix("andon: ")


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    links: list[str] = []
    monkeypatch.setattr("webbrowser.open", links.append)
    return links


@pytest.fixture
def ended_run(live_run: Any) -> RunFolder:
    """A run that has ended, with the ledger of `hand_made_ledger`."""
    ledger = SqlLedger.open(live_run.folder.ledger, "demo-1")
    fill(ledger)
    ledger.close()
    live_run.end()
    return live_run.folder  # type: ignore[no-any-return]


def test_help_is_quick() -> None:
    code = (
        "import sys, cluster.cli; sys.exit(bool({'torch', 'ray', 'pydantic'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    "command",
    [
        ("label",),
        *(("labelers", name) for name in ("add", "list", "exclude", "reinstate", "revoke")),
        *(("labelers", name) for name in ("access", "role")),
        *(("gold", name) for name in ("list", "agreed", "make", "write", "edit", "retire")),
        ("gold", "bring-back"),
        ("cord", "pull"),
        ("resume",),
        ("cord", "release"),
        ("rollback",),
        ("trace",),
        ("export",),
        ("import",),
        *((name,) for name in ("inspect", "doctor", "fit-reward", "train")),
    ],
)
def test_every_command_has_an_example_that_names_it(command: tuple[str, ...]) -> None:
    shown = " ".join(andon(*command, "--help").output.split())
    assert f"Example: andon {' '.join(command)}" in shown


def test_label_prints_and_opens_a_link_that_works_once(live_run: Any, opened: list[str]) -> None:
    result = andon("label", "runs/demo-1", "--as", "ann")
    assert result.output == "http://127.0.0.1:8000/enter/code-2\n"
    assert opened == ["http://127.0.0.1:8000/enter/code-2"]
    assert live_run.client.post("/enter/code-2", follow_redirects=False).status_code == 303
    assert live_run.client.post("/enter/code-2", follow_redirects=False).status_code != 303


def test_links_are_printed_as_people_can_open_them(live_run: Any, opened: list[str]) -> None:
    at = "https://label.example.org/run-a"
    live_run.folder.update_state(pages_url=at)
    assert andon("label", "--as", "ann").output == f"{at}/enter/code-2\n"
    assert andon("label", "--owner").output == f"{at}/enter/code-3\n"
    assert opened == [f"{at}/enter/code-2", f"{at}/enter/code-3"]
    link, _ = andon("labelers", "add", "cat").output.splitlines()
    assert link == f"link   {at}/enter/code-4  (works once)"


def test_label_finds_the_run_that_goes_on_and_can_leave_the_browser_alone(
    live_run: Any, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("getpass.getuser", lambda: "cat")
    assert andon("label", "--no-open").exit_code == 0
    assert opened == []
    assert live_run.queue.links["code-2"].labeler_id == "cat"
    assert andon("label", "--owner", "--no-open").exit_code == 0
    assert live_run.queue.links["code-3"].role == "owner"


def test_where_no_run_goes_on_one_must_be_named(live_run: Any) -> None:
    live_run.end()
    assert refused(andon("label")) == "no run is going on under runs/: name the folder of one"
    assert "runs/other holds no run" in refused(andon("label", "runs/other"))


def test_add_prints_link_and_token(live_run: Any) -> None:
    assert andon("labelers", "add", "cat").output.splitlines() == [
        "link   http://127.0.0.1:8000/enter/code-2  (works once)",
        "token  token-2  (shown this once)",
    ]


def test_add_lets_a_judge_in(live_run: Any) -> None:
    assert andon("labelers", "add", "cat").exit_code == 0
    assert andon("labelers", "add", "dot", "--judge").exit_code == 0
    assert live_run.queue.judges == {"dot"}


@pytest.mark.parametrize("name", ["owner", "guard", "learner"])
def test_names_of_the_run_itself_are_taken(live_run: Any, name: str) -> None:
    assert "the run itself uses that name" in refused(andon("labelers", "add", name))


def test_list_shows_everybody(live_run: Any) -> None:
    lines = andon("labelers", "list").output.splitlines()
    assert lines[0].split() == [
        *("labeler", "state", "labels", "held", "gold", "self", "peers", "weight", "flags")
    ]
    assert lines[1].split() == ["ann", "active", "132", "0", "88%", "84%", "74%", "20%", "-"]
    assert lines[2].split(maxsplit=8)[-1] == "gold, position, speed"
    rows = json.loads(andon("labelers", "list", "--json").output)
    assert [row["labeler_id"] for row in rows] == ["ann", "bob"]


def test_list_says_who_is_in_doubt(live_run: Any) -> None:
    live_run.queue.show(labelers=(make_labeler("ann", is_doubted=True),))
    assert andon("labelers", "list").output.splitlines()[1].endswith("in doubt")


def test_exclude_says_what_it_changes_and_asks(live_run: Any) -> None:
    result = andon(*EXCLUDE_BOB, "--from", "32", types="n\n")
    assert result.output.splitlines() == [
        "excluding bob takes 100 labels out: 6.0% of the present weight",
        "  reward versions touched   3, 4, 5",
        "  policy versions touched   21 to 34",
        "  the reward is refitted at once",
        "exclude? [y/N]: n",
        "nothing was changed",
    ]
    assert live_run.queue.decisions == []
    assert andon(*EXCLUDE_BOB, "--from", "32", types="y\n").exit_code == 0
    assert live_run.queue.decisions == [("exclude", "bob", "32", "clicks")]


def test_exclude_does_not_ask_where_it_was_told(live_run: Any) -> None:
    result = andon(*EXCLUDE_BOB, "--yes")
    assert result.output.splitlines()[-1] == "bob is excluded"
    assert live_run.queue.decisions == [("exclude", "bob", "0", "clicks")]
    assert "nobody is called 'eve'" in refused(
        andon("labelers", "exclude", "eve", "--reason", "clicks", "--yes")
    )


def test_reinstate_and_revoke(live_run: Any) -> None:
    andon(*EXCLUDE_BOB, "--yes")
    result = andon("labelers", "reinstate", "bob", "--reason", "a mistake", types="y\n")
    assert result.output.splitlines()[0].startswith("reinstating bob brings 132 labels back")
    assert result.output.splitlines()[-1] == "bob is reinstated"
    assert "lets them in again" in andon("labelers", "revoke", "bob", "--reason", "left").output
    assert live_run.queue.decisions[1:] == [
        ("reinstate", "bob", "a mistake"),
        ("revoke", "bob", "left"),
    ]


def test_the_cord_is_pulled_and_released(live_run: Any) -> None:
    assert andon("cord", "pull", "--reason", "it\x1b[2J shouts").output.splitlines() == [
        "the cord is pulled by owner: it\\x1b[2J shouts",
        "to go on: andon cord release runs/demo-1",
    ]
    assert andon("cord", "release").output == "runs/demo-1: the line goes on\n"
    assert live_run.queue.decisions[-1] == ("release", "looked into")


def test_reasons_are_released_one_by_one_and_what_is_left_is_said(live_run: Any) -> None:
    live_run.queue.pull("ann", "typo")
    live_run.queue.pull("guard", "the KL is negative")
    assert andon("cord", "release").output.splitlines() == [
        "runs/demo-1: that reason is released, and the line still stands:",
        "  pulled by guard: the KL is negative",
        "to release the next: andon cord release runs/demo-1",
    ]
    assert andon("cord", "release").output == "runs/demo-1: the line goes on\n"


def test_rollback_takes_only_what_was_kept(live_run: Any) -> None:
    for version in (0, 20):
        (live_run.folder.policies / f"v{version:06d}").mkdir()
    back = ("rollback", "runs/demo-1", "--reason", "it shouts", "--to")
    said = refused(andon(*back, "21"))
    assert said == "policy version 21 was not kept: take one of 0, 20"
    assert andon(*back, "20").exit_code == 0
    assert live_run.queue.decisions[-1] == ("roll_back", "20", "it shouts")
    live_run.end()
    assert "is finished: this can only be done while it runs" in refused(andon(*back, "20"))


def test_an_ended_run_s_labeler_is_excluded_in_its_ledger(ended_run: RunFolder) -> None:
    result = andon(*EXCLUDE_BOB, "--run", "runs/demo-1", "--yes")
    # Labels 7, 8 and 10 of 11 were bob's; reward 1 learned the first 8, and trained policy 1.
    assert result.output.splitlines()[:3] == [
        "excluding bob takes 3 labels out: 30.0% of the present weight",
        "  reward versions touched   1, 2",
        "  policy versions touched   1 to 3",
    ]
    assert "takes note in its next fit" in result.output
    listed = andon("labelers", "list", "--run", "runs/demo-1").output
    assert listed.splitlines()[2].split()[:3] == ["bob", "excluded", "3"]

    ledger = SqlLedger.open_to_read(ended_run.ledger)
    (event,) = [event for event in LedgerView.of(ledger).events if isinstance(event, Excluded)]
    assert (event.labeler_id, event.reason, event.source.system) == ("bob", "clicks", "owner")
    ledger.close()
    again = andon("labelers", "reinstate", "bob", "--reason", "x", "--run", "runs/demo-1", "--yes")
    assert again.exit_code == 0
    listed = andon("labelers", "list", "--run", "runs/demo-1").output
    assert listed.splitlines()[2].split()[:2] == ["bob", "active"]


def owner_events(run: RunFolder) -> list[str]:
    ledger = SqlLedger.open_to_read(run.ledger)
    events = LedgerView.of(ledger).events
    ledger.close()
    return [type(each).__name__ for each in events if isinstance(each, OwnerEvent)]


def test_what_changes_nothing_in_an_ended_run_is_said_and_not_written(
    ended_run: RunFolder,
) -> None:
    run = ("--run", "runs/demo-1", "--yes")
    reinstate = ("labelers", "reinstate", "bob", "--reason", "x", *run)
    told = andon(*reinstate).output
    assert told == "bob is in good standing: nothing was changed\n"
    andon(*EXCLUDE_BOB, *run)
    assert andon(*EXCLUDE_BOB, *run).output == "bob is excluded so already: nothing was changed\n"
    assert owner_events(ended_run) == ["Excluded"]
    andon(*EXCLUDE_BOB, "--from", "8", *run)
    andon(*reinstate)
    assert owner_events(ended_run) == ["Excluded", "Excluded", "Reinstated"]


def test_the_newest_decision_of_an_ended_run_is_undone(ended_run: RunFolder) -> None:
    run = ("--run", "runs/demo-1", "--yes")
    undo = ("labelers", "undo", "bob", "--reason", "a slip", *run)
    assert andon(*undo).output == "of bob there is nothing to undo: nothing was changed\n"
    andon(*EXCLUDE_BOB, "--from", "8", *run)
    andon(*EXCLUDE_BOB, *run)
    assert andon(*undo).output.splitlines()[0].startswith("undoing it for bob brings 1 label")
    assert owner_events(ended_run) == ["Excluded", "Excluded", "ActUndone"]
    with EndedRun(ended_run.path) as owner:
        [bob] = [row for row in owner.labelers() if row.labeler_id == "bob"]
    assert (bob.state, bob.excluded_from, bob.undoable) == ("excluded", 8, None)


def test_the_newest_decision_of_a_run_that_goes_on_is_undone(live_run: Any) -> None:
    andon(*EXCLUDE_BOB, "--yes")
    act = "act-1"
    rows = live_run.queue.shown_overview.labelers
    undoable = tuple(replace(row, undoable=act) if row.labeler_id == "bob" else row for row in rows)
    live_run.queue.show(labelers=undoable)
    told = andon("labelers", "undo", "bob", "--reason", "a slip", "--yes").output
    assert told.endswith("it is undone for bob\n")
    assert live_run.queue.decisions[-1] == ("undo", "bob", act, "a slip")


@pytest.mark.parametrize("reason", ["", "x" * 1_001], ids=["empty", "too long"])
def test_a_reason_is_judged_in_an_ended_run_as_in_one_that_goes_on(
    ended_run: RunFolder, reason: str
) -> None:
    with EndedRun(ended_run.path) as owner:
        with pytest.raises(InputError, match=r"^reason "):
            owner.exclude("bob", 0, reason)
        with pytest.raises(InputError, match=r"^reason "):
            owner.reinstate("bob", reason)
    assert owner_events(ended_run) == []


def test_whoever_is_excluded_already_is_not_asked_about(live_run: Any) -> None:
    andon(*EXCLUDE_BOB, "--yes")
    assert andon(*EXCLUDE_BOB).output == "bob is excluded so already: nothing was changed\n"
    assert len(live_run.queue.decisions) == 1


def test_an_ended_run_without_that_labeler_or_without_a_ledger(ended_run: RunFolder) -> None:
    exclude = ("labelers", "exclude", "eve", "--reason", "x", "--run", "runs/demo-1", "--yes")
    assert refused(andon(*exclude)).endswith("those who did: ann, bob")
    ended_run.ledger.unlink()
    assert "no such ledger" in refused(andon(*exclude))
    assert not ended_run.ledger.exists()


def test_trace_from_a_label_a_labeler_and_a_policy(ended_run: RunFolder) -> None:
    assert andon("trace", "runs/demo-1", "--label", "9").output.splitlines() == [
        "label q8/ann by ann",
        "  seq 9             submit choice",
        "  written by        policy versions 2",
        "  reward versions   2",
        "  policy versions   3",
    ]
    assert andon("trace", "runs/demo-1", "--labeler", "bob").output.splitlines() == [
        "labeler bob: 3 labels, 3 learned (seq 7 to 10)",
        "  reward versions   1-2",
        "  policy versions   1-3",
    ]
    assert andon("trace", "runs/demo-1", "--policy", "2").output.splitlines() == [
        "policy version 2, 20 episodes",
        "  made from         0-1",
        "  reward versions   1",
        "  labels            8",
        "  ann               6",
        "  bob               2",
    ]
    told = json.loads(andon("trace", "runs/demo-1", "--label", "q8/ann", "--json").output)
    assert told["policy_versions"] == [3]
    # As the ledger's own line: whoever reads it finds the fields under the names they always had.
    [revision] = told["revisions"]
    assert list(revision) == [field.name for field in fields(LabelEventLine)]
    assert (revision["type"], revision["seq"], revision["from_seq"]) == ("submit", 9, None)


def test_trace_of_a_label_says_of_which_node_of_a_long_text_it_is(live_run: Any) -> None:
    node = replace(NODE, document_id="\x1b[31mbooks-1")
    query = make_query(1, prompt_node=node)
    ledger = SqlLedger.open(live_run.folder.ledger, "demo-1")
    ledger.write([query, make_assignment(query, "ann"), make_event(query, "ann", seq=1)])
    ledger.close()
    live_run.end()
    told = andon("trace", "runs/demo-1", "--label", "1").output
    assert "  of                \\x1b[31mbooks-1, node 2.1, height 0\n" in told
    written = json.loads(andon("trace", "runs/demo-1", "--label", "1", "--json").output)
    assert written["node"]["path"] == [2, 1]


def test_trace_wants_one_thing(ended_run: RunFolder) -> None:
    assert refused(andon("trace", "runs/demo-1")).startswith("name one of")
    both = ("trace", "runs/demo-1", "--label", "9", "--policy", "0")
    assert refused(andon(*both)).startswith("name one of")
    assert "newest: 3" in refused(andon("trace", "runs/demo-1", "--policy", "9"))


def test_labels_leave_and_come_back(ended_run: RunFolder) -> None:
    out = andon("export", "runs/demo-1", "--format", "andon", "--out", "labels.jsonl")
    assert out.exit_code == 0, out.output
    shutil.rmtree(ended_run.path)
    # The queries name the run that asked them, and no other folder can go on with them.
    said = refused(andon("import", "labels.jsonl", "runs/demo-2"))
    assert said == (
        "labels.jsonl: run_id: the file is of run 'run-1', not 'demo-2': a full record goes on in "
        "a folder of its run's name"
    )
    back = andon("import", "labels.jsonl", "runs/run-1")
    assert back.output == "runs/run-1/ledger.sqlite: 11 labels on 11 queries\n"
    ledger = SqlLedger.open_to_read(Path("runs/run-1/ledger.sqlite"))
    assert len(ledger.events()) == 11
    assert ledger.read(LabelerToken) == []
    ledger.close()


def test_export_in_trl_s_form(ended_run: RunFolder) -> None:
    export = ("export", "runs/demo-1", "--format", "trl", "--out", "pairs.jsonl")
    assert andon(*export).exit_code == 0
    line = json.loads(Path("pairs.jsonl").read_text().splitlines()[0])
    assert {"prompt", "chosen", "rejected"} <= set(line)
    assert "--force" in refused(andon(*export)) or "exists" in refused(andon(*export))


def test_import_does_not_touch_a_run(ended_run: RunFolder) -> None:
    assert "already holds a run" in refused(andon("import", "labels.jsonl", "runs/demo-1"))
