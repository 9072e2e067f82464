"""Firefox, by Mozilla's own driver, as somebody uses the pages in it.

Playwright speaks to a Firefox of its own build, or to one newer than Debian's. The driver blocks,
so each call to it is made in a thread, and the server under test goes on in the test's own loop.
"""

from __future__ import annotations

import asyncio
import shutil
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

with warnings.catch_warnings():
    # Its libraries have escapes that Python deprecates, and call what others have deprecated.
    warnings.simplefilter("ignore")
    from marionette_driver.by import By
    from marionette_driver.errors import NoSuchElementException, StaleElementException
    from marionette_driver.keys import Keys
    from marionette_driver.marionette import ActionSequence, Marionette, WebElement
    from marionette_driver.wait import Wait

T = TypeVar("T")

NAMES = ("firefox-esr", "firefox")
PATIENCE_S = 60.0
"""For something to be on the page, on a busy machine."""
KEYS = {
    "Backspace": Keys.BACK_SPACE,
    "Control": Keys.CONTROL,
    "Enter": Keys.ENTER,
    "Escape": Keys.ESCAPE,
}
ERRORS_SEEN = """
    return Services.console.getMessageArray()
        .filter(each => each instanceof Ci.nsIScriptError && each.sourceName.startsWith("http"))
        .filter(each => each.category === "content javascript" && !(each.flags & each.warningFlag)
            || /Policy.*blocked/.test(each.errorMessage))
        .map(each => each.errorMessage);
"""
"""Exceptions of the pages, and what their Content-Security-Policy stopped."""

MIDDLE_OF_WORD = """
    const [css, word] = arguments;
    const texts = document.createTreeWalker(document.querySelector(css), NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
        const start = texts.currentNode.data.indexOf(word);
        if (start < 0) continue;
        const range = document.createRange();
        range.setStart(texts.currentNode, start);
        range.setEnd(texts.currentNode, start + word.length);
        const box = range.getBoundingClientRect();
        return [box.x + box.width / 2, box.y + box.height / 2];
    }
"""
"""Where on the screen a word stands, in pixels."""


def find_firefox() -> str | None:
    """Return Firefox's path, if there is one."""
    return next((path for path in map(shutil.which, NAMES) if path is not None), None)


class Firefox:
    """A Firefox without a display, with a profile of its own.

    Args:
        path: Its program.
        log: Where it says what it does.
    """

    def __init__(self, path: str, log: Path) -> None:
        self._driver = Marionette(
            bin=path, port=0, headless=True, gecko_log=str(log), startup_timeout=PATIENCE_S
        )

    async def start(self) -> None:
        """Start it."""
        await self._do(self._driver.start_session)

    async def stop(self) -> None:
        """End it, and remove its profile."""
        await self._do(self._driver.cleanup)

    async def go(self, url: str) -> None:
        """Open a page in the present tab."""
        await self._do(lambda: self._driver.navigate(url))

    async def reload(self) -> None:
        """Refresh the page."""
        await self._do(self._driver.refresh)

    async def tabs(self) -> list[str]:
        """Return the names of the tabs."""
        return await self._do(lambda: list(self._driver.window_handles))

    async def open_tab(self) -> str:
        """Open another tab, and return its name; the present one stays."""
        return await self._do(lambda: str(self._driver.open(type="tab")["handle"]))

    async def close_tab(self) -> None:
        """Close the present tab, whatever it would ask; go to another before anything else."""
        await self._do(self._driver.close)

    async def to_tab(self, name: str) -> None:
        """Go to a tab."""
        await self._do(lambda: self._driver.switch_to_window(name))

    async def press(self, *chords: str) -> None:
        """Type, one after another, keys or chords ("Control+Enter") where the focus is."""
        for chord in chords:
            keys = [KEYS.get(key, key) for key in (chord.split("+") if len(chord) > 1 else [chord])]
            await self._do(partial(self._type, keys))

    async def click(self, css: str, number: int = 0) -> None:
        """Click on what a selector finds, once it is there."""
        await self._do(lambda: self._found(css, number).click())

    async def double_click_word(self, css: str, word: str) -> None:
        """Click twice in the middle of a word of the text of what a selector finds."""
        x, y = await self.run(MIDDLE_OF_WORD, css, word)
        mouse = ActionSequence(self._driver, "pointer", "mouse", {"pointerType": "mouse"})
        mouse.pointer_move(round(x), round(y))
        for _ in range(2):
            mouse.pointer_down().pointer_up()
        await self._do(mouse.perform)

    async def shows(self, css: str, text: str) -> None:
        """Wait until what a selector finds holds a text."""
        await self._until(lambda: text in self._found(css).text, f"{css} to show {text!r}")

    async def has(self, css: str) -> None:
        """Wait until a selector finds something that is displayed."""
        await self._until(lambda: self._found(css).is_displayed(), f"{css} to be displayed")

    async def run(self, script: str, *arguments: object) -> Any:
        """Run JavaScript in the page and return what it returns."""
        return await self._do(lambda: self._driver.execute_script(script, script_args=arguments))

    async def errors(self) -> list[str]:
        """Return what went wrong in the pages since it started."""

        def seen() -> list[str]:
            with self._driver.using_context("chrome"):
                return list(self._driver.execute_script(ERRORS_SEEN))

        return await self._do(seen)

    def _type(self, keys: Sequence[str]) -> None:
        self._driver.get_active_element().send_keys(*keys)

    def _found(self, css: str, number: int = 0) -> WebElement:
        found = Wait(self._driver, timeout=PATIENCE_S).until(
            lambda driver: driver.find_elements(By.CSS_SELECTOR, css)[number:],
            message=f"nothing on the page is {css}",
        )
        return found[0]

    async def _until(self, holds: Callable[[], bool], what: str) -> None:
        gone = (StaleElementException, NoSuchElementException)
        wait = Wait(self._driver, timeout=PATIENCE_S, ignored_exceptions=gone)
        await self._do(lambda: wait.until(lambda _: holds(), message=f"waited in vain for {what}"))

    async def _do(self, call: Callable[[], T]) -> T:
        return await asyncio.to_thread(call)
