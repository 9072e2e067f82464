"""The owner's commands about who may come in, and about gold, as a user types them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from label_queue.folds.shown import ShownPrompt
from label_queue.oversight.gold_rows import Agreement
from label_queue.oversight.overview import Vote
from tests.support.overview import make_disagreement
from tests.unit.cluster.test_commands import andon, refused


def test_access_lists_who_may_come_in_and_by_what(live_run: Any) -> None:
    andon("labelers", "add", "ann")
    andon("labelers", "add", "ove", "--role", "observer")
    lines = andon("labelers", "access").output.splitlines()
    assert lines[0].split("  ")[0] == "person"
    rows = [line.split() for line in lines[1:]]
    assert [row[:4] for row in rows] == [
        ["ann", "labeler", "token", "token-2"],
        ["ann", "labeler", "link", "code-2"],
        ["ove", "observer", "token", "token-3"],
        ["ove", "observer", "link", "code-3"],
        ["owner", "owner", "token", "token-1"],
        ["owner", "owner", "link", "code-1"],
    ]
    assert rows[0][4:] == ["1970-01-01", "00:15", "owner", "1970-01-01", "00:16"]
    [ove] = json.loads(andon("labelers", "access", "--search", "OV", "--json").output)
    assert (ove["labeler_id"], len(ove["ways_in"])) == ("ove", 2)


def test_access_lists_more_than_one_page(live_run: Any) -> None:
    for number in range(120):
        live_run.queue.roles[f"p-{number:03}"] = "labeler"
    lines = andon("labelers", "access", "--search", "p-").output.splitlines()
    assert len(lines) == 121
    assert lines[-1].split()[:3] == ["p-119", "labeler", "nothing"]


def test_a_role_is_changed_and_one_token_revoked(live_run: Any) -> None:
    andon("labelers", "add", "ann")
    said = andon("labelers", "role", "ann", "observer", "--reason", "labelled enough").output
    assert said == "ann is an observer now\n"
    revoke = ("labelers", "revoke", "ann", "--reason", "lost")
    assert andon(*revoke, "--token", "code-2").output == (
        "code-2 lets nobody in any more; left to ann: 1\n"
    )
    assert live_run.queue.decisions == [
        ("role", "ann", "observer", "labelled enough"),
        ("revoke_token", "ann", "code-2", "lost"),
    ]
    assert "never had a token 'x'" in refused(andon(*revoke, "--token", "x"))
    assert "change their role" in refused(andon("labelers", "add", "ann", "--role", "labeler"))
    assert andon("labelers", "role", "ann", "king", "--reason", "x").exit_code == 2


def test_gold_is_written_edited_retired_and_brought_back(live_run: Any) -> None:
    written = ("--prompt", "2 + 2 =", "--candidate", "4", "--candidate", "5", "--answer", "1")
    assert andon("gold", "write", *written).output == "gold-1 is asked as gold from now on\n"
    edit = ("gold", "edit", "gold-1", "--answer", "2", "--reason", "a slip")
    assert andon(*edit).output == "gold-2 is asked in the place of gold-1 from now on\n"
    assert "is retired" in refused(andon(*edit))
    retire = andon("gold", "retire", "gold-2", "--reason", "too easy")
    assert retire.output == "gold-2 is retired\n"
    back = andon("gold", "bring-back", "gold-1", "--reason", "no slip")
    assert back.output == "gold-1 is asked again\n"
    lines = andon("gold", "list", "--show", "all").output.splitlines()
    assert [line.split() for line in lines[1:]] == [
        ["gold-2", "retired", "0", "0", "0", "owner", "2", "+", "2", "="],
        ["gold-1", "asked", "0", "0", "0", "owner", "2", "+", "2", "="],
    ]
    [row] = json.loads(andon("gold", "list", "--json").output)
    assert (row["gold_id"], row["answer"]) == ("gold-1", "gold-1-a")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--candidate", "a", "--answer", "1"), "candidates"),
        (("--candidate", "a", "--candidate", "b", "--candidate", "c", "--answer", "1"), "want 2"),
    ],
)
def test_gold_that_cannot_be_asked_is_refused(
    live_run: Any, arguments: tuple[str, ...], problem: str
) -> None:
    assert problem in refused(andon("gold", "write", "--prompt", "x", *arguments))
    assert live_run.queue.decisions == []


def test_gold_is_made_of_what_people_wrote(live_run: Any) -> None:
    live_run.queue.show(disagreements=(make_disagreement(0, prompt="the\x1b[2J soup"),))
    assert andon("gold", "make", "q0", "q0-a").exit_code == 0
    assert live_run.queue.decisions == [("gold", "q0", "q0-a")]
    assert "the\\x1b[2J soup" in andon("gold", "list").output
    assert "no query 'q9'" in refused(andon("gold", "make", "q9", "q9-a"))


def test_what_people_agree_on_is_listed(live_run: Any) -> None:
    lines = andon("gold", "agreed").output.splitlines()
    assert [line.split() for line in lines] == [["query", "choice", "labelers", "prompt"]]


def test_more_of_it_than_one_page_is_listed(live_run: Any) -> None:
    shown = make_disagreement()
    live_run.queue.gold.agreements += [
        Agreement(
            query_id=f"q{number}",
            prompt=ShownPrompt(text="the soup"),
            candidates=shown.candidates,
            choice="q0-a",
            votes=(Vote(labeler_id="ann", choice="q0-a"), Vote(labeler_id="bob", choice="q0-a")),
        )
        for number in range(230)
    ]
    lines = andon("gold", "agreed").output.splitlines()
    assert [line.split() for line in lines[1:]] == [
        [f"q{number}", "q0-a", "2", "the", "soup"] for number in range(230)
    ]
