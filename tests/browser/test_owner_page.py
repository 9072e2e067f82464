"""The owner oversees: the page follows the run, and each decision says what it changes."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from playwright.async_api import Locator, expect

from label_queue.outside import ConnectorHealth
from label_queue.oversight.overview import Holding
from protocol.cord import Pulled
from tests.browser.conftest import DESKTOP, PHONE, Enter, Visitor
from tests.support.fake_people_queue import FakePeopleQueue
from tests.support.labels import make_cord
from tests.support.overview import make_labeler, make_progress


async def confirm(olga: Visitor, button: str, reason: str) -> None:
    """Give a reason in the open dialog and confirm."""
    await olga.page.get_by_label("Why?").fill(reason)
    await olga.page.get_by_role("dialog").get_by_role("button", name=button).click()
    await expect(olga.page.get_by_role("dialog")).to_be_hidden()


def row(olga: Visitor, name: str) -> Locator:
    return olga.page.get_by_role("row").filter(has=olga.page.get_by_text(name, exact=True))


async def test_all_figures_are_there(enter: Enter) -> None:
    olga = await enter("olga", "owner")
    await expect(olga.page.locator("#live")).to_have_text("Live")
    await expect(olga.page.locator("#chart-caption")).to_have_text(
        "528 received, 512 due by now: 16 ahead. 1,024 are wanted in all."
    )
    tiles = olga.page.locator(".tile .value")
    await expect(tiles).to_have_text(["7.4", "16", "84 s", "93 %", "0.46", "78 %", "v36", "v5"])
    await expect(olga.page.locator(".tile .note").nth(5)).to_have_text(
        "of the policy against its start in the newest 100 comparisons, surely 66 % to 87 %; 71 % "
        "over the whole run"
    )
    await expect(row(olga, "bob").get_by_role("cell")).to_have_text(
        [
            "13241 held",
            "50 % · 3 of 12 gold tasks",
            "84 %of 6",
            "74 %of 31",
            "z 4.2",
            "41 %",
            "6 %a 0.38",
            "Answers bobReinstate bobExclude bobNew link bobRevoke bob",
        ]
    )
    await expect(row(olga, "bob").locator(".state")).to_have_text("Suspended")
    await expect(row(olga, "bob").locator(".flag")).to_have_text(
        ["⚑ gold", "⚑ position", "⚑ speed"]
    )
    interval = row(olga, "bob").get_by_role("img")
    await expect(interval).to_have_accessible_name("50 %, between 31 % and 69 %")


async def test_a_run_that_has_just_begun(people: FakePeopleQueue, enter: Enter) -> None:
    unknown = dict.fromkeys(
        (
            "label_latency_p50_s",
            "label_to_policy_p50_s",
            "label_to_policy_p95_s",
            "coverage",
            "agreement_alpha",
            "winrate_vs_reference",
            "winrate_recent",
            "winrate_recent_low",
            "winrate_recent_high",
        )
    )
    progress = make_progress(
        **unknown,
        winrate_recent_labels=0,
        labels_received=0,
        labels_scheduled=0,
        reward_version=0,
        rate_per_min=0.0,
    )
    people.show(progress=progress, labelers=(), disagreements=())
    olga = await enter("olga", "owner")
    await expect(olga.page.get_by_text("Nobody labels yet.")).to_be_visible()
    await expect(olga.page.locator(".tile .value")).to_have_text(
        ["0.0", "16", "–", "–", "–", "–", "v36", "–"]
    )


async def test_what_judges_say_has_a_tile_where_there_are_judges(
    people: FakePeopleQueue, enter: Enter
) -> None:
    people.show(
        progress=make_progress(
            winrate_judges=0.61, winrate_gap=0.17, winrate_gap_low=0.04, winrate_gap_high=0.29
        )
    )
    olga = await enter("olga", "owner")
    tile = olga.page.locator(".tile", has_text="By judges")
    await expect(tile.locator(".value")).to_have_text("61 %")
    await expect(tile).to_contain_text("those who train say 17 % more, surely 4 % to 29 %")


async def test_who_holds_tasks_is_shown_and_for_how_long(
    people: FakePeopleQueue, enter: Enter
) -> None:
    at = people.shown_overview.at
    people.show(
        held=(
            Holding(labeler_id="ann", num_tasks=1, since=at - 40, is_overdue=False),
            Holding(labeler_id="bob", num_tasks=32, since=at - 5_400, is_overdue=True),
        )
    )
    olga = await enter("olga", "owner")
    held = olga.page.locator(".named .last:last-child")
    await expect(held).to_have_text(
        ["holds 1 task, given 41 s ago", "holds 32 tasks, one given 90 min ago"]
    )
    await expect(olga.page.locator(".named .overdue")).to_have_count(1)
    people.show(held=())
    await expect(olga.page.get_by_text("holds")).to_have_count(0)


async def test_who_is_doubted_is_said_until_they_are_not(
    people: FakePeopleQueue, enter: Enter
) -> None:
    words = "newest answers in doubt"
    people.show(labelers=(make_labeler("ann", is_doubted=True), make_labeler("bob")))
    olga = await enter("olga", "owner")
    await expect(row(olga, "ann").get_by_text(words)).to_be_visible()
    await expect(row(olga, "bob").get_by_text(words)).to_have_count(0)
    people.show(labelers=(make_labeler("ann"), make_labeler("bob")))
    await expect(olga.page.get_by_text(words)).to_have_count(0)


async def test_the_page_follows_the_run_and_keeps_the_focus(
    people: FakePeopleQueue, enter: Enter
) -> None:
    olga = await enter("olga", "owner")
    exclude = row(olga, "ann").get_by_role("button", name="Exclude")
    await exclude.focus()
    rows = (make_labeler("ann", labels=133), *people.shown_overview.labelers[1:])
    people.show(progress=make_progress(labels_received=529), labelers=rows)
    await expect(olga.page.locator("#chart-caption")).to_contain_text("529 received")
    await expect(row(olga, "ann").get_by_role("cell").first).to_have_text("133")
    await expect(exclude).to_be_focused()
    points = await olga.page.locator("#chart .received").get_attribute("d")
    assert points is not None
    assert points.count("L") == 2  # two moments of the run before, and the present


async def test_an_outside_tool_that_fails_is_seen(people: FakePeopleQueue, enter: Enter) -> None:
    olga = await enter("olga", "owner")
    tools = olga.page.get_by_role("region", name="Outside tools")
    await expect(tools).to_be_hidden()
    people.show(
        connectors=(
            ConnectorHealth(name="argilla", state="ok", last_sweep_at=941.0),
            ConnectorHealth(name="studio", state="failing: 502 Bad Gateway", last_sweep_at=None),
        )
    )
    await expect(tools.get_by_role("listitem")).to_have_text(
        ["argillaokread 60\xa0s ago", "studiofailing: 502 Bad Gatewaynever read yet"]
    )


async def test_an_exclusion_first_says_what_it_changes(
    people: FakePeopleQueue, enter: Enter
) -> None:
    olga = await enter("olga", "owner")
    await row(olga, "bob").get_by_role("button", name="Exclude").click()
    changes = olga.page.locator(".changes dd")
    await expect(changes).to_have_text(
        ["132 leave", "6 %", "v3, v4, v5", "v21 to v34", "from scratch, at once"]
    )
    await olga.page.get_by_label("From which label number on?").fill("100")
    await olga.page.get_by_label("Why?").focus()
    await expect(changes.first).to_have_text("32 leave")
    assert people.decisions == []
    await confirm(olga, "Exclude bob", "always the first")
    assert people.decisions == [("exclude", "bob", "100", "always the first")]
    await expect(row(olga, "bob").locator(".state")).to_have_text("Excluded from label 100 on")
    await row(olga, "bob").get_by_role("button", name="Reinstate").click()
    await expect(changes.first).to_have_text("32 come back")
    await confirm(olga, "Reinstate bob", "explained it")
    assert people.decisions[-1] == ("reinstate", "bob", "explained it")
    await expect(row(olga, "bob").locator(".state")).to_have_text("Active")


async def test_what_was_decided_about_labels_is_undone_at_once(
    people: FakePeopleQueue, enter: Enter
) -> None:
    olga = await enter("olga", "owner")
    await row(olga, "bob").get_by_role("button", name="Exclude").click()
    await confirm(olga, "Exclude bob", "always the first")
    await expect(olga.page.locator("#undo-text")).to_have_text("bob is excluded.")
    await olga.page.locator("#undo-do").click()
    await expect(olga.page.locator("#undo-text")).to_have_text("Undone.")
    await expect(row(olga, "bob").locator(".state")).to_have_text("Suspended")  # as before
    assert people.decisions[-1][0:2] == ("undo", "bob")


async def test_of_somebody_in_question_the_page_asks_and_knows_since_when(
    people: FakePeopleQueue, enter: Enter
) -> None:
    olga = await enter("olga", "owner")
    asked = make_labeler(
        "bob", state="questioned", flags=("drift",), held_from=100, labels_held=32, late_changes=2
    )
    people.show(labelers=(make_labeler("ann"), asked))
    bob = row(olga, "bob")
    await expect(bob.locator(".state")).to_have_text("In question: decide")
    await expect(bob).to_contain_text("2 answers changed late")
    await bob.get_by_role("button", name="Exclude").click()
    await expect(olga.page.get_by_label("From which label number on?")).to_have_value("100")
    await olga.press("Escape")
    await bob.get_by_role("button", name="Reinstate").click()
    await expect(olga.page.locator("#decision-text")).to_contain_text("newest labels count again")
    await confirm(olga, "Reinstate bob", "looked at them")
    await expect(bob.locator(".state")).to_have_text("Active")


async def test_a_decision_needs_its_reason_and_can_be_left(
    people: FakePeopleQueue, enter: Enter
) -> None:
    olga = await enter("olga", "owner")
    await row(olga, "bob").get_by_role("button", name="Revoke").click()
    await olga.page.get_by_role("button", name="Revoke bob", exact=True).last.click()
    await expect(olga.page.get_by_role("dialog")).to_be_visible()
    await olga.press("Escape")
    await expect(olga.page.get_by_role("dialog")).to_be_hidden()
    assert people.decisions == []


async def test_a_decision_that_is_refused_says_why(people: FakePeopleQueue, enter: Enter) -> None:
    olga = await enter("olga", "owner")
    people.shown_overview = replace(people.shown_overview, labelers=())
    await row(olga, "bob").get_by_role("button", name="Exclude").click()
    dialog = olga.page.get_by_role("dialog")
    await expect(dialog.get_by_role("alert")).to_have_text("nobody is called 'bob'")
    await expect(dialog.get_by_role("button", name="Exclude bob")).to_be_disabled()


async def test_a_new_labeler_gets_a_link_that_is_shown_once(
    people: FakePeopleQueue, enter: Enter
) -> None:
    olga = await enter("olga", "owner")
    await olga.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await olga.page.get_by_role("button", name="Add a labeler").click()
    await olga.page.get_by_label("Name").fill("cleo")
    await olga.page.get_by_role("button", name="Make the link").click()
    field = olga.page.get_by_label("One-time link")
    await expect(field).to_have_value(re.compile(f"^{olga.url}/enter/code-"))
    link = await field.input_value()
    await olga.page.get_by_role("button", name="Copy").first.click()
    assert await olga.page.evaluate("navigator.clipboard.readText()") == link
    await olga.page.get_by_role("button", name="Done").click()
    await expect(field).to_have_value("")
    session = await people.open_link(link.rsplit("/", 1)[-1])
    assert (await people.authenticate(session)).labeler_id == "cleo"


async def test_the_cord_from_pull_to_release(people: FakePeopleQueue, enter: Enter) -> None:
    olga = await enter("olga", "owner")
    heading = olga.page.locator("#cord-heading")
    await expect(heading).to_have_text("The line is running")
    await expect(olga.page.locator("#cord-text")).to_have_text("Now training.")
    await olga.page.get_by_role("button", name="Stop the line").click()
    await confirm(olga, "Stop the line", "it repeats itself")
    await expect(heading).to_have_text("The line is stopped by olga")
    await expect(olga.page.locator("#cord-text")).to_contain_text("“it repeats itself”, just now.")
    await olga.page.get_by_role("button", name="Let the line go on").click()
    await confirm(olga, "Let it go on", "mended")
    await expect(heading).to_have_text("The line is running")
    assert people.decisions == [("pull", "olga", "it repeats itself"), ("release", "mended")]


async def test_a_full_disk_is_said_with_what_to_do(people: FakePeopleQueue, enter: Enter) -> None:
    olga = await enter("olga", "owner")
    heading, text = olga.page.locator("#cord-heading"), olga.page.locator("#cord-text")
    people.show(trouble="the disk of /runs/a is full: free space on it")
    await expect(heading).to_have_text("The line waits for room on its disk")
    await expect(text).to_have_text("The disk of /runs/a is full: free space on it.")
    people.show(trouble="")
    await expect(heading).to_have_text("The line is running")
    await expect(text).to_have_text("Now training.")


async def test_a_rollback_that_is_offered(people: FakePeopleQueue, enter: Enter) -> None:
    pull = Pulled(
        event_id="c1", actor="guard", reason="rewards changed", at=990.0, offered_rollback=20
    )
    people.show(cord=make_cord(pull))
    olga = await enter("olga", "owner")
    await olga.page.get_by_role("button", name="Roll back to policy v20").click()
    await expect(olga.page.get_by_label("To which policy version? It is v36 now.")).to_have_value(
        "20"
    )
    await confirm(olga, "Roll back", "before bob")
    assert people.decisions == [("roll_back", "20", "before bob")]
    await expect(olga.page.locator("#cord-text")).to_contain_text("Going back to policy v20")
    await expect(olga.page.locator("#release")).to_be_disabled()


async def test_several_reasons_are_shown_and_released_one_by_one(
    people: FakePeopleQueue, enter: Enter
) -> None:
    seen = "guards/0001-kl_sign.json"
    pulls = (
        Pulled(event_id="c1", actor="ann", reason="typo", at=980.0),
        Pulled(
            event_id="c2",
            actor="guard",
            reason="the KL is negative",
            at=990.0,
            guard="kl_sign",
            evidence=seen,
        ),
    )
    people.pull_ids |= {"c1", "c2"}
    people.show(cord=make_cord(*pulls))
    olga = await enter("olga", "owner")
    reasons = olga.page.locator("#cord-reasons li")
    await expect(reasons).to_have_count(2)
    await expect(reasons.nth(1)).to_contain_text("guard kl_sign: “the KL is negative”")
    await expect(reasons.nth(1)).to_contain_text(seen)
    await expect(olga.page.locator("#release")).to_be_hidden()
    await olga.page.get_by_role("button", name="Release the reason of ann").click()
    await confirm(olga, "Release it", "only a typo")
    await expect(olga.page.locator("#cord-heading")).to_have_text("The line is stopped by guard")
    await expect(reasons).to_have_count(1)
    await expect(reasons).to_contain_text(seen)
    await olga.page.get_by_role("button", name="Let the line go on").click()
    await confirm(olga, "Let it go on", "mended")
    await expect(olga.page.locator("#cord-heading")).to_have_text("The line is running")
    await expect(reasons).to_have_count(0)


async def test_gold_is_made_of_a_disagreement(people: FakePeopleQueue, enter: Enter) -> None:
    olga = await enter("olga", "owner")
    columns = olga.page.locator(".disputed .column")
    await expect(columns.locator(".voter")).to_have_text(["ann", "bob"])
    await columns.first.get_by_role("button", name="Make gold").click()
    await olga.page.get_by_role("dialog").get_by_role("button", name="Make gold").click()
    await expect(olga.page.get_by_role("dialog")).to_be_hidden()
    assert people.decisions == [("gold", "q0", "q0-a")]


async def test_a_broken_stream_comes_back_by_itself(people: FakePeopleQueue, enter: Enter) -> None:
    olga = await enter("olga", "owner")
    await expect(olga.page.locator("#live")).to_have_text("Live")
    await olga.page.route("**/owner/stream", lambda route: route.abort())
    await olga.page.reload()
    await expect(olga.page.locator("#live")).to_have_text("Reconnecting …")
    await olga.page.unroute("**/owner/stream")
    await expect(olga.page.locator("#live")).to_have_text("Live")


async def test_a_revoked_owner_is_told(people: FakePeopleQueue, enter: Enter) -> None:
    olga = await enter("olga", "owner")
    await people.owner.revoke("olga", "left")
    people.show(is_closed=True)
    await expect(olga.page.locator("#live")).to_contain_text("Your session has ended")


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
async def test_nothing_is_wider_than_the_window(
    people: FakePeopleQueue, enter: Enter, size: tuple[int, int]
) -> None:
    names = ("ann", "bob", "a-labeler-with-quite-a-long-name@example.org")
    people.show(labelers=tuple(make_labeler(name) for name in names))
    olga = await enter("olga", "owner", size=size)
    assert await olga.page.evaluate("document.documentElement.scrollWidth") == size[0]
    table = olga.page.get_by_role("region", name="Labelers").last
    assert await table.evaluate("node => node.scrollWidth - node.clientWidth") == 0
