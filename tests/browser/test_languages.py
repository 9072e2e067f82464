"""The labelling page in languages of either direction, and texts in languages of their own."""

from __future__ import annotations

import json
from typing import Any

import pytest
from playwright.async_api import Route, expect

from label_queue.intake.languages import KEY, load_languages
from protocol.messages import ChatMessage
from tests.browser.conftest import DESKTOP, PHONE, Enter, Visitor
from tests.browser.test_accessibility import violations
from tests.support.fake_people_queue import FakePeopleQueue
from tests.support.page_server import serve_people
from tests.support.tasks import make_task

LANGUAGES = load_languages()
RESPONSES = ("لذيذة ودافئة جدًا", "باردة، وكذلك النادل", "لا بأس بها", "انتهت قبل أن نجلس")
ON_ARABIC_KEYS = {"t": ("ف", "KeyT"), "m": ("ة", "KeyM"), "2": ("٢", "Digit2"), "?": ("؟", "Slash")}
"""What a keyboard of Arabic letters sends for the keys of these Latin ones."""


def arabic(name: str, **filled_in: object) -> str:
    return str(LANGUAGES["ar"].say(name, **filled_in))


def german(name: str, **filled_in: object) -> str:
    return str(LANGUAGES["de"].say(name, **filled_in))


async def type_in_arabic(visitor: Visitor, key: str) -> None:
    """Press a key while the keyboard is set to Arabic; playwright's own has Latin letters alone."""
    letter, code = ON_ARABIC_KEYS[key]
    await visitor.page.evaluate(
        "([key, code]) => document.activeElement.dispatchEvent("
        "new KeyboardEvent('keydown', { key, code, bubbles: true }))",
        [letter, code],
    )


async def change_language(visitor: Visitor, tag: str) -> None:
    """Choose another language on the page, by keyboard."""
    await visitor.page.locator("details.language summary").press("Enter")
    await visitor.page.locator(f".languages a[lang={tag}]").press("Enter")
    await expect(visitor.page.locator(f"html[lang={tag}]")).to_have_count(1)
    await visitor.settle()


async def test_a_comparison_in_arabic_by_keyboard(people: FakePeopleQueue, enter: Enter) -> None:
    tasks = [make_task(n, texts=RESPONSES, prompt="كانت الشوربة", language="ar") for n in range(4)]
    people.waiting = tasks
    ann = await enter(locale="ar-EG")
    await expect(ann.page.locator("html[lang=ar][dir=rtl]")).to_have_count(1)
    await expect(ann.page.locator("#question")).to_have_text(arabic("question.best_of_k"))
    await expect(ann.page.locator("#hint")).to_have_text(arabic("hint.choose"))
    await ann.press("2", "+", "+")
    chosen = ann.page.get_by_role("button", name=arabic("card.chosen"))
    await expect(chosen).to_have_accessible_name(f"2 {arabic('card.chosen')} الإجابة 2")
    await ann.give("Enter")
    await type_in_arabic(ann, "t")
    await ann.give("Enter")
    await type_in_arabic(ann, "2")
    await ann.give("Enter")
    await expect(ann.page.locator("#saved")).to_have_text(arabic("saved.saved"))
    chosen_answer, tie, second = await people.answered(3)
    assert (chosen_answer.choice, chosen_answer.strength) == ("a0-1", 2)
    assert (tie.outcome, second.choice) == ("tie", "a2-1")
    await type_in_arabic(ann, "?")
    await expect(ann.page.locator("#help-dialog")).to_be_visible()


async def test_the_page_is_mirrored(people: FakePeopleQueue, enter: Enter) -> None:
    people.waiting = [make_task(0)]
    ann = await enter(locale="ar")

    async def x_of(selector: str) -> float:
        box = await ann.page.locator(selector).first.bounding_box()
        assert box is not None
        return box["x"]

    assert await x_of(".candidate:nth-child(1)") > await x_of(".candidate:nth-child(2)")
    assert await x_of("#tie") > await x_of("#confirm")
    assert await x_of(".segments label:first-child") > await x_of(".segments label:last-child")
    assert await x_of(".brand") > await x_of("#leave")
    # A text keeps the direction of its own language.
    english = ann.page.locator("#text-1 .inert")
    assert await english.evaluate("node => getComputedStyle(node).direction") == "ltr"


async def test_in_a_text_from_right_to_left_the_next_word_is_on_the_left(
    people: FakePeopleQueue, enter: Enter
) -> None:
    people.waiting = [make_task(0, texts=(RESPONSES[0], "one two three"), language="ar")]
    ann = await enter()
    await ann.press("m", "ArrowLeft")
    await expect(ann.page.locator("#announcer")).to_have_text("ودافئة")
    await ann.press("ArrowRight")
    await expect(ann.page.locator("#announcer")).to_have_text("لذيذة")
    await ann.press("ArrowDown", "ArrowRight")
    await expect(ann.page.locator("#announcer")).to_have_text("two")


async def test_another_language_keeps_the_task_and_the_unfinished_answer(
    people: FakePeopleQueue, enter: Enter
) -> None:
    long = "soup " * 1_000
    texts = ("so kind", "fine", "cold", long)
    people.waiting = [make_task(0, kind="ranking", texts=texts), make_task(1)]
    ann = await enter()
    await ann.press("a", "3", "1", "m", "ArrowRight", "+", "Escape")
    await change_language(ann, "de")
    await expect(ann.page.locator("#task")).to_have_attribute("data-showing", "a0:0")
    await expect(ann.page.locator("#hint")).to_have_text("Noch 2 einzuordnen")
    marks = ann.page.get_by_role("list", name=german("marks.list", number=1))
    await expect(marks).to_contain_text("kind")
    await ann.press("2")
    await change_language(ann, "ar")
    await expect(ann.page.locator("#hint")).to_have_text("بقيت إجابة واحدة للترتيب")
    await ann.press("4")
    await ann.give("Enter")
    [answer] = await people.answered(1)
    assert answer.ranking == ("a0-2", "a0-0", "a0-1", "a0-3")
    assert answer.spans is not None
    assert [(span.start, span.end, span.mark) for span in answer.spans] == [(3, 7, "good")]
    assert answer.active_ms is not None
    assert answer.active_ms > 0
    # The choice is remembered, and nothing of the answer that was given comes back.
    await ann.page.goto(f"{ann.url}/")
    await ann.settle()
    await expect(ann.page.locator("html[lang=ar]")).to_have_count(1)
    await expect(ann.page.locator("#hint")).to_have_text(arabic("hint.choose"))


async def test_another_language_keeps_a_change_of_the_last_answer_and_what_it_put_aside(
    people: FakePeopleQueue, enter: Enter
) -> None:
    people.waiting = [make_task(0), make_task(1)]
    ann = await enter()
    await ann.give("1", "Enter")
    await people.answered(1)
    await ann.press("3")
    await ann.give("u")
    await ann.press("4")
    await change_language(ann, "de")
    await expect(ann.page.locator("#task")).to_have_attribute("data-showing", "a0:1")
    await expect(ann.page.locator("#revision-banner")).to_contain_text(german("revision.text"))
    await expect(
        ann.page.get_by_role("button", name=f"{german('card.chosen')} Antwort 4")
    ).to_be_visible()
    await ann.give("Enter")
    await expect(ann.page.locator("#task")).to_have_attribute("data-showing", "a1:0")
    await ann.press("Enter")
    answers = await people.answered(3)
    assert [(each.revision, each.choice) for each in answers] == [
        (0, "a0-0"),
        (1, "a0-3"),
        (0, "a1-2"),
    ]


async def test_an_answer_on_its_way_is_sent_by_the_page_in_the_other_language(
    people: FakePeopleQueue, enter: Enter
) -> None:
    people.waiting = [make_task(0), make_task(1)]
    ann = await enter()
    await ann.page.route("**/api/v1/labels", lambda route: route.abort())
    await ann.give("2", "Enter")
    await change_language(ann, "de")
    await expect(ann.page.locator("#saved")).to_contain_text("1 Bewertung ist hier aufbewahrt")
    assert ann.dialogs == []
    await ann.page.unroute("**/api/v1/labels")
    await ann.page.evaluate("dispatchEvent(new Event('online'))")
    await expect(ann.page.locator("#saved")).to_have_text("Gespeichert")
    assert [answer.choice for answer in people.submissions] == ["a0-1"]


async def test_texts_say_their_own_language_whatever_the_pages_is(
    people: FakePeopleQueue, enter: Enter
) -> None:
    chat = [ChatMessage(role="user", content="Wie war die Suppe?")]
    people.waiting = [make_task(0, prompt=chat, language="de"), make_task(1)]
    ann = await enter(locale="ar")
    texts = ann.page.locator("#task .inert")
    await expect(texts).to_have_count(5)
    for index in range(5):
        await expect(texts.nth(index)).to_have_attribute("lang", "de")
        await expect(texts.nth(index)).to_have_attribute("dir", "auto")
    await ann.give("1", "Enter")
    # Of this one nothing is known, neither from it nor from the run: not the page's language.
    await expect(texts.first).to_have_attribute("lang", "")


async def test_a_text_without_a_language_is_in_the_runs(
    people: FakePeopleQueue, open_window: Any
) -> None:
    people.waiting = [make_task(0)]
    async with serve_people(people, prompt_language="pt-BR") as url:
        ann: Visitor = await open_window(url)
        await ann.page.goto(url + (await people.owner.admit("ann", "labeler")).link)
        await ann.page.get_by_role("button").click()
        await ann.settle()
        await expect(ann.page.locator("#text-1 .inert")).to_have_attribute("lang", "pt-BR")


@pytest.mark.parametrize(
    ("locale", "words"),
    [
        ("en", "for at most 30 days, and until you have not used the page for 7 days."),
        ("de", "höchstens 30 Tage angemeldet, und nur, solange Sie die Seite nicht 7 Tage lang"),
        ("ar", "30 يومًا على الأكثر، وتنتهي قبل ذلك إذا لم تُستخدم الصفحة مدة 7 أيام."),
    ],
    ids=["en", "de", "ar"],
)
async def test_the_link_says_how_long_one_stays_signed_in(
    people: FakePeopleQueue, url: str, open_window: Any, locale: str, words: str
) -> None:
    ann: Visitor = await open_window(url, locale=locale)
    await ann.page.goto(url + (await people.owner.admit("ann", "labeler")).link)
    await expect(ann.page.locator("#stay")).to_contain_text(words)
    await ann.page.get_by_role("link", name="English").click()
    await expect(ann.page.get_by_role("heading")).to_have_text("Welcome to Andon")
    await ann.page.get_by_role("button", name="Come in").click()
    await ann.settle()
    await expect(ann.page.locator("html[lang=en]")).to_have_count(1)


@pytest.mark.parametrize(
    ("size", "dark"), [(DESKTOP, False), (PHONE, True)], ids=["light", "phone-dark"]
)
async def test_axe_finds_nothing_in_arabic_and_nothing_is_wider_than_the_page(
    people: FakePeopleQueue, enter: Enter, size: tuple[int, int], dark: bool
) -> None:
    people.guidelines = "# ما المطلوب\n\nفضّل ما هو **صحيح**."
    people.waiting = [make_task(0, texts=RESPONSES), make_task(1)]
    await people.pull_cord("bob", "it insults people")
    ann = await enter(size=size, dark=dark, locale="ar")
    await ann.page.locator("details.language summary").click()
    assert await violations(ann.page) == []
    assert await ann.page.evaluate("document.documentElement.scrollWidth") == size[0]
    await ann.page.locator("details.language summary").click()
    await ann.press("2", "+", "?")
    assert await violations(ann.page) == []


# --- no text is in the page's own scripts ------------------------------------------------------

SHOWN = """() => {
    const own = "noscript, kbd, bdi, .inert, .brand, .languages, .language summary, .escape";
    const found = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node !== null; node = walker.nextNode()) {
        if (node.parentElement.closest(own) === null) found.push(node.data);
    }
    for (const name of ["aria-label", "title", "placeholder"]) {
        for (const each of document.querySelectorAll(`[${name}]`)) {
            found.push(each.getAttribute(name));
        }
    }
    return found.map((text) => text.trim()).filter((text) => /\\p{L}/u.test(text));
}"""
"""Returns all text of the page but that of the run: what people read, and what is read out."""


def marked(words: Any) -> Any:
    """Return words between marks by which they are known on the page."""
    if isinstance(words, str):
        return f"⟦{words}⟧"
    return {form: f"⟦{each}⟧" for form, each in words.items()}


def strange(texts: list[str]) -> list[str]:
    """Return the texts that neither a script took from the marked words nor a template says."""
    templates = " | ".join(
        KEY.sub(" ", words) for words in LANGUAGES["de"].words.values() if isinstance(words, str)
    )
    # What is filled in, elements of their own, cuts the words.
    pieces = [text for text in texts if not set("⟦⟧") & set(text)]
    return [text for text in pieces if text not in templates]


async def test_scripts_say_only_what_is_in_the_file_of_the_language(
    people: FakePeopleQueue, enter: Enter
) -> None:
    """The template's words are German and the scripts' are marked: what is neither is literal."""

    async def mark(route: Route) -> None:
        words = {name: marked(each) for name, each in LANGUAGES["de"].words.items()}
        await route.fulfill(json=json.loads(json.dumps(words)))

    async def look(what: str) -> None:
        found = strange(await ann.page.evaluate(SHOWN))
        assert found == [], what

    chat = [ChatMessage(role="user", content=f"{number}") for number in range(60)]
    people.waiting = [
        make_task(0, kind="pair", texts=("good and\u202e kind", "")),
        make_task(1, kind="ranking", prompt=chat),
        make_task(2, texts=("short", "long " * 1_000)),
    ]
    ann = await enter(locale="de")
    await ann.page.route("**/static/languages/de.json", mark)
    await ann.reload()
    await expect(ann.page.locator("#question")).to_contain_text("⟦")
    assert len(strange(["New task.", "Antwort 1"])) == 2  # it can fail
    await look("a pair")
    await ann.press("1", "m", "+", "ArrowRight", "-")
    await look("marks")
    await ann.press("Escape", "s")
    await look("the dialog of a reason")
    await ann.press("Escape", "?")
    await look("the keys")
    await ann.press("Escape")
    await ann.give("Enter")
    await ann.press("a", "2")
    await look("a ranking")
    await ann.press("1", "3", "4")
    await ann.give("Enter")
    await look("a folded text")
    await ann.page.route(
        "**/api/v1/labels",
        lambda route: route.fulfill(status=409, json={"message": "answered before"}),
    )
    await people.pull_cord("bob", "it insults people")
    await ann.press("a", "b")
    await ann.press("Enter")
    await expect(ann.page.locator("#refused")).to_be_visible()
    await look("nothing to do, and a refusal")
    await ann.reload()
    await expect(ann.page.locator("#cord-banner")).to_be_visible()
    await look("the cord")
